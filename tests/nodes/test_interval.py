"""Lengths of time that payloads say (BEHAVIOUR 1.11)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import GreenflowError, InvalidArgument
from greenflow.nodes.interval import TimeSpan, seconds_of
from greenflow.testing import ManualClock, flow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (1.5, 1.5),
        (2_000_000, 2_000_000),
        ("2000000", 2_000_000),
        (" 7 ", 7),
        ("250ms", 0.25),
        (-1, 0),
        ("-1", 0),
        (NOW + timedelta(hours=1), 3600),
        (NOW - timedelta(hours=1), 0),
        (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9),
        ("Thu, 01 Jan 2026 00:00:09 -0000", 9),
        (None, None),
    ],
)
def test_what_is_a_length_of_time(value: Any, seconds: float | None) -> None:
    assert seconds_of(value, ManualClock(start=NOW)) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "1 fortnight",
        "Thu, 99 Jan 2026",
        "-1s",
        float("nan"),
        float("inf"),
        1e300,
        True,
        [],
        {},
        b"1",
        "9" * 60,
        ValueError("x"),
    ],
)
def test_what_is_none(value: Any) -> None:
    with pytest.raises(InvalidArgument) as raised:
        seconds_of(value, ManualClock())
    assert str(raised.value.__cause__).startswith("no length of time: ")


@given(st.text() | st.integers() | st.floats() | st.binary() | st.lists(st.text()))
def test_whatever_a_payload_says_is_a_length_of_time_or_an_error(value: Any) -> None:
    try:
        seconds = seconds_of(value, ManualClock())
    except InvalidArgument:
        return
    assert seconds is not None
    assert 0 <= seconds <= 2**63 / 1e9


def test_a_duration_of_the_spec_asks_no_payload() -> None:
    assert TimeSpan(1.5).of(ValueError("an error"), ManualClock()) == 1.5


def test_sleep_waits_as_long_as_its_input_says() -> None:
    clock = ManualClock()
    specs = [{"kind": "sleep", "name": "a", "interval": "self.seconds"}]
    with flow(specs, clock=clock) as running:
        call = gevent.spawn(running.call, "a", {"seconds": "2s"})
        clock.wait_for_sleepers()
        clock.advance(1.9)
        assert not call.ready()
        clock.advance(0.1)
        assert call.get() == {"seconds": "2s"}
        with pytest.raises(GreenflowError, match="invalid argument"):
            running.call("a", {"seconds": "soon"})
        with pytest.raises(GreenflowError, match="seconds"):
            running.call("a", {})
