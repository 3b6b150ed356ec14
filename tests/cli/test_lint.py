"""`greenflow lint` as it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command, service


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "web.yaml"
    path.write_text(service("one"))
    return path


def test_it_ends_with_3_where_an_error_was_found(greenflow: Command, file: Path) -> None:
    good = greenflow("lint", "web.yaml")
    assert (good.code, good.err) == (0, "")
    assert good.out.splitlines()[-1] == "2 specs in 1 file checked: 1 info"
    file.write_text(service("one").replace("says", "sais", 1))
    bad = greenflow("lint", "web.yaml", "--format", "github")
    assert (bad.code, bad.out.count("::error")) == (3, 1)
    assert greenflow("lint", "web.yaml", "-o", "github").out == bad.out
    found = greenflow("lint", "web.yaml", "-o", "json").data
    assert greenflow("lint", "web.yaml", GREENFLOW_OUTPUT="json").data == found
    assert greenflow("lint", "web.yaml", "--output", "sarif").data["version"] == "2.1.0"


def test_a_path_that_matches_no_file_is_an_error(greenflow: Command, tmp_path: Path) -> None:
    assert greenflow("lint", "nothing.yaml").code == 2
    (tmp_path / "empty").mkdir()
    assert greenflow("lint", "empty").code == 3
    assert greenflow("lint").code == 2


def test_levels_come_from_settings(greenflow: Command, file: Path, tmp_path: Path) -> None:
    (tmp_path / "greenflow.toml").write_text('[lint]\nerror = ["GF017"]\n')
    assert greenflow("lint", "web.yaml").code == 3
    assert greenflow("lint", "web.yaml", GREENFLOW_LINT_ERROR="GF99").code == 2


def test_files_are_mended_and_silenced(greenflow: Command, file: Path) -> None:
    file.write_text(service("one").replace("links", "ports"))
    mended = greenflow("lint", "web.yaml", "--fix")
    assert (mended.code, mended.err) == (0, "wrote web.yaml\n")
    assert file.read_text() == service("one")
    greenflow("lint", "web.yaml", "--add-ignores")
    assert "1 suppressed" in greenflow("lint", "web.yaml").out
    assert greenflow("lint", "web.yaml", "--fix", "--add-ignores").code == 2


def test_a_rule_is_explained(greenflow: Command) -> None:
    assert "no packet can come" in greenflow("lint", "--explain", "gf013").out
    assert greenflow("lint", "--explain", "GF999").code == 2
    assert greenflow("lint", "--rules").out.startswith("# Rules")
