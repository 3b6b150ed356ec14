"""A server that answers with given bytes, whatever they are, for the tests of the HTTP client."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket as Socket

from greenflow.net.url import Url

Answer = bytes | Callable[[Any], None]
"""What is sent for a request, or a function of the socket that answers it."""


class Closing(bytes):
    """An answer after which the connection is closed."""


class Scripted:
    """Answers the nth request with the nth answer, on whatever connection it comes; none is left:
    the connection is closed. Keeps what it was sent."""

    def __init__(self, answers: tuple[Answer, ...], context: Any, host: str) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.accepted = 0  # connections
        self.open = 0  # those that neither side has closed
        secured = {} if context is None else {"ssl_context": context}
        self._server = StreamServer((host, 0), self._serve, spawn=Pool(), **secured)
        self._server.start()

    @property
    def host(self) -> str:
        return str(self._server.address[0])

    @property
    def port(self) -> int:
        return int(self._server.address[1])

    def url(self, path: str = "/", scheme: str = "http", query: str | None = None) -> Url:
        return Url(scheme, self.host, self.port, path, query)

    def header(self, name: str, request: int = -1) -> str | None:
        """A header of a request; None if it was not sent."""
        head = self.requests[request].partition(b"\r\n\r\n")[0].decode("latin-1")
        found = re.findall(rf"(?im)^{name}: (.*?)\r?$", head)
        assert len(found) < 2, found
        return found[0] if found else None

    def body(self, request: int = -1) -> bytes:
        return self.requests[request].partition(b"\r\n\r\n")[2]

    def close(self) -> None:
        self._server.stop(timeout=0)

    def _serve(self, socket: Any, address: Any) -> None:
        self.accepted += 1
        self.open += 1
        with socket, socket.makefile("rb") as file:
            try:
                while request := _request(file):
                    self.requests.append(request)
                    answer = self.answers.pop(0) if self.answers else Closing()
                    if callable(answer):
                        answer(socket)
                    else:
                        socket.sendall(answer)
                    if isinstance(answer, Closing):
                        return
            except OSError:
                return  # the client has reset the connection
            finally:
                self.open -= 1


def _request(file: Any) -> bytes:
    """The bytes of the next request; none at the end, or if it is cut off."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return b""
        head += line
    length = re.search(rb"(?i)\r\ncontent-length: ([0-9]+)\r\n", head)
    if length:
        body = file.read(int(length[1]))
        return head + body if len(body) == int(length[1]) else b""
    if re.search(rb"(?i)\r\ntransfer-encoding: chunked\r\n", head):
        while not head.endswith(b"\r\n0\r\n\r\n"):
            line = file.readline()
            if not line:
                return b""
            head += line
    return head


@contextmanager
def scripted(*answers: Answer, context: Any = None, host: str = "127.0.0.1") -> Iterator[Scripted]:
    """Such a server; with a `context` it speaks TLS."""
    server = Scripted(answers, context, host)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def listening(backlog: int = 1) -> Iterator[Any]:
    """A socket that listens on a free port, for a test that accepts by itself."""
    with closing(Socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
        yield listener


def reply(body: bytes = b"", *headers: str, status: int = 200, length: int | None = None) -> bytes:
    """An answer with its length, or with another one."""
    lines = "".join(f"{header}\r\n" for header in headers)
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\n{lines}\r\n".encode() + body
