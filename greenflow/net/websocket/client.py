"""Opening WebSocket connections to servers (RFC 6455 4.1), and the sweep over those that are open.

Lives here: Clients, which is what a server is to the connections of its clients. The handshake is
wsproto's. Where a host may be looked up is the caller's matter: `reach` gives the addresses, and
these and no others are connected to. Redirects are not followed. Nothing is read from environment
variables.
"""

from __future__ import annotations

import os
import re
import ssl
from _socket import IPPROTO_TCP, SO_ERROR, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY
from _socket import socket as Socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

import gevent
from gevent import get_hub
from gevent.event import Event
from gevent.socket import wait_read, wait_write
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, RejectConnection
from wsproto.events import Request as Opening
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from greenflow.errors import InvalidArgument, RequestFailed, RequestTimedOut
from greenflow.net.address import Place
from greenflow.net.grammar import BLANKS, FIELD_VALUE, is_token
from greenflow.net.home import Member
from greenflow.net.tls import TlsSocket
from greenflow.net.url import Url
from greenflow.net.websocket.channel import Channel, Options
from greenflow.net.websocket.deflate import Deflate
from greenflow.net.websocket.frames import Frames
from greenflow.net.wire import CLOSED, LINGER_SECONDS, RECV_BYTES

# Seconds for one address to accept a connection. A machine that is there does so in one round trip;
# the second try of a lost packet comes after 1 s, the third after 3.
CONNECT_SECONDS = 10.0

# Seconds between two looks at the deadlines: how late a time-out may be.
SWEEP_SECONDS = 0.25

# Bytes of the server's answer to the handshake: what a server may send of headers, as ours may get.
HEAD_BYTES = 64 * 1024

# One line of RFC 9110 5.5, as text.
_VALUE = re.compile(FIELD_VALUE)

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")

Reach = Callable[[str, int], list[Place]]
"""From host and port to the addresses to connect to, best first. Raises OSError, and
AddressForbidden."""


class Asked(NamedTuple):
    """What to ask a server for: its URL, whose scheme is http or https as with other requests, and
    headers besides those of the handshake."""

    url: Url
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    compression: bool = False

    def __str__(self) -> str:
        return f"ws{str(self.url).removeprefix('http')}"

    def __repr__(self) -> str:
        return f"<Asked {self}>"  # headers and the query may be secrets


class Clients:
    """The connections of one runtime to servers. Used from one thread."""

    def __init__(self) -> None:
        self.connections: set[Member] = set()
        self._gone = Event()
        self._sweeper = get_hub().loop.timer(SWEEP_SECONDS, SWEEP_SECONDS, ref=False)

    def connect(
        self, asked: Asked, reach: Reach, tls: Callable[[], Any], options: Options, seconds: float
    ) -> Channel:
        """An open connection, or within `seconds` RequestTimedOut, AddressForbidden, or
        RequestFailed for all else that can go wrong; InvalidArgument for headers that are none.

        `tls` makes the context for encrypted connections.
        """
        deflate = Deflate() if asked.compression else None
        handshake = H11Handshake(ConnectionType.CLIENT)
        opening = _opening(handshake, asked, deflate)
        try:
            with gevent.Timeout(seconds) as expired:
                socket = _connect(asked, reach, tls)
                try:
                    _send(socket, opening)
                    received = _agree(socket, handshake, asked)
                except BaseException:
                    socket.close()
                    raise
        except gevent.Timeout as timeout:
            if timeout is not expired:
                raise
            raise RequestTimedOut(f"{asked}: no WebSocket within {seconds:g} s") from None
        except OSError as error:
            raise RequestFailed(f"{asked}: {_reason(error)}") from error
        agreed = deflate if deflate is not None and deflate.enabled() else None
        frames = Frames(is_client=True, limit=options.message, deflate=agreed)
        if not self.connections:
            self._sweeper.start(self._sweep)
        return Channel(self, socket, frames, options, is_client=True, received=received)

    def forget(self, connection: Member) -> None:
        """Called by a connection that has closed."""
        self.connections.discard(connection)
        if not self.connections:
            self._sweeper.stop()
            self._gone.set()

    def close(self) -> None:
        """Close what is still open. Servers have a moment to end what both sides have closed."""
        end = monotonic() + LINGER_SECONDS
        while self.connections and (left := end - monotonic()) > 0:
            self._gone.clear()
            self._gone.wait(left)
        for connection in list(self.connections):
            connection.close()
        self._sweeper.close()

    def _sweep(self) -> None:
        """In the hub: end the waits that are over."""
        now = monotonic()
        for connection in [each for each in self.connections if each.deadline < now]:
            if connection.state != CLOSED:
                connection.expire()


