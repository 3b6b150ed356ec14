"""Clients and the servers that they may ask, for the tests of the HTTP client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import socket

from greenflow.net.client import Client
from greenflow.net.outgoing import ClientRequest, ClientResponse
from greenflow.net.url import Url, parse_url
from greenflow.payload.stream import Stream
from tests.net.loopback import DEADLINE_SECONDS
from tests.net.scripted import Answer, Scripted, reply, scripted
from tests.waiting import until

SECRETS = {"Authorization": "Basic eDp5", "Cookie": "a=b"}


def moved(location: str, status: int = 302, body: bytes = b"") -> bytes:
    return reply(body, f"Location: {location}", status=status)


@contextmanager
def client_of(*servers: Scripted, **options: Any) -> Iterator[Client]:
    """A client that may ask these servers."""
    homes = [(server.host, server.port) for server in servers]
    made = Client(options.pop("homes", homes), **options)
    try:
        yield made
    finally:
        made.close()


def ask(
    asking: Client,
    url: Url,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | Stream | None = None,
    stream: bool = False,
) -> ClientResponse:
    request = ClientRequest(method, url, headers or {}, body)
    return asking.exchange(request, DEADLINE_SECONDS, 1_000_000, stream)


class Asked:
    """A client and the one server that it may ask."""

    def __init__(self, server: Scripted, asking: Client) -> None:
        self.server, self.client = server, asking

    def ask(
        self,
        method: str = "GET",
        body: bytes | Stream | None = None,
        seconds: float = DEADLINE_SECONDS,
        limit: int | None = 1_000_000,
        stream: bool = False,
    ) -> ClientResponse:
        request = ClientRequest(method, self.server.url(), {}, body)
        return self.client.exchange(request, seconds, limit, stream)

    def idle(self) -> bool:
        """Whether no connection is open but kept ones."""
        return self.server.open == sum(
            connection is not None and connection.sock is not None
            for pool in self.client._pools.values()
            for connection in (pool.pool.queue if pool.pool is not None else ())
        )


@contextmanager
def asked(*answers: Answer) -> Iterator[Asked]:
    with scripted(*answers) as server:
        asking = Client([(server.host, server.port)])
        try:
            yield Asked(server, asking)
        finally:
            asking.close()
        until(lambda: server.open == 0)


def body_of(response: ClientResponse) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


def proxy_of(server: Scripted, user: str = "") -> Url:
    return parse_url(f"http://{user}{server.host}:{server.port}")


def tunnel_to(server: Scripted) -> Callable[[Any], None]:
    """A proxy's answer to CONNECT: it connects through, to this server."""

    def answer(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 Connected\r\nX: y\r\n\r\n")
        with socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET) as upstream:
            upstream.connect((server.host, server.port))
            back = gevent.spawn(_pump, upstream, sock)
            _pump(sock, upstream)
            back.join()

    return answer


def _pump(source: Any, target: Any) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
