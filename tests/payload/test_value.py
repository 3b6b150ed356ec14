"""Payloads: which may travel, and that nobody changes what another sees (BEHAVIOUR 3.7)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.engine.node import Context, Node
from greenflow.engine.packet import NOTHING
from greenflow.errors import InvalidArgument
from greenflow.hub import breathing
from greenflow.payload import value
from greenflow.payload.value import MAX_DEPTH, adopt, copy, measured
from greenflow.spec.fields import Spec
from tests.graphs import SERVICES, ask, entry, link

payloads = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def containers(payload: Any) -> set[int]:
    if isinstance(payload, dict):
        return {id(payload)}.union(*map(containers, payload.values()))
    if isinstance(payload, list):
        return {id(payload)}.union(*map(containers, payload))
    return set()


@given(payloads)
def test_a_copy_is_equal_and_shares_no_container(payload: Any) -> None:
    for made in (copy(payload), adopt(payload)):
        assert made == payload
        assert not containers(made) & containers(payload)


class Colour(IntEnum):
    RED = 1


class Shade(str, Enum):  # noqa: UP042 -- its own text is its name, which it must not become
    DARK = "dark"


class float64(float):
    """As numpy has it."""


def nested_time(depth: int) -> Any:
    value: Any = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("given", "adopted"),
    [
        ((1, (2,)), [1, [2]]),
        (OrderedDict(a=1), {"a": 1}),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (Colour.RED, 1),
        (Shade.DARK, "dark"),
        ({Shade.DARK: [float64(2)]}, {"dark": [2.0]}),
        (nested_time(MAX_DEPTH), nested_time(MAX_DEPTH)),
    ],
)
def test_what_is_like_a_payload_is_taken_as_one(given: Any, adopted: Any) -> None:
    assert adopt(given) == adopted
    assert type(adopt(given)) is type(adopted)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (object(), "$"),
        ({"a": [1, {2}]}, "$.a[1]"),
        ({1: 2}, "$"),
        (2**64, "$"),
        ([-(2**63) - 1], "$[0]"),
        (datetime(2026, 1, 1), "$"),
        (nested(MAX_DEPTH + 1), "$"),
    ],
)
def test_what_is_no_payload_is_refused_at_its_place(payload: Any, place: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        adopt(payload)
    assert str(raised.value.__cause__).startswith(place)


class Vandal(Node[Spec]):
    """Code from outside that changes what it gets."""

    def handle(self, ctx: Context, payload: Any) -> Any:
        payload["items"].append("changed")
        payload["more"] = True
        return payload


class Keeper(Node[Spec]):
    """Keeps what it gets, as it gets it."""

    reads_only = True

    def __init__(self) -> None:
        super().__init__(Spec(kind="keeper", id="keeper"), SERVICES)
        self.kept: Any = None

    def handle(self, ctx: Context, payload: Any) -> Any:
        self.kept = payload
        return NOTHING


def test_no_branch_sees_what_another_changed() -> None:
    keeper = Keeper()
    vandal = Vandal(Spec(kind="vandal", id="vandal"), SERVICES)
    last = Keeper()
    link(vandal, last)
    sent = {"items": [1]}
    ask(entry(vandal, keeper), sent)
    assert sent == {"items": [1]}
    assert keeper.kept == {"items": [1]}
    assert last.kept == {"items": [1, "changed"], "more": True}


def test_what_outside_code_returns_must_be_a_payload() -> None:
    class Wrong(Node[Spec]):
        def handle(self, ctx: Context, payload: Any) -> Any:
            return {1, 2}

    (answer,) = ask(entry(Wrong(Spec(kind="wrong", id="wrong"), SERVICES)), 1)
    assert isinstance(answer.error, InvalidArgument)


@pytest.mark.parametrize("work", [copy, adopt, measured])
def test_there_are_pauses_in_work_on_large_payloads(
    work: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []
    monkeypatch.setattr(value, "_pause", lambda: pauses.append(1))
    payload = {"list": [[1, 2]] * (10 * value.MANY), "map": {str(n): n for n in range(value.MANY)}}
    taken = work(payload)
    assert (taken[0] if work is measured else taken) == payload
    assert len(pauses) == 10


def test_what_changes_in_a_pause_is_copied_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = {str(number): number for number in range(1000)}
    monkeypatch.setattr(value, "_pause", payload.clear)
    assert len(adopt(payload)) == 1000


def test_the_engine_lets_others_run_in_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breathing, "STRETCH", -1.0)
    turns: list[int] = []
    other = gevent.spawn(turns.append, 1)
    copy([0] * 1000)
    assert turns == [1]
    other.join()
