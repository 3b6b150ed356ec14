"""The time between tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.hub.backoff import FIRST, MOST, Backoff


def test_each_time_is_longer_up_to_the_most_and_success_begins_anew() -> None:
    backoff = Backoff(1.0, first=0.2, factor=3.0, jitter=0.0)
    assert [backoff.next() for _ in range(4)] == pytest.approx([0.2, 0.6, 1.0, 1.0])
    assert backoff.failures == 4
    backoff.reset()
    assert (backoff.failures, backoff.next()) == (0, 0.2)


def test_half_of_it_is_chance_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)
    assert Backoff().next() == FIRST / 2
    monkeypatch.setattr("random.random", lambda: 0.0)
    assert Backoff().next() == FIRST


@given(st.integers(0, 10**9), st.floats(0.001, 100), st.floats(1, 10), st.floats(100, 10**6))
def test_failures_before_are_skipped_as_if_they_were_waited_for(
    failures: int, first: float, factor: float, most: float
) -> None:
    skipped = Backoff(most, first=first, factor=factor, jitter=0.0)
    skipped.skip(failures)
    seconds = skipped.next()
    assert first <= seconds <= most
    if failures < 1000:
        waited = Backoff(most, first=first, factor=factor, jitter=0.0)
        for _ in range(failures):
            waited.next()
        assert waited.next() == seconds


def test_the_default_ends_at_the_most() -> None:
    backoff = Backoff(jitter=0.0)
    backoff.skip(100)
    assert backoff.next() == MOST
