"""A server on a loopback port and clients that write and read raw bytes, for the tests of net/."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import gevent
from gevent import socket

from greenflow.net.limits import Limits
from greenflow.net.message import Handler, Request, Respond, Response
from greenflow.net.server import Server, resolve

# Seconds after which a test has failed that waits for something.
DEADLINE_SECONDS = 10.0


class Answer(NamedTuple):
    """A response as a client read it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """One connection."""

    def __init__(self, address: tuple[str, int], receive_bytes: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def send_bytewise(self, data: bytes) -> None:
        for index in range(len(data)):
            self.socket.sendall(data[index : index + 1])
            gevent.sleep(0)

    def end(self) -> None:
        """Ends the sending side."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def rest(self) -> bytes:
        """Everything until the server closes."""
        while data := self.socket.recv(65536):
            self.buffer += data
        data, self.buffer = self.buffer, b""
        return data

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the server closed after {self.buffer[:200]!r}")
        self.buffer += data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._more()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def _exactly(self, length: int) -> bytes:
        while len(self.buffer) < length:
            self._more()
        found, self.buffer = self.buffer[:length], self.buffer[length:]
        return found

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer; names in lower case."""
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [^\r\n]*", first)
        assert match is not None, first
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        return int(match[1]), headers

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, by its own framing."""
        status, headers = self.head()
        if method == "HEAD" or status in (100, 204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while length := int(self._until(b"\r\n"), 16):
                body += self._exactly(length)
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            body = self.rest()
        return Answer(status, headers, body)

    def ask(self, target: str = "/", method: str = "GET", headers: str = "") -> Answer:
        self.send(f"{method} {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
        return self.answer(method)

    def closed(self) -> bool:
        """Waits for the server to close; False if it sends something instead."""
        try:
            return not self.buffer and not self.socket.recv(1)
        except ConnectionResetError:
            return True


class Served:
    """A server under test."""

    def __init__(self, handler: Handler | None, limits: Limits | None = None) -> None:
        self.server = Server.bind(resolve("127.0.0.1", 0))
        self.server.handler = handler
        if limits is not None:
            self.server.limits = limits
        self.server.start()
        self._clients: list[Client] = []

    def connect(self, receive_bytes: int = 0) -> Client:
        """A new client, whose kernel keeps so much for it, the usual if 0."""
        client = Client(self.server.address, receive_bytes)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.socket.close()
        self.server.stop(0.0)


@contextlib.contextmanager
def serving(handler: Handler | None, limits: Limits | None = None) -> Iterator[Served]:
    """A server with that handler, and its clients; all closed at the end."""
    served = Served(handler, limits)
    try:
        yield served
    finally:
        served.close()


class Recorder:
    """A handler that keeps its requests and answers with their number."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request, respond: Respond) -> None:
        self.requests.append(request)
        respond(Response(200, [("Content-Type", "text/plain")], b"%d" % len(self.requests)))


def echo(request: Request, respond: Respond) -> None:
    """A handler that answers with the request's body, or its target."""
    respond(Response(200, (), request.body or request.target.encode()))
