"""Nodes that go through a large payload let others in, as often as it is large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from greenflow.engine import process
from greenflow.errors import EncodeError, InvalidArgument, WorkflowError
from greenflow.hub import breathing
from greenflow.lang.javascript import wire
from greenflow.lang.javascript.arrivals import Arrivals
from greenflow.net import mime
from greenflow.nodes.cache import _holds_stream, key_of
from greenflow.payload import value
from greenflow.payload.stream import Stream
from greenflow.sql.values import binder
from tests.flows import flow

MANY = 6_400
ROWS = [{"id": number, "tags": ["a", "b"]} for number in range(MANY)]
KEYS = {f"{number * 7919 % 100_003}": number for number in range(MANY * 2)}


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each time that others are let in: whenever that may be."""
    found: list[int] = []
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    monkeypatch.setattr(breathing, "let_others_run", lambda: found.append(1))
    monkeypatch.setattr(value, "_pause", lambda: found.append(1))
    return found


def test_json_is_written_in_batches(turns: list[int]) -> None:
    mime.dumps(ROWS)
    assert len(turns) >= MANY // 64
    turns.clear()
    mime.dumps({"one": 1})
    assert not turns


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 2**64, object()])
@pytest.mark.parametrize("place", [0, MANY // 2, MANY - 1])
def test_what_json_does_not_have_is_found_in_any_batch(bad: Any, place: int) -> None:
    rows = [*ROWS[:place], {"id": [bad]}, *ROWS[place:]]
    with pytest.raises(EncodeError, match="no JSON"):
        mime.dumps(rows)


@pytest.mark.parametrize("payload", [ROWS, KEYS, {"a": [KEYS, ROWS]}], ids=["rows", "keys", "both"])
def test_keys_of_a_cache_are_made_in_batches(payload: Any, turns: list[int]) -> None:
    key = key_of(payload)
    assert len(turns) >= MANY // 64
    backwards = dict(reversed(payload.items())) if isinstance(payload, dict) else list(payload)
    assert key_of(backwards) == key
    assert key_of([payload]) != key


def test_a_stream_is_found_in_a_large_answer() -> None:
    for found in (True, False):
        last: Any = Stream([]) if found else None
        assert _holds_stream([*ROWS, [{"body": last}]]) is found
        assert _holds_stream([*ROWS, ValueError(), 2**70, last]) is found


def test_a_form_is_written_field_by_field(turns: list[int]) -> None:
    form = "application/x-www-form-urlencoded"
    _, body, _ = mime.encode(KEYS, form)
    assert len(turns) >= len(KEYS)
    assert body.count(b"&") == len(KEYS) - 1
    turns.clear()
    mime.encode(KEYS, "multipart/form-data")
    assert len(turns) >= len(KEYS)


def test_what_a_generator_sends_is_many_turns(turns: list[int]) -> None:
    with flow(
        "- {kind: split, name: a, links: {'out[0]': {name: b}}}\n- {kind: nop, name: b}"
    ) as it:
        it.call("a", ROWS)
        assert len(turns) >= MANY


def test_a_fan_out_of_many_is_many_turns(turns: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "let_others_run", lambda: None)
    call = "{kind: python, name: a, call: 'tests.nodes.test_large_payloads:each'}"
    with flow(call) as it:
        assert it.call("a", None) == list(range(MANY))
        assert len(turns) >= 3 * MANY


def each(payload: Any) -> Iterator[int]:
    yield from range(MANY)


def test_arguments_of_sql_are_written_in_batches(turns: list[int]) -> None:
    bind = binder("sqlite")
    text = bind(ROWS)
    assert len(turns) >= MANY // 64
    assert text.startswith('[{"id":0,"tags":["a","b"]},')
    with pytest.raises(InvalidArgument):
        bind([*ROWS, b"bytes"])


def test_large_integers_go_to_javascript_in_turns(turns: list[int]) -> None:
    numbers = [sign * (2**60 + number * 7 + 1) for number in range(MANY) for sign in (1, -1)]
    arrivals = Arrivals()
    text = wire.encode(numbers, "tag", arrivals)
    assert len(turns) >= 3 * len(numbers)
    inside = [int(number) for number in text[2:-1].split(",")]
    assert len(set(inside)) == len(numbers)
    assert arrivals.integers is not None
    assert [arrivals.integers.get(float(number), number) for number in inside] == numbers


def test_what_is_no_number_is_null_in_a_large_payload(turns: list[int]) -> None:
    text = wire.encode([float("nan"), ROWS], "tag", Arrivals())
    assert text.startswith("v[null,[{")
    assert len(turns) >= MANY


def test_a_chain_of_errors_has_a_limit() -> None:
    with flow("{kind: throw, name: a}") as it:
        with pytest.raises(InvalidArgument) as refused:
            it.call("a", ["x"] * 1_001)
        assert str(refused.value.__cause__) == "a chain of more than 1,000 errors"
        with pytest.raises(WorkflowError, match="last"):
            it.call("a", [None] * 5_000 + ["x"] * 999 + ["last"])


def test_a_table_has_as_many_columns_when_written_as_when_read() -> None:
    with flow("{kind: format, name: a, format: csv}") as it:
        for rows in ([dict.fromkeys(map(str, range(16_385)))], [[0] * 16_385]):
            with pytest.raises(EncodeError, match="more than 16,384 columns"):
                it.call("a", rows)
        assert it.call("a", [[0] * 16_384]).count(",") == 16_383
