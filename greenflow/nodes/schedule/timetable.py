"""When something is due: the arithmetic of cron expressions and of intervals.

Lives here: Cron and Interval, and nothing that waits. Moments are seconds: of a Cron since 1970 in
UTC, of an Interval by a monotonic clock.

Cron expressions are cronsim's, which follows Debian's cron where the clocks change. A fixed time of
day (neither minute nor hour begins with `*`) is due once on every day: a time that is skipped is
due when the gap is over, one that comes twice is due the first time. Where minute or hour begins
with `*`, and where seconds are given, what counts is what the clock shows, each time it shows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from cronsim import CronSim

# What crontab(5) calls nicknames; `@reboot` is none of a time.
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

# Characters of an expression. All 60 seconds, all 60 minutes and all 24 hours in a list are 400.
_MOST_CHARACTERS = 1_000

# How far back missed times are looked for at first, in seconds, and how much farther each time that
# they are too few: expressions with seconds have many in a minute, others one in years.
_WINDOW_SECONDS, _WINDOW_GROWTH = 60.0, 8

# So many more than twice what is wanted may be looked at in one go, in about 10 ms in which nothing
# else runs. So many are at least so many seconds apart: halving the time between comes to an end.
_MORE = 1000

# Seconds before a window from which fixed times are simulated, so that it is known of a time in it
# whether it comes for the second time or was skipped. No zone changed its clocks by over a day.
_LEAD_SECONDS = 27 * 3600.0

_FORM = (
    "write five fields (minute, hour, day of month, month, day of week), six with seconds in "
    "front, or one of " + ", ".join(_NICKNAMES)
)


class Cron:
    """A cron expression in a time zone of the IANA database. Raises ValueError for an expression
    that is none, or that is never due, and LookupError for an unknown zone."""

    def __init__(self, expression: str, zone: str = "UTC") -> None:
        if len(expression) > _MOST_CHARACTERS:
            raise ValueError(f"a cron expression has at most {_MOST_CHARACTERS:,} characters")
        self._zone = _zone(zone)
        self._expression = _NICKNAMES.get(expression.strip().lower(), expression)
        fields = self._expression.split()
        # As cronsim decides it.
        self.is_fixed = len(fields) == 5 and not any(part.startswith("*") for part in fields[:2])
        self._lead = _LEAD_SECONDS if self.is_fixed else 0.0
        try:
            never = self.after(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) is None
        except _errors() as error:
            raise ValueError(f"{expression!r} is no cron expression: {error}; {_FORM}") from None
        if never:
            raise ValueError(f"{expression!r} is never due")

    def after(self, moment: float) -> float | None:
        """The first moment later than that; None if there is none in 50 years."""
        for due in self._times(moment):
            if due > moment:
                return due
        return None

    def between(self, last: float, now: float, limit: int) -> list[float]:
        """Those later than `last` and not later than `now`, in order; the last `limit` of them."""
        # Ahead from ever earlier on, for cronsim's way back never ends where a zone skipped a day;
        # and not through all of what was too early: a year may be empty but for a day of seconds.
        window, most = _WINDOW_SECONDS, 2 * limit + _MORE
        few, many = now, None  # from here on they are too few, from there too many
        begin = max(last, now - window)
        while True:
            start = begin if begin == last else begin - self._lead
            found = self._found(start, begin, now, most)
            if found is None:
                many = begin
            elif len(found) >= limit or begin == last:
                return found[-limit:]
            else:
                few = begin
                window *= _WINDOW_GROWTH
            begin = max(last, now - window) if many is None else (many + few) / 2

    def _found(self, start: float, begin: float, now: float, most: int) -> list[float] | None:
        """Those later than `begin` and not later than `now`, simulated from `start` on; None for
        more than `most`."""
        found: list[float] = []
        for due in self._times(start):
            if due > now:
                break
            # Times that a gap moved together are due once.
            if due > begin and (not found or due > found[-1]):
                if len(found) == most:
                    return None
                found.append(due)
        return found

    def shown(self, moment: float) -> datetime:
        """The moment as clocks of the zone show it, with their offset."""
        return shown(moment, self._zone)

    def _times(self, moment: float) -> Iterator[float]:
        """The times from the second of that moment on."""
        start = datetime.fromtimestamp(math.floor(moment), self._zone)
        try:
            for due in _simulated(self._expression, start):
                yield due.timestamp()
        except OverflowError:
            return  # the end of the calendar


class Interval:
    """Every so many seconds from `start` on, the first time when the first interval is over."""

    is_fixed = False

    def __init__(self, seconds: float, start: float) -> None:
        self._seconds, self._start = seconds, start

    def after(self, moment: float) -> float:
        """The first moment later than that."""
        return self._due(self._number(moment) + 1)

    def between(self, last: float, now: float, limit: int) -> list[float]:
        """Those later than `last` and not later than `now`, in order; the last `limit` of them."""
        end = self._number(now)
        numbers = range(max(self._number(last), end - limit) + 1, end + 1)
        return [self._due(number) for number in numbers]

    def _due(self, number: int) -> float:
        return self._start + number * self._seconds

    def _number(self, moment: float) -> int:
        """The number of the last one that is not later."""
        number = round((moment - self._start) / self._seconds)
        return number if self._due(number) <= moment else number - 1


def shown(moment: float, zone: tzinfo = UTC) -> datetime:
    """Seconds since 1970 as clocks of the zone show them, with their offset."""
    local = datetime.fromtimestamp(moment, zone)
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta()))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # a folder of the database is an OSError
        raise LookupError(
            f"unknown time zone {name!r}; write a name of the IANA database, such as Europe/Berlin"
        ) from None


def _errors() -> tuple[type[Exception], ...]:
    """What an expression that is none may raise: cronsim also lets others slip."""
    from cronsim import CronSimError

    return (CronSimError, AssertionError, TypeError, ValueError)


def _simulated(expression: str, start: datetime) -> CronSim:
    from cronsim import CronSim  # costs every command something, and few have a schedule

    return CronSim(expression, start)
