"""The clients of traffic.yaml: each request knows which answers are right.

Lives here: the requests, and one client that sends them in an order of chance. Not here: who
starts, edits, kills and measures (test_traffic.py).
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any, NamedTuple

from websockets.sync.client import connect

SECONDS = 60.0  # until an answer that does not come has failed

#: How errors of calls begin whose worker was killed.
KILLED = ("the worker of soaked:", "a worker ended while it imported soaked:", "workers of soaked:")

VERSION = {"id": "version", "kind": "snippet", "name": "version", "language": "text"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes

    def value(self) -> Any:
        return json.loads(self.body)


class Wrong(Exception):
    """An answer that was not to be expected."""


class Client:
    """One user of the service: so many requests, over few connections."""

    def __init__(self, port: int, chance: random.Random, version: Callable[[], int]) -> None:
        self._port, self._chance, self._version = port, chance, version
        self._connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        self._kinds = [
            *[self.ping] * 20,
            *[self.echo] * 10,
            *[self.js] * 10,
            *[self.double] * 5,
            *[self.sql] * 4,
            *[self.proxy] * 4,
            *[self.event] * 4,
            *[self.version] * 4,
            *[self.talk] * 3,
            *[self.slow] * 3,
            *[self.loop] * 2,
            *[self.printing] * 2,
            *[self.pieces] * 2,
            *(self.throw, self.large, self.late, self.chat, self.reset, self.broken),
            *(self.stops, self.fail, self.absent),
        ]
        self._rare = [self.console, self.forever, self.begets, self.large_echo]

    def run(self, requests: int) -> None:
        """Send them. Raises Wrong, and whatever a connection that breaks raises."""
        for number in range(requests):
            self._chance.choice(self._rare if number % 100 == 99 else self._kinds)()

    def close(self) -> None:
        self._connection.close()

    def ask(self, path: str, body: Any = None) -> Answer:
        """What comes back for a request, with that as JSON if there is something."""
        if body is None:
            self._connection.request("GET", path)
        else:
            head = {"Content-Type": "application/json"}
            self._connection.request("POST", path, json.dumps(body), head)
        response = self._connection.getresponse()
        return Answer(response.status, response.read())

    def _expect(self, path: str, value: Any, body: Any = None, status: int = 200) -> None:
        answer = self.ask(path, body)
        if answer.status != status or answer.value() != value:
            raise Wrong(f"{path}: {answer.status} {answer.body[:300]!r}")

    def _expect_text(self, path: str, text: bytes) -> None:
        answer = self.ask(path)
        if answer != (200, text):
            raise Wrong(f"{path}: {answer.status} {answer.body[:300]!r}")

    def _expect_failure(self, path: str, begin: str | tuple[str, ...], body: Any = None) -> None:
        answer = self.ask(path, body)
        if answer.status != 500 or not answer.value()["error"].startswith(begin):
            raise Wrong(f"{path}: {answer.status} {answer.body[:300]!r}")

    # -- what is asked -----------------------------------------------------------------------------

    def ping(self) -> None:
        self._expect_text("/ping", b"pong")

    def echo(self) -> None:
        value = {"number": self._chance.random(), "text": "ä" * self._chance.randrange(1000)}
        self._expect("/echo", value, value)

    def large_echo(self) -> None:
        value = [[self._chance.randrange(1000), "text"] for _ in range(50_000)]
        self._expect("/echo", value, value)

    def js(self) -> None:
        numbers = [self._chance.randrange(1000) for _ in range(self._chance.randrange(200))]
        self._expect("/js", [2 * number for number in numbers], {"numbers": numbers})

    def throw(self) -> None:
        self._expect_failure("/throw", "xxx")

    def console(self) -> None:
        self._expect_text("/console", b"said")

    def forever(self) -> None:
        self._expect_failure("/forever", "the JavaScript call took longer")

    def large(self) -> None:
        self._expect_text("/large", b"x" * 1_000_000)

    def double(self) -> None:
        number = self._chance.randrange(1000)
        self._expect("/double", 2 * number, number)

    def talk(self) -> None:
        self._worker("/talk", 2)

    def slow(self) -> None:
        self._worker("/slow", 1)

    def _worker(self, path: str, factor: int) -> None:
        """A call of an OS process that may be killed in it."""
        number = self._chance.randrange(1000)
        answer = self.ask(path, number)
        if answer.status == 500:
            if not answer.value()["error"].startswith(KILLED):
                raise Wrong(f"{path}: {answer.body[:300]!r}")
        elif answer.status != 200 or answer.value() != factor * number:
            raise Wrong(f"{path}: {answer.status} {answer.body[:300]!r}")

    def begets(self) -> None:
        self._expect_failure("/begets", ("soaked:begets did not end", *KILLED), 1)

    def fail(self) -> None:
        self._expect_failure("/fail", ("xxx", *KILLED), 1)

    def sql(self) -> None:
        number = self._chance.randrange(10_000)
        self._expect("/sql", [{"id": number % 100, "text": str(number)}], number)

    def proxy(self) -> None:
        self._expect_text("/proxy", b"pong")

    def event(self) -> None:
        answer = self.ask("/event", {"number": 1})
        if answer != (200, b"pong"):
            raise Wrong(f"/event: {answer.status} {answer.body[:300]!r}")

    def version(self) -> None:
        answer = self.ask("/version")
        latest = self._version()
        if answer.status != 200 or not latest - 1000 < int(answer.body) <= latest:
            raise Wrong(f"/version: {answer.status} {answer.body[:300]!r}, after {latest}")

    def late(self) -> None:
        self._expect_failure("/late", "timed out")

    def pieces(self) -> None:
        self._expect_text("/pieces", b"piece" * 20_000)

    def printing(self) -> None:
        self._expect_text("/print", b"pong")

    def loop(self) -> None:
        self._expect("/loop", [2, 3, 4, 5, 6])

    def absent(self) -> None:
        if self.ask("/absent").status != 404:
            raise Wrong("/absent is there")

    def chat(self) -> None:
        with connect(f"ws://127.0.0.1:{self._port}/chat", open_timeout=SECONDS) as client:
            for _ in range(3):
                text = str(self._chance.random())
                client.send(text)
                if (back := client.recv(SECONDS)) != text:
                    raise Wrong(f"/chat: {back!r}")

    def reset(self) -> None:
        """Ask, and go without waiting."""
        with socket.create_connection(("127.0.0.1", self._port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")

    def stops(self) -> None:
        """Read the first of many pieces."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=SECONDS) as client:
            client.sendall(b"GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n")
            client.recv(100)

    def broken(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=SECONDS) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while data := client.recv(4096):
                    answer += data
            if not answer.startswith(b"HTTP/1.1 400"):
                raise Wrong(f"a broken request: {answer[:300]!r}")
