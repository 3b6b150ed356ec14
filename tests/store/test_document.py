"""Checking, copying and identifying documents."""

from __future__ import annotations

import time
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, StoreUnavailable
from greenflow.payload.value import MAX_DEPTH
from greenflow.store.document import adopt, decode, encode, new_id, same
from tests.store.tools import untimed

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(st.text(), VALUES, max_size=5)


@untimed
@given(DOCUMENTS)
def test_text_and_back(plain: dict[str, Any]) -> None:
    copied = adopt(plain, "$")
    assert copied == plain
    assert repr(decode(encode(copied, "$"))) == repr(plain)


@untimed
@given(DOCUMENTS, st.randoms())
def test_the_order_of_top_level_fields_means_nothing(plain: dict[str, Any], random: Any) -> None:
    items = list(plain.items())
    random.shuffle(items)
    assert same(encode(plain, "$"), encode(dict(items), "$"))


@untimed
@given(DOCUMENTS, DOCUMENTS)
def test_different_documents_are_not_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    if one != other:
        assert not same(encode(one, "$"), encode(other, "$"))


def test_subclasses_become_what_they_extend() -> None:
    class Text(str):
        def __str__(self) -> str:
            return "something else"

    class Number(int):
        pass

    class Fraction(float):
        pass

    copied = adopt({Text("k"): [Text("v"), Number(5), Fraction(0.5), ("t",)]}, "$")
    assert copied == {"k": ["v", 5, 0.5, ["t"]]}
    assert [type(each) for each in copied["k"]] == [str, int, float, list]
    assert type(next(iter(copied))) is str


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


def test_depth_is_limited() -> None:
    deepest = nested(MAX_DEPTH)
    assert decode(encode(adopt(deepest, "$"), "$")) == deepest
    with pytest.raises(InvalidArgument):
        adopt(nested(MAX_DEPTH + 1), "$")


def test_a_cycle_is_refused() -> None:
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    with pytest.raises(InvalidArgument):
        adopt(cycle, "$")


def test_a_damaged_text_is_a_fault_of_the_store() -> None:
    with pytest.raises(StoreUnavailable, match="damaged"):
        decode('{"id": ')


def test_ids_are_uuids_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    id = new_id()
    after = time.time_ns() // 1_000_000
    parsed = UUID(id)
    assert str(parsed) == id
    assert (parsed.version, parsed.variant) == (7, RFC_4122)
    # other ids of the same millisecond may have pushed it into the next one
    assert before <= parsed.int >> 80 <= after + 1


def test_ids_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [new_id() for _ in range(5000)]
    now = time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: now - 10**12)  # the clock is set back
    ids += [new_id() for _ in range(100)]
    assert ids == sorted(set(ids))
    assert all(UUID(id).version == 7 and UUID(id).variant == RFC_4122 for id in ids)
