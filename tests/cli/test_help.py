"""`greenflow help`, and the exit codes that the help of a command tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from greenflow.cli import COMMANDS
from greenflow.cli.exit_codes import COMMON, in_words
from tests.cli.conftest import Command

PAGE = Path(__file__).parents[2] / "contrib" / "docs" / "cli.md"


def test_without_a_name_it_is_the_help_of_all(greenflow: Command) -> None:
    assert greenflow("help").out == greenflow("--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_the_help_of_a_command(greenflow: Command, name: str) -> None:
    result = greenflow("help", name)
    assert (result.code, result.err) == (0, "")
    assert result.out == greenflow(name, "--help").out
    assert " ".join(result.out.split()).endswith(in_words(COMMANDS[name]))


def test_what_was_meant_is_said(greenflow: Command) -> None:
    result = greenflow("help", "aply")
    assert (result.code, result.out) == (2, "")
    assert "did you mean apply?" in result.err
    assert greenflow("help", "apply", "--markdown").code == 2


def test_the_codes_are_those_that_a_command_ends_with(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: nope\nname: x\n")
    (tmp_path / "rough.yaml").write_text("{kind: nop,    name: x}\n")
    assert ": 0 done; 1 failure; 2 usage." in in_words("version")
    assert greenflow("apply", "bad.yaml").code == 3
    assert "3 invalid specs, nothing is stored" in in_words("apply")
    assert greenflow("fmt", "rough.yaml", "--check").code == 1
    assert "1 a file cannot be written, or with --check would be" in in_words("fmt")
    assert greenflow("test", "rough.yaml").code == 1
    assert "1 there was no test" in in_words("test")
    assert greenflow("eval", "self +").code == 3
    assert "3 the code does not compile" in in_words("eval")
    assert greenflow("get", "--database", "sqlite:////nowhere/at/all.db").code == 4
    assert "4 store out of reach" in in_words("get")


def test_a_command_that_says_nothing_has_the_common_codes() -> None:
    assert in_words("another") == in_words("delete")
    assert all(f"{code} {words}" in in_words("another") for code, words in COMMON.items())


def test_the_page_is_what_the_commands_declare(greenflow: Command) -> None:
    written = greenflow("help", "--markdown", COLUMNS="40").out
    said = "contrib/docs/cli.md is old: greenflow help --markdown >contrib/docs/cli.md"
    assert PAGE.read_text() == written, said
    assert written == greenflow("help", "--markdown", COLUMNS="300", GREENFLOW_OUTPUT="json").out
    names = re.findall(r"^## (\w+)$", written, re.MULTILINE)
    assert set(names) | {"start"} == set(COMMANDS)


def test_every_option_is_on_the_page(greenflow: Command) -> None:
    page = PAGE.read_text()
    common = set(re.findall(r"--[\w-]+", page.partition("## Common options")[2].split("\n## ")[0]))
    for name in COMMANDS:
        about = greenflow("help", name).out.partition("\nOptions:")[2]
        options = set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", about, re.MULTILINE)) - common
        title = "run" if name == "start" else name
        section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        assert options <= set(re.findall(r"--[\w-]+", section)), name
