"""Large JSON is read in pieces: the same values and the same refusals, in short stretches."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument
from greenflow.hub import breathing
from greenflow.payload import large
from greenflow.payload.json import loads
from greenflow.payload.large import MAX_CONTAINERS, MAX_ITEMS, loads_in_turns
from greenflow.payload.value import MAX_DEPTH

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet='ab,:[]{}"\\é\n', max_size=6),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["", "a", "b", ",", '"']), inner)
    ),
    max_leaves=20,
)
LAYOUTS = st.sampled_from([(",", ":"), (" , ", " : "), (",\n\t", ":")])
SIZES = st.integers(1, 40)


def outcome(read: Any, text: bytes) -> Any:
    try:
        return "value", read(text)
    except InvalidArgument as error:
        return "refused", None if error.__cause__ is None else re.sub(
            r"\d+", "", str(error.__cause__)
        )[:8]


def same(text: bytes, size: int) -> None:
    whole = outcome(loads, text)
    kept = large.PIECE_BYTES, large.STRING_BYTES
    large.PIECE_BYTES, large.STRING_BYTES = size, max(2, size // 2)
    try:
        pieces = outcome(loads_in_turns, text)
    finally:
        large.PIECE_BYTES, large.STRING_BYTES = kept
    assert pieces == whole
    assert json.dumps(pieces[1]) == json.dumps(whole[1])  # also the order of keys


@given(VALUES, LAYOUTS, SIZES)
def test_a_text_is_the_same_value_however_it_is_cut(value: Any, layout: Any, size: int) -> None:
    same(json.dumps(value, separators=layout).encode(), size)
    same(json.dumps(value, separators=layout, ensure_ascii=False).encode(), size)


PARTS = ['"a":', '"b":', '"":', "[", "]", "{", "}", ",", "1", '"x"', " ", "\\", '"', "-"]
NOISE = [b",", b"]", b"}", b'"', b"[", b"", b"\xff", b":"]
PAIRS = st.recursive(
    st.just([]),
    lambda inner: st.lists(st.tuples(st.sampled_from("ab"), inner), max_size=4),
    max_leaves=12,
)


@given(st.lists(st.sampled_from(PARTS), max_size=25).map("".join), SIZES)
def test_what_is_no_json_is_refused_however_it_is_cut(text: str, size: int) -> None:
    same(text.encode(), size)


@given(VALUES, st.integers(0, 60), st.sampled_from(NOISE), SIZES)
def test_what_is_nearly_json_is_refused(value: Any, at: int, noise: bytes, size: int) -> None:
    text = json.dumps(value).encode()
    same(text[:at] + noise + text[at + 1 :], size)


@given(PAIRS, SIZES)
def test_of_equal_keys_the_last_one_counts(pairs: Any, size: int) -> None:
    def write(pairs: Any) -> str:
        return "{" + ",".join(f'"{name}":{write(inner)}' for name, inner in pairs) + ',"z":[1]}'

    same(write(pairs).replace("{,", "{").encode(), size)


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 50_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('[1,{"b":2,"a":', "}]")])
def test_the_limit_of_depth_is_the_same(begin: str, end: str, depth: int) -> None:
    times = depth // (2 if begin[0] + end[-1] == "[]" and "{" in begin else 1)
    for more in (0, 1):
        same((begin * (times + more) + "1" + end * (times + more)).encode(), 64)


def test_where_it_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "PIECE_BYTES", 16)
    text = b'[{"a": 1}, {"a": 2}, {"a": 3}, {"a": x}, {"a": 5}]'
    with pytest.raises(InvalidArgument) as told:
        loads_in_turns(text)
    assert f"(byte {text.index(b'x')})" in str(told.value.__cause__)


def test_more_lists_than_help_anybody_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "MAX_CONTAINERS", 10)
    assert loads_in_turns(b"[" + b"[]," * 8 + b'"[[[[[["]') is not None
    with pytest.raises(InvalidArgument) as refused:
        loads_in_turns(b"[" + b"[]," * 10 + b"1]")
    assert "more than 10 lists and maps" in str(refused.value.__cause__)


def test_more_items_than_help_anybody_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "MAX_ITEMS", 10)
    monkeypatch.setattr(large, "PIECE_BYTES", 8)
    assert loads_in_turns(b"[" + b"1," * 9 + b'",,,,"]') == [*[1] * 9, ",,,,"]
    with pytest.raises(InvalidArgument) as refused:
        loads_in_turns(b'{"a":[' + b"1," * 5 + b'1],"b":[' + b"1," * 4 + b"1]}")
    assert "more than 10 items in lists and maps" in str(refused.value.__cause__)


@pytest.mark.parametrize(
    "item", [b"1,", b"[],", b'"a,[",', b"2.2250738585072011e-308,", b'{"a":[1,2]},']
)
def test_the_steps_are_in_proportion_to_the_text(
    item: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece is decoded once, and others run behind each."""
    monkeypatch.setattr(large, "PIECE_BYTES", 512)
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    decoded: list[int] = []
    turns: list[int] = []
    decode = large.decode_fitting

    def counting(text: bytes, offset: int, end: int) -> Any:
        decoded.append(len(text))
        return decode(text, offset, end)

    monkeypatch.setattr(large, "decode_fitting", counting)
    monkeypatch.setattr(breathing, "let_others_run", lambda: turns.append(1))
    for times in (1_000, 4_000):
        decoded.clear()
        turns.clear()
        text = b"[" + item * times + b"1]"
        assert len(loads_in_turns(text)) == times + 1
        assert max(decoded) <= 512 + 100
        assert sum(decoded) <= 1.3 * len(text) + 100
        assert len(decoded) - 1 <= len(turns) <= len(decoded) + 1


@pytest.mark.parametrize(
    "text", [b'["ab"' + b',"ab"' * MAX_ITEMS + b"]", b"[" + b"[]," * MAX_CONTAINERS + b"1]"]
)
def test_what_has_too_many_items_is_refused_before_any_of_them_is_there(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "decode_fitting", None)
    with pytest.raises(InvalidArgument) as refused:
        loads_in_turns(text)
    assert "more than" in str(refused.value.__cause__)


def test_commas_and_brackets_in_strings_are_no_items() -> None:
    text = "," * (MAX_ITEMS + 1) + "[" * (MAX_CONTAINERS + 1)
    assert loads_in_turns(f'["{text}",1]'.encode()) == [text, 1]
