"""What a shell is answered that completes a command line, and the script that has it ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from greenflow.cli import COMMANDS
from tests.cli.conftest import Command, Result


def ask(greenflow: Command, *words: str, shell: str = "bash", **settings: str) -> Result:
    """Presses the key behind the last of the words."""
    line = " ".join(["greenflow", *words])
    at = words[-1] if shell == "fish" else str(len(words))
    return greenflow(
        COMP_WORDS=line, COMP_CWORD=at, _GREENFLOW_COMPLETE=f"{shell}_complete", **settings
    )


def completed(greenflow: Command, *words: str, **settings: str) -> list[str]:
    result = ask(greenflow, *words, **settings)
    assert (result.code, result.err) == (0, "")
    return [line.removeprefix("plain,") for line in result.out.splitlines() if line]


@pytest.fixture
def stored(greenflow: Command) -> None:
    specs = "".join(f"- {{kind: nop, name: {name}}}\n" for name in ("shop", "shelf", "'two words'"))
    specs += '- {kind: nop, id: none}\n- {kind: nop, name: "new\\nline"}\n'
    specs += "- {kind: nop, name: shade, namespace: other}\n"
    assert greenflow("apply", "-f", "-", stdin=specs).code == 0
    assert greenflow("apply", "values", "-f", "-", stdin="{name: secret, data: 1}").code == 0


def test_commands_and_options(greenflow: Command) -> None:
    assert completed(greenflow, "ge") == ["get"]
    everything = completed(greenflow, "")
    assert set(everything) == COMMANDS.keys() - {"start"}
    assert completed(greenflow, "get", "--name") == ["--namespace"]
    assert completed(greenflow, "get", "--output", "j") == ["json"]
    assert completed(greenflow, "frobnicate", "--frob") == []


def test_kinds_and_templates(greenflow: Command) -> None:
    assert completed(greenflow, "kinds", "li") == ["listener"]
    assert completed(greenflow, "init", "we") == ["webhook"]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("command", ["get", "delete", "call"])
def test_names_of_stored_specs(greenflow: Command, command: str) -> None:
    assert completed(greenflow, command, "sh") == ["shelf", "shop"]
    assert completed(greenflow, command, "--namespace", "other", "sh") == ["shade"]
    assert completed(greenflow, command, "sh", GREENFLOW_NAMESPACE="other") == ["shade"]


@pytest.mark.usefixtures("stored")
def test_the_word_before_says_what_the_names_are_of(greenflow: Command) -> None:
    assert completed(greenflow, "get", "s") == ["specs", "shelf", "shop"]
    assert completed(greenflow, "get", "specs", "s") == ["shelf", "shop"]
    assert completed(greenflow, "get", "values", "s") == ["secret"]
    assert completed(greenflow, "get", "shop", "sh") == ["shelf", "shop"]


@pytest.mark.usefixtures("stored")
def test_a_name_is_quoted_for_the_shell_that_does_not(greenflow: Command) -> None:
    assert completed(greenflow, "get", "two") == [r"two\ words"]
    assert completed(greenflow, "get", r"two\ w") == [r"two\ words"]
    assert completed(greenflow, "get", "new") == []  # two lines would be two names
    assert ask(greenflow, "get", "two", shell="fish").out == "plain,two words\n"


@pytest.mark.usefixtures("stored")
def test_files_are_for_the_shell_to_find(greenflow: Command) -> None:
    for words in (("run", "x"), ("apply", "-f", "x"), ("delete", "x"), ("get", "--config", "x")):
        assert completed(greenflow, *words) == ["file,x"], words
    assert completed(greenflow, "init", "hello", "x") == ["dir,x"]


@pytest.mark.parametrize(
    "settings",
    [
        {},  # no database yet
        {"GREENFLOW_DATABASE": "mongodb://127.0.0.1:1/away"},
        {"GREENFLOW_DATABASE": "frob://nothing"},
        {"GREENFLOW_DATABASE": "sqlite:///none/of/this/x.db"},
        {"GREENFLOW_HUB_GUARD": "a setting that is none"},
        {"GREENFLOW_FROB": "a warning elsewhere"},
    ],
)
def test_a_store_that_is_away_completes_nothing_and_says_nothing(
    greenflow: Command, tmp_path: Path, settings: dict[str, str]
) -> None:
    result = ask(greenflow, "call", "sh", **settings)
    assert (result.out.strip(), result.err) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_each_shell_has_its_script(greenflow: Command) -> None:
    for shell, part in (
        ("bash", "complete -o"),
        ("zsh", "#compdef greenflow"),
        ("fish", "--command greenflow"),
    ):
        result = greenflow("completion", shell)
        assert (result.code, result.err) == (0, "")
        assert part in result.out
        assert f"_GREENFLOW_COMPLETE={shell}_complete" in result.out
    assert greenflow("completion", "tcsh").code == 2


@pytest.mark.usefixtures("stored")
def test_bash_completes_by_its_script(greenflow: Command, tmp_path: Path) -> None:
    program = tmp_path / "greenflow"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m greenflow "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(greenflow completion bash)"; COMP_WORDS=(greenflow get sho); COMP_CWORD=2; '
        '_greenflow_completion greenflow; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("shop\n", "")
