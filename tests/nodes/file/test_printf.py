"""Formats (greenflow.nodes.file.printf). What is expected is what Go's fmt writes."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, messages
from greenflow.nodes.file.printf import printf


@pytest.mark.parametrize(
    ("format", "arguments", "text"),
    [
        ("", [], ""),
        ("100%% of %s", ["it"], "100% of it"),
        ("%v %v %v %v", [None, True, -3, "x"], "<nil> true -3 x"),
        ("%v", [{"b": 1, "a": [1, "x", None]}], "map[a:[1 x <nil>] b:1]"),
        ("%v", [b"ab"], "[97 98]"),
        ("%v %v %v %v", [2.5, 1e6, 123456.0, 1e-5], "2.5 1e+06 123456 1e-05"),
        (
            "%v %v %v",
            [123456789.0, 1.5e300, 0.1 + 0.2],
            "1.23456789e+08 1.5e+300 0.30000000000000004",
        ),
        ("%v %v %v %v", [float("nan"), float("inf"), -float("inf"), -0.0], "NaN +Inf -Inf -0"),
        ("%5d|%-5d|%05d|%+d|% d", [3, 3, -3, 3, 3], "    3|3    |-0003|+3| 3"),
        ("%d %.3d", [3.0, 7], "3 007"),
        ("%b %o %#o %x %X %#x", [5, 8, 8, 255, 255, 255], "101 10 010 ff FF 0xff"),
        ("%x %X % x %.2x", ["hi", b"\x01\xff", "hi", "abc"], "6869 01FF 68 69 6162"),
        ("%c%c", [0x4E16, 65], "世A"),
        (
            "%f %.2f %08.3f %e %E",
            [3, 2.345, -3.14159, 123456.0, 0.5],
            "3.000000 2.35 -003.142 1.234560e+05 5.000000E-01",
        ),
        ("%g %.3g %G", [0.1, 1234.5678, 1e-10], "0.1 1.23e+03 1E-10"),
        ("%6.2f|%-8s|%8s|%.2s", [3.14159, "ab", "ab", "abc"], "  3.14|ab      |      ab|ab"),
        ("%*d|%-*d|%.*f|%*d", [5, 1, 5, 1, 2, 3.14159, -3, 1], "    1|1    |3.14|1  "),
        (
            "%q %q %+q %#q",
            ['a"\n\x00é', "\u200b", "é", "a b"],
            '"a\\"\\n\\x00é" "\\u200b" "\\u00e9" `a b`',
        ),
        ("%q %q", [65, 39], "'A' '\\''"),
        ("%s %s", [ValueError("no"), "grün".encode()], "no grün"),
        ("%t %T %T %T", [False, 1, None, {}], "false int null map"),
        ("%v", [datetime(2026, 1, 1, tzinfo=UTC)], "2026-01-01T00:00:00+00:00"),
    ],
)
def test_it_writes_what_go_writes(format: str, arguments: list[Any], text: str) -> None:
    assert printf(format, arguments) == text


@pytest.mark.parametrize(
    ("format", "arguments", "reason"),
    [
        ("%d %d", [1], "wants more than the 1 arguments given: nothing is left for %d"),
        ("%d", [1, 2], "takes 1 arguments, not 2"),
        ("none", [1], "takes 0 arguments, not 1"),
        ("%y", [1], "'%y' is no verb; known are %v %s"),
        ("50%", [], "'%' is no verb"),
        ("%d", ["x"], "%d does not write what is string; %v writes all"),
        ("%d", [2.5], "%d does not write what is float"),
        ("%d", [True], "%d does not write what is bool"),
        ("%5.1f", ["x"], "%5.1f does not write what is string"),
        ("%s", [3], "%s does not write what is int"),
        ("%t", [1], "%t does not write what is int"),
        ("%9999999d", [1], "a width is an integer up to 10,000"),
        ("%*d", ["x", 1], "a width is an integer"),
    ],
)
def test_what_go_complains_of_is_an_error(format: str, arguments: list[Any], reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        printf(format, arguments)
    assert reason in ": ".join(messages(caught.value))


PAYLOADS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.text("%+-# 0*.123dvsqxXbcoefgtTz", max_size=12), st.lists(PAYLOADS, max_size=4))
def test_it_writes_a_text_or_is_an_error(format: str, arguments: list[Any]) -> None:
    with suppress(InvalidArgument):
        assert isinstance(printf(format, arguments), str)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_shortest_form_of_a_number_is_that_number(number: float) -> None:
    for verb in ("%v", "%g"):
        assert float(printf(verb, [number])) == number


def test_many_arguments_are_written() -> None:
    numbers = list(range(100_000))
    assert printf("%d" * len(numbers), numbers) == "".join(map(str, numbers))


def test_a_width_of_thousands_of_digits_is_too_many() -> None:
    for format in (f"%{'9' * 10_000}d", f"%.{'9' * 10_000}f"):
        with pytest.raises(InvalidArgument) as told:
            printf(format, [1])
        assert "a width is an integer up to" in ": ".join(messages(told.value))


def test_quotes_are_put_around_long_texts() -> None:
    text = 'ä"\n' * 5_000
    assert printf("%q", [text]) == '"' + 'ä\\"\\n' * 5_000 + '"'
    assert printf("%+q", ["ä" * 9_000]) == '"' + "\\u00e4" * 9_000 + '"'
