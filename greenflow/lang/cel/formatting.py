"""`format` of the strings library: `%s %d %f %e %b %o %x %X %%` and `%.3f`.

Text for `%s` is as the language's examples show: strings without quotes, maps by their keys in
order. The length is bounded while the text is made.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from greenflow.lang.cel.library import method
from greenflow.lang.cel.meter import Frame, bounded, charge
from greenflow.lang.cel.standard import decode, encode, text_of, write_time
from greenflow.lang.cel.values import (
    CelError,
    Duration,
    Timestamp,
    Type,
    name,
    normal,
    unkey,
)

_CLAUSE = re.compile(r"%(?:\.([0-9]{1,4}))?(.?)", re.DOTALL)

#: Digits behind the point: more than any double has, and short.
_MAX_PRECISION = 1000
_DEFAULT_PRECISION = 6

#: Steps that writing one value takes.
_STEPS = 8

#: Lists in lists that are written; the depth that a payload may have.
_MAX_DEPTH = 200


@method("format", str, list, metered=True)
def format_text(frame: Frame, text: str, values: list[Any]) -> str:
    """The text with each clause replaced by the next value."""
    parts: list[str] = []
    length = at = used = 0
    for found in _CLAUSE.finditer(text):
        precision, letter = found.groups()
        parts.append(text[at : found.start()])
        at = found.end()
        if letter == "%":
            part = "%"
        else:
            if used >= len(values):
                raise CelError(f"format() has {len(values)} values, its text wants more")
            part = _clause(frame, letter, precision, normal(values[used]))
            used += 1
        parts.append(part)
        length += len(part)
        bounded(length)
        charge(frame, 1 + (len(part) >> 4))
    parts.append(text[at:])
    return "".join(parts)


def _clause(frame: Frame, letter: str, precision: str | None, value: Any) -> str:
    if letter == "s":
        return _shown(frame, value, _MAX_DEPTH)
    if letter == "d":
        if isinstance(value, int) and not isinstance(value, bool):
            return str(int(value))
        if isinstance(value, float):
            return _endless(value) or _positional(value)
    elif letter in ("f", "e"):
        if isinstance(value, int | float) and not isinstance(value, bool):
            digits = int(precision) if precision is not None else _DEFAULT_PRECISION
            if digits > _MAX_PRECISION:
                raise CelError(f"the precision of format() is at most {_MAX_PRECISION}")
            return _endless(float(value)) or f"{float(value):.{digits}{letter}}"
    elif letter in ("b", "o") and isinstance(value, int):
        if letter == "b" or not isinstance(value, bool):
            return f"{int(value):{letter}}"
    elif letter in ("x", "X"):
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{int(value):{letter}}"
        if isinstance(value, str | bytes):
            digits_text = (encode(value) if isinstance(value, str) else value).hex()
            return digits_text.upper() if letter == "X" else digits_text
    elif letter not in ("b", "o"):
        raise CelError(f"format() knows no clause %{letter}")
    raise CelError(f"%{letter} of format() does not take {name(value)}")


def _positional(value: float) -> str:
    """The shortest digits that read as the double, without an exponent (Go's strconv, format f)."""
    text = f"{Decimal(repr(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _endless(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else ""


def _shown(frame: Frame, value: Any, depth: int) -> str:
    charge(frame, _STEPS)
    if not depth:
        raise CelError(f"format() writes at most {_MAX_DEPTH} lists inside each other")
    value = normal(value)
    if value is None:
        return "null"
    if isinstance(value, float):
        return _endless(value) or _positional(value)
    if isinstance(value, list):
        return f"[{_joined(frame, [_shown(frame, item, depth - 1) for item in value])}]"
    if isinstance(value, dict):
        entries = sorted(
            (_shown(frame, unkey(item), depth - 1), _shown(frame, inner, depth - 1))
            for item, inner in value.items()
        )
        return f"{{{_joined(frame, [f'{item}: {inner}' for item, inner in entries])}}}"
    if isinstance(value, Type):
        return value.name
    if isinstance(value, bytes):
        return decode(value)
    if isinstance(value, Timestamp | Duration):
        return write_time(value)
    return text_of(value)


def _joined(frame: Frame, texts: list[str]) -> str:
    length = sum(map(len, texts)) + 2 * len(texts)
    bounded(length)
    charge(frame, length >> 4)
    return ", ".join(texts)
