"""At most so many series of a metric, none of which ever goes down by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenflow.histogram import Histogram
from greenflow.metrics.declaring import Metric, Samples
from greenflow.metrics.limiting import OTHER, SeriesLimits

COUNTER = Metric("greenflow_tests_total", "counter", ("node",), "For tests.")
GAUGE = Metric("greenflow_tests", "gauge", ("node",), "For tests.")
SUMMARY = Metric("greenflow_tests_seconds", "summary", ("node",), "For tests.")
REST = ("default", OTHER)


def samples(**values: float) -> Samples:
    return {("default", name): value for name, value in values.items()}


def test_all_of_few() -> None:
    found = samples(a=1, b=2)
    assert SeriesLimits("default", 3).limit(COUNTER, found) == found
    assert SeriesLimits("default", 3).limit(COUNTER, {}) == {}


def test_who_was_first_has_a_series_and_the_others_are_one() -> None:
    limits = SeriesLimits("default", 3)
    assert limits.limit(COUNTER, samples(a=1, b=2, c=3, d=4)) == samples(a=1, b=2) | {REST: 7}
    # One of the others stays one of them, though there is room.
    assert limits.limit(COUNTER, samples(b=2, c=3, d=5)) == samples(b=2) | {REST: 8}
    assert limits.limit(COUNTER, samples(b=2, c=3, d=5, e=1)) == samples(b=2, e=1) | {REST: 8}
    # What those had that are gone is not lost.
    assert limits.limit(COUNTER, samples(b=2, e=1)) == samples(b=2, e=1) | {REST: 8}
    assert limits.limit(COUNTER, {}) == {REST: 8}


def test_a_gauge_is_of_what_is_there() -> None:
    limits = SeriesLimits("default", 2)
    assert limits.limit(GAUGE, samples(a=1, b=2, c=3)) == samples(a=1) | {REST: 5}
    assert limits.limit(GAUGE, samples(a=1, b=2)) == samples(a=1) | {REST: 2}
    assert limits.limit(GAUGE, samples(a=1)) == samples(a=1)


def test_what_is_measured_is_added_up() -> None:
    limits, times = SeriesLimits("default", 4), Histogram()
    times.add(1.0)
    found: Samples = {("default", name): times for name in "abc"}
    limited = limits.limit(SUMMARY, found)
    assert list(limited) == [("default", "a"), REST]
    total = limited[REST]
    assert isinstance(total, Histogram)
    assert (total.count, total.seconds) == (2, 2.0)
    assert times.count == 1


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 5), max_size=8), max_size=12
    )
)
def test_no_counter_goes_down_and_nothing_is_lost(steps: list[dict[str, int]]) -> None:
    limits = SeriesLimits("default", 3)
    counts: dict[str, int] = {}
    before: Samples = {}
    for step in steps:
        counts = {name: counts.get(name, 0) + more for name, more in step.items()}
        limited = limits.limit(COUNTER, samples(**counts))
        assert len(limited) <= 3
        rest, rest_before = limited.get(REST, 0), before.get(REST, 0)
        assert isinstance(rest, int)
        assert isinstance(rest_before, int)
        assert rest >= rest_before
        shown = {name: limited.get(("default", name)) for name in counts}
        assert all(value in (None, counts[name]) for name, value in shown.items())
        assert rest >= sum(counts[name] for name, value in shown.items() if value is None)
        before = limited
