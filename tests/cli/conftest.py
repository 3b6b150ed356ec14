"""Commands as users run them: OS processes of their own, in a folder of their own."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess
from time import monotonic
from typing import Any

import pytest

from tests import programs

#: Seconds after which a command that hangs fails its test.
DEADLINE = 60.0


class Result:
    """What a command left behind."""

    def __init__(self, done: CompletedProcess[bytes]) -> None:
        self.code = done.returncode
        self.out, self.err = done.stdout.decode(), done.stderr.decode()

    @property
    def data(self) -> Any:
        """The JSON on standard output."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the table on standard output, without its titles."""
        return [re.split(r" {2,}", line) for line in self.out.splitlines()[1:]]


class Running:
    """A command that runs until it is told to stop, and the lines of its log."""

    def __init__(self, process: programs.Process) -> None:
        self.process = process
        self.log: list[str] = []
        self._rest = b""
        self._seen = 0

    def line(self, part: str) -> str:
        """Waits for the next line of the log with that in it."""
        end = monotonic() + DEADLINE
        while True:
            while self._seen < len(self.log):
                self._seen += 1
                if part in self.log[self._seen - 1]:
                    return self.log[self._seen - 1]
            if not self._read(end - monotonic()):
                pytest.fail(f"no line with {part!r} in the log:\n" + "\n".join(self.log))

    def port(self) -> int:
        """The port on which it says it listens."""
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", self.line("listening on"))
        assert found is not None
        return int(found[1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, and returns the exit code; the rest of the log is read."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Waits for the end, and returns the exit code; the rest of the log is read."""
        end = monotonic() + DEADLINE
        while self._read(end - monotonic()):
            pass
        return self.process.wait(max(end - monotonic(), 0.1))

    def _read(self, seconds: float) -> bool:
        """Reads what is there into the log; False at its end, or when nothing comes in time."""
        assert self.process.stderr is not None
        if not select.select([self.process.stderr], [], [], max(seconds, 0))[0]:
            return False
        content = os.read(self.process.stderr.fileno(), 65536)
        *lines, self._rest = (self._rest + content).split(b"\n")
        self.log += [line.decode() for line in lines]
        return bool(content)


Command = Callable[..., Result]
Start = Callable[..., Running]


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of the commands: ours, without settings of greenflow."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GREENFLOW_")}


@pytest.fixture
def greenflow(tmp_path: Path, environment: dict[str, str], templates: None) -> Command:
    """Runs a command to its end."""

    def run(*arguments: str, stdin: str = "", **settings: str) -> Result:
        env = {**environment, **settings}
        return Result(programs.run(arguments, stdin.encode(), DEADLINE, cwd=tmp_path, env=env))

    return run


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str], templates: None) -> Iterator[Start]:
    """Starts a command that runs on; it is killed at the end of the test."""
    started: list[programs.Process] = []

    def run(*arguments: str, **options: Any) -> Running:
        options = {"stdin": DEVNULL, "stdout": DEVNULL, **options}
        process = programs.Process(arguments, cwd=tmp_path, env=environment, stderr=PIPE, **options)
        started.append(process)
        return Running(process)

    yield run
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def get(port: int, path: str = "/") -> tuple[int, str]:
    """Asks for a path; returns status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def get_until(port: int, body: str, path: str = "/") -> None:
    """Asks again and again until that is the answer; every answer must be a good one."""
    end = monotonic() + DEADLINE
    answer = ""
    while answer != body:
        assert monotonic() < end, f"the answer stayed {answer!r}"
        status, answer = get(port, path)
        assert status == 200


def service(answer: str, extra: str = "") -> str:
    """A listener on a free port, and the snippet that answers."""
    return (
        "- {kind: listener, name: web, protocol: http, port: 0, links: {out: [{name: says}]}}\n"
        f"- {{kind: snippet, name: says, language: text, code: {answer}}}\n{extra}"
    )
