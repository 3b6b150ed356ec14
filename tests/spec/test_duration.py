"""Durations: what is read, what is refused."""

from __future__ import annotations

import logging
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenflow.spec.duration import MAX_SECONDS, format_duration, parse_duration

# The machine may be busy; what is tested is not how fast it is.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (30, 30.0),
        (0.25, 0.25),
        (999_999, 999_999.0),
        ("30", 30.0),
        (" 1.5 ", 1.5),
        ("1e3", 1000.0),
        ("250ms", 0.25),
        ("1m30s", 90.0),
        ("1h0m0.5s", 3600.5),
        (".5h", 1800.0),
        ("2.d", 172_800.0),
        ("7us", 7e-6),
        ("7\u00b5s", 7e-6),
        ("7\u03bcs", 7e-6),
        ("3ns", 3e-9),
        ("0s", 0.0),
    ],
)
def test_numbers_are_seconds_and_strings_have_units(value: object, seconds: float) -> None:
    read = parse_duration(value)
    assert math.isclose(read, seconds, rel_tol=1e-12)
    assert type(read) is float


@pytest.mark.parametrize(("value", "seconds"), [(1_000_000, 0.001), ("30000000000", 30.0)])
def test_a_large_bare_integer_is_nanoseconds_and_warns(
    value: object, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert parse_duration(value) == seconds
    [record] = caplog.records
    assert (record.name, record.levelno) == ("greenflow.spec", logging.WARNING)
    assert "nanoseconds" in record.getMessage()


def test_a_large_float_or_a_number_with_a_unit_is_taken_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert parse_duration(1e6) == 1e6
    assert parse_duration("1000000s") == 1e6
    assert not caplog.records


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (-1, "negative"),
        (-0.5, "negative"),
        ("-1s", "negative"),
        ("-3", "negative"),
        (float("nan"), "no duration"),
        (float("inf"), "no duration"),
        (float("-inf"), "no duration"),
        ("nan", "no duration"),
        ("inf", "no duration"),
        ("1e999", "no duration"),
        (10**30, "too long"),
        (10.0**12, "too long"),
        ("1000000d", "too long"),
        ("", "no duration"),
        ("1 m", "no duration"),
        ("1x", "no duration"),
        ("s", "no duration"),
        ("1m30", "no duration"),
        ("1M", "no duration"),
        ("\u0663s", "no duration"),
        ("1" * 5000, "no duration"),
        (True, "no duration"),
        (None, "no duration"),
        ([1], "no duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_duration(value)
    assert len(str(caught.value)) < 300


def test_the_longest_duration_is_taken() -> None:
    assert parse_duration(MAX_SECONDS) == MAX_SECONDS
    assert parse_duration(2**63) == MAX_SECONDS


@untimed
@given(st.text("0123456789.-+eEinfamshdu\u00b5 ", max_size=12) | st.floats() | st.integers())
def test_any_value_is_read_as_a_finite_time_or_refused(value: object) -> None:
    try:
        seconds = parse_duration(value)
    except ValueError:
        return
    assert 0 <= seconds <= MAX_SECONDS


@untimed
@given(st.integers(0, 100), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_the_parts_of_a_combination_add_up(h: int, m: int, s: int, ms: int) -> None:
    assert math.isclose(
        parse_duration(f"{h}h{m}m{s}s{ms}ms"), h * 3600 + m * 60 + s + ms / 1000, abs_tol=1e-9
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.25, "250ms"),
        (1.5, "1500ms"),
        (5.0, "5s"),
        (90.0, "90s"),
        (120.0, "2m"),
        (7200.0, "2h"),
        (1e-06, "1us"),
        (1.234567891, "1234567891ns"),
    ],
)
def test_a_duration_is_shown_with_a_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@untimed
@given(st.floats(0, MAX_SECONDS) | st.integers(0, 2**63 - 1).map(lambda ns: ns / 1e9))
def test_what_is_shown_is_read_as_the_same(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
