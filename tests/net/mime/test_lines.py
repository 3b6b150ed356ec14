"""JSON texts behind each other (BEHAVIOUR 10.1)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub import breathing
from greenflow.net.mime import decode, encode, lines
from greenflow.payload.json import dumps

NDJSON = "application/x-ndjson"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text('a"[{\\\n\x1eä'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(
    "kind",
    [
        *(NDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines"),
        *("application/jsonlines", "text/x-ndjson", "Application/X-NDJSON; charset=utf-8"),
    ],
)
def test_each_line_is_a_value(kind: str) -> None:
    assert decode(kind, b'{"a":1}\n2\r\n\n"x\\ny"\n[3]') == [{"a": 1}, 2, "x\ny", [3]]
    assert encode([{"a": 1}, 2], kind)[1] == b'{"a":1}\n2\n'


def test_a_body_without_lines_is_an_empty_list() -> None:
    assert decode(NDJSON, b"") == decode(NDJSON, b"\n\r\n") == []


def test_a_byte_order_mark_is_taken_off() -> None:
    assert decode(NDJSON, b"\xef\xbb\xbf1\n2") == [1, 2]


def test_a_sequence_has_separators() -> None:
    body = b'\x1e{"a":\n1}\n\x1e[2]\n\x1e'
    assert decode("application/json-seq", body) == [{"a": 1}, [2]]
    assert encode([{"a": 1}, 2], "application/json-seq")[1] == b'\x1e{"a":1}\n\x1e2\n'


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"1\n2,3\n", "line 2"),
        (b"1\n[2\n3]\n", "line 2"),
        (b"\n\n{}{}", "line 3"),
        (b"1\n\xff", "line 2"),
        (b"1\n" * 200_000 + b"x", "line 200001"),
        (b"[" * 300 + b"]" * 300, "line 1: no JSON: nested deeper"),
        (b'"a\nb"', "line 1"),
    ],
)
def test_a_bad_line_is_named(body: bytes, place: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        decode(NDJSON, body)
    assert place in str(error.value.__cause__ or error.value)


def test_a_large_line_is_a_value_too() -> None:
    value = [{"name": "x" * 50, "number": i} for i in range(20_000)]
    body = json.dumps(value).encode()
    assert decode(NDJSON, body + b"\n" + body) == [value, value]


def test_values_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_CONTAINERS", 10)
    monkeypatch.setattr(lines, "MAX_ITEMS", 20)
    assert len(decode(NDJSON, b"[]\n" * 10)) == 10
    assert decode(NDJSON, b'"[[[{{{\\"["\n' * 5 + b"[{}]") == ['[[[{{{"['] * 5 + [[{}]]
    assert decode(NDJSON, b"[1,2,3]\n" * 6) == [[1, 2, 3]] * 6
    for body in (b"[]\n" * 11, b'{"a":[]}\n' * 6, b"1\n" * 21, b"\n1" * 21, b"[1,2,3]\n" * 7):
        with pytest.raises(InvalidArgument) as error:
            decode(NDJSON, body)
        assert "more than" in str(error.value.__cause__)


def test_others_run_between_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    turns: list[int] = []
    monkeypatch.setattr(breathing, "has_others", lambda: True)
    monkeypatch.setattr(breathing, "let_others_run", lambda: turns.append(1))
    decode(NDJSON, b"1\n" * 100)
    encode([1] * 100, NDJSON)
    assert len(turns) == 200


@given(st.lists(VALUES), st.integers(1, 40))
def test_what_was_written_is_read_back(values: list[Any], piece: int) -> None:
    before = lines.PIECE_BYTES
    lines.PIECE_BYTES = piece
    try:
        for kind in (NDJSON, "application/json-seq"):
            assert decode(kind, encode(values, kind)[1]) == values
    finally:
        lines.PIECE_BYTES = before


@pytest.mark.parametrize("value", [{"a": 1}, 1, [float("nan")]])
def test_what_is_no_list_of_values(value: Any) -> None:
    with pytest.raises(EncodeError):
        encode(value, NDJSON)


@pytest.mark.parametrize("size", [1, 100, 600, 5_000])
def test_a_large_value_is_written_as_a_small_one_is(size: int) -> None:
    value = {"rows": [{"n": i, "t": 'ä"\n', "l": [None, [], {}]} for i in range(size)], "x": b"y"}
    whole = msgspec.json.encode(value) + b"\n"
    assert dumps(value) == whole
    for bad in (float("nan"), 2**65, object()):
        with pytest.raises(EncodeError):
            dumps({**value, "bad": bad})
