"""What says one thing here and another to a release of uniflow, so that its author is asked.

Lives here: `unclear`, the doubts about such fields of a spec. What is read as what without a switch
is spec/duration.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greenflow.errors import SpecFault
from greenflow.scheme.compat.walking import Kinds, Walk, written
from greenflow.spec.duration import NANOSECONDS_FROM, format_duration

#: Whole numbers from here on may well be milliseconds; as seconds this is 17 minutes (BEHAVIOUR
#: 1.7).
UNCLEAR_FROM = 1_000


class _Durations(Walk):
    """Collects the whole numbers that are durations."""

    def duration(self, value: Any, path: tuple[str | int, ...]) -> Any:
        text = str(value).strip() if type(value) in (int, str) else ""
        if text.isdecimal() and UNCLEAR_FROM <= int(text) < NANOSECONDS_FROM:
            number = int(text)
            reason = (
                f"{number} is read as seconds, {format_duration(number)}, and was milliseconds or"
                f" nanoseconds to releases of uniflow: write the unit, as {number}s or {number}ms"
            )
            self.notes.append(SpecFault(written(path), reason))
        return value


def unclear(document: dict[str, Any], kinds: Kinds) -> Iterator[SpecFault]:
    """The doubts about a spec, and about the specs inside of it."""
    walk = _Durations(kinds, words=False)
    walk.spec(document, ())
    yield from walk.notes
