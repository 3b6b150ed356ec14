"""JSON and YAML texts to values, strictly, and to the place of every value in the text.

Lives here: what both readers (json.py, yaml) refuse and return.
Not here: files, and what the values mean.

What may be in a text is what may be stored and sent on: null, booleans, integers of 64 bit, finite
floats, strings that UTF-8 can write, lists, and maps with strings as keys that are there once.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

#: How deep lists and maps may be in each other, in files as in stores and payloads: deeper than any
#: document a person writes, and shallow enough for the recursion of every encoder (CPython stops at
#: 1,000 frames). The list around the specs of a file is not counted, so what `get` shows of the
#: deepest spec can be applied.
MAX_DEPTH = 200

#: Line and column (from 1) of a value, or of its key in a map, and the places of what is in it.
Place = tuple[int, int, "dict[str, Place] | list[Place] | None"]

#: The integers of a spec, in files as in stores: all that MongoDB and every reader of JSON hold.
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

#: No integer of 64 bit has more digits, in any base from eight on. Python takes more than linear
#: time for very long ones.
_MAX_DIGITS = 22


class SyntaxFault(ValueError):
    """What is wrong in a text, and where (from 1). `is_final` tells that no other reading of the
    text could be right."""

    def __init__(self, line: int, column: int, reason: str, is_final: bool = False) -> None:
        self.line, self.column, self.reason, self.is_final = line, column, reason, is_final
        super().__init__(f"line {line}, column {column}: {reason}")


class Part:
    """One document of a text: its value, and where it stands, looked up when asked for."""

    __slots__ = ("_find", "value")

    def __init__(self, value: Any, find: Callable[[], Place]) -> None:
        self.value, self._find = value, find

    def place(self) -> Place:
        """The place of the value, with the places of all that is in it."""
        return self._find()


class Lines:
    """Offsets in a text to lines and columns, both from 1. `line_break` is a pattern."""

    def __init__(self, text: str, line_break: str = "\n") -> None:
        self.text, self.line_break = text, line_break
        self.starts: list[int] | None = None

    def at(self, offset: int) -> tuple[int, int]:
        if self.starts is None:
            self.starts = [0, *(found.end() for found in re.finditer(self.line_break, self.text))]
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


def offset_of(text: str, line: int, column: int) -> int:
    """The offset of a line and column, both from 1; the end where the text has no such place."""
    start = 0
    for _ in range(line - 1):
        end = text.find("\n", start)
        if end < 0:
            break
        start = end + 1
    return min(start + column - 1, len(text))


def integer(digits: str, base: int, line: int, column: int) -> int:
    """The integer that is written at a place. Raises SyntaxFault for more than 64 bit."""
    short = digits.lstrip("+-").lstrip("0")
    value = int(digits, base) if len(short) <= _MAX_DIGITS else MAX_INTEGER + 1
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        reason = "the integer has more than 64 bit: put it in quotes"
        raise SyntaxFault(line, column, reason, is_final=True)
    return value


def floating(digits: str, line: int, column: int) -> float:
    """The float that is written at a place. Raises SyntaxFault for one that is too large."""
    value = float(digits)
    if not math.isfinite(value):
        raise not_finite(digits, line, column)
    return value


def not_finite(text: str, line: int, column: int) -> SyntaxFault:
    """Infinity and NaN: they could not be written as JSON again (BEHAVIOUR 10.6)."""
    return SyntaxFault(line, column, f"{text} is no finite number", is_final=True)


def depth_of(root: object, entry: object) -> int:
    """The depth that a text may have in `entry`, which is directly in `root`."""
    return MAX_DEPTH + (type(root) is list and type(entry) is dict)


def too_deep(line: int, column: int) -> SyntaxFault:
    """Lists and maps beyond `MAX_DEPTH`."""
    return SyntaxFault(line, column, f"nested deeper than {MAX_DEPTH}", is_final=True)


def twice(key: str, line: int, column: int) -> SyntaxFault:
    """A key for which a map has two values."""
    return SyntaxFault(line, column, f"the key {key!r} is there twice in this map", is_final=True)
