"""WebSocket clients and servers that write and read raw frames, for tests of both ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gevent import socket

from greenflow.net.message import Request, Respond, Response
from greenflow.net.websocket.channel import Channel, Options
from greenflow.net.websocket.frames import BINARY, CLOSE, TEXT, close_payload
from greenflow.net.websocket.handshake import Offer, accept_key, agree
from tests.net.loopback import DEADLINE_SECONDS, Client, Served

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # for that key (RFC 6455 1.3)
MASK = b"\x37\xfa\x21\x3d"

HANDSHAKE = (
    "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
)


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """A frame, by the book and slowly (RFC 6455 5.2)."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    length, mask = len(payload), masked << 7
    if length < 126:
        head += bytes([mask | length])
    elif length < 65536:
        head += bytes([mask | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + length.to_bytes(8, "big")
    if masked:
        head += MASK
        payload = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
    return head + payload


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    @property
    def code(self) -> int:
        """Of a Close."""
        assert self.opcode == CLOSE
        return int.from_bytes(self.payload[:2], "big")


class Peer(Client):
    """The other end of a WebSocket connection: a client unless told otherwise."""

    masked = True

    def upgrade(self, headers: str = "", target: str = "/", ahead: bytes = b"") -> dict[str, str]:
        """The headers of the 101."""
        self.send((HANDSHAKE.format(target=target) + headers + "\r\n").encode() + ahead)
        status, answered = self.head()
        assert status == 101, status
        return answered

    def text(self, text: str) -> None:
        self.send(frame(TEXT, text.encode(), masked=self.masked))

    def binary(self, data: bytes) -> None:
        self.send(frame(BINARY, data, masked=self.masked))

    def end_with(self, code: int, reason: str = "") -> None:
        self.send(frame(CLOSE, close_payload(code, reason), masked=self.masked))

    def frame(self) -> Frame:
        """The next frame."""
        first, second = self._exactly(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8), "big")
        key = self._exactly(4) if second & 0x80 else b""
        payload = self._exactly(length)
        if key:
            payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        return Frame(first & 0x0F, payload, bool(first & 0x80), first >> 4 & 7)

    def heard(self) -> str:
        """The text of the next frame, which has to be a text message."""
        frame = self.frame()
        assert (frame.opcode, frame.fin, frame.rsv) == (TEXT, True, 0), frame
        return frame.payload.decode()


Converse = Callable[[Channel], None]


def echo(channel: Channel) -> None:
    """A conversation that sends every message back."""
    while True:
        kind, data = channel.receive()
        if kind == CLOSE:
            return
        channel.send(kind, data.encode() if isinstance(data, str) else data)


class Sockets(Served):
    """A server of WebSockets under test; `channels` are those that were opened."""

    def __init__(self, converse: Converse, options: Options, offer: Offer) -> None:
        self.channels: list[Channel] = []

        def handle(request: Request, respond: Respond) -> None:
            if request.upgrade is None:
                respond(Response(200, (), b"plain"))
                return
            channel = Channel.accept(request.upgrade, agree(request, offer), options)
            self.channels.append(channel)
            try:
                converse(channel)
            finally:
                channel.leave(1000)

        super().__init__(handle)

    def peer(self, headers: str = "", *, ahead: bytes = b"") -> Peer:
        """A client whose handshake is done."""
        peer = Peer(self.server.address)
        self._clients.append(peer)
        peer.upgrade(headers, ahead=ahead)
        return peer


@contextlib.contextmanager
def sockets(
    converse: Converse = echo,
    options: Options = Options(),  # noqa: B008 - it is frozen
    offer: Offer = Offer(),  # noqa: B008 - a tuple
) -> Iterator[Sockets]:
    """A server whose WebSockets hold that conversation, and its clients; all closed at the end."""
    served = Sockets(converse, options, offer)
    try:
        yield served
    finally:
        served.close()


class Caller(Peer):
    """The server's end of a connection that was opened to it, request line and headers read."""

    masked = False

    def __init__(self, accepted: Any) -> None:
        self.socket, self.buffer = accepted, b""
        accepted.settimeout(DEADLINE_SECONDS)
        self.request, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.headers = [tuple(line.split(": ", 1)) for line in lines]

    def header(self, name: str) -> str | None:
        """The value of a header, which has to be there once at most."""
        found = [value for sent, value in self.headers if sent.lower() == name.lower()]
        assert len(found) < 2, found
        return found[0] if found else None

    def accept(self, headers: str = "", *, key: str | None = None, ahead: bytes = b"") -> None:
        """Agree to a WebSocket."""
        key = accept_key(self.header("Sec-WebSocket-Key") or "") if key is None else key
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {key}\r\n{headers}\r\n"
        )
        self.send(head.encode() + ahead)


class Listening:
    """A server that does what the test does."""

    def __init__(self) -> None:
        self.port = 0
        self.listen()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.callers: list[Caller] = []

    def listen(self) -> None:
        """Listen, again on the same port."""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.bind(("127.0.0.1", self.port))
        self.socket.listen()
        self.port = self.socket.getsockname()[1]

    def caller(self) -> Caller:
        """The next one who connects and has sent its request."""
        self.callers.append(Caller(self.socket.accept()[0]))
        return self.callers[-1]

    def accepted(self, headers: str = "") -> Caller:
        """The next one, as a WebSocket."""
        caller = self.caller()
        caller.accept(headers)
        return caller


@contextlib.contextmanager
def listening() -> Iterator[Listening]:
    """A server, and its connections; all closed at the end."""
    found = Listening()
    try:
        yield found
    finally:
        for caller in found.callers:
            caller.socket.close()
        found.socket.close()
