"""permessage-deflate (RFC 7692): what two ends agree on, and the compression of messages.

Lives here: the reading of Sec-WebSocket-Extensions, offers and agreements, and Deflate, which is an
extension of wsproto's for what comes in. A message that would be larger than the limit is given up
as soon as that is seen, whatever its few bytes would still become.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, Opcode, RsvBits

from greenflow.net.grammar import TOKEN

NAME = "permessage-deflate"

# The window that our side compresses with, as a power of two, and zlib's level of memory: 32 KiB
# for each connection that has sent a compressed message, where zlib's own choice takes 256. JSON of
# some KiB comes out a few percent larger.
WINDOW_BITS = 12
MEMORY_LEVEL = 5

# The windows that zlib has for raw deflate; RFC 7692 7.1.2 knows 8, too, to read which 15 will do.
LEAST_WINDOW_BITS, MOST_WINDOW_BITS = 9, 15

# Bytes below which a message is sent as it is: it would hardly become smaller.
LEAST_BYTES = 64

# What ends each compressed message and is not sent (RFC 7692 7.2.1).
_TAIL = b"\x00\x00\xff\xff"

# RFC 6455 9.1; a quoted value has to be a token, too.
_EXTENSION = re.compile(rf"[ \t,]*({TOKEN})")
_PARAMETER = re.compile(rf'[ \t]*;[ \t]*({TOKEN})(?:[ \t]*=[ \t]*(?:({TOKEN})|"({TOKEN})"))?')
_END = re.compile(r"[ \t]*(?:,[ \t,]*|\Z)")

_BITS = re.compile(r"[89]|1[0-5]")

_NO_BITS: RsvBits = RsvBits(False, False, False)
_COMPRESSED: RsvBits = RsvBits(True, False, False)

Parameters = list[tuple[str, str | None]]


def extensions(header: str) -> Iterator[tuple[str, Parameters]]:
    """The extensions of a header and their parameters, in order. Raises ValueError."""
    at = 0
    while at < len(header):
        name = _EXTENSION.match(header, at)
        if name is None:
            raise ValueError("no extension (RFC 6455 9.1)")
        at = name.end()
        parameters: Parameters = []
        while (found := _PARAMETER.match(header, at)) is not None:
            parameters.append((found[1], found[2] or found[3]))
            at = found.end()
        end = _END.match(header, at)
        if end is None:
            raise ValueError("an extension with no parameter where one is said to be")
        at = end.end()
        yield name[1], parameters


class Terms:
    """What the parameters of one offer or agreement say (RFC 7692 7.1). Raises ValueError for one
    that is unknown, there twice, or has a value that it cannot have."""

    def __init__(self, parameters: Parameters, *, is_offer: bool) -> None:
        self.takes_over = {"server": True, "client": True}
        self.bits: dict[str, int | None] = {"server": None, "client": None}
        seen = set()
        for name, value in parameters:
            if name in seen:
                raise ValueError(f"{name} is there twice")
            seen.add(name)
            side, _, what = name.partition("_")
            if side not in ("server", "client"):
                raise ValueError(f"there is no {name}")
            if what == "no_context_takeover" and value is None:
                self.takes_over[side] = False
            elif what == "max_window_bits" and value is not None and _BITS.fullmatch(value):
                self.bits[side] = int(value)
            # Only a client may leave it to the server how many (RFC 7692 7.1.2.2).
            elif name != "client_max_window_bits" or value is not None or not is_offer:
                raise ValueError(f"there is no such {name}")


class Deflate(Extension):
    """The compression of one connection, both ways.

    `window_bits` bound our own window. A side that takes its context over compresses with what it
    sent before in mind, and both then keep a window for it.
    """

    name = NAME

    def __init__(
        self,
        window_bits: int = WINDOW_BITS,
        *,
        takes_over: bool = True,
        peer_takes_over: bool = True,
    ) -> None:
        self._window_bits = window_bits
        self._takes_over, self._peer_takes_over = takes_over, peer_takes_over
        self._compressor: Any = None
        self._decompressor: Any = None
        # Bytes that a message may have, and that the present one may still become.
        self.limit = 0
        self._left = 0
        # Whether the message that comes in is compressed, whether the frame is part of one, and
        # whether a block said that it was the last.
        self._is_compressed = self._is_data = self._has_ended = False
        self._is_agreed = False

    # -- agreeing ------------------------------------------------------------------------------

    @classmethod
    def answering(cls, header: str) -> tuple[Deflate | None, str]:
        """For a server: what to make of the first offer that can be accepted, and the answer to it.
        Raises ValueError for a header without sense."""
        for name, parameters in list(extensions(header)):
            if name != NAME:
                continue
            try:
                terms = Terms(parameters, is_offer=True)
            except ValueError:
                continue
            bits = terms.bits["server"]
            if bits is not None and bits < LEAST_WINDOW_BITS:
                continue
            answer = NAME
            for side in ("server", "client"):
                if not terms.takes_over[side]:
                    answer += f"; {side}_no_context_takeover"
            if bits is not None:
                answer += f"; server_max_window_bits={bits}"
            made = cls(
                min(bits or MOST_WINDOW_BITS, WINDOW_BITS),
                takes_over=terms.takes_over["server"],
                peer_takes_over=terms.takes_over["client"],
            )
            made._is_agreed = True
            return made, answer
        return None, ""

    def offer(self) -> str:
        """For a client: the parameters to ask with."""
        return "client_max_window_bits"

    def finalize(self, offer: str) -> None:
        """For a client: the server has agreed, with these parameters. Raises ValueError."""
        ((_, parameters),) = extensions(offer)
        terms = Terms(parameters, is_offer=False)
        bits = terms.bits["client"]
        if self._is_agreed or (bits is not None and bits < LEAST_WINDOW_BITS):
            raise ValueError("the server agreed to what was not offered")
        self._window_bits = min(bits or MOST_WINDOW_BITS, self._window_bits)
        self._takes_over = terms.takes_over["client"]
        self._peer_takes_over = terms.takes_over["server"]
        self._is_agreed = True

    def enabled(self) -> bool:
        return self._is_agreed

    # -- what comes in, by wsproto -------------------------------------------------------------

    def frame_inbound_header(
        self, proto: Any, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._is_data = not opcode.iscontrol()
        if opcode is Opcode.CONTINUATION or not self._is_data:
            return _NO_BITS  # only the first frame says it (RFC 7692 6)
        self._is_compressed, self._left, self._has_ended = rsv.rsv1, self.limit, False
        return _COMPRESSED

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> bytes | CloseReason:
        return self._inflate(data) if self._is_data and self._is_compressed else data

    def frame_inbound_complete(self, proto: Any, fin: bool) -> bytes | CloseReason | None:
        if not (fin and self._is_data and self._is_compressed):
            return None
        end = self._inflate(_TAIL)
        if not self._peer_takes_over:
            self._decompressor = None
        return end

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        if self._decompressor is None:
            # Of the largest window, which reads what was written with any smaller one.
            self._decompressor = zlib.decompressobj(-MOST_WINDOW_BITS)
        try:
            plain: bytes = self._decompressor.decompress(data, self._left + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if len(plain) > self._left:
            return CloseReason.MESSAGE_TOO_BIG
        self._left -= len(plain)
        if not self._decompressor.eof:
            return plain
        # A final block; what comes after it is a stream of its own (RFC 7692 7.2.3.4). Each costs
        # as much as a long message, so one is enough.
        if self._has_ended:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._has_ended = True
        rest, self._decompressor = self._decompressor.unused_data, None
        more = self._inflate(rest)
        return plain + more if isinstance(more, bytes) else more

    # -- what goes out -------------------------------------------------------------------------

    def compress(self, data: bytes) -> bytes:
        """The payload of a compressed message."""
        if self._compressor is None:
            self._compressor = zlib.compressobj(
                zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -self._window_bits, MEMORY_LEVEL
            )
        compressed: bytes = self._compressor.compress(data)
        compressed += self._compressor.flush(zlib.Z_SYNC_FLUSH)
        if not self._takes_over:
            self._compressor = None
        return compressed[: -len(_TAIL)]
