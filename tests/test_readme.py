"""The README's code blocks, run as they stand; what it and the changelog name is there."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from time import monotonic
from urllib.request import urlopen

import pytest

import greenflow

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
GREENFLOW = [sys.executable, "-m", "greenflow"]
SECONDS = 60.0  # until something that was waited for has failed


def block(name: str) -> str:
    """The code block behind a mark."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, name
    return found[1]


def commands(name: str) -> list[str]:
    return [line[2:] for line in block(name).splitlines() if line.startswith("$ ")]


def shell(command: str, folder: Path, port: int) -> str:
    """Run a command of the tour on another port, with the greenflow under test."""
    command = command.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    command = re.sub(r"^greenflow", shlex.join(GREENFLOW), command)
    return subprocess.run(
        ["bash", "-euc", command], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "contrib" / "examples", tmp_path / "contrib" / "examples")
    return tmp_path


class Served:
    """`greenflow run` of the README's example, on a free port."""

    def __init__(self, folder: Path) -> None:
        ping = folder / "contrib" / "examples" / "ping.yaml"
        ping.write_text(ping.read_text().replace("port: 8000", "port: 0"))
        self.process = subprocess.Popen(
            [*GREENFLOW, "run", "contrib/examples/ping.yaml"],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "GREENFLOW_LOG_FORMAT": "json"},
        )
        self.port = int(self.line("listening on").rsplit(":", 1)[1])

    def line(self, part: str) -> str:
        """The next log message that has this part."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            message: str = json.loads(line)["message"]
            if part in message:
                return message
        raise AssertionError(f"never said {part!r}")

    def get(self) -> str:
        with urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=SECONDS) as answer:
            return str(answer.read().decode())

    def becomes(self, text: str) -> None:
        end = monotonic() + SECONDS
        while self.get() != text:
            assert monotonic() < end


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    served = Served(folder)
    yield served
    served.process.send_signal(signal.SIGTERM)
    assert served.process.stderr is not None
    served.process.stderr.read()
    assert served.process.wait(SECONDS) == 0
    served.process.stderr.close()


def test_the_tour_with_files(served: Served, folder: Path) -> None:
    (ask,) = commands("tour: ask")
    expected = block("tour: ask").split("\n", 1)[1]
    got = shell(ask, folder, served.port).replace("\r\n", "\n")
    date = re.compile(r"Date: .*")
    assert date.sub("", got).strip() == date.sub("", expected).strip()

    edit, ask = commands("tour: edit")
    shell(edit, folder, served.port)
    served.becomes("hello")
    assert shell(ask, folder, served.port) == block("tour: edit").splitlines()[-1]

    fault, ask = commands("tour: fault")
    shell(fault, folder, served.port)
    said = next(line for line in block("tour: fault").splitlines() if "$.kind" in line)
    assert said in served.line("$.kind")
    assert shell(ask, folder, served.port) == "hello"


@pytest.mark.parametrize(
    "tour", [("tour: database", "tour: changes"), ("tour: project",)], ids=lambda names: names[0]
)
def test_the_tour_with_commands(folder: Path, tour: tuple[str, ...]) -> None:
    """They say what the page says, but for ids, times, users, and how wide those are."""

    def plain(text: str) -> str:
        text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \S+@\S+", "TIME USER", text)
        return re.sub(r" {2,}", "  ", text).strip()

    for name in tour:
        output = "".join(shell(command, folder, 0) for command in commands(name))
        lines = block(name).splitlines()
        expected = "\n".join(line for line in lines if not line.startswith("$ "))
        assert plain(output) == plain(expected)


def test_the_tour_of_eval(folder: Path) -> None:
    items = [{"price": 4, "count": 3}, {"price": 9, "count": 1}]
    (folder / "order.json").write_text(json.dumps({"items": items}))
    (command,) = commands("tour: eval")
    assert shell(command, folder, 0) == block("tour: eval").split("\n", 1)[1]


@pytest.mark.parametrize("name", ["tour: embed", "tour: kind"])
def test_the_code_of_the_readme(name: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", block(name)], check=True, cwd=ROOT)


def test_the_two_commands_are_what_ci_and_a_reader_run() -> None:
    assert block("run").strip().endswith("greenflow run contrib/examples/ping.yaml")
    assert "-m venv .venv" in block("run")
    assert block("test").strip().endswith(".venv/bin/pytest")
    assert "<!-- test -->" in (ROOT / ".ci" / "run").read_text()


def test_what_it_stands_on_is_what_is_installed() -> None:
    """Each library that everybody gets is told, and nothing that nobody gets."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    wanted = re.findall(r"(?m)^([\w.-]+)", settings["options"]["install_requires"].strip())
    part = README.partition("## What it stands on")[2].partition("\n## ")[0]
    told = re.findall(r"(?m)^\| \[?([\w.-]+)", part)
    assert set(told) - {"library"} == {
        re.sub(r"^tree-sitter-.*", "tree-sitter", name) for name in wanted
    }
    extras = set(re.findall(r"\(`(\w+)`\)", part))
    assert extras == set(settings["options.extras_require"]) - {"bench", "test", "lint", "types"}


def test_pages_are_all_in_the_list() -> None:
    pages = {path.name for path in (ROOT / "contrib" / "docs").glob("*.md")}
    assert pages == set(re.findall(r"\(contrib/docs/([\w-]+\.md)\)", README))


def test_where_the_changelog_says_that_names_are_they_are() -> None:
    """Old module to new, and the public names of both."""
    rows = re.findall(r"(?m)^  \| `greenflow\.[^|]*\|([^|]*)\|([^|]*)\|$", CHANGELOG)
    assert rows
    for modules, names in rows:
        loaded = [import_module(module) for module in re.findall(r"`([\w.]+)`", modules)]
        for name in re.findall(r"`(\w+)`", names):
            assert getattr(greenflow, name) in [getattr(module, name, None) for module in loaded]


def test_the_changelog_has_every_public_name() -> None:
    told = CHANGELOG.partition("### Names and places")[2].partition("\n- Every module")[0]
    assert set(greenflow.__all__) <= set(re.findall(r"\w+", told))
