"""The head and the chunks of an answer, read strictly (RFC 9112), where http.client guesses.

Lives here: StrictResponse, an http.client response that reads its head and the lines between chunks
itself; reading what the body is made of stays http.client's. An answer that two readers could read
differently is an error: Content-Length beside Transfer-Encoding, two lengths, a size that is no
number, a header section that ends with the connection. http.client would read a chunk size of -1
as all that comes, and a body up to the end of the connection where it does not understand its
length.

An error is an HTTPException and holds nothing of what the server sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage, HTTPResponse, RemoteDisconnected
from io import BufferedReader, RawIOBase
from typing import Any

from greenflow.hub.breathing import let_others_run
from greenflow.net.grammar import BLANKS, FIELD_VALUE, TOKEN, elements

# Interim answers (1xx) before an answer. One is usual (103), more than a few are an attack.
INTERIM_ANSWERS = 10

# Bytes of a header section, and of a trailer section: as Chrome takes.
HEAD_BYTES = 256 * 1024

# Fields of a header section; http.client's own limit.
HEAD_FIELDS = 100

# Bytes of a line between chunks. Extensions are unused in practice.
LINE_BYTES = 8 * 1024

# Chunks that are read before others run: a server that sends chunks of one byte, and fast, must not
# hold up the hub. About a millisecond.
CHUNKS_A_TURN = 256

# RFC 9112 4. The reason is often left out, and the blank before it too.
_STATUS_LINE = re.compile(rf"HTTP/1\.([0-9]) ([1-9][0-9]{{2}})(?: {FIELD_VALUE})?".encode())
_FIELD = re.compile(f"({TOKEN}):({FIELD_VALUE})".encode())
_FOLDED = re.compile(rf"[ \t]+({FIELD_VALUE})".encode())
_LENGTH = re.compile(r"[0-9]{1,18}")

# RFC 9112 7.1, up to the extensions; 15 digits are 60 bits.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class _Wire(RawIOBase):
    """Where the bytes of an answer come from, until it has ended: then no more are asked for."""

    def __init__(self, source: RawIOBase) -> None:
        self._source = source
        self.has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return 0 if self.has_ended else self._source.readinto(buffer)

    def close(self) -> None:
        self._source.close()
        super().close()


class StrictResponse(HTTPResponse):
    """One answer. `begin` reads the head, and raises HTTPException for one that makes no sense.

    `on_surplus` is called if there is more when the answer has ended: such a connection must not be
    used again, for what comes next on it may be taken for the answer to another request.
    """

    # http.client's own, which its types do not know, or know otherwise.
    fp: Any
    _method: str | None
    chunk_left: int | None

    def __init__(self, sock: Any, method: str | None, on_surplus: Callable[[], object]) -> None:
        super().__init__(sock, method=method)
        buffered: Any = self.fp
        self._wire = _Wire(buffered.detach())
        self.fp = BufferedReader(self._wire)
        self._on_surplus = on_surplus
        self._chunks = 0

    def begin(self) -> None:
        for _ in range(INTERIM_ANSWERS + 1):
            version, status = self._status_line()
            fields = self._fields()
            if status == 101:
                raise HTTPException("a protocol was switched that nobody asked to switch")
            if status >= 200:
                break
        else:
            raise HTTPException(f"more than {INTERIM_ANSWERS} interim answers")
        self.version, self.status, self.reason = version, status, ""
        self.code = status
        self.headers = self.msg = HTTPMessage()
        for name, value in fields:
            self.headers[name] = value
        self._frame(fields)

    def _close_conn(self) -> None:
        """For http.client, which calls it at the end of the answer."""
        fp, self.fp = self.fp, None
        self._wire.has_ended = True
        if fp.peek(1):
            self._on_surplus()
        fp.close()

    def _read_status(self) -> tuple[str, int, str]:
        """For http.client, which reads the answer of a proxy to CONNECT by it."""
        return "HTTP/1.1", self._status_line()[1], "by the proxy"

    def _status_line(self) -> tuple[int, int]:
        """The version, 10 or 11, and the status."""
        line = self.fp.readline(LINE_BYTES)
        if not line:
            raise RemoteDisconnected("the server closed the connection without an answer")
        match = _STATUS_LINE.fullmatch(line.rstrip(b"\r\n"))
        if match is None or not line.endswith(b"\n"):
            raise HTTPException("the answer is no HTTP/1.1")
        return 10 if match[1] == b"0" else 11, int(match[2])

    def _fields(self) -> list[tuple[str, str]]:
        """The fields of a header section, in order (RFC 9112 5)."""
        fields: list[tuple[str, str]] = []
        left = HEAD_BYTES
        while line := self._line(left):
            left -= len(line)
            if fields and (folded := _FOLDED.fullmatch(line)):
                name, value = fields[-1]
                fields[-1] = name, f"{value} {folded[1].decode('latin-1').rstrip(BLANKS)}"
                continue
            match = _FIELD.fullmatch(line)
            if match is None:
                raise HTTPException("a header of the answer is against the grammar (RFC 9112 5)")
            fields.append((match[1].decode(), match[2].decode("latin-1").strip(BLANKS)))
            if len(fields) > HEAD_FIELDS:
                raise HTTPException(f"more than {HEAD_FIELDS} headers in the answer")
        return fields

    def _line(self, limit: int) -> bytes:
        """The next line, without its end."""
        line: bytes = self.fp.readline(limit + 2)
        if line.endswith(b"\n"):
            return line[:-2] if line.endswith(b"\r\n") else line[:-1]
        if len(line) > limit:
            raise HTTPException("a header section or a chunk-size line of the answer is too long")
        raise HTTPException("the connection was closed in the middle of the answer")

    def _frame(self, fields: list[tuple[str, str]]) -> None:
        """How the body is delimited, and whether the connection outlives it (RFC 9112 6.3, 9.3)."""

        def values(name: str) -> list[str]:
            return [value for sent, value in fields if sent.lower() == name]

        codings, lengths = values("transfer-encoding"), set(values("content-length"))
        options = elements(",".join(values("connection")))
        self.chunked, self.chunk_left, self.length = False, None, None
        self.will_close = "close" in options or (
            self.version == 10 and ("keep-alive" not in options or bool(codings))
        )
        if self.status in (204, 304) or self._method == "HEAD":
            self.length = 0
        elif codings:
            if len(codings) > 1 or codings[0].lower() != "chunked" or lengths:
                raise HTTPException(
                    "Transfer-Encoding is not chunked alone, or there is Content-Length beside it"
                )
            self.chunked = True
        elif lengths:
            text = lengths.pop()
            if lengths or _LENGTH.fullmatch(text) is None:
                raise HTTPException("Content-Length is not one number")
            self.length = int(text)
        else:
            self.will_close = True

    def _get_chunk_left(self) -> int | None:
        """For http.client: the bytes left of the present chunk, or of the next; None at the end."""
        if not self.chunk_left:
            if self.chunk_left is not None and self._line(LINE_BYTES):
                raise HTTPException("a chunk is longer than its size (RFC 9112 7.1)")
            match = _CHUNK_SIZE.fullmatch(self._line(LINE_BYTES))
            if match is None:
                raise HTTPException("a chunk-size line is against the grammar (RFC 9112 7.1)")
            self.chunk_left = int(match[1], 16)
            self._chunks += 1
            if self._chunks % CHUNKS_A_TURN == 0:
                let_others_run()
            if not self.chunk_left:
                self._fields()
                self._close_conn()
                self.chunk_left = None
        return self.chunk_left
