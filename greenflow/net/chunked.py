"""The chunked transfer coding of RFC 9112 7.1, read strictly.

A decoder takes the bytes as they come, in pieces of any size, and gives the body and what came
after it. It does no I/O. Every line end is CRLF, every size is hexadecimal digits, extensions
follow their grammar (and are dropped), trailer fields follow theirs and are dropped too, as RFC
9110 6.5.1 allows; those that would frame or route the message, or say who asks, are refused.
"""

from __future__ import annotations

import re

from greenflow.net.fields import CREDENTIALS, FRAMING, HOP_BY_HOP, ROUTING
from greenflow.net.grammar import FIELD_VALUE, QUOTED, TOKEN
from greenflow.net.limits import Limits
from greenflow.net.refusal import Refused

# Hexadecimal digits of a chunk size: 60 bits, leading zeros included. More is an overflow being
# tried.
SIZE_DIGITS = 15

# Bytes of one chunk-size line or trailer line that are waited for; the sum over a body is
# limited by Limits.header_size. Extensions are unused in practice, trailer fields are short.
LINE_BYTES = 8 * 1024

# RFC 9112 7.1 and 7.1.1; the blanks are the grammar's BWS.
_EXTENSION = rf"[ \t]*+;[ \t]*+{TOKEN}(?:[ \t]*+=[ \t]*+(?:{TOKEN}|{QUOTED}))?"
_SIZE_LINE = re.compile(rf"([0-9A-Fa-f]{{1,{SIZE_DIGITS}}})((?:{_EXTENSION})*+)".encode())
_FIELD_LINE = re.compile(f"({TOKEN}):{FIELD_VALUE}".encode())

# Fields that may not be trailers (RFC 9110 6.5.1), and that somebody sends to be read in two ways:
# they frame the message, concern one hop, route it, modify the request, say who asks, or how the
# body is coded. What else may not be one, such as Content-Type, is sent by mistake.
_FORBIDDEN = frozenset(
    name.encode() for name in HOP_BY_HOP | FRAMING | ROUTING | CREDENTIALS | {"content-encoding"}
)

_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)


class ChunkedDecoder:
    """Decodes one body. `feed` it until it says it is done; then `body` and `rest` are final."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = _SIZE
        # One buffer, no list of pieces: a client that sends chunks of one byte would make a
        # body take many times its size.
        self._body = bytearray()
        self._length = 0
        self._chunk_left = 0
        self._overhead = 0
        self._trailer_size = 0
        self._trailer_count = 0
        self.rest = b""

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def take(self) -> bytes:
        """What was decoded since it was taken last; `body` does not have it any more."""
        taken, self._body = bytes(self._body), bytearray()
        return taken

    def feed(self, data: bytes) -> bool:
        """Takes the next bytes; True when the body has ended, `rest` is then what follows it.

        Raises Refused: 400 for bytes against the grammar, 413 for a body over the limit, 431 for
        trailer fields over theirs.
        """
        if self.rest:
            data = self.rest + data
        position = 0
        while self._state != _DONE:
            if self._state == _DATA:
                piece = data[position : position + self._chunk_left]
                if not piece:
                    break
                self._body += piece
                position += len(piece)
                self._chunk_left -= len(piece)
                if self._chunk_left:
                    break
                self._state = _DATA_END
                continue
            end = data.find(b"\r\n", position)
            if end < 0 or end - position > LINE_BYTES:
                self._check_line_start(data, position)
                break
            self._line(data[position:end])
            position = end + 2
        self.rest = data[position:]
        return self._state == _DONE

    def _check_line_start(self, data: bytes, position: int) -> None:
        """Refuses a line that is not whole yet and can no longer become a good one."""
        if len(data) - position > LINE_BYTES:
            status = 431 if self._state == _TRAILER else 400
            raise Refused(status, f"line over {LINE_BYTES} bytes in a chunked body")
        if self._state == _DATA_END and data[position:] not in (b"", b"\r"):
            raise Refused(400, "chunk longer than its size (RFC 9112 7.1)")
        if b"\n" in data[position:]:
            raise Refused(400, "line feed without carriage return in a chunked body (RFC 9112 2.2)")

    def _line(self, line: bytes) -> None:
        """Takes one line, without its end."""
        if self._state == _SIZE:
            self._size_line(line)
        elif self._state == _DATA_END:
            if line:
                raise Refused(400, "chunk longer than its size (RFC 9112 7.1)")
            self._state = _SIZE
        elif line:
            self._trailer_line(line)
        else:
            self._state = _DONE

    def _size_line(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise Refused(400, "chunk-size line against its grammar (RFC 9112 7.1)")
        self._overhead += len(match[2])
        if self._overhead > self._limits.header_size:
            raise Refused(400, f"chunk extensions over {self._limits.header_size} bytes")
        self._chunk_left = int(match[1], 16)
        self._length += self._chunk_left
        if self._length > self._limits.body:
            raise Refused(413, f"body over {self._limits.body} bytes")
        self._state = _DATA if self._chunk_left else _TRAILER

    def _trailer_line(self, line: bytes) -> None:
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise Refused(400, "trailer line against its grammar (RFC 9112 5)")
        if match[1].lower() in _FORBIDDEN:
            raise Refused(400, "a field that may not be a trailer (RFC 9110 6.5.1)")
        self._trailer_size += len(line)
        self._trailer_count += 1
        if (
            self._trailer_size > self._limits.header_size
            or self._trailer_count > self._limits.header_count
        ):
            raise Refused(431, "trailer section over the limits of header fields")
