"""How a length of time is written in specs and settings (BEHAVIOUR 1.7).

Lives here: the reading of a duration, and nothing that waits. A number is seconds; a string has
units (`250ms`, `1m30s`, `1.5h`) or is a number. One rule is there for files that were written for
uniflow, which stores durations as whole nanoseconds: a bare integer so large that nobody means
seconds is read as nanoseconds, and a warning says so.
"""

from __future__ import annotations

import logging
import math
import re

logger = logging.getLogger("greenflow.spec")

#: Seconds in one of each unit. Both signs that look like a micro are taken: U+00B5 and U+03BC.
UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}

#: Units in which a duration is shown, the largest first that it is a whole number of.
_SHOWN_UNITS = ("h", "m", "s", "ms", "us", "ns")

#: Bare integers from here on are nanoseconds: as seconds this would be more than eleven days
#: (BEHAVIOUR 1.7).
NANOSECONDS_FROM = 1_000_000

#: The longest duration, in seconds: 2**63 nanoseconds, 292 years. What a signed 64-bit count of
#: nanoseconds can hold is also what the clocks and timers below us can.
MAX_SECONDS = 2**63 / 1e9

#: Longer texts are no durations; the limit keeps what an error message repeats short.
_MAX_TEXT = 64

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_UNIT = "|".join(sorted(UNITS, key=len, reverse=True))
_PART = re.compile(rf"({_NUMBER})({_UNIT})")
_PARTS = re.compile(rf"(?:{_NUMBER}(?:{_UNIT}))+")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(rf"[-+]?{_NUMBER}(?:[eE][-+]?[0-9]+)?")

_WANTED = "write seconds (1.5) or units, such as 250ms or 1m30s (ns us ms s m h d)"


def parse_duration(value: object) -> float:
    """The seconds that `value` stands for: an int, a float, or a string.

    Raises ValueError for anything else, for a negative or endless time, and for one longer than
    `MAX_SECONDS`. Logs a warning when a bare integer is read as nanoseconds.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a {type(value).__name__} is no duration: {_WANTED}")
    return _from_integer(value) if isinstance(value, int) else _checked(value, value)


def _parse_text(text: str) -> float:
    stripped = text.strip()
    if len(stripped) > _MAX_TEXT:
        raise ValueError(f"a text of {len(text)} characters is no duration: {_WANTED}")
    if _INTEGER.fullmatch(stripped):
        return _from_integer(int(stripped))
    if _FLOAT.fullmatch(stripped):
        return _checked(float(stripped), text)
    if stripped.startswith("-") and _PARTS.fullmatch(stripped[1:]):
        raise ValueError(f"{text!r} is negative: a duration is 0 or more")
    if not _PARTS.fullmatch(stripped):
        raise ValueError(f"{text!r} is no duration: {_WANTED}")
    return _checked(sum(float(n) * UNITS[unit] for n, unit in _PART.findall(stripped)), text)


def _from_integer(number: int) -> float:
    if number < NANOSECONDS_FROM:
        return _checked(number, number)
    if number > MAX_SECONDS * 1e9:
        raise ValueError(f"a duration of {number:.3g} nanoseconds is too long: 292 years at most")
    seconds = number / 1e9
    logger.warning(
        "the duration %d is read as nanoseconds, %g s; write a unit to be clear", number, seconds
    )
    return seconds


def _checked(seconds: float, shown: object) -> float:
    if not math.isfinite(seconds):
        raise ValueError(f"{shown!r} is no duration: {_WANTED}")
    if seconds < 0:
        raise ValueError(f"{shown!r} is negative: a duration is 0 or more")
    if seconds > MAX_SECONDS:
        raise ValueError(f"{shown!r} is too long for a duration: 292 years at most")
    return float(seconds)


def format_nanoseconds(nanoseconds: int) -> str:
    """A whole number of nanoseconds in the largest unit that it is a whole number of."""
    for unit in _SHOWN_UNITS:
        size = round(UNITS[unit] * 1e9)
        if nanoseconds and nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return "0s"


def format_duration(seconds: float) -> str:
    """The shortest text with a unit that `parse_duration` reads as so many seconds again."""
    if seconds == 0:
        return "0s"
    for unit in _SHOWN_UNITS:
        number = round(seconds / UNITS[unit])
        if number and float(number) * UNITS[unit] == seconds:
            return f"{number}{unit}"
    return f"{seconds!r}s" if "e" not in repr(seconds) else repr(seconds)
