"""URL-encoded forms, read and written, in slices where they are long (BEHAVIOUR 10.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub import breathing
from greenflow.net.mime import urlencoded
from greenflow.net.mime.urlencoded import MAX_FIELDS, encode_form, parse_form

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
        ("a&b=&=c&&", {"a": [""], "b": [""], "": ["c"]}),
        ("a+b=%20%2B%26", {"a b": [" +&"]}),
        ("a=%C3%A4&b=%FF&c=%zz", {"a": ["ä"], "b": ["\ufffd"], "c": ["%zz"]}),
        ("a=1;b=2", {"a": ["1;b=2"]}),
    ],
)
def test_forms_are_read(text: str, fields: dict[str, list[str]]) -> None:
    assert parse_form(text) == fields
    assert parse_form(text.encode()) == fields


def test_raw_bytes_in_a_form() -> None:
    assert parse_form("a=ä".encode()) == {"a": ["ä"]}
    assert parse_form(b"a=\xff") == {"a": ["\ufffd"]}


def test_a_form_has_a_limit_of_fields() -> None:
    assert len(parse_form("a=1&" * (MAX_FIELDS - 1))["a"]) == MAX_FIELDS - 1
    with pytest.raises(InvalidArgument):
        parse_form("a=1&" * MAX_FIELDS)


def test_forms_are_written() -> None:
    value = {
        "a b": ["1", "ä&"],
        "number": 1.5,
        "yes": True,
        "none": None,
        "bytes": b"\xff",
        "time": datetime(2026, 1, 2, tzinfo=UTC),
        "error": ValueError('"no"'),
        "empty": [],
    }
    assert encode_form(value) == (
        b"a+b=1&a+b=%C3%A4%26&number=1.5&yes=true&none=&bytes=%FF"
        b"&time=2026-01-02T00%3A00%3A00Z&error=%22no%22"
    )


@pytest.mark.parametrize("value", [1, ["a"], {"a": {"b": 1}}, {"a": [["b"]]}, {"a": "\ud800"}])
def test_what_is_no_form(value: Any) -> None:
    with pytest.raises(EncodeError):
        encode_form(value)


@given(st.dictionaries(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), max_size=5))
def test_a_form_is_read_back(fields: dict[str, list[str]]) -> None:
    assert parse_form(encode_form(fields)) == fields


def test_what_is_escaped_and_what_is_not_are_one_text() -> None:
    """The bytes count, as the URL standard has it."""
    assert parse_form(b"a=\xc3%a4") == {"a": ["\xe4"]}


def pairs_of(text: bytes) -> list[tuple[str, str]]:
    return [(name, value) for name, values in parse_form(text).items() for value in values]


PARTS = [*"ab+&=%", "%4", "%41", "%c3%a4", "%E2%82", "%zz"]


@given(st.lists(st.sampled_from(PARTS)), st.integers(3, 9))
def test_a_form_is_read_as_the_standard_library_does(parts: list[str], size: int) -> None:
    text = "".join(parts)
    kept, urlencoded.SLICE_BYTES = urlencoded.SLICE_BYTES, size
    try:
        read = pairs_of(text.encode())
    finally:
        urlencoded.SLICE_BYTES = kept
    expected: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        expected.setdefault(name, []).append(value)
    assert read == [(name, value) for name, values in expected.items() for value in values]


@given(st.dictionaries(TEXTS, st.binary(max_size=40), max_size=4), st.integers(1, 9))
def test_a_form_is_written_as_the_standard_library_does(
    fields: dict[str, bytes], size: int
) -> None:
    kept, urlencoded.SLICE_BYTES = urlencoded.SLICE_BYTES, size
    try:
        written = encode_form(fields)
    finally:
        urlencoded.SLICE_BYTES = kept
    assert written == urlencode(fields).encode()


@pytest.mark.parametrize("unit", [b"%41", b"a%41", b"%", b"\xff", b"+", b"\0"])
def test_the_steps_are_in_proportion_to_a_form(
    unit: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    turns: list[int] = []
    monkeypatch.setattr(breathing, "let_others_run", lambda: turns.append(1))
    slices = []
    unescaped = urlencoded._unescaped
    monkeypatch.setattr(
        urlencoded, "_unescaped", lambda text: slices.append(len(text)) or unescaped(text)
    )
    for mib in (1, 4):
        turns.clear()
        slices.clear()
        text = unit * (mib * 2**20 // len(unit))
        (value,) = parse_form(b"a=" + text)["a"]
        assert sum(slices) == len(text) + 1
        assert max(slices) <= urlencoded.SLICE_BYTES
        assert mib * 64 <= len(turns) <= mib * 64 + 3
        turns.clear()
        encode_form({"a": value})
        assert len(turns) >= len(value) // urlencoded.SLICE_BYTES
