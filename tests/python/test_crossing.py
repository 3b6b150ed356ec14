"""Payloads on their way to a worker and back: large ones in pieces, the same for both sides."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.errors import InvalidArgument
from greenflow.hub import breathing
from greenflow.payload import value
from greenflow.python import crossing, wire

RECORD = {"id": 12345, "name": "some name", "tags": ["a", "b"], "price": 12.5, "ok": True}
PAYLOADS: list[Any] = [
    1,
    [RECORD],
    [dict(RECORD, id=number) for number in range(20_000)],
    {f"{number}": RECORD for number in range(20_000)},
    {"one": "x" * 3_000_000, "two": [[number] for number in range(50_000)]},
]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each time that others are let in, by pickle or by JSON."""
    found: list[int] = []
    monkeypatch.setattr(value, "_pause", lambda: found.append(1))
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    monkeypatch.setattr(breathing, "let_others_run", lambda: found.append(1))
    return found


@pytest.mark.parametrize("serialize", ["pickle", "json"])
@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_what_comes_is_what_was_sent(payload: Any, serialize: str) -> None:
    data = crossing.encode(payload, serialize)
    assert wire.decode(data, serialize) == payload  # as a worker reads it
    assert crossing.decode(wire.encode(payload, serialize), serialize) == payload


@pytest.mark.parametrize("serialize", ["pickle", "json"])
@pytest.mark.parametrize("payload", PAYLOADS[2:4], ids=["list", "map"])
def test_others_run_while_a_large_one_is_written_and_read(
    payload: Any, serialize: str, pauses: list[int]
) -> None:
    data = crossing.encode(payload, serialize)
    pieces = len(data) / 65_536
    assert len(pauses) >= pieces - 1
    pauses.clear()
    crossing.decode(data, serialize)
    assert len(pauses) >= pieces - 1


def test_what_a_function_gave_has_no_limits_of_a_client() -> None:
    payload = [0] * 1_000_001
    assert crossing.decode(wire.encode(payload, "json"), "json") == payload


@pytest.mark.parametrize("serialize", ["pickle", "json"])
def test_what_is_broken_is_refused(serialize: str) -> None:
    data = crossing.encode(PAYLOADS[2], serialize)
    with pytest.raises(InvalidArgument):
        crossing.decode(data[:-100], serialize)


def test_what_json_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        crossing.encode([*PAYLOADS[2], object()], "json")
