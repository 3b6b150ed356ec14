"""What says one thing here and another to a release of uniflow, so that its author is asked.

Lives here: `unclear`, the doubts about such fields of a spec. What is read as what without a switch
is spec/duration.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greenflow.errors import SpecFault
from greenflow.scheme.compat.walking import Kinds, Walk
from greenflow.spec.duration import NANOSECONDS_FROM, format_duration
from greenflow.spec.path import written

#: Whole numbers from here on may well be milliseconds; as seconds this is 17 minutes (BEHAVIOUR
#: 1.7).
UNCLEAR_FROM = 1_000

# Characters of a text that may be such a number, with blanks around it.
_LONGEST = 16


class _Durations(Walk):
    """Collects the whole numbers that are durations."""

    def duration(self, value: Any, path: tuple[str | int, ...]) -> Any:
        if (number := _number(value)) is not None:
            reason = (
                f"{number} is read as seconds, {format_duration(number)}, and was milliseconds or"
                f" nanoseconds to releases of uniflow: write the unit, as {number}s or {number}ms"
            )
            self.notes.append(SpecFault(written(path), reason))
        return value


def _number(value: Any) -> int | None:
    """The whole number that a value is, if it is of those that are asked about."""
    if type(value) is str and 4 <= len(value) <= _LONGEST and value.strip().isdecimal():
        value = int(value)
    return value if type(value) is int and UNCLEAR_FROM <= value < NANOSECONDS_FROM else None


def _has_one(value: Any) -> bool:
    """Whether such a number stands anywhere in it. Few specs have one, and this is a twentieth
    of going through their types."""
    if type(value) is dict:
        return any(map(_has_one, value.values()))
    if type(value) is list:
        return any(map(_has_one, value))
    return _number(value) is not None


def unclear(document: dict[str, Any], kinds: Kinds) -> Iterator[SpecFault]:
    """The doubts about a spec, and about the specs inside of it."""
    if not _has_one(document):
        return
    walk = _Durations(kinds, words=False)
    walk.spec(document, ())
    yield from walk.notes
