"""Where the judge is in a text.

Lives here: the reader that ruamel's scanner goes through a text with, on one string instead of a
stream. `buffer` is the whole text with a NUL behind it; no other NUL and no character that YAML
does not allow is in it. `pointer` and `index` are the same place.
"""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml.error import FileMark
from ruamel.yaml.reader import Reader

from greenflow.hub.breathing import pause

#: What YAML 1.1 takes for a line break and 1.2 for text (5.4), and a byte order mark inside.
#: ruamel's code knows them as breaks in many places, so they are read under other names.
ODD_CHARACTERS = "\x85\u2028\u2029\ufeff"

_PRIVATE_USE = range(0xE000, 0xF900)

BREAK = r"(?:\r\n|\r|\n)"
LINE_BREAK = re.compile(BREAK)


def stand_ins(text: str) -> dict[int, str]:
    """For each odd character in the text, one for private use that is not in it. A byte order mark
    that begins the text is none of it."""
    inner = text.removeprefix("\ufeff")
    odd = [character for character in ODD_CHARACTERS if character in inner]
    used = set(text) if odd else set()
    free = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
    return {ord(character): name for character, name in zip(odd, free, strict=False)}


class Cursor(Reader):
    """A place in a text. A byte order mark before the text is passed over."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text, loader=self)
        if text.startswith("\ufeff"):
            self.pointer = self.index = 1

    def check_printable(self, data: Any) -> None:
        """Has been done."""

    def peek(self, index: int = 0) -> str:
        return self.buffer[self.pointer + index : self.pointer + index + 1] or "\0"

    def prefix(self, length: int = 1) -> str:
        return self.buffer[self.pointer : self.pointer + length]

    def forward(self, length: int = 1) -> None:
        """Over characters of one line."""
        self.pointer += length
        self.index = self.pointer
        self.column += length

    def get_mark(self) -> FileMark:
        return FileMark(None, self.index, self.line, self.column)

    def advance(self, end: int) -> None:
        """To a place in the same line."""
        self.column += end - self.pointer
        self.pointer = self.index = end

    def next_line(self, start: int) -> None:
        """To the start of the next line."""
        self.pointer = self.index = start
        self.line += 1
        self.column = 0
        pause()

    def scan_line_break(self) -> str:
        found = LINE_BREAK.match(self.buffer, self.pointer)
        if found is None:
            return ""
        self.next_line(found.end())
        return "\n"
