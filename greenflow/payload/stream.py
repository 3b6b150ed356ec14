"""A body that is not there yet: bytes that come piece by piece, and are read once.

Lives here: Stream, the one payload that is no plain value (BEHAVIOUR 3.7). The listener makes one
of a request's body (`stream: true`), and sends the pieces of one that is an answer as they come.
They are bytes as they are on the wire: a request's are not decompressed, an answer's are not
compressed, for that would hold pieces back. A Content-Encoding beside one only says what it is.

Verbatim is bytes of an answer that are finished in the same sense: whoever made them has encoded
and compressed them, and the headers beside them say how. For every node they are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from greenflow.errors import BodyTooLarge, InvalidArgument


class Verbatim(bytes):
    """Bytes that an answer sends as they are, with no headers but its own."""


def plain_bytes(value: Any) -> Any:
    """A value with plain bytes in the place of those that a listener would send as they are."""
    if isinstance(value, Verbatim):
        return bytes(value)
    if isinstance(value, dict):
        return {key: plain_bytes(item) for key, item in value.items()}
    return [plain_bytes(item) for item in value] if isinstance(value, list) else value


class Stream:
    """Pieces of bytes, for one reader. Closing it closes where they come from. `length` is how many
    bytes there will be, if that is known."""

    __slots__ = ("_is_taken", "_pieces", "length")

    def __init__(self, pieces: Iterable[bytes], length: int | None = None) -> None:
        self._pieces = pieces
        self.length = length
        self._is_taken = False

    def __iter__(self) -> Iterator[bytes]:
        """The pieces. Raises InvalidArgument when they were asked for before."""
        if self._is_taken:
            raise InvalidArgument("the stream was read already; a stream is read once")
        self._is_taken = True
        return iter(self._pieces)

    def read(self, most: int) -> bytes:
        """All of it. Raises BodyTooLarge beyond `most` bytes, and whatever its source does."""
        found = bytearray()
        try:
            for piece in self:
                found += piece
                if len(found) > most:
                    raise BodyTooLarge(f"the stream has more than {most} bytes")
        finally:
            self.close()
        return bytes(found)

    def close(self) -> None:
        """No more of it is wanted."""
        self._is_taken = True
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
