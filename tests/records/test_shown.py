"""Payloads in records: bounded, redacted before they are cut, and never half a secret."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.log import secret
from greenflow.payload.stream import Stream
from greenflow.records.shown import MOST, Shown, shown

SECRET = "correct-horse-battery"

payloads: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, "null"),
        (True, "true"),
        (7, "7"),
        (1.5, "1.5"),
        ("a\nb", '"a\\nb"'),
        (b"raw \xff", '"raw \\\\xff"'),
        ([1, [], {}], "[1, [], {}]"),
        ({"a": {"b": "ü"}}, '{"a": {"b": "ü"}}'),
        (ValueError("no"), '"ValueError: no"'),
        (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00+00:00"'),
        (1 << 4000, "<an integer>"),
    ],
)
def test_a_payload_is_json(payload: Any, text: str) -> None:
    assert shown(payload) == Shown(text)


def test_what_cannot_be_read_twice_is_named() -> None:
    stream = Stream(iter([b"x"]))
    assert shown({"body": stream}).text == '{"body": <Stream>}'
    stream.close()


@given(payloads, st.integers(10, 300))
def test_it_is_never_longer_than_it_may_be(payload: Any, most: int) -> None:
    assert len(shown(payload, most).text) <= most


@pytest.mark.parametrize(
    "payload",
    ["x" * 10_000_000, b"\xff" * 10_000_000, ["x"] * 1_000_000, {"k": "v" * 9000, "l": 1}],
    ids=["text", "bytes", "list", "map"],
)
def test_what_is_cut_says_so(payload: Any) -> None:
    text = shown(payload)
    assert text.cut
    assert len(text.text) <= MOST
    assert "..." in text.text


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_deep_payloads_are_cut() -> None:
    assert shown(nested(190)).cut
    assert not shown(nested(10)).cut


@pytest.mark.parametrize(
    "payload",
    [
        SECRET,
        SECRET.encode(),
        {"x": [f"a {SECRET} b"]},
        {SECRET: 1},
        {"password": "hunter22"},
        {"headers": {"Authorization": ["Bearer hunter22"], "Cookie": ["id=hunter22"]}},
        {"api_key": {"nested": "hunter22"}},
        "postgres://user:hunter22@host/db",
        "password=hunter22",
        ValueError(SECRET),
    ],
)
def test_secrets_are_taken_out(payload: Any) -> None:
    held = secret.hold([SECRET])
    try:
        text = shown(payload)
    finally:
        secret.release(held)
    assert text.masked
    assert "***" in text.text
    assert "hunter22" not in text.text
    assert SECRET not in text.text


@given(st.integers(0, 400), st.integers(0, 30), st.integers(40, 200))
def test_no_half_of_a_secret_is_left_at_the_end(before: int, secrets: int, most: int) -> None:
    held = secret.hold([SECRET])
    try:
        text = shown("." * before + SECRET * secrets, most).text
        raw = shown(("." * before + SECRET * secrets).encode(), most).text
    finally:
        secret.release(held)
    for each in (text, raw):
        assert SECRET[:4] not in each


def test_a_number_that_is_a_secret() -> None:
    held = secret.hold(["123456789"])
    try:
        assert shown({"pin": 123456789}).text == '{"pin": ***}'
    finally:
        secret.release(held)
