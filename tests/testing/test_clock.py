"""A clock that a test moves."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import NotConnected
from greenflow.testing import ManualClock, flow, sequence

RETRY = """
- {kind: retry, name: a, threshold: 3, backoff: {initial: 10s, max: 1h}, links: {out: {name: b}}}
- {kind: nop, name: b}
"""
FAILS = {"b": sequence(ValueError("1"), ValueError("2"), ValueError("3"), "fine")}


def test_time_stands_still_until_it_is_moved() -> None:
    clock = ManualClock()
    with flow(RETRY, replace=FAILS, clock=clock) as running:
        call = running.start("a", 5)
        clock.wait_for_sleepers()
        clock.advance(9.9)
        assert len(running.passed("b")) == 1
        clock.advance(0.1)
        assert len(running.passed("b")) == 2
        clock.advance(3600)
        assert call.get() == "fine"
        assert (clock.monotonic(), clock.sleepers) == (3610.0, 0)


def test_a_clock_that_jumps_makes_every_sleep_short() -> None:
    clock = ManualClock(jump=True)
    with flow(RETRY, replace=FAILS, clock=clock) as running:
        assert running.call("a", 5) == "fine"
        assert clock.monotonic() == 10 + 20 + 40


@given(st.lists(st.integers(0, 50), max_size=8), st.booleans())
def test_sleepers_wake_in_the_order_of_their_moments(seconds: list[int], jump: bool) -> None:
    clock, woken = ManualClock(jump), []

    def sleep(long: int) -> None:
        clock.sleep(long)
        woken.append(clock.monotonic())
        clock.sleep(long)
        woken.append(clock.monotonic())

    sleepers = [gevent.spawn(sleep, long) for long in seconds]
    if not jump:
        clock.advance(1000)
    gevent.joinall(sleepers)
    assert woken == sorted([*seconds, *(2 * long for long in seconds)])
    assert all(earlier <= later for earlier, later in pairwise(woken))


def test_a_wall_time_is_waited_for_and_may_be_set() -> None:
    clock, woken = ManualClock(start=datetime(2030, 1, 1, tzinfo=UTC)), []

    def wait(seconds: float) -> None:
        clock.sleep_until(datetime(2030, 1, 1, tzinfo=UTC).timestamp() + seconds)
        woken.append((seconds, clock.monotonic()))

    waiting = [gevent.spawn(wait, seconds) for seconds in (0, 60, 3600)]
    clock.wait_for_sleepers(2)
    clock.advance(60)
    assert woken == [(0, 0.0), (60, 60.0)]
    clock.set_time(datetime(2029, 1, 1, tzinfo=UTC))
    assert woken[2:] == [(3600, 60.0)]
    assert (clock.time(), clock.sleepers) == (datetime(2029, 1, 1, tzinfo=UTC).timestamp(), 0)
    gevent.joinall(waiting, raise_error=True)


def test_a_sleeper_that_is_ended_is_forgotten() -> None:
    clock = ManualClock()
    with flow({"kind": "sleep", "name": "a", "interval": "1h"}, clock=clock) as running:
        with pytest.raises(TimeoutError):
            running.call("a", timeout=0.01)
        assert clock.sleepers == 0
        clock.advance(7200)


def test_it_does_not_go_back_nor_wait_for_ever() -> None:
    clock = ManualClock()
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    with pytest.raises(AssertionError, match="2 greenlets should sleep"):
        clock.wait_for_sleepers(2, timeout=0.01)


def limited(clock: ManualClock, limit: float, sleep: float) -> str:
    try:
        with clock.timeout(limit) as expired:
            clock.sleep(sleep)
    except gevent.Timeout as timeout:
        return f"{'over' if timeout is expired else 'of others'} at {clock.monotonic():g}"
    return f"done at {clock.monotonic():g}"


@pytest.mark.parametrize("jump", [True, False])
def test_time_outs_are_over_in_their_turn(jump: bool) -> None:
    clock = ManualClock(jump)
    both = [gevent.spawn(limited, clock, *times) for times in ((5, 9), (9, 5), (3, 3))]
    if not jump:
        clock.advance(100)
    assert [one.get() for one in both] == ["over at 5", "done at 5", "over at 3"]


def test_a_time_out_alone_makes_no_time_pass() -> None:
    clock, never = ManualClock(jump=True), Event()

    def wait() -> None:
        with clock.timeout(5):
            never.wait()

    waiting = gevent.spawn(wait)
    gevent.idle()
    assert clock.monotonic() == 0
    assert not waiting.ready()
    clock.advance(5)
    with pytest.raises(gevent.Timeout):
        waiting.get()


def test_a_gateway_waits_for_its_connection_by_the_clock() -> None:
    clock = ManualClock()
    with flow({"kind": "gateway", "name": "a", "timeout": "1h"}, clock=clock) as running:
        sending = running.start("a", "hello")
        running.passed("a", count=1)
        clock.advance(3599)
        assert not sending.ready()
        clock.advance(1)
        with pytest.raises(NotConnected):
            sending.get()
