"""Standard streams that nobody reads, that are closed, or on a full disk: the service goes on."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pytest

from tests import programs
from tests.cli.conftest import DEADLINE, get
from tests.ports import free_port

REQUESTS = 40  # each logs some 300 bytes, or prints 4,096

# A body that cannot be read is a line of the log.
FLOW = """
- kind: listener
  name: web
  protocol: http
  port: %d
  links: {out: [{name: say}]}
- {kind: snippet, name: say, language: cel, code: '"%s"', links: {out: [{name: print}]}}
- {kind: print, name: print}
"""


class Service:
    """`greenflow run` with these standard streams."""

    def __init__(self, folder: Path, environment: dict[str, str], stdout: Any, stderr: Any) -> None:
        self.port = free_port()
        (folder / "flow.yaml").write_text(FLOW % (self.port, "x" * 4096))
        self.process = programs.Process(
            ["run", "flow.yaml", "--grace", "20s", "--log-level", "debug"],
            cwd=folder,
            env=environment,
            stdin=DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )

    def wait_until_it_serves(self) -> None:
        while True:
            with socket.socket() as line:
                if line.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None

    def refused(self) -> int:
        """The status of a request that is logged."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as line:
            head = "POST /%s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            body = "Content-Length: 1\r\nConnection: close\r\n\r\n{"
            line.sendall((head % ("x" * 300) + body).encode())
            answer = b""
            while data := line.recv(65536):
                answer += data
        return int(answer.split()[1])

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE)


@pytest.fixture
def pipes() -> Iterator[list[int]]:
    """A pipe of 8 KiB: what is read from, and what is written to."""
    ends = list(os.pipe())
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 8192)
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def service(tmp_path: Path, environment: dict[str, str], templates: None) -> Iterator[Any]:
    started: list[Service] = []

    def start(stdout: Any, stderr: Any) -> Service:
        started.append(Service(tmp_path, environment, stdout, stderr))
        started[-1].wait_until_it_serves()
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def test_a_log_that_nobody_reads_holds_up_nothing(service: Any, pipes: list[int]) -> None:
    running = service(DEVNULL, pipes[1])
    for _ in range(REQUESTS):
        assert running.refused() == 400
    assert running.end() == 0


def test_what_waited_is_written_when_it_is_read(service: Any, pipes: list[int]) -> None:
    running = service(DEVNULL, pipes[1])
    for _ in range(REQUESTS):
        assert running.refused() == 400
    data = b""
    while data.count(b"refused") < REQUESTS:
        data += os.read(pipes[0], 65536)
    assert running.end() == 0
    os.set_blocking(pipes[0], False)
    data += os.read(pipes[0], 65536)
    lines = [json.loads(line) for line in data.splitlines()]
    assert "stopping" in lines[-1]["message"]
    assert [line["ts"] for line in lines] == sorted(line["ts"] for line in lines)


def test_an_output_that_nobody_reads_holds_up_nothing(service: Any, pipes: list[int]) -> None:
    read, write = os.pipe()
    with open(read) as log:
        running = service(pipes[1], write)
        os.close(write)
        answers = [get(running.port) for _ in range(REQUESTS)]
        assert {status for status, _ in answers} == {200}
        assert answers[0][1] == "4096\n"
        assert answers[-1][1] == "0\n"  # dropped
        assert len(os.read(pipes[0], 65536)) == 8192
        assert get(running.port)[1] == "4096\n"
        assert running.end() == 0
        lines = [json.loads(line)["message"] for line in log]
    dropped = sum(body == "0\n" for _, body in answers) * 4096
    assert f"{dropped} bytes for the standard output were dropped" in lines
    assert any(line.startswith("nobody reads the standard output") for line in lines)


def test_streams_that_are_closed_or_full_hold_up_nothing(service: Any) -> None:
    read, write = os.pipe()
    os.close(read)
    with open("/dev/full", "w") as full, open(write, "w") as closed:
        for stream in (full, closed):
            running = service(DEVNULL, stream)
            for _ in range(REQUESTS):
                assert running.refused() == 400
            assert running.end() == 0


def test_both_on_one_pipe_that_nobody_reads(service: Any, pipes: list[int]) -> None:
    running = service(pipes[1], pipes[1])
    for _ in range(REQUESTS):
        assert running.refused() == 400
        assert get(running.port)[0] == 200
    assert running.end() == 0
