"""From the text of a literal to its value.

Lives here: numbers and their ranges, strings, bytes and their escapes. The grammar says which texts
are literals at all. The escapes are those of the language definition, "String and Bytes Values":
an escape in bytes is one byte, and none of them stands for a character beyond.
"""

from __future__ import annotations

import math
import re

from greenflow.lang.cel.tree import Wrong
from greenflow.lang.cel.values import MAX_INT, MAX_UINT, MIN_INT, UInt

#: More digits than 64 bits can need; Python refuses to read thousands of them.
_MAX_DIGITS = 100

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})"
    r"|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))",
    re.DOTALL,
)
_SIMPLE = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))


def integer(text: str, at: int, negative: bool = False) -> int:
    """An int, whose sign is not in the text. Raises Wrong."""
    magnitude = _magnitude(text, at)
    value = -magnitude if negative else magnitude
    if not MIN_INT <= value <= MAX_INT:
        raise Wrong("the integer does not fit 64 bits; append u to an unsigned one", at)
    return value


def unsigned(text: str, at: int) -> UInt:
    """A uint, with its `u`. Raises Wrong."""
    return UInt(_magnitude(text[:-1], at))


def double(text: str, at: int) -> float:
    """A double, whose sign is not in the text. Raises Wrong."""
    value = float(text)
    if value == math.inf:
        raise Wrong("the number is beyond every double, which end at 1.8e308", at)
    return value


def _magnitude(text: str, at: int) -> int:
    number = int(text, 16 if text[:2] in ("0x", "0X") else 10) if len(text) < _MAX_DIGITS else -1
    if not 0 <= number <= MAX_UINT:
        raise Wrong("the number does not fit 64 bits", at)
    return number


def string(text: str, at: int) -> str | bytes:
    """A string, or bytes where the prefix says so, with prefix and quotes. Raises Wrong."""
    first = min(text.find(quote) % len(text) for quote in "'\"")
    prefix = text[:first].lower()
    width = 3 if text[first : first + 3] in ("'''", '"""') else 1
    start = first + width
    inner = text[start:-width]
    raw = "r" in prefix or "\\" not in inner
    if "b" in prefix:
        return inner.encode("utf-8", "surrogatepass") if raw else _bytes(inner, at + start)
    return inner if raw else _string(inner, at + start)


def _string(text: str, start: int) -> str:
    def replace(match: re.Match[str]) -> str:
        simple, byte, octal, short, long, wrong = match.groups()
        if simple is not None:
            return _SIMPLE[simple]
        if wrong is not None:
            raise Wrong(f"unknown escape \\{wrong}", start + match.start())
        digits = byte or short or long
        point = int(digits, 16) if digits else int(octal, 8)
        if point > 0x10FFFF or 0xD800 <= point < 0xE000:
            raise Wrong("the escape is no character", start + match.start())
        return chr(point)

    return _ESCAPE.sub(replace, text)


def _bytes(text: str, start: int) -> bytes:
    parts, at = [], 0
    for match in _ESCAPE.finditer(text):
        parts.append(text[at : match.start()].encode("utf-8", "surrogatepass"))
        at = match.end()
        simple, byte, octal, *_ = match.groups()
        if simple is not None:
            parts.append(_SIMPLE[simple].encode())
        elif byte or octal:
            parts.append(bytes([int(byte, 16) if byte else int(octal, 8)]))
        else:
            raise Wrong("no escape that bytes can have", start + match.start())
    parts.append(text[at:].encode("utf-8", "surrogatepass"))
    return b"".join(parts)
