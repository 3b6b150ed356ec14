"""The strings library of cel-go, save `format` (formatting.py). Positions count characters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from greenflow.lang.cel.library import function, method
from greenflow.lang.cel.meter import Frame, bounded, charge, pieces
from greenflow.lang.cel.values import CelError, name

# Unicode's White_Space, which is a little less than Python's str.strip takes off.
_WHITE = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
# The backslash first: the others bring more of them.
_QUOTED = [
    (char, "\\" + letter) for char, letter in zip('\\"\a\b\f\n\r\t\v', '\\"abfnrtv', strict=True)
]
_HALVES = re.compile("[\ud800-\udfff]")


def _inside(position: int, text: str) -> int:
    if 0 <= position <= len(text):
        return position
    raise CelError(f"index out of range: {position}")


@method("charAt", str, int)
def char_at(text: str, position: int) -> str:
    """The character there; behind the last one the empty string."""
    return text[_inside(position, text) : position + 1]


@method("indexOf", str, str, scans=True)
def index_of(text: str, part: str) -> int:
    """The first position of the part, or -1."""
    return text.find(part)


@method("indexOf", str, str, int, scans=True)
def index_of_from(text: str, part: str, begin: int) -> int:
    """The first position of the part from `begin` on, or -1."""
    return text.find(part, _inside(begin, text))


@method("lastIndexOf", str, str, scans=True)
def last_index_of(text: str, part: str) -> int:
    """The last position of the part, or -1."""
    return text.rfind(part)


@method("lastIndexOf", str, str, int, scans=True)
def last_index_of_from(text: str, part: str, begin: int) -> int:
    """The last position of the part that is at `begin` or before, or -1."""
    return text.rfind(part, 0, _inside(begin, text) + len(part))


def _of_ascii(change: Callable[[bytes], bytes], text: str) -> str:
    """The text with its ASCII letters changed. In UTF-8 no other character has bytes of them."""
    return change(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")


@method("lowerAscii", str, scans=True)
def lower_ascii(text: str) -> str:
    """The text with A to Z in small letters."""
    return _of_ascii(bytes.lower, text)


@method("upperAscii", str, scans=True)
def upper_ascii(text: str) -> str:
    """The text with a to z in capitals."""
    return _of_ascii(bytes.upper, text)


@method("trim", str, scans=True)
def trim(text: str) -> str:
    """The text without white space around it."""
    return text.strip(_WHITE)


@method("reverse", str, scans=True)
def backwards(text: str) -> str:
    """The characters from the last to the first."""
    return text[::-1]


@method("substring", str, int, scans=True)
def substring_from(text: str, begin: int) -> str:
    """The text from `begin` on."""
    return text[_inside(begin, text) :]


@method("substring", str, int, int, scans=True)
def substring(text: str, begin: int, end: int) -> str:
    """The text from `begin` up to before `end`."""
    if begin > end:
        raise CelError(f"substring({begin}, {end}) ends before it begins")
    return text[_inside(begin, text) : _inside(end, text)]


def _replace(frame: Frame, text: str, old: str, new: str, times: int) -> str:
    charge(frame, len(text) >> 4)
    found = text.count(old)
    found = found if times < 0 else min(found, times)
    length = len(text) + found * (len(new) - len(old))
    bounded(length)
    charge(frame, (length >> 4) + found)
    return text.replace(old, new, times)


@method("replace", str, str, str, metered=True)
def replace(frame: Frame, text: str, old: str, new: str) -> str:
    """The text with every `old` made `new`."""
    return _replace(frame, text, old, new, -1)


@method("replace", str, str, str, int, metered=True)
def replace_times(frame: Frame, text: str, old: str, new: str, times: int) -> str:
    """The same for the first `times`; a negative number means all."""
    return _replace(frame, text, old, new, times)


def _split(frame: Frame, text: str, separator: str, pieces: int) -> list[str]:
    if pieces == 0:
        return []
    charge(frame, (len(text) >> 4) + text.count(separator))
    if separator:
        return text.split(separator, pieces - 1 if pieces > 0 else -1)
    if pieces < 0 or pieces >= len(text):
        return list(text)
    return [*text[: pieces - 1], text[pieces - 1 :]]


@method("split", str, str, metered=True)
def split(frame: Frame, text: str, separator: str) -> list[str]:
    """What stands between the separators; an empty one splits into characters."""
    return _split(frame, text, separator, -1)


@method("split", str, str, int, metered=True)
def split_times(frame: Frame, text: str, separator: str, pieces: int) -> list[str]:
    """The same in so many pieces at most; a negative number means all, 0 none."""
    return _split(frame, text, separator, pieces)


def _join(frame: Frame, items: list[Any], separator: str) -> str:
    length = len(separator) * len(items)
    for piece in pieces(frame, items, 1):
        for item in piece:
            if not isinstance(item, str):
                raise CelError(f"join() takes strings, not {name(item)}")
            length += len(item)
    bounded(length)
    charge(frame, length >> 4)
    return separator.join(items)


@method("join", list, metered=True)
def join(frame: Frame, items: list[Any]) -> str:
    """The strings one behind the other."""
    return _join(frame, items, "")


@method("join", list, str, metered=True)
def join_with(frame: Frame, items: list[Any], separator: str) -> str:
    """The strings with a separator between them."""
    return _join(frame, items, separator)


#: Characters that are quoted before others may run: less than a millisecond.
_QUOTED_AT_ONCE = 16 * 1024


@function("strings.quote", str, metered=True)
def quote(frame: Frame, text: str) -> str:
    """The text as a literal in double quotes; half a surrogate pair becomes U+FFFD."""
    parts, length = ['"'], 2
    for start in range(0, len(text), _QUOTED_AT_ONCE):
        part = text[start : start + _QUOTED_AT_ONCE]
        charge(frame, len(part) >> 4)
        for char, written in _QUOTED:
            part = part.replace(char, written)
        parts.append(part if part.isascii() else _HALVES.sub(chr(0xFFFD), part))
        length += len(part)
        bounded(length)
    parts.append('"')
    return "".join(parts)
