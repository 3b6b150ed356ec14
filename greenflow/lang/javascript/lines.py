"""Lines out of the pieces in which a socket has them, for both ends of the wire.

Lives here: WireLines. What is in a line is wire.py's. A worker imports this, so it needs nothing.

The pieces of a line are joined once, when its end has come: what was read before is not copied with
each piece, of which a line of 40 MB has 200.
"""

from __future__ import annotations


class WireLines:
    """The end of what was read, which is no whole line yet."""

    __slots__ = ("_begun", "size")

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self.size = 0  # bytes of it

    def split(self, data: bytes) -> list[bytes]:
        """The lines that end in what was read now, without their ends."""
        *lines, rest = data.split(b"\n")
        if lines and self._begun:
            lines[0] = b"".join((*self._begun, lines[0]))
            self._begun, self.size = [], 0
        if rest:
            self._begun.append(rest)
            self.size += len(rest)
        return lines
