"""An engine in a test, and its admin interface asked as by a client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gevent import socket

from greenflow import Runtime, Settings
from greenflow.admin.guarding import AdminGate
from greenflow.admin.interface import Interface, Way
from greenflow.config.admin import AdminSettings
from greenflow.net.head import HeadParser
from greenflow.net.limits import Limits
from greenflow.net.message import Response
from tests.waiting import DEADLINE

HOST = ("Host", "127.0.0.1:9000")
JSON = ("Content-Type", "application/json")


class Answered:
    """What was answered, read whole."""

    def __init__(self, response: Response) -> None:
        self.status, self.headers = response.status, dict(response.headers)
        body = response.body
        self.body = body if isinstance(body, bytes) else b"".join(body)

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        """What a problem says."""
        assert self.headers["Content-Type"] == "application/problem+json"
        return str(self.data["detail"])


class Asking:
    """Asks one interface, by one gate."""

    def __init__(self, interface: Interface, gate: AdminGate) -> None:
        self.interface, self.way = interface, Way(interface, gate)

    def respond(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: tuple[tuple[str, str], ...] = (HOST, JSON),
    ) -> Response:
        """The response, whose body nobody has read."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        request = HeadParser().parse(head, Limits())
        request.body = b"" if body is None else json.dumps(body).encode()
        responses: list[Response] = []
        self.way.serve(request, responses.append)
        (response,) = responses
        return response

    def __call__(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: tuple[tuple[str, str], ...] = (HOST, JSON),
    ) -> Answered:
        return Answered(self.respond(method, target, body, headers))

    def get(self, target: str) -> Any:
        """The JSON of what must be answered 200."""
        answer = self("GET", target)
        assert answer.status == 200, answer.body
        return answer.data

    def post(self, target: str, body: Any = None) -> Any:
        """The JSON of what must be answered 200 or 202."""
        answer = self("POST", target, {} if body is None else body)
        assert answer.status in (200, 202), answer.body
        return answer.data


@contextmanager
def engine(
    specs: Any = (), gate: AdminGate | None = None, **settings: Any
) -> Iterator[tuple[Runtime, Asking]]:
    """A runtime of these specs, on this thread's hub, and who asks it."""
    given = Settings(admin=AdminSettings(address="none"), **settings)
    runtime = Runtime("memory://", specs=list(specs), settings=given, own_thread=False)
    with runtime:
        yield runtime, Asking(runtime.interface, gate or AdminGate())


def ask_raw(place: Path | int, head: bytes) -> bytes:
    """What a server at a Unix socket, or a port of loopback, answers to these lines of a head."""
    family = socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(DEADLINE)
        client.connect(str(place) if isinstance(place, Path) else ("127.0.0.1", place))
        client.sendall(head + b"Connection: close\r\n\r\n")
        pieces = []
        while piece := client.recv(65536):
            pieces.append(piece)
        return b"".join(pieces)
