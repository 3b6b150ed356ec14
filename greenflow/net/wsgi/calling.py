"""A WSGI application called for a request: what a WSGI server does (PEP 3333), less the socket.

Lives here: the environ, start_response, and the iterable that comes back. An answer that is whole
is bytes; any other is handed on piece by piece, as the application makes it. The application's
`close` is called in any case. An application that breaks the protocol raises ProtocolBroken.

The application runs in context variables of its own, all of it in the same: frameworks set one
before the first piece and reset it after the last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from functools import lru_cache
from io import BufferedReader, BytesIO, RawIOBase
from types import TracebackType
from typing import Any, NamedTuple

from greenflow.errors import GreenflowError, InvalidArgument
from greenflow.net.message import CANONICAL_NAMES
from greenflow.payload.stream import Stream

Environ = dict[str, Any]

# Bytes that a file is read by for `wsgi.file_wrapper`, unless the application says otherwise.
FILE_BYTES = 64 * 1024

# Bytes of a streamed request body that are read ahead of the application.
INPUT_BYTES = 64 * 1024

_Error = tuple[type[BaseException], BaseException, TracebackType]


class ProtocolBroken(GreenflowError):
    """A WSGI application did what PEP 3333 forbids. Its author must act."""


class Called(NamedTuple):
    """What the application answered: `body` is bytes if it is whole, else pieces to be iterated
    and closed; `length` is its Content-Length, which stands in no header here."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Pieces
    length: int | None


class Pieces:
    """The rest of an answer that is not whole. Closing it closes the application's iterable."""

    def __init__(
        self,
        result: Iterable[bytes],
        rest: Iterator[bytes],
        written: list[bytes],
        first: bytes,
        left: int | None,
    ) -> None:
        self._result, self._rest, self._first, self._left = result, rest, first, left
        self._written = written  # by `write`, while the next piece was made
        self._context: Context | None = None
        self._is_closed = False

    def within(self, context: Context) -> None:
        """Run what comes in these context variables."""
        self._context = context

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._is_closed:
            raise InvalidArgument("the answer of the application was closed")
        if self._first:
            piece, self._first = self._first, b""
            return self._counted(piece)
        assert self._context is not None
        try:
            piece = self._context.run(next, self._rest)
        except StopIteration:
            if self._written:
                return self._counted(_taken(self._written))
            if self._left:
                raise ProtocolBroken(
                    f"the answer ended {self._left} bytes before its Content-Length"
                ) from None
            raise
        piece = _checked(piece)
        return self._counted(_taken(self._written, piece) if self._written else piece)

    def _counted(self, piece: bytes) -> bytes:
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise ProtocolBroken("the answer is longer than its Content-Length")
        return piece

    def close(self) -> None:
        """No more of it is wanted."""
        if not self._is_closed:
            self._is_closed = True
            assert self._context is not None
            self._context.run(_close, self._result)


def call(application: Callable[..., Any], environ: Environ) -> Called:
    """Have a request answered. Raises what the application raises, and ProtocolBroken."""
    context = copy_context()
    called = context.run(_call, application, environ)
    if isinstance(called.body, Pieces):
        called.body.within(context)
    return called


def _call(application: Callable[..., Any], environ: Environ) -> Called:
    start: tuple[str, list[tuple[str, str]]] | None = None
    written: list[bytes] = []
    begun = False

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: _Error | None = None
    ) -> Callable[[bytes], None]:
        nonlocal start
        if exc_info is not None:
            try:
                if begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it would hold its own frame
        elif start is not None:
            raise ProtocolBroken("start_response was called twice without exc_info")
        start = status, headers
        return write

    def write(piece: bytes) -> None:
        nonlocal begun
        begun = True
        written.append(_checked(piece))

    result = application(environ, start_response)
    if type(result) is list or type(result) is tuple:
        called = _answer(start)
        for piece in result:
            _checked(piece)
        return _whole(called, b"".join((*written, *result)), environ)
    keeps = False
    try:
        pieces = iter(result)
        first = _taken(written)
        while not first:
            piece = next(pieces, None)
            if piece is None:
                return _whole(_answer(start), _taken(written), environ)
            first = _taken(written, _checked(piece))
        begun = True
        called = _answer(start)
        if environ["REQUEST_METHOD"] == "HEAD":
            return called._replace(body=b"")
        length = called.length
        if length is not None and len(first) >= length:
            # Nothing may follow, so nobody waits: what the application does at its end is done now.
            more = [_taken(written, _checked(piece)) for piece in pieces]
            return _whole(called, b"".join((first, *more, *written)), environ)
        keeps = True
        return called._replace(body=Pieces(result, pieces, written, first, length))
    finally:
        if not keeps:
            _close(result)


