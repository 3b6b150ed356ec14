"""throttle and upper, in flows of their own."""

from __future__ import annotations

import pytest

from greenflow import GreenflowError
from greenflow.testing import ManualClock, flow

SPECS = """
- {kind: throttle, name: gate, rate: 2, links: {out: {name: work}, rejected: {name: sorry}}}
- {kind: upper, name: work}
- {kind: snippet, name: sorry, code: later}
"""


def test_so_many_packets_a_second_pass() -> None:
    clock = ManualClock()
    with flow(SPECS, clock=clock) as running:
        assert [running.call("gate", text) for text in "abc"] == ["A", "B", "later"]
        clock.advance(0.5)
        assert [running.call("gate", text) for text in "de"] == ["D", "later"]
        assert running.passed("gate", "rejected") == ["c", "e"]


def test_after_a_long_silence_it_is_a_seconds_worth() -> None:
    clock = ManualClock()
    with flow(SPECS, replace={"work": "done"}, clock=clock) as running:
        clock.advance(3600)
        assert [running.call("gate") for _ in range(3)] == ["done", "done", "later"]


def test_the_rate_is_more_than_nothing() -> None:
    with pytest.raises(GreenflowError, match=r"2:32: \$\.rate"), flow(SPECS.replace("2,", "0,", 1)):
        pass


def test_upper_wants_a_text() -> None:
    with flow(SPECS) as running, pytest.raises(AttributeError):
        running.call("work", 5)
