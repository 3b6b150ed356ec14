"""Integers that are no doubles: what a snippet hands on is what came in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, WorkflowError
from greenflow.lang import javascript
from greenflow.lang.javascript.arrivals import may_be_long
from greenflow.payload.origin import Origin, mark
from tests.lang.scripts import returning, run, shared_workers
from tests.waiting import DEADLINE

pytestmark = pytest.mark.usefixtures(shared_workers.__name__)

ID = 228930314431312345
IDS = [ID, ID + 1, ID + 2, -ID, -ID - 1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63) + 1, 10**18]

WAYS = {
    "itself": "a",
    "spread": "({ ...a })",
    "JSON": "JSON.parse(JSON.stringify(a))",
    "clone": "structuredClone(a)",
    "entries": "Object.fromEntries(Object.entries(a))",
    "with bytes": "(({ x, ...rest }) => rest)({ ...a, x: new Uint8Array(1) })",
    "later": "new Promise((done) => setTimeout(done, 1, a))",
    "a map": "Object.fromEntries(new Map(Object.entries(a)))",
}


@pytest.mark.parametrize("way", WAYS)
def test_they_survive(way: str) -> None:
    payload = {"id": ID, "ids": IDS, "deep": [{"id": ID + 3}], "small": 2**53, "text": str(ID)}
    came = run(returning(WAYS[way]), payload)
    assert came == payload
    assert type(came["id"]) is int


def test_they_survive_beside_what_has_tags() -> None:
    payload = {"id": ID, "bytes": b"x", "ids": [ID + 1, b"y"]}
    assert run(returning("({ ...a, more: a.bytes })"), payload) == {**payload, "more": b"x"}


def test_each_is_a_number_of_its_own_inside() -> None:
    code = returning("[typeof a[0], new Set(a).size, a.indexOf(a[2]), a[1] === a[2], a.length]")
    assert run(code, IDS) == ["number", len(IDS), 2, False, len(IDS)]


def test_one_alone_is_what_a_literal_is() -> None:
    assert run(returning(f"a === {ID} && a === Number('{ID}') && a + 0 === a"), ID) is True


def test_what_is_reckoned_is_a_double() -> None:
    assert run(returning("[a * 2, a - a, a + 1000]"), ID) == [
        int(float(ID)) * 2,
        0,
        int(float(ID) + 1000),
    ]


def test_those_that_share_a_double_keep_their_order() -> None:
    ids = [ID + 6, ID - 3, ID, 3, ID + 100, -ID, ID + 1]
    assert run(returning("a.sort((x, y) => x - y)"), ids) == sorted(ids)


def test_numbers_of_one_call_are_none_of_another() -> None:
    program = javascript.compile("let kept; export default (a) => { kept ??= a; return kept; }")
    assert program(ID, timeout=DEADLINE) == ID
    assert program(5) in (5, int(float(ID)))


def test_large_doubles_are_not_taken_for_integers() -> None:
    payload = [float(ID), ID, 1e18, 10**18 + 1, 1e300, -1e18]
    came = run(returning("a"), payload)
    assert came == [int(float(ID)), ID, 10**18, 10**18 + 1, 1e300, -(10**18)]


def test_what_an_error_had_been_given() -> None:
    error = WorkflowError("x")
    mark(error, Origin("n", "k", "", {"id": ID + 1}))
    assert run(returning("[a.e.input.id, a.id, a.e]"), {"e": error, "id": ID}) == [
        ID + 1,
        ID,
        error,
    ]
    with pytest.raises(InvalidArgument):
        run(returning("a"), {"id": ID, "o": object()})


_integers = st.integers(-(2**63), 2**63 - 1)
_payloads = st.recursive(
    _integers | st.floats(allow_nan=False, allow_infinity=False) | st.integers(ID - 40, ID + 40),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)
_handed_on = javascript.compile(
    "const copy = (a) => Array.isArray(a) ? a.map(copy) : typeof a !== 'object' ? a :"
    " Object.fromEntries(Object.entries(a).map(([key, it]) => [key, copy(it)]));\n"
    "export default (a) => ({ a: copy(a), json: JSON.parse(JSON.stringify(a)) });"
)


@settings(max_examples=150, deadline=None)
@given(_payloads)
def test_any_payload_survives(payload: Any) -> None:
    assert _handed_on(payload, timeout=DEADLINE) == {"a": payload, "json": payload}


@given(st.text("0123456789a", max_size=60), st.integers(0, 20))
def test_a_long_run_of_digits_is_found_wherever_it_stands(text: str, before: int) -> None:
    for whole in (text, "x" * before + "9" * 16 + text):
        long = any(whole[i : i + 16].isdigit() for i in range(len(whole) - 15))
        assert may_be_long(whole) is long
        assert may_be_long(whole.encode()) is long


def test_a_long_run_of_digits_is_found_where_stretches_meet() -> None:
    for place in range((1 << 17) - 20, (1 << 17) + 20):
        text = "x" * place + "1" * 16 + "x" * 50
        assert may_be_long(text)