def _answer(start: tuple[str, list[tuple[str, str]]] | None) -> Called:
    """What start_response was told."""
    if start is None:
        raise ProtocolBroken("the application answered before it called start_response")
    status, headers = start
    if not (isinstance(status, str) and status[:3].isdecimal() and status[3:4] in (" ", "")):
        raise ProtocolBroken(f"status {status!r} is no number and a reason")
    length, kept = None, []
    for name, value in headers:
        if type(name) is not str or type(value) is not str:
            raise ProtocolBroken(f"header {name!r}: names and values are str")
        if name.lower() != "content-length":
            kept.append((name, value))
        elif value.strip().isdecimal():
            length = int(value)
        else:
            raise ProtocolBroken(f"Content-Length {value!r} is no number")
    return Called(int(status[:3]), kept, b"", length)


def _whole(called: Called, body: bytes, environ: Environ) -> Called:
    if environ["REQUEST_METHOD"] == "HEAD" or called.status in (204, 304):
        return called._replace(body=b"")
    if called.length is not None and called.length != len(body):
        raise ProtocolBroken(f"Content-Length is {called.length}, and the answer {len(body)} bytes")
    return called._replace(body=body, length=len(body))


def _taken(written: list[bytes], piece: bytes = b"") -> bytes:
    """What was written since this was asked last, and behind it the piece during whose making it
    was."""
    taken = b"".join((*written, piece))
    written.clear()
    return taken


def _checked(piece: Any) -> bytes:
    if not isinstance(piece, bytes):
        raise ProtocolBroken(f"a body is made of bytes, not of {type(piece).__name__}")
    return piece


def _close(result: object) -> None:
    close = getattr(result, "close", None)
    if close is not None:
        close()


@lru_cache(maxsize=CANONICAL_NAMES)
def variable(name: str) -> str | None:
    """The variable of a header. None for one that frames the message, and for one with an
    underscore, which could pass for another (RFC 3875 4.1.18)."""
    key = name.upper().replace("-", "_")
    if "_" in name or key in (
        "CONTENT_LENGTH",
        "TRANSFER_ENCODING",
        "CONNECTION",
        "KEEP_ALIVE",
        "TE",
    ):
        return None
    return key if key == "CONTENT_TYPE" else f"HTTP_{key}"


def body_input(body: bytes | Stream) -> Any:
    """`wsgi.input`: a file of the body, that ends where the body does."""
    if isinstance(body, Stream):
        return BufferedReader(_Input(iter(body)), INPUT_BYTES)
    return BytesIO(body)


class _Input(RawIOBase):
    """A stream as a file. Reading waits for the client, and blocks nobody else."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class FileWrapper:
    """`wsgi.file_wrapper`: the pieces of a file."""

    def __init__(self, file: Any, size: int = FILE_BYTES) -> None:
        self._file, self._size = file, size

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._file.read(self._size)
        if piece:
            return piece
        raise StopIteration

    def close(self) -> None:
        _close(self._file)


class Errors:
    """`wsgi.errors`: lines for the log."""

    def __init__(self, logger: logging.Logger, extra: dict[str, object]) -> None:
        self._logger, self._extra, self._line = logger, extra, ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        line, self._line = self._line, ""
        self._log(line)

    def _log(self, line: str) -> None:
        if line.strip():
            self._logger.error("%s", line, extra=self._extra)
