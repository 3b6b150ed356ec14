"""Lengths of time that a payload may say: a duration, or CEL that gives one (BEHAVIOUR 1.11).

Lives here: TimeSpan, for fields of the type of that name, and what counts as a length of time when
it comes out of a payload. A text is CEL if it is about `self` (spec/fields.py). How a duration is
written in a spec is spec/duration.py's.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from greenflow import lang
from greenflow.errors import InvalidArgument, SpecFault
from greenflow.hub.clock import Clock
from greenflow.spec.duration import MAX_SECONDS, parse_duration

_NUMBER = re.compile(r"\s*[-+]?[0-9]+(?:\.[0-9]+)?\s*")


class TimeSpan:
    """A length of time, said by the spec or worked out of a payload."""

    def __init__(self, written: float | str) -> None:
        self.constant = None if isinstance(written, str) else written
        self._program = lang.compile("cel", written) if isinstance(written, str) else None

    def of(self, payload: Any, clock: Clock) -> float | None:
        """The seconds, 0 or more; None where the expression says null. Raises what the expression
        raises, and InvalidArgument for what is no length of time."""
        if self._program is None:
            return self.constant
        return seconds_of(self._program(payload), clock)


def faults(path: str, written: float | str | None) -> list[SpecFault]:
    """What is wrong with such a field of a spec."""
    return lang.faults("cel", written, path) if isinstance(written, str) else []


def seconds_of(value: Any, clock: Clock) -> float | None:
    """A length of time that a payload says: seconds, a text with units, or a moment to wait for: a
    timestamp or a date of HTTP (RFC 9110, section 5.6.7), as in `Retry-After` (10.2.3). What is
    over is 0, null None. Raises InvalidArgument."""
    try:
        seconds = _seconds(value, clock)
        if seconds is not None and not seconds <= MAX_SECONDS:
            raise ValueError("a length of time is 292 years at most")
    except (TypeError, ValueError) as error:
        raise InvalidArgument() from ValueError(f"no length of time: {error}")
    return None if seconds is None else max(seconds, 0.0)


def moment_of(value: Any) -> float | None:
    """A moment that a payload says, in seconds since 1970: a timestamp, its text (RFC 3339), or a
    date of HTTP; null None. Raises InvalidArgument."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            value = _date_of_http(value) if "," in value else datetime.fromisoformat(value)
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise ValueError("write a timestamp with its zone, such as 2026-01-31T09:00:00Z")
        return value.timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidArgument() from ValueError(f"no moment: {error}")


def _date_of_http(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds(value: Any, clock: Clock) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.timestamp() - clock.time()
    if isinstance(value, int | float) and not isinstance(value, bool):
        if math.isnan(value):
            raise ValueError("NaN")
        return float(value)
    if isinstance(value, str):
        if _NUMBER.fullmatch(value):
            return float(value)
        if "," in value:
            return _date_of_http(value).timestamp() - clock.time()
    return parse_duration(value)
