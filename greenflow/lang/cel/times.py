"""Timestamps and durations: reading them and taking them apart, in any time zone.

Lives here: `timestamp`, `duration` and the `get...` methods. Zones are names of the IANA database,
which the machine must have, or offsets such as `+02:00`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from greenflow.lang.cel.library import function, method
from greenflow.lang.cel.meter import Frame, charge
from greenflow.lang.cel.values import SECOND, CelError, Duration, Timestamp

# RFC 3339 section 5.6, `date-time`.
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,40}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)

#: Nanoseconds in one of each unit of a duration.
_UNITS = {
    "h": 3600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": 1_000_000,
    "us": 1000,
    "\u00b5s": 1000,
    "\u03bcs": 1000,
    "ns": 1,
}

#: Steps that a number with its unit takes, and that looking at a time zone does.
_PART_STEPS, _ZONE_STEPS = 5, 30

#: Characters of a zone's name: the longest of the IANA database has 32.
_MAX_ZONE = 100

_PART = re.compile(
    r"(?=\.?[0-9])0*+([0-9]{0,20}+)(?:\.([0-9]{0,20}+)[0-9]{0,80}+)?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)"
)


@function("timestamp", Timestamp)
@function("duration", Duration)
def same(value: object) -> object:
    """The same."""
    return value


@function("timestamp", int)
def timestamp_of_seconds(seconds: int) -> Timestamp:
    """The moment so many seconds from 1970."""
    return Timestamp(seconds * SECOND)


@function("timestamp", str)
def timestamp_of_text(text: str) -> Timestamp:
    """The moment that RFC 3339 writes so."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise CelError("the string is no timestamp: write RFC 3339, 2009-02-13T23:31:30Z")
    date, time, fraction, sign, hours, minutes = found.groups()
    try:
        ns = Timestamp.of(datetime.fromisoformat(f"{date}T{time}+00:00")).ns
    except ValueError as error:
        raise CelError(f"the string is no timestamp: {error}") from error
    if sign and not (int(hours) < 24 and int(minutes) < 60):  # RFC 3339, section 5.6
        raise CelError("the string is no timestamp: offsets go from -23:59 to +23:59")
    offset = (int(hours) * 3600 + int(minutes) * 60) * SECOND if sign else 0
    ns -= -offset if sign == "-" else offset
    return Timestamp(ns + int((fraction or "0").ljust(9, "0")[:9]))


@function("duration", str, metered=True)
def duration_of_text(frame: Frame, text: str) -> Duration:
    """The length that numbers with units add up to, such as `-1.5h` or `1m30s`."""
    sign, body = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    ns, at = 0, 0
    while found := _PART.match(body, at):
        charge(frame, _PART_STEPS)
        whole, fraction, unit = found.groups()
        ns += int(whole or "0") * _UNITS[unit]
        if fraction:
            ns += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        at = found.end()
    if body != "0" and (not body or at != len(body)):
        raise CelError("the string is no duration: write units, such as 1m30s (h m s ms us ns)")
    return Duration(-ns if sign == "-" else ns)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    found = _OFFSET.fullmatch(name)
    try:
        if len(name) > _MAX_ZONE:
            raise ValueError("too long")
        if found is None:
            return ZoneInfo(name)
        sign, hours, minutes = found.groups()
        if int(minutes) >= 60:
            raise ValueError(name)
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-offset if sign == "-" else offset)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CelError(f"unknown time zone {name[:80]!r}") from error


def _local(moment: Timestamp, zone: str | None) -> datetime:
    try:
        return moment.datetime().astimezone(UTC if zone is None else _zone(zone))
    except OverflowError as error:
        raise CelError("the time zone leads out of the years 1 to 9999") from error


def _part(names: str, part: Callable[[datetime], int]) -> None:
    method(names, Timestamp)(lambda moment: part(_local(moment, None)))

    def run(frame: Frame, moment: Timestamp, zone: str) -> int:
        charge(frame, _ZONE_STEPS)
        return part(_local(moment, zone))

    method(names, Timestamp, str, metered=True)(run)


_part("getFullYear", lambda local: local.year)
_part("getMonth", lambda local: local.month - 1)
_part("getDate", lambda local: local.day)
_part("getDayOfMonth", lambda local: local.day - 1)
_part("getDayOfWeek", lambda local: local.isoweekday() % 7)
_part("getDayOfYear", lambda local: local.timetuple().tm_yday - 1)
_part("getHours", lambda local: local.hour)
_part("getMinutes", lambda local: local.minute)
_part("getSeconds", lambda local: local.second)
_part("getMilliseconds", lambda local: local.microsecond // 1000)


def _cut(ns: int, unit: int) -> int:
    return -(-ns // unit) if ns < 0 else ns // unit


def _whole(names: str, unit: int) -> None:
    method(names, Duration)(lambda length: _cut(length.ns, unit))


_whole("getHours", 3600 * SECOND)
_whole("getMinutes", 60 * SECOND)
_whole("getSeconds", SECOND)


@method("getMilliseconds", Duration)
def milliseconds(length: Duration) -> int:
    """The milliseconds beside whole seconds, as cel-spec has it."""
    whole = _cut(length.ns, SECOND) * SECOND
    return _cut(length.ns - whole, 1_000_000)
