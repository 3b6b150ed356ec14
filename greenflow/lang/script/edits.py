"""Edits of a text that keep what is around them in its place.

Lives here: spaces over what is erased, insertions, and the text that comes of them. Not here: what
is erased (the parser).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_KEPT = re.compile(r"[^\n\r\u2028\u2029]")
_OTHER_ENDS = re.compile(r"\r(?!\n)|[\u2028\u2029]")


class Edit(NamedTuple):
    """What stands in the place of the text from start to end."""

    start: int
    end: int
    text: str | None  # None: spaces, but for the first and the last character
    first: str = " "
    last: str = " "


class Edits:
    """The edits of one text, in the order of the parser's way through it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._edits: list[Edit] = []

    def mark(self) -> int:
        """The edits so far, for `back`."""
        return len(self._edits)

    def back(self, mark: int) -> None:
        """Forget the edits since the mark."""
        del self._edits[mark:]

    def blank(self, start: int, end: int, first: str = " ", last: str = " ") -> None:
        """Put spaces over the text from start to end, less line ends. `first` and `last` are
        written over the first and the last character."""
        self._edits.append(Edit(start, end, None, first, last))

    def put(self, start: int, end: int, text: str) -> None:
        """Replace the text from start to end by one with as many line ends."""
        self._edits.append(Edit(start, end, text))

    def first(self, place: int, first: str) -> None:
        """Write a character over the first one of what was blanked last at the place."""
        for index in range(len(self._edits) - 1, -1, -1):
            edit = self._edits[index]
            if edit.start == place and edit.text is None:
                self._edits[index] = edit._replace(first=first)
                return
        raise AssertionError("nothing was blanked there")

    def are_only_insertions(self) -> bool:
        """Whether nothing of the text is replaced."""
        return all(edit.start == edit.end for edit in self._edits)

    def result(self) -> str:
        """The text after the edits. Of edits inside one another the outer one counts."""
        parts: list[str] = []
        done = 0
        in_order = sorted(self._edits, key=lambda it: (it.start, it.end > it.start, -it.end))
        for edit in in_order:
            if edit.start < done:
                continue
            parts.append(self.text[done : edit.start])
            parts.append(self._blanked(edit) if edit.text is None else edit.text)
            done = edit.end
        parts.append(self.text[done:])
        return "".join(parts)

    def _blanked(self, edit: Edit) -> str:
        spaces = _KEPT.sub(" ", self.text[edit.start : edit.end])
        if edit.first != " ":
            spaces = edit.first + spaces[1:]
        return spaces if edit.last == " " else spaces[:-1] + edit.last


def with_common_line_ends(text: str, spaces: list[tuple[int, int]]) -> str:
    """The text, whose line ends between tokens (`spaces`, from start to end) are those that every
    reader of JavaScript knows."""
    parts: list[str] = []
    done = 0
    for start, end in spaces:
        parts += text[done:start], _OTHER_ENDS.sub("\n", text[start:end])
        done = end
    parts.append(text[done:])
    return "".join(parts)
