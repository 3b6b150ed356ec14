"""When something is due (greenflow.nodes.schedule.timetable); the policies of schedules are in
test_schedule.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from greenflow.nodes.schedule.timetable import Cron, Interval

MINUTES = st.sampled_from(["*", "*/7", "0", "30", "0,15,45", "5-50/15"])
HOURS = st.sampled_from(["*", "*/5", "0", "2", "1-3", "23"])
DAYS = st.sampled_from(["* * *", "1 * *", "L * *", "* * SUN", "* 3,10 *", "LW * 1#2", "25-31 * 0"])
EXPRESSIONS = st.builds("{} {} {}".format, MINUTES, HOURS, DAYS)
ZONES = st.sampled_from(
    # Clocks change by an hour, by half of one, at midnight, and once by a whole day.
    ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia"]
)
# Around the changes of the clocks, and anywhere.
MOMENTS = st.one_of(
    st.sampled_from(
        [
            datetime(2026, 3, 29, tzinfo=UTC).timestamp(),
            datetime(2026, 10, 25, tzinfo=UTC).timestamp(),
            datetime(2026, 4, 4, 14, tzinfo=UTC).timestamp(),
            datetime(2018, 11, 4, 2, tzinfo=UTC).timestamp(),
            datetime(2011, 12, 30, 8, tzinfo=UTC).timestamp(),
        ]
    ),
    st.integers(1_000_000_000, 2_000_000_000),
)


@given(EXPRESSIONS, ZONES, MOMENTS, st.floats(0, 1e6), st.integers(1, 30))
def test_looking_back_finds_what_looking_ahead_does(
    expression: str, zone: str, start: float, seconds: float, limit: int
) -> None:
    cron, now = Cron(expression, zone), start + seconds
    ahead, last = [], start
    while (due := cron.after(last)) is not None and due <= now and len(ahead) < 500:
        ahead.append(due)
        last = due
    assume(len(ahead) < 500)
    assert cron.between(start, now, limit) == ahead[-limit:]
    assert all(earlier < later for earlier, later in pairwise(ahead))


def test_looking_back_over_a_day_that_a_zone_skipped_ends() -> None:
    """Apia went from December 29th to the 31st."""
    cron, skipped = Cron("* 1-3 LW * 1#2", "Pacific/Apia"), 1325232000.0
    assert cron.between(skipped, skipped + 21_000, 30) == []
    assert len(cron.between(0.0, skipped, 30)) == 30


@pytest.mark.parametrize("expression", ["* * * * 2 *", "* * * 29 2 *", "*/7 * 3-5 1 1 *"])
@pytest.mark.parametrize("limit", [1, 101, 10_001])
def test_looking_back_over_an_empty_time_passes_over_what_nobody_wants(
    expression: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that began in 1970 is set: seconds that are due in one month of the year are many."""
    looked_at = 0

    def times(cron: Cron, moment: float) -> Iterator[float]:
        nonlocal looked_at
        for due in simulated(cron, moment):
            looked_at += 1
            yield due

    simulated = Cron._times
    cron, now = Cron(expression), datetime(2026, 11, 24, tzinfo=UTC).timestamp()
    monkeypatch.setattr(Cron, "_times", times)
    found = cron.between(0.0, now, limit)
    assert looked_at < 25 * (limit + 1000)
    assert len(found) == limit
    assert found == list(islice(simulated(cron, found[0] - 1), limit))
    assert next(simulated(cron, found[-1])) > now


@given(st.floats(0.001, 1e6), st.floats(0, 1e6), st.floats(0, 1e5), st.integers(1, 30))
def test_intervals_are_due_one_after_another(
    seconds: float, start: float, long: float, limit: int
) -> None:
    interval = Interval(seconds, start)
    last = start
    for _ in range(5):
        due = interval.after(last)
        assert due > last
        assert interval.between(last, due, limit) == [due]
        last = due
    found = interval.between(start, start + long, limit)
    assert len(found) <= limit
    assert found == sorted(set(found))
    assert all(start < due <= start + long for due in found)


@given(st.text("0123456789*/,-#L? @MON", max_size=20))
def test_a_text_is_an_expression_or_an_error(text: str) -> None:
    try:
        cron = Cron(text)
    except ValueError:
        return
    assert cron.after(0.0) is not None


def test_the_calendar_ends() -> None:
    cron = Cron("0 0 1 1 *")
    end = datetime(9999, 12, 31, 23, tzinfo=UTC).timestamp()
    assert cron.after(end) is None
    assert cron.shown(cron.between(0, end - 86400, 1)[0]).year == 9999


@pytest.mark.parametrize("name", ["", "America", "Nowhere/Town", "/etc/passwd", "a\0b"])
def test_a_zone_that_is_none_is_an_error(name: str) -> None:
    with pytest.raises(LookupError, match="unknown time zone"):
        Cron("@daily", name)


def test_moments_are_shown_with_the_offset_of_their_zone() -> None:
    cron = Cron("@daily", "Asia/Kathmandu")
    assert cron.shown(0).isoformat() == "1970-01-01T05:30:00+05:30"


def test_an_expression_has_a_limit() -> None:
    every = ",".join(map(str, range(60)))
    assert Cron(f"{every} {every} {','.join(map(str, range(24)))} * * *").after(0.0) == 1.0
    with pytest.raises(ValueError, match="at most 1,000 characters"):
        Cron(",".join(["1"] * 600) + " * * * *")
