"""`greenflow init`: every template runs, is tested and linted; a folder that is not empty stays."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import shlex
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from greenflow.cli.init import TEMPLATES
from tests.cli.conftest import DEADLINE, Command, Running, Start, get

ROOT = Path(__file__).parents[2]


def post(port: int, path: str, body: str, **header: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        names = {name.replace("_", "-"): value for name, value in header.items()}
        connection.request("POST", path, body, {"Content-Type": "application/json", **names})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def ask_hello(port: int, folder: Path, running: Running) -> None:
    assert get(port, "/?name=Anna") == (200, "Hello, Anna!\n")


def ask_api(port: int, folder: Path, running: Running) -> None:
    assert post(port, "/notes", '{"text": "milk"}') == (201, {"id": 1, "text": "milk"})
    assert get(port, "/notes/1") == (200, '{"id":1,"text":"milk"}\n')
    assert (folder / "notes.db").exists()


def ask_webhook(port: int, folder: Path, running: Running) -> None:
    key = (folder / "webhook.env").read_text().strip().removeprefix("WEBHOOK_KEY=")
    assert len(bytes.fromhex(key)) == 32
    assert stat.S_IMODE((folder / "webhook.env").stat().st_mode) == 0o600
    body = '{"paid": 7}'
    signature = "sha256=" + hmac.new(key.encode(), body.encode(), hashlib.sha256).hexdigest()
    assert post(port, "/hook", body, X_Signature=signature) == (202, {"taken": {"paid": 7}})
    assert post(port, "/hook", body + " ", X_Signature=signature)[0] == 401


def ask_events(port: int, folder: Path, running: Running) -> None:
    assert post(port, "/orders", '{"sku": "A1"}') == (202, {"accepted": True})
    assert running.process.stdout is not None
    assert running.process.stdout.readline() == b"packing A1\n"


ASK: dict[str, Callable[[int, Path, Running], None]] = {
    "hello": ask_hello,
    "api": ask_api,
    "webhook": ask_webhook,
    "events": ask_events,
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_runs_is_tested_and_linted(
    greenflow: Command,
    start: Start,
    tmp_path: Path,
    template: str,
) -> None:
    made = greenflow("init", template, ".")
    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines()[-1] == f"now: greenflow run {template}.yaml"
    names = {".gitignore", "README.md", "greenflow.toml", f"{template}.flow.yaml"}
    assert names <= {path.name for path in tmp_path.iterdir()}

    linted = greenflow("lint", ".")
    assert (linted.code, linted.out.split(": ")[-1]) == (0, "nothing found\n")
    assert greenflow("fmt", "--check", ".").code == 0
    tested = greenflow("test", f"{template}.flow.yaml")
    assert tested.code == 0, tested.out
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ".db"} == set()

    specs = tmp_path / f"{template}.yaml"
    specs.write_text(specs.read_text().replace("port: 8000", "port: 0"))
    running = start("run", f"{template}.yaml", "--log-format", "text", stdout=PIPE)
    ASK[template](running.port(), tmp_path, running)
    assert running.stop() == 0


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_readme_has_commands_that_are_there(
    greenflow: Command, tmp_path: Path, template: str
) -> None:
    """What it says beside `greenflow run` and curl is run as it stands."""
    greenflow("init", template, ".")
    lines = (tmp_path / "README.md").read_text().splitlines()
    assert len(lines) == 5
    commands = [part for line in lines[1:] for part in line.split("`")[1::2]]
    assert commands[0] == f"greenflow run {template}.yaml"
    assert any("curl " in command for command in commands)
    for command in commands:
        if command.startswith("greenflow ") and "run" not in command:
            assert greenflow(*shlex.split(command)[1:]).code == 0, command


def test_the_folder_is_called_as_the_template_unless_another_is_named(
    greenflow: Command, tmp_path: Path
) -> None:
    assert greenflow("init").code == 0
    assert (tmp_path / "hello" / "hello.yaml").exists()
    made = greenflow("init", "api", "a/b c")
    assert made.code == 0
    assert (tmp_path / "a" / "b c" / "api.yaml").exists()
    assert made.out.splitlines()[-1] == "now: cd 'a/b c' && greenflow run api.yaml"


def test_keys_are_of_the_project_alone(greenflow: Command, tmp_path: Path) -> None:
    for name in ("a", "b"):
        greenflow("init", "webhook", name)
    first, second = ((tmp_path / name / "webhook.env").read_text() for name in ("a", "b"))
    assert first != second
    assert "*.env" in (tmp_path / "a" / ".gitignore").read_text().splitlines()


def test_a_folder_that_is_not_empty_stays_as_it_is(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / ".hidden").write_text("mine")
    (tmp_path / "file").write_text("mine")
    refused = greenflow("init")
    assert (refused.code, refused.out) == (2, "")
    assert "hello is not empty; name a folder that is new or empty" in refused.err
    assert [path.name for path in (tmp_path / "hello").iterdir()] == [".hidden"]
    refused = greenflow("init", "hello", "file")
    assert (refused.code, refused.out) == (2, "")
    assert "file is a file" in refused.err


def test_an_unknown_template_is_told_with_those_that_are_there(greenflow: Command) -> None:
    refused = greenflow("init", "shop")
    assert refused.code == 2
    assert all(name in refused.err for name in TEMPLATES)


def test_the_wheel_has_the_templates(tmp_path: Path) -> None:
    """Built by the project's own backend, from a copy, which may write beside it."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project / name)
    left = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "greenflow", project / "greenflow", ignore=left)
    build = "from setuptools import build_meta as b; b.build_wheel('..')"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    folder = ROOT / "greenflow" / "cli" / "templates"
    files = {str(path.relative_to(ROOT)) for path in folder.rglob("*") if path.is_file()}
    assert files <= packed
