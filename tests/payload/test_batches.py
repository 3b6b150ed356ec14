"""Payloads written in batches: the text is the encoder's own, and no part of it is large."""

from __future__ import annotations

import json
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.hub import breathing
from greenflow.payload import batches
from greenflow.payload.batches import depth, encoded, is_large

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def items(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value
    return len(value) + sum(map(items, inside)) if isinstance(value, dict | list) else 0


VALUES = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=60,
)


@given(VALUES, st.integers(1, 9), st.integers(1, 5))
def test_the_text_is_that_of_the_encoder(value: Any, large: int, batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "LARGE", large)
        patch.setattr(batches, "BATCH", batch)
        assert encoded(value, encode) == encode(value)


@given(VALUES)
def test_the_depth_is_that_of_the_brackets(value: Any) -> None:
    def deep(item: Any) -> int:
        inside = item.values() if isinstance(item, dict) else item
        return 1 + max(map(deep, inside), default=0) if isinstance(item, dict | list) else 0

    assert depth(value, 100) == deep(value)
    assert depth(value, 1) == min(deep(value), 2)


@pytest.mark.parametrize(
    "value",
    [
        [0] * 100_000,
        {str(number): number for number in range(50_000)},
        {"body": {"a": [[1, 2]] * 30_000}},
        [[[0] * 50] * 50] * 50,
    ],
)
def test_no_part_that_is_written_in_one_go_is_large(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def counted(part: Any) -> str:
        written.append(items(part))
        return encode(part)

    assert is_large(value)
    assert encoded(value, counted) == encode(value)
    assert max(written) <= batches.LARGE * (batches.BATCH + 1)


def test_others_run_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    turns: list[int] = []

    def run() -> None:
        while True:
            turns.append(1)
            gevent.sleep(0)

    other = gevent.spawn(run)
    encoded([0] * batches.BATCH * 10, encode)
    assert len(turns) >= 10
    other.kill()


def test_what_goes_round_is_a_recursion_error() -> None:
    value: list[Any] = [0] * 1000
    value.append(value)
    assert is_large(value)
    with pytest.raises(RecursionError):
        encoded(value, encode)
