"""From bytes to messages and back (RFC 6455 5), for one connection. No I/O, and no waiting.

Nearly all frames are whole messages, not compressed, that are there at once, or pings and pongs;
those are read and written here, in a few steps. Everything else is for wsproto, which is given one
frame after the other: fragments, compressed messages, what comes in pieces, Close, and all that is
not allowed. So it is wsproto that judges; the Autobahn cases run against the two of them together.
"""

from __future__ import annotations

import os
import struct
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage
from wsproto.frame_protocol import CloseReason

from greenflow.net.websocket.deflate import LEAST_BYTES, Deflate

# Opcodes (RFC 6455 5.2), and the types of messages (BEHAVIOUR 12.5).
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

Message = tuple[int, str | bytes]
"""TEXT with a string; BINARY, CLOSE, PING or PONG with bytes."""

# The first byte of frames that are whole messages: FIN, no RSV.
_WHOLE = {0x80 | opcode: opcode for opcode in (TEXT, BINARY, PING, PONG)}
_FIN, _COMPRESSED, _OPCODE, _MASKED, _LENGTH = 0x80, 0x40, 0x0F, 0x80, 0x7F

# Bytes of a control frame's payload at most (RFC 6455 5.5).
CONTROL_BYTES = 125

# Bytes up to which unmasking as one large number is faster than every fourth byte by a table.
_NUMBER_BYTES = 1024

_TABLES = [bytes(byte ^ key for byte in range(256)) for key in range(256)]

# The code of a Close after which all was said (RFC 6455 7.4.1).
NORMAL_CLOSURE = 1000

# Close codes that stand for the lack of a Close frame or a code, and are never sent (RFC 6455
# 7.4.1): no code, no frame, no TLS.
_UNSENT_CODES = frozenset((1005, 1006, 1015))


