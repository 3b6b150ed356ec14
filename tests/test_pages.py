"""The pages of contrib/docs that are read from top to bottom: every block is done in its turn, in
one folder, and says what the page says.

A block behind `<!-- file: NAME -->` is a file. Python runs as a script. A command that begins with
`greenflow run` goes on until the end of the page, on a port of its own; what comes after an edit is
asked for until it is there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from tests import programs
from tests.test_docs import DOCS, SESSIONS
from tests.test_extension import EXTENSION

RUN = "r0a1b2c3d"  # of the pages
SECONDS = 60.0  # until something that was waited for has failed
BLOCK = re.compile(r"^(?:<!-- file: (\S+) -->\n)?```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PYTEST = shlex.join([sys.executable, "-m", "pytest"])


# As a reader's: with these variables set pytest takes itself to be in CI, and says more.
AT_A_TERMINAL = {
    **{name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")},
    "PYTEST_ADDOPTS": f"{os.environ['PYTEST_ADDOPTS']} -p no:cacheprovider",
    "COLUMNS": "80",
}


class Session:
    """Somebody who does what a page says."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self.sockets = folder / "run"  # of its engines; a folder `greenflow` would be the package
        self.sockets.mkdir(0o700)
        self.run = RUN  # what the ids of its engine's runs begin with
        self.server: subprocess.Popen[str] | None = None

    def do(self, file: str, language: str, text: str) -> None:
        if file:
            (self.folder / file).write_text(text.replace("port: 8000", "port: 0"))
        elif language == "console":
            for example in text.split("$ ")[1:]:
                command, _, output = example.partition("\n")
                self.command(command, output)
        elif language == "python":
            self.python(text)
        else:
            assert text in (EXTENSION / "pyproject.toml").read_text()

    def python(self, text: str) -> None:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", text],
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def command(self, command: str, output: str) -> None:
        if command.split()[:2] == ["greenflow", "run"]:
            self.serve(command)
            return
        command = command.replace(":8000", f":{self.port}").replace(RUN, self.run)
        ours = shlex.join(programs.shell())
        command = re.sub(
            r"(^(?:[A-Z_]+=\S+ )*|\| )greenflow", lambda found: found[1] + ours, command
        )
        command = re.sub("^pytest", PYTEST, command)
        end = monotonic() + SECONDS
        while (found := plain(self.seen(self.shell(command)))) != plain(output):
            assert "curl" in command, found
            assert monotonic() < end, found

    def seen(self, output: str) -> str:
        """As the page has it: with its port, and its id of a run."""
        if run := re.search(r"\br[0-9a-f]{8}(?=-\d)", output):
            self.run = run[0]
        return output.replace(f":{self.port}", ":8000").replace(self.run, RUN)

    def shell(self, command: str) -> str:
        return subprocess.run(
            ["bash", "-uc", command],
            cwd=self.folder,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**AT_A_TERMINAL, "XDG_RUNTIME_DIR": str(self.sockets)},
        ).stdout

    def serve(self, command: str) -> None:
        self.server = subprocess.Popen(
            ["bash", "-uc", f"exec {shlex.join(programs.shell())} {command.partition(' ')[2]}"],
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "GREENFLOW_LOG_FORMAT": "json",
                "XDG_RUNTIME_DIR": str(self.sockets),
            },
        )
        assert self.server.stderr is not None
        messages = (json.loads(line)["message"] for line in self.server.stderr)
        said = next(message for message in messages if "listening on" in message)
        self.port = int(said.rsplit(":", 1)[1])

    def close(self) -> None:
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            assert self.server.stderr is not None
            self.server.stderr.read()
            assert self.server.wait(SECONDS) == 0
            self.server.stderr.close()


def plain(output: str) -> str:
    """Without what differs from run to run: the width of a terminal, when and how long it was."""
    output = re.sub(r" *\d+\.\d+ms|\|[ =]{20}\|", " 1.0ms", output)
    output = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-11-28 12:00:00", output)
    output = re.sub(r"(?m)^(ID) +(BEGAN) +(TOOK) +", r"\1 \2 \3 ", output)
    output = re.sub(r"in \d+\.\d+s", "in 0.5s", output)
    output = re.sub(r"\(\d+\.\d+ s\)", "(0.010 s)", output)
    return re.sub(r"(?m)^([=_]+) | ([=_]+)$|(?<=\S) +(?=\[)|\A\s+|\s+\Z", " ", output).strip()


@pytest.mark.usefixtures("templates")
@pytest.mark.parametrize("page", sorted(SESSIONS))
def test_a_page_can_be_followed(page: str, tmp_path: Path) -> None:
    text = (DOCS / page).read_text()
    session = Session(tmp_path)
    try:
        blocks = BLOCK.findall(text)
        assert len(blocks) == text.count("\n```") // 2
        for block in blocks:
            session.do(*block)
    finally:
        session.close()
