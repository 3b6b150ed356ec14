"""`greenflow fmt` as it is called."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command

UNTIDY, TIDY = "kind:   nop # here\nname: a\n", "kind: nop   # here\nname: a\n"


def test_files_are_written_in_one_form(greenflow: Command, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(UNTIDY)
    check = greenflow("fmt", "a.yaml", "--check")
    assert (check.code, check.out) == (1, "a.yaml\n")
    diff = greenflow("fmt", "a.yaml", "--diff")
    assert (diff.code, "+kind: nop   # here\n" in diff.out) == (0, True)
    assert file.read_text() == UNTIDY
    done = greenflow("fmt", ".")
    assert (done.code, done.out, file.read_text()) == (0, "wrote ./a.yaml\n", TIDY)
    assert greenflow("fmt", "a.yaml", "--check").code == 0


def test_standard_input_goes_to_standard_output(greenflow: Command) -> None:
    result = greenflow("fmt", "-", stdin=UNTIDY)
    assert (result.code, result.out, result.err) == (0, TIDY, "")


def test_what_cannot_be_read_stays_as_it_is(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: [")
    assert greenflow("fmt", "a.yaml").code == 3
    assert (tmp_path / "a.yaml").read_text() == "kind: ["
