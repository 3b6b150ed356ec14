from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.payload.json import dumps, loads
from greenflow.payload.value import MAX_DEPTH, MAX_INT, MIN_INT


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, b"null\n"),
        ({"b": 1, "a": [True, 1.5, "\u00e4\n"]}, '{"b":1,"a":[true,1.5,"ä\\n"]}\n'.encode()),
        (b"\xff\x00", b'"/wA="\n'),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), b'"2026-01-02T03:04:05Z"\n'),
        (
            datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=timezone(timedelta(hours=2))),
            b'"2026-01-02T03:04:05.006000+02:00"\n',
        ),
        ({"error": ValueError("no \u20ac")}, '{"error":"no €"}\n'.encode()),
        ([MIN_INT, MAX_INT], b"[-9223372036854775808,18446744073709551615]\n"),
        ("9" * 40, b'"' + b"9" * 40 + b'"\n'),
        (1.0, b"1.0\n"),
        ("</script>", b'"</script>"\n'),
        ({"a": None, "b": b"\xcb\x7f\xf8"}, b'{"a":null,"b":"y3/4"}\n'),
        (["\x7f" * 3000, 1.5, None], b'["' + b"\x7f" * 3000 + b'",1.5,null]\n'),
        ([datetime.min.replace(tzinfo=UTC)], b'["0001-01-01T00:00:00Z"]\n'),
    ],
)
def test_writing(value: Any, text: bytes) -> None:
    assert dumps(value) == text


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [None, {"a": math.inf}],
        (-math.inf,),
        MAX_INT + 1,
        {"a": [MIN_INT - 1]},
        [{"a": None, "b": [1.5, "text", -math.inf]}],
        ["\x7f" * 3000, math.nan],
        [struct.unpack("<d", b"\1\0\0\0\0\0\xf0\xff")],
        {"a": None, "b": MAX_INT + 1},
        object(),
        "\ud800",
        ValueError("\ud800"),
        {(1, 2): 3},
    ],
)
def test_what_json_cannot_hold(value: Any) -> None:
    with pytest.raises(EncodeError):
        dumps(value)


def test_cycles_and_bottomless_values_are_errors() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(EncodeError):
        dumps(cycle)
    deep: list[Any] = [math.nan]
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EncodeError):
        dumps(deep)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-0", 0),
        ("1.0", 1.0),
        ("1e2", 100.0),
        ("18446744073709551615", MAX_INT),
        ("-9223372036854775808", MIN_INT),
        ("18446744073709551616", 18446744073709551616.0),
        ("-9223372036854775809", -9223372036854775809.0),
        ('{"a":[100000000000000000000000,"1000000000000000000000"]}', None),
        ('{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}),
        ('"\\ud83d\\ude00\\u0000"', "\U0001f600\0"),
        (" [ ] ", []),
    ],
)
def test_reading(text: str, value: Any) -> None:
    if value is None:
        value = {"a": [1e23, "1000000000000000000000"]}
    got = loads(text)
    assert got == value
    assert type(got) is type(value)
    assert loads(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xef\xbb\xbf1",
        b'"\xff"',
        b'"\\ud800"',
        "\ud800",
        b"NaN",
        b"Infinity",
        b"1e999",
        b"9" * 400,
        b"9" * 9000,
        b"[1,]",
        b"{'a':1}",
        b"01",
        b"1 2",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json(text: bytes | str) -> None:
    with pytest.raises(InvalidArgument) as error:
        loads(text)
    assert str(error.value.__cause__).startswith("no JSON: ")


def test_the_depth_is_that_of_payloads() -> None:
    for opening, closing, depth in (("[", "]", 1), ('{"a":', "}", 1), ('[{"a":', "}]", 2)):
        most = MAX_DEPTH // depth
        loads(opening * most + "1" + closing * most)
        with pytest.raises(InvalidArgument):
            loads(opening * (most + 1) + "1" + closing * (most + 1))
    assert loads('"' + "[" * 1000 + '"') == "[" * 1000
    assert loads('["' + "]" * 1000 + '"]') == ["]" * 1000]
    wide = [[1]] * 1000
    assert loads(json.dumps(wide)) == wide


@pytest.mark.parametrize("innermost", ["1", "{}", "[]", '{"a":1}', '{"]":"]"}'])
def test_the_depth_is_found_anywhere_in_a_large_document(innermost: str) -> None:
    flat, wide = '"' + "x" * 100_000 + '"', ",".join(['{"a":[{"b":null}]}'] * 1000)
    levels = 0 if innermost == "1" else 1
    for before, after in (("1", flat), (flat, "1"), (wide, "1"), ("1", wide), (flat, wide)):
        for depth in (MAX_DEPTH - 2 - levels, MAX_DEPTH - 1 - levels):
            deep = "[" * depth + '{"]":' + innermost + "}" + "]" * depth
            text = f"[{before},{deep},{after}]"
            if depth + levels < MAX_DEPTH - 1:
                assert loads(text) == json.loads(text)
            else:
                with pytest.raises(InvalidArgument) as error:
                    loads(text)
                assert "nested deeper" in str(error.value.__cause__)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(MIN_INT, MAX_INT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_was_written_is_read_back(value: Any) -> None:
    text = dumps(value)
    assert loads(text) == value
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    assert json.loads(text) == value


@given(st.recursive(st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_only_finite_numbers_are_written(value: Any) -> None:
    if all(map(math.isfinite, _numbers(value))):
        assert loads(dumps(value)) == value
    else:
        with pytest.raises(EncodeError):
            dumps(value)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [number for item in items for number in _numbers(item)]
