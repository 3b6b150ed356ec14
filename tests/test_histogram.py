"""Histograms: what is counted is all there, whatever was added in whichever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.histogram import COARSE, FINE, Histogram

SECONDS = st.lists(st.floats(min_value=0, max_value=200), max_size=60)


def of(seconds: list[float]) -> Histogram:
    histogram = Histogram(FINE)
    for each in seconds:
        histogram.add(each)
    return histogram


@given(SECONDS, SECONDS)
def test_merging_is_adding_all(one: list[float], other: list[float]) -> None:
    merged, together = of(one), of([*one, *other])
    merged.merge(of(other))
    assert merged.counts == together.counts
    assert merged.seconds == pytest.approx(together.seconds)
    assert merged.count == len(one) + len(other)


@given(SECONDS)
def test_buckets_never_go_down_and_end_with_all(seconds: list[float]) -> None:
    buckets = of(seconds).buckets()
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert buckets[-1] == (float("inf"), len(seconds))
    for bound, count in buckets:
        assert count == sum(each <= bound for each in seconds)


@given(SECONDS.filter(bool), st.floats(min_value=0.01, max_value=1))
def test_a_quantile_is_within_the_bounds_of_its_bucket(seconds: list[float], share: float) -> None:
    found = of(seconds).quantile(share)
    assert found is not None
    assert 0 <= found <= FINE[-1]
    # So many are not above the bucket in which it is.
    above = next((bound for bound in FINE if bound >= found - 1e-12), FINE[-1])
    if above < FINE[-1]:
        assert sum(each <= above for each in seconds) >= share * len(seconds) - 1e-6


def test_quantiles() -> None:
    assert Histogram().quantile(0.5) is None
    times = Histogram(COARSE)
    for _ in range(99):
        times.add(0.002)
    times.add(20.0)
    assert 0.001 < (times.quantile(0.5) or 0) <= 0.0025
    assert (times.quantile(1.0) or 0) > 10.0
    times = Histogram(COARSE)
    times.add(1000.0)
    assert times.quantile(0.5) == COARSE[-1]