class Failure(Exception):
    """What the peer sent cannot be read: the code to close with, and why. Never leaves net/."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def close_payload(code: int, reason: str = "") -> bytes:
    """The payload of a Close frame. A reason that is too long is cut."""
    text = reason.encode()[: CONTROL_BYTES - 2].decode(errors="ignore")
    return struct.pack("!H", code) + text.encode()


def checked_close(payload: bytes) -> bytes:
    """The payload of a Close frame to send; a code that is never sent is left out. Raises
    ValueError for what is none (RFC 6455 5.5.1, 7.4)."""
    if not payload:
        return payload
    if len(payload) == 1 or len(payload) > CONTROL_BYTES:
        raise ValueError(f"the payload of a Close has 0, or 2 to {CONTROL_BYTES} bytes")
    code = int.from_bytes(payload[:2], "big")
    payload[2:].decode()
    if code in _UNSENT_CODES:
        return b""
    if not (3000 <= code <= 4999 or (1000 <= code <= 1014 and code != 1004)):
        raise ValueError(f"{code} is no code of a Close")
    return payload


class Frames:
    """The frames of one connection. `limit` is the most bytes of a message, decompressed."""

    __slots__ = (
        "_at",
        "_buffer",
        "_deflate",
        "_in_message",
        "_is_client",
        "_left",
        "_limit",
        "_parts",
        "_size",
        "_wsproto",
    )

    def __init__(self, *, is_client: bool, limit: int, deflate: Deflate | None = None) -> None:
        self._is_client = is_client
        self._deflate = deflate
        # What was received and not read, from the index on.
        self._buffer = b""
        self._at = 0
        # Reads what is no plain frame; made when the first one comes.
        self._wsproto: Connection | None = None
        # Bytes of the present frame that it has yet to get.
        self._left = 0
        # Whether a message has begun and not ended; its bytes on the wire, and its parts.
        self._in_message = False
        self._size = 0
        self._parts: list[Any] = []
        self._limit = 0
        self.limit = limit

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        if self._deflate is not None:
            self._deflate.limit = limit

    # -- reading -------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Takes what was received."""
        self._buffer = data if self._at == len(self._buffer) else self._buffer[self._at :] + data
        self._at = 0

    def next(self) -> Message | None:
        """The next message, ping, pong or close; None if more has to be received first. Raises
        Failure, after which, as after a close, nothing more can be read."""
        while True:
            if self._left:
                message = self._read_slowly()
                if message is not None or self._left:
                    return message
            buffer, at = self._buffer, self._at
            have = len(buffer) - at
            if have < 2:
                if not have:
                    self._buffer, self._at = b"", 0
                return None
            first, second = buffer[at], buffer[at + 1]
            length = second & _LENGTH
            start, is_short = at + 2, False
            if length == 126:
                start += 2
                length = int.from_bytes(buffer[at + 2 : start], "big")
                is_short = length < 126
            elif length == 127:
                start += 8
                length = int.from_bytes(buffer[at + 2 : start], "big")
                is_short = length < 65536
            is_masked = second >= _MASKED
            if is_masked:
                start += 4
            if start > len(buffer):
                return None
            end = start + length
            opcode = _WHOLE.get(first)
            if (
                opcode is None
                or is_short
                or is_masked is self._is_client
                or (opcode < CLOSE and (self._in_message or end > len(buffer)))
                or (opcode > CLOSE and length > CONTROL_BYTES)
            ):
                if not self._begin_slowly(first, length, end):
                    return None
                continue
            if opcode < CLOSE:
                if length > self._limit:
                    raise self._too_long()
            elif end > len(buffer):
                return None
            payload = buffer[start:end]
            if is_masked:
                payload = mask(payload, buffer[start - 4 : start])
            self._at = end
            if opcode != TEXT:
                return opcode, payload
            try:
                return TEXT, payload.decode()
            except UnicodeDecodeError as error:
                raise Failure(CloseReason.INVALID_FRAME_PAYLOAD_DATA, "no UTF-8") from error

    def _begin_slowly(self, first: int, length: int, end: int) -> bool:
        """The frame that ends there is for wsproto; False if more has to be received first."""
        opcode = first & _OPCODE
        if opcode < CLOSE:
            self._size = length if opcode else self._size + length
            if self._size > self._limit:
                raise self._too_long()
            self._in_message = not first & _FIN
        elif length <= CONTROL_BYTES and end > len(self._buffer):
            return False  # a control frame is read whole
        self._left = end - self._at
        return True

    def _read_slowly(self) -> Message | None:
        """Gives wsproto what is there of its frame."""
        if self._wsproto is None:
            side = ConnectionType.CLIENT if self._is_client else ConnectionType.SERVER
            self._wsproto = Connection(side, [] if self._deflate is None else [self._deflate])
        piece = self._buffer[self._at : self._at + self._left]
        if not piece:
            return None
        self._at += len(piece)
        self._left -= len(piece)
        self._wsproto.receive_data(piece)
        message = None
        for event in self._wsproto.events():
            message = self._message(event) or message
        return message

    def _message(self, event: Event) -> Message | None:
        if isinstance(event, TextMessage | BytesMessage):
            self._parts.append(event.data)
            if not event.message_finished:
                return None
            parts, self._parts, self._size = self._parts, [], 0
            if isinstance(event, TextMessage):
                return TEXT, "".join(parts)
            return BINARY, b"".join(parts)
        assert isinstance(event, CloseConnection)  # of the control frames only that one comes here
        assert self._wsproto is not None
        if self._wsproto.state is not ConnectionState.REMOTE_CLOSING:
            raise Failure(event.code, event.reason or "")
        if event.code == CloseReason.NO_STATUS_RCVD:
            return CLOSE, b""
        return CLOSE, close_payload(event.code, event.reason or "")

    def _too_long(self) -> Failure:
        return Failure(CloseReason.MESSAGE_TOO_BIG, f"a message over {self._limit} bytes")

    # -- writing -------------------------------------------------------------------------------

    def encode(self, opcode: int, data: bytes) -> bytes:
        """The frame of a whole message, or of a control frame."""
        first = _FIN | opcode
        if self._deflate is not None and opcode < CLOSE and len(data) >= LEAST_BYTES:
            data = self._deflate.compress(data)
            first |= _COMPRESSED
        length = len(data)
        masked = _MASKED if self._is_client else 0
        if length < 126:
            head = bytes((first, masked | length))
        elif length < 65536:
            head = struct.pack("!BBH", first, masked | 126, length)
        else:
            head = struct.pack("!BBQ", first, masked | 127, length)
        if not masked:
            return head + data
        key = os.urandom(4)  # which nobody may foresee (RFC 6455 5.3)
        return head + key + mask(data, key)


def mask(data: bytes, key: bytes) -> bytes:
    """The data masked with a key of four bytes, or unmasked (RFC 6455 5.3)."""
    length = len(data)
    if length <= _NUMBER_BYTES:
        keys = (key * (length // 4 + 1))[:length]
        number = int.from_bytes(data, "little") ^ int.from_bytes(keys, "little")
        return number.to_bytes(length, "little")
    masked = bytearray(length)
    for i in range(4):
        masked[i::4] = data[i::4].translate(_TABLES[key[i]])
    return bytes(masked)
