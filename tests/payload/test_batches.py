"""Payloads written in batches: the text is the encoder's own, and no part of it is large."""

from __future__ import annotations

import json
from typing import Any

import gevent
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.hub import breathing
from greenflow.payload import batches
from greenflow.payload.batches import depth, encoded, in_order, is_large, packed

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
        patch.setattr(batches, "LOADED", large)
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


# MessagePack

pack = msgspec.msgpack.Encoder(order="deterministic").encode


@given(VALUES.filter(lambda value: abs(most_of(value)) < 2**63), st.integers(1, 9))
def test_messagepack_is_that_of_the_encoder(value: Any, large: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "LARGE", large)
        patch.setattr(batches, "LOADED", large)
        patch.setattr(batches, "BATCH", 3)
        assert packed(value, pack, ordered=True) == pack(value)
        assert packed(value, msgspec.msgpack.encode) == msgspec.msgpack.encode(value)


def most_of(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        return max(map(most_of, inside), key=abs, default=0)
    return value if type(value) is int else 0


@pytest.mark.parametrize("length", [15, 16, 63, 64, 65_535, 65_536])
def test_messagepack_of_any_length(length: int) -> None:
    for value in ([1] * length, {f"{n}": n for n in range(length)}):
        assert packed(value, pack, ordered=True) == pack(value)


# What is sorted


@given(st.lists(st.text(max_size=3), unique=True), st.integers(16, 40))
def test_texts_are_in_order(texts: list[str], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "SORTED", at_once)
        assert in_order(texts) == sorted(texts)


def test_others_run_while_many_texts_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    monkeypatch.setattr(breathing, "let_others_run", lambda: turns.append(1))
    texts = [f"{number * 7919 % 20_011}" for number in range(20_000)]
    assert in_order(texts) == sorted(texts)
    assert len(turns) > len(texts)
