"""`greenflow migrate`: files are rewritten, or a diff is shown."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Command

OLD = "# a wait\n- kind: wait  # five\n  name: a\n  interval: 5000000000\n  ports: {}\n"
NEW = "# a wait\n- kind: sleep  # five\n  name: a\n  interval: 5s\n  links: {}\n"


def test_it_shows_a_diff_and_changes_nothing(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(OLD)
    result = greenflow("migrate", "a.yaml")
    assert (result.code, result.err) == (0, "")
    assert [line for line in result.out.splitlines() if line.startswith(("+", "-"))] == [
        "--- a.yaml",
        "+++ a.yaml",
        "-- kind: wait  # five",
        "+- kind: sleep  # five",
        "-  interval: 5000000000",
        "-  ports: {}",
        "+  interval: 5s",
        "+  links: {}",
    ]
    assert (tmp_path / "a.yaml").read_text() == OLD


def test_it_rewrites_files_and_says_what_it_changed(greenflow: Command, tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    file = folder / "a.yaml"
    file.write_text(OLD)
    file.chmod(0o640)
    (tmp_path / "link.yaml").symlink_to(file)
    result = greenflow("migrate", "--write", "link.yaml", "specs")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "link.yaml:2:9: wait is now sleep",
        "link.yaml:4:13: 5000000000 is now 5s",
        "link.yaml:5:3: ports is now links",
    ]
    assert file.read_text() == NEW
    assert (tmp_path / "link.yaml").is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(folder) == ["a.yaml"]


def test_a_second_time_there_is_nothing_to_do(greenflow: Command, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(NEW)
    before = file.stat()
    assert greenflow("migrate", "--write", "a.yaml").out == ""
    assert greenflow("migrate", "a.yaml").out == ""
    assert file.stat().st_ino == before.st_ino


def test_standard_input_goes_to_standard_output(greenflow: Command) -> None:
    result = greenflow("migrate", "-", stdin=OLD)
    assert (result.code, result.out) == (0, NEW)
    assert result.err.splitlines()[0] == "-:2:9: wait is now sleep"


def test_closed_standard_input_holds_no_spec(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m greenflow migrate - <&-"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "-: no spec in it: write one, or [] for none\n")


def test_what_is_not_known_is_told_and_the_rest_rewritten(
    greenflow: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text("kind: native\nopcode: nodes.read\nports: {}\n")
    (tmp_path / "b.yaml").write_text("kind: nop\nports: {}\nlinks: {}\n")
    (tmp_path / "c.yaml").write_text("kind: [\n")
    (tmp_path / "d.yaml").write_text("kind: for\n")
    result = greenflow("migrate", "--write", "a.yaml", "b.yaml", "c.yaml", "d.yaml")
    assert result.code == 3
    assert (tmp_path / "a.yaml").read_text() == "kind: native\nopcode: nodes.read\nlinks: {}\n"
    assert (tmp_path / "d.yaml").read_text() == "kind: loop\n"
    told = result.err.splitlines()
    assert told[0].startswith("a.yaml:1:1: $.kind: unknown kind 'native'")
    assert told[1].startswith("b.yaml:3:1: $.links: 'links' and 'ports' are one field")
    assert told[2].startswith("c.yaml:2:1: ")
    assert len(told) == 3


def test_values_are_left_alone(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("name: a\ndata: {ports: for}\n")
    assert greenflow("migrate", "values.yaml").code == 0


def test_a_missing_file_is_a_matter_of_usage(greenflow: Command) -> None:
    result = greenflow("migrate", "none.yaml")
    assert (result.code, result.err) == (2, "none.yaml: no such file or folder\n")
    assert greenflow("migrate").code == 2


def test_bytes_that_are_no_text_are_refused(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"kind: \xff\n")
    result = greenflow("migrate", "a.yaml")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("a.yaml:1:7: byte 0xff is not UTF-8")