def _opening(handshake: H11Handshake, asked: Asked, deflate: Deflate | None) -> bytes:
    """The request. Raises InvalidArgument."""
    for name, value in asked.headers:
        if not is_token(name) or _VALUE.fullmatch(value) is None:
            raise InvalidArgument(f"the header {name!r} has characters that no header has")
    for name in asked.subprotocols:
        if not is_token(name):
            raise InvalidArgument(f"the subprotocol {name!r} is no token (RFC 9110 5.6.2)")
    return handshake.send(
        Opening(
            host=asked.url.authority,
            target=asked.url.target,
            extensions=[] if deflate is None else [deflate],
            extra_headers=[
                (name.encode(), value.strip(BLANKS).encode("latin-1"))
                for name, value in asked.headers
            ],
            subprotocols=list(asked.subprotocols),
        )
    )


def _connect(asked: Asked, reach: Reach, tls: Callable[[], Any]) -> Any:
    """A connected socket, which never blocks. Raises OSError."""
    url = asked.url
    failure = OSError("the host has no address")
    for place in reach(url.host, url.port):
        socket = Socket(place.family, SOCK_STREAM)
        try:
            _connect_to(socket, place)
            return socket if url.scheme == "http" else _encrypted(socket, tls(), url.host)
        except OSError as error:
            socket.close()
            failure = error
        except BaseException:
            socket.close()
            raise
    raise failure


def _connect_to(socket: Socket, place: Place) -> None:
    socket.setblocking(False)
    socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    try:
        socket.connect(place.address)
    except BlockingIOError:
        wait_write(socket.fileno(), CONNECT_SECONDS)
        code = socket.getsockopt(SOL_SOCKET, SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code)) from None


def _encrypted(socket: Socket, context: Any, host: str) -> TlsSocket:
    """The socket after the TLS handshake. Raises OSError."""
    encrypted = TlsSocket(socket, context, server=host)
    encrypted.greet()
    while not encrypted.is_open:
        wait_read(socket.fileno())
        with suppress(BlockingIOError):
            if not encrypted.recv(RECV_BYTES):
                raise OSError("the server ended the connection in the TLS handshake")
    return encrypted


def _send(socket: Any, data: bytes) -> None:
    while data:
        try:
            data = data[socket.send(data) :]
        except BlockingIOError:
            wait_write(socket.fileno())


def _agree(socket: Any, handshake: H11Handshake, asked: Asked) -> bytes:
    """Reads the server's answer; what it sent after it is returned. Raises RequestFailed,
    OSError."""
    received = b""
    while True:
        end = received.find(b"\r\n\r\n") + 4
        if end < 4:
            if len(received) > HEAD_BYTES:
                raise RequestFailed(f"{asked}: the answer to the handshake has no end")
            received += _receive(socket, asked)
            continue
        head, received = received[:end], received[end:]
        status = _STATUS.match(head)
        if status is None:
            raise RequestFailed(f"{asked}: the answer to the handshake is no HTTP")
        if status[1][:1] != b"1" or status[1] == b"101":
            break
    try:
        handshake.receive_data(head)
        event = next(iter(handshake.events()), None)
    except (RemoteProtocolError, ValueError) as error:
        raise RequestFailed(f"{asked}: the server broke the handshake: {error}") from error
    if isinstance(event, RejectConnection):
        raise RequestFailed(f"{asked}: answered {event.status_code}, and no WebSocket")
    assert isinstance(event, AcceptConnection)
    return received


def _receive(socket: Any, asked: Asked) -> bytes:
    while True:
        try:
            data: bytes = socket.recv(RECV_BYTES)
        except BlockingIOError:
            wait_read(socket.fileno())
            continue
        if not data:
            raise RequestFailed(f"{asked}: the server ended the connection in the handshake")
        return data


def _reason(error: OSError) -> str:
    """What went wrong, for people; never more than they asked for."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'the handshake failed'}"
    return error.strerror or str(error) or type(error).__name__
