"""The group of commands: help, errors, exit codes, and standard streams that are not there."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from greenflow.__main__ import main
from greenflow.cli import COMMANDS
from tests.cli.conftest import Command, Start


def test_help_lists_the_commands(greenflow: Command) -> None:
    result = greenflow("--help")
    assert result.code == 0
    for command in ("run", "apply", "get", "delete", "kinds", "version"):
        assert f"\n  {command} " in result.out
    assert result.err == ""


@pytest.mark.parametrize("command", ["run", "start", "apply", "get", "delete", "kinds", "version"])
def test_every_command_has_help(greenflow: Command, command: str) -> None:
    result = greenflow(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert "Usage: greenflow" in result.out


def test_the_help_of_an_option_is_that_of_its_setting(greenflow: Command) -> None:
    text = " ".join(greenflow("run", "--help").out.split())
    assert "Store of the specs" in text
    assert "(default: sqlite:///greenflow.db)" in text
    assert "--grace" in text
    assert "--environment KEY=VALUE" in text


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("get", "--frobnicate"),
        ("get", "--output", "xml"),
        ("apply",),
        ("apply", "things", "-f", "x"),
        ("delete",),
        ("delete", "a", "-f", "b"),
        ("get", "a", "-A"),
        ("kinds", "frobnicate"),
        ("run", "--environment", "x"),
    ],
)
def test_a_wrong_command_line_exits_2_and_says_so(
    greenflow: Command, arguments: tuple[str, ...]
) -> None:
    result = greenflow(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Usage: greenflow" in result.err
    assert "Traceback" not in result.err


def test_settings_come_from_flag_environment_file_and_default(
    greenflow: Command, tmp_path: Path
) -> None:
    for name in ("flag", "variable", "file", "default"):
        greenflow("apply", "-f", "-", "-n", name, stdin=f"{{kind: nop, name: of-{name}}}")
    (tmp_path / "greenflow.toml").write_text('namespace = "file"\noutput = "json"\n')
    variable = {"GREENFLOW_NAMESPACE": "variable"}
    assert [spec["name"] for spec in greenflow("get").data] == ["of-file"]
    assert [spec["name"] for spec in greenflow("get", **variable).data] == ["of-variable"]
    assert [spec["name"] for spec in greenflow("get", "-n", "flag", **variable).data] == ["of-flag"]
    (tmp_path / "greenflow.toml").rename(tmp_path / "other.toml")
    assert greenflow("get").rows[0][1] == "of-default"
    assert greenflow("get", "--config", "other.toml").data[0]["name"] == "of-file"


def test_a_wrong_setting_exits_2_and_names_its_place(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "greenflow.toml").write_text('[listener]\nhots = "x"\n')
    result = greenflow("get")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "greenflow.toml: listener.hots: unknown setting; did you mean listener.host\n"
    )
    result = greenflow("get", "--config", "none.toml")
    assert (result.code, result.err) == (
        2,
        "none.toml: cannot be read: No such file or directory\n",
    )


def test_an_unknown_variable_is_a_warning_in_the_log(greenflow: Command) -> None:
    greenflow("apply", "-f", "-", stdin="[]")
    result = greenflow("get", GREENFLOW_DATABSE="x", GREENFLOW_LOG_FORMAT="text")
    assert result.code == 0
    assert "WARNING unknown environment variable GREENFLOW_DATABSE is ignored" in result.err


@pytest.mark.parametrize(
    "url", ["sqlite:///none/of/this/x.db", "frob://user:hunter2@host/x", "nothing"]
)
def test_a_store_out_of_reach_exits_4_in_one_line(greenflow: Command, url: str) -> None:
    for arguments in (("get",), ("run",), ("delete", "x")):
        result = greenflow(*arguments, "--database", url)
        assert (result.code, result.out) == (4, "")
        assert len(result.err.splitlines()) == 1
        assert "hunter2" not in result.err


def test_the_traceback_is_for_the_level_debug(greenflow: Command) -> None:
    greenflow("apply", "-f", "-", stdin="[]")
    result = greenflow("get", "nothing", "--log-level", "debug", "--log-format", "text")
    assert result.code == 1
    assert "Traceback" in result.err
    assert result.err.endswith("\nnamespace default: nothing is called nothing\n")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    program = f'greenflow() {{ {sys.executable} -m greenflow "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", program], cwd=folder, capture_output=True, timeout=60, check=False
    )


def test_a_reader_that_goes_away_is_no_noise(start: Start) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        running = start("kinds", stdout=theirs)
        assert running.wait() == 1
    finally:
        os.close(theirs)
    assert running.log == []


def test_a_full_disk_is_a_failure_that_is_told(tmp_path: Path) -> None:
    done = shell("greenflow kinds > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (1, b"No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(tmp_path: Path, closed: str) -> None:
    """The database must not get descriptor 1 or 2, or what is printed would be written to it."""
    apply = f"echo '{{kind: nop, name: a}}' > a.yaml; greenflow apply -f a.yaml {closed}"
    done = shell(f"{apply}; echo $?; greenflow apply -f missing {closed}; echo $?", tmp_path)
    assert done.stdout.splitlines()[-1] == b"2"
    assert b"0" in done.stdout.splitlines()
    done = shell("greenflow get -o json", tmp_path)
    assert b'"name": "a"' in done.stdout


def test_an_interrupt_while_a_command_loads_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("greenflow.__main__._main", interrupted)
    assert main() == 130


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("aply", "x"), "did you mean apply?"),
        (("deleet",), "did you mean delete?"),
        (("strt",), "did you mean start?"),
        (("frobnicate",), "`greenflow --help` lists them"),
        (("get", "--ouptut", "json"), "Did you mean '--output'?"),
        (("run", "--gracee", "1s"), "Did you mean '--grace'?"),
        (("apply", "valeus", "-f", "x"), "did you mean 'values'?"),
    ],
)
def test_what_was_meant_is_said(greenflow: Command, typed: tuple[str, ...], said: str) -> None:
    result = greenflow(*typed)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_h_is_help(greenflow: Command, command: tuple[str, ...]) -> None:
    result = greenflow(*command, "-h")
    assert (result.code, result.err) == (0, "")
    assert result.out == greenflow(*command, "--help").out


def test_files_need_no_option(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text("{kind: snippet, name: a, code: hi}")
    (tmp_path / "b.yaml").write_text(
        "- {kind: test, name: b, links: {out: [{name: c}]}}\n- {kind: nop, name: c}\n"
    )
    assert len(greenflow("apply", "specs").rows) == 1
    assert len(greenflow("apply", "specs", "specs", "b.yaml").rows) == 3
    assert len(greenflow("apply", "./specs", "-f", "b.yaml").rows) == 3
    assert greenflow("call", "a", "specs/a.yaml").out == '"hi"\n'
    assert greenflow("call", "a", "1", "specs/a.yaml").out == '"hi"\n'
    assert greenflow("call", "a", "1", "2").code == 2
    assert greenflow("test", "b.yaml").code == 0
    assert greenflow("test", "b", "b.yaml").code == 0
    assert greenflow("test", "b", "c").code == 2
    assert len(greenflow("delete", "b.yaml").rows) == 2
    assert len(greenflow("delete", "-", stdin="{name: a}").rows) == 1
    assert greenflow("delete", "b.yml").err == "namespace default: nothing is called b.yml\n"


@pytest.mark.parametrize(
    "arguments", [("get",), ("get", "values"), ("delete", "a"), ("call", "a"), ("test",)]
)
@pytest.mark.parametrize("place", ["typo.db", "no/folder/x.db", "empty.db"])
def test_a_reader_makes_no_database(
    greenflow: Command, tmp_path: Path, arguments: tuple[str, ...], place: str
) -> None:
    (tmp_path / "empty.db").touch()
    result = greenflow(*arguments, "--database", f"sqlite:///{place}")
    assert (result.code, result.out) == (4, "")
    assert result.err.startswith(f"sqlite:///{place}: there is no database {tmp_path}/{place}")
    assert len(result.err.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["empty.db"]
    assert (tmp_path / "empty.db").stat().st_size == 0


COMMAND_LINES = [
    "apply -",
    "call a",
    "call a -",
    "delete -",
    "delete a",
    "eval 1+1",
    "eval self --input -",
    "get",
    "get --output json",
    "get --output yaml",
    "kinds",
    "kinds nop",
    "migrate -",
    "nope",
    "run --help",
    "schema",
    "test",
    "test --file -",
    "version",
]

# Every command, in one OS process, each as if it were the first; what it ended with goes to a file.
EACH = """
import json, sys
from greenflow.__main__ import _occupy_standard_descriptors, _patch
_occupy_standard_descriptors()
_patch()
from greenflow.cli import main
codes = {line: main(line.split()) for line in json.loads(sys.argv[1])}
with open("codes.json", "w") as file:
    json.dump(codes, file)
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_quiet_or_one_line(tmp_path: Path, closed: str) -> None:
    line = shlex.join([sys.executable, "-c", EACH, json.dumps(COMMAND_LINES)])
    done = shell(f"{line} {'' if '<&-' in closed else '</dev/null'} {closed}", tmp_path)
    told = done.stderr.decode().splitlines()
    assert done.returncode == 0, told
    codes = json.loads((tmp_path / "codes.json").read_text())
    assert codes.keys() == set(COMMAND_LINES)
    for bad in ("internal error", "Traceback", "AttributeError", "Exception ignored"):
        assert [each for each in told if bad in each] == []
    assert codes["eval 1+1"] == codes["kinds"] == codes["version"] == 0
    assert codes["apply -"] == 3  # there is nothing to read
    assert len(told) <= 2 * len(COMMAND_LINES)


@pytest.mark.parametrize("module", ["click", "gevent", "greenflow_at_once"])
@pytest.mark.parametrize("arguments", [["get"], ["version"], ["run"], ["eval", "1"]])
def test_an_interrupt_while_it_imports_ends_it_with_130(
    tmp_path: Path, module: str, arguments: list[str]
) -> None:
    """A module of that name comes first, and is interrupted in the middle."""
    (tmp_path / f"{module}.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    if module == "greenflow_at_once":
        (tmp_path / "greenflow").write_text("import greenflow.__main__, greenflow_at_once")
        command = [sys.executable, "greenflow"]
    else:
        command = [sys.executable, "-m", "greenflow"]
    if module == "gevent" and arguments == ["version"]:
        return  # does without
    done = subprocess.run(
        [*command, *arguments], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
