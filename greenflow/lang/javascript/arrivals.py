"""What comes in with a call and is to be itself when it comes back: errors, and large integers.

Lives here: Arrivals, which wire.py fills on the way in and asks on the way out.

A number of JavaScript is a double, which has no integer of its own for each one beyond 2^53. Such
an integer goes in as the nearest double, as JSON.parse reads it, or as the next one that is free:
no two are the same number inside. A number that is still that double when it comes out is the
integer again, wherever the snippet has put it. So `{...body}`, a filter, a sort, `===` and JSON
there and back lose nothing; what is reckoned with it is JavaScript's.
"""

from __future__ import annotations

import math
import re
from typing import Any

from greenflow.hub.breathing import Breath, unhurried
from greenflow.payload.batches import in_order
from greenflow.payload.value import MAX_INT, MIN_INT

#: Integers up to this one are doubles, each of its own.
MAX_EXACT = 2**53

_LONG = 16  # digits that an integer beyond MAX_EXACT has at least

# A run of as many digits has two at adjacent places of each eighth character. It may as well be in
# a string, which does no harm.
_EIGHTH = _LONG // 2
_DIGITS: Any = re.compile("[0-9][0-9]"), re.compile(f"[0-9]{{{_LONG}}}")
_BYTES: Any = re.compile(rb"[0-9][0-9]"), re.compile(b"[0-9]{%d}" % _LONG)

_STRETCH = 1 << 17  # characters that are looked through in one go: 2 ms at most


def may_be_long(text: str | bytes) -> bool:
    """Whether a JSON text may have integers beyond MAX_EXACT."""
    if len(text) <= _STRETCH:
        some, every = _DIGITS if isinstance(text, str) else _BYTES
        return bool(some.search(text[::_EIGHTH]) and every.search(text))
    starts = range(0, len(text), _STRETCH - _LONG)
    return any(may_be_long(text[start : start + _STRETCH]) for start in unhurried(starts))


class Arrivals:
    """The errors of a call, by their numbers, and its large integers, by their doubles."""

    __slots__ = ("_doubles", "errors", "integers")

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.integers: dict[float, int] | None = None  # as most calls have none
        self._doubles: dict[int, int] = {}

    def inside(self, payload: Any, breath: Breath) -> Any:
        """The payload with the integers that stand for its large ones; itself if it has none."""
        integers = self.integers or {}
        large, taken = set[int](), set[float](integers)
        _collect(payload, large, taken, breath)
        if not large:
            return payload
        self.integers = integers
        last = {1: 0.0, -1: 0.0}
        new = large - self._doubles.keys()
        below = reversed(in_order(integer for integer in new if integer < 0))
        for integer in (*in_order(integer for integer in new if integer > 0), *below):
            sign = 1 if integer > 0 else -1
            double = max(float(abs(integer)), MAX_EXACT + 2.0, math.nextafter(last[sign], math.inf))
            while sign * double in taken:
                double = math.nextafter(double, math.inf)
            last[sign] = double
            integers[sign * double] = integer
            self._doubles[integer] = sign * int(double)
            breath.take()
        return _replaced(payload, self._doubles, breath)


def _collect(value: Any, large: set[int], taken: set[float], breath: Breath) -> None:
    """The large integers that are no doubles, and the large doubles."""
    breath.take()
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            if type(item) is not str:
                _collect(item, large, taken, breath)
    elif isinstance(value, int):
        if abs(value) > MAX_EXACT and MIN_INT <= value <= MAX_INT:
            if int(float(value)) == value:
                taken.add(float(value))
            else:
                large.add(value)
    elif isinstance(value, float) and abs(value) > MAX_EXACT:
        taken.add(value)


def _replaced(value: Any, doubles: dict[int, int], breath: Breath) -> Any:
    breath.take()
    if isinstance(value, dict):
        return {key: _replaced(item, doubles, breath) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, doubles, breath) for item in value]
    return doubles.get(value, value) if isinstance(value, int) else value
