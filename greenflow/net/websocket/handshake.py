"""The server's side of the opening handshake (RFC 6455 4.2): whether to agree, and to what.

What a client may ask of us, and the answers to it: 101, or the status and headers of a refusal.
Nothing here does I/O.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1
from typing import NamedTuple

from greenflow.net.grammar import BLANKS, is_token
from greenflow.net.message import Request
from greenflow.net.websocket.deflate import Deflate

VERSION = "13"

# What is added to a key before it is hashed (RFC 6455 1.3).
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# 16 bytes in base64 (RFC 6455 4.1).
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")


class HandshakeRefused(Exception):
    """The request is not upgraded: the status and headers of the answer, and the reason. Never
    leaves net/ and the node that asked."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Offer(NamedTuple):
    """What our side speaks: subprotocols, the best first; whether messages may be compressed; the
    origins of pages that may connect, none for all."""

    subprotocols: tuple[str, ...] = ()
    compression: bool = False
    origins: tuple[str, ...] = ()


class Agreement(NamedTuple):
    """The answer to a request that is upgraded, and how its messages are compressed."""

    head: bytes
    deflate: Deflate | None


def upgrade_required(reason: str) -> HandshakeRefused:
    """The refusal of a request that asks for no upgrade that we know (RFC 9110 15.5.22)."""
    return HandshakeRefused(426, reason, Upgrade="websocket", Sec_WebSocket_Version=VERSION)


def agree(request: Request, offer: Offer) -> Agreement:
    """What to answer to a request. Raises HandshakeRefused with 400, 403 or 426."""
    protocols = (request.header("upgrade") or "").lower().split(",")
    if not request.wants_upgrade or "websocket" not in map(str.strip, protocols):
        raise upgrade_required("the request asks for no WebSocket")
    if request.method != "GET":
        raise HandshakeRefused(400, "a WebSocket begins with a GET (RFC 6455 4.2.1)")
    if request.unread:
        raise HandshakeRefused(400, "the body of the request was not read")
    version = request.header("sec-websocket-version")
    if version is None:
        raise HandshakeRefused(400, "no Sec-WebSocket-Version (RFC 6455 4.2.1)")
    if version != VERSION:
        raise upgrade_required(f"the version of WebSocket is {VERSION} (RFC 6455 4.4)")
    key = request.header("sec-websocket-key")
    if key is None or _KEY.fullmatch(key) is None:
        raise HandshakeRefused(400, "no Sec-WebSocket-Key of 16 bytes (RFC 6455 4.2.1)")
    origin = request.header("origin")
    if offer.origins and origin is not None and origin not in offer.origins:
        raise HandshakeRefused(403, "pages of this origin may not connect (RFC 6455 10.2)")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key)}",
    ]
    subprotocol = _choose(request.header("sec-websocket-protocol"), offer.subprotocols)
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    deflate = None
    asked = request.header("sec-websocket-extensions")
    if offer.compression and asked is not None:
        try:
            deflate, answer = Deflate.answering(asked)
        except ValueError as error:
            raise HandshakeRefused(400, f"Sec-WebSocket-Extensions: {error}") from error
        if deflate is not None:
            lines.append(f"Sec-WebSocket-Extensions: {answer}")
    return Agreement("\r\n".join([*lines, "", ""]).encode("ascii"), deflate)


def accept_key(key: str) -> str:
    """The proof that the key was read (RFC 6455 4.2.2)."""
    return b64encode(sha1((key + _GUID).encode()).digest()).decode()


def _choose(header: str | None, ours: tuple[str, ...]) -> str | None:
    """The best of our subprotocols that the client names; without one the connection has none
    (RFC 6455 4.2.2). Raises HandshakeRefused."""
    if header is None:
        return None
    theirs = [name.strip(BLANKS) for name in header.split(",")]
    if not all(map(is_token, theirs)):
        raise HandshakeRefused(400, "Sec-WebSocket-Protocol is no list of tokens")
    return next((name for name in ours if name in theirs), None)
