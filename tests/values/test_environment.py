"""The environment of specs, from files and from the OS process (BEHAVIOUR 16.2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenflow.config.loading import SettingsError, load
from greenflow.values.environment import EnvironmentFault, inherited, read_environment

FILE = r"""
# a comment
PLAIN=a b
export EXPORTED = spaced
EMPTY=
SINGLE='a "b" \n $HOME'
DOUBLE="two\nlines \"quoted\" \\ # no comment"
EQUAL=a=b
URL=postgres://u:p@h/db#fragment
"""


def write(folder: Path, text: str | bytes, name: str = "env") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_a_file_has_one_key_a_line(tmp_path: Path) -> None:
    assert read_environment([write(tmp_path, FILE)]) == {
        "PLAIN": "a b",
        "EXPORTED": "spaced",
        "EMPTY": "",
        "SINGLE": r'a "b" \n $HOME',
        "DOUBLE": 'two\nlines "quoted" \\ # no comment',
        "EQUAL": "a=b",
        "URL": "postgres://u:p@h/db#fragment",
    }


def test_lines_may_end_as_windows_does(tmp_path: Path) -> None:
    assert read_environment([write(tmp_path, "A=1\r\nB=2\r\n")]) == {"A": "1", "B": "2"}


def test_a_folder_has_one_key_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    (folder / "..data").mkdir(parents=True)
    write(folder, "one\ntwo\n", "TEXT")
    write(folder, "bare", "BARE")
    write(folder, "x", ".hidden")
    (folder / "LINK").symlink_to(folder / "BARE")
    found = read_environment([str(folder)])
    assert found == {"TEXT": "one\ntwo", "BARE": "bare", "LINK": "bare"}


def test_a_later_file_beats_an_earlier_one(tmp_path: Path) -> None:
    paths = [write(tmp_path, "A=1\nB=1", "one"), write(tmp_path, "B=2", "two")]
    assert read_environment(paths) == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A=1\nhunter2", "env:2: expected KEY=VALUE"),
        ("my key=hunter2", "env:1: expected KEY=VALUE"),
        ('A="hunter2', "env:1: the quotes are not closed"),
        ("A='hunter2' more", "env:1: the quotes are not closed"),
        (b"A=hunter2\xff", "env: is not UTF-8"),
    ],
)
def test_a_fault_names_its_place_and_shows_nothing(
    tmp_path: Path, text: str | bytes, reason: str
) -> None:
    with pytest.raises(EnvironmentFault) as raised:
        read_environment([write(tmp_path, text)])
    assert str(raised.value) == f"environment_files: {tmp_path}/{reason}"


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="nowhere: No such file or directory"):
        read_environment([str(tmp_path / "nowhere")])


def test_variables_of_the_os_process_are_taken_by_name_and_by_pattern() -> None:
    environ = {"PGUSER": "u", "PGPASSWORD": "p", "HOME": "/", "PATH": "/bin"}
    assert inherited(["PG*", "HOME", "NONE_*"], environ) == {
        "PGUSER": "u", "PGPASSWORD": "p", "HOME": "/"
    }  # fmt: skip
    with pytest.raises(EnvironmentFault, match="the variable TOKEN is not set"):
        inherited(["TOKEN"], environ)


def test_the_nearer_source_beats_the_farther_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path, "A=file\nB=file\nC=file\nD=file\n")
    environ = {
        "GREENFLOW_ENVIRONMENT_C": "variable",
        "GREENFLOW_ENVIRONMENT_D": "variable",
        "GREENFLOW_ENVIRONMENT_FILES": file,
        "GREENFLOW_ENVIRONMENT_INHERIT": "B, C",
        "B": "inherited",
        "C": "inherited",
    }
    settings = load({"environment": {"D": "flag"}}, environ)
    assert settings.environment == {"A": "file", "B": "inherited", "C": "variable", "D": "flag"}


def test_a_fault_is_one_of_the_settings() -> None:
    with pytest.raises(SettingsError, match="environment_files: nowhere:"):
        load({"environment_files": "nowhere"}, {})
    with pytest.raises(SettingsError, match="environment_inherit: the variable X is not set"):
        load({"environment_inherit": "X"}, {})
