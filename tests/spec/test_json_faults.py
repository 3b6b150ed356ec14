"""Our second look at a JSON text against Python's parser: both take the same texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenflow.spec.syntax import MAX_DEPTH, Part, SyntaxFault
from greenflow.spec.syntax.json import parts_of_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 99)
    | st.sampled_from([0.5, -1e5])
    | st.text('a"\\\n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=6,
)
signs = st.sampled_from(
    [*'{}[]:,"\\ \n\t09.eE+-aunt\x01\xa0', "true", "null", "NaN", "\\u12", '"a"']
)


# The same key twice, NaN, numbers that could not be written again, half a surrogate.
REFUSED = ("twice", "no JSON number", "no finite number", "more than 64 bit", "surrogate")


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A JSON text, of which a few places may be something else."""
    text = json.dumps(draw(values), indent=draw(st.sampled_from([None, 1])))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(signs) + text[at + draw(st.integers(0, 2)) :]
    return text


def told_by_python(text: str) -> list[Any] | None:
    """The documents; None where there is something else."""
    found, position = [], len(text) - len(text.lstrip(" \t\r\n"))
    try:
        while position < len(text):
            value, position = json.JSONDecoder().raw_decode(text, position)
            found.append(value)
            position += len(text[position:]) - len(text[position:].lstrip(" \t\r\n"))
    except json.JSONDecodeError:
        return None
    return found


def read(text: str) -> tuple[list[Part] | None, str]:
    """The documents, or what is wrong."""
    try:
        return parts_of_json(text), ""
    except SyntaxFault as fault:
        return None, fault.reason


@given(broken() | st.lists(signs, max_size=8).map("".join))
@example("01")
@example('{"a": 1.}')
@example("[1e+]")
@example("-")
@example('"\\')
@example('"\\u12"')
@example('{"a": "b\x01"')
@example("9e900")
@example("99999999999999999999")
def test_both_take_the_same_texts(text: str) -> None:
    expected = told_by_python(text)
    parts, reason = read(text)
    if parts is not None:
        assert [part.value for part in parts] == [each for each in expected if each is not None]
        assert all(part.place()[0] >= 1 for part in parts)
    elif reason.startswith("not JSON"):
        assert reason != "not JSON"
        assert expected is None
    else:  # what Python takes, and we do not
        assert any(word in reason for word in REFUSED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "1:6: not JSON: expecting ',' delimiter"),
        ("[1,]", "1:4: not JSON: expecting value"),
        ("[", "1:2: not JSON: expecting value"),
        ("{", "1:2: not JSON: expecting property name enclosed in double quotes"),
        ('{"a": 1 "b": 2}', "1:9: not JSON: expecting ',' delimiter"),
        ("[1}", "1:3: not JSON: expecting ',' delimiter"),
        ("]", "1:1: not JSON: expecting value"),
        ("[01]", "1:3: not JSON: expecting ',' delimiter"),
        ("[truth]", "1:2: not JSON: expecting value"),
        ('["a\n"]', "1:4: not JSON: invalid control character U+000A in a string"),
        ('["\\x"]', "1:3: not JSON: invalid escape in a string"),
        ('["\\u00g0"]', "1:3: not JSON: invalid \\uXXXX escape in a string"),
        ('[1,\n "abc]', "2:2: not JSON: a string without an end starts here"),
        ('["\\', "1:2: not JSON: a string without an end starts here"),
        ("[" * 600, f"1:{MAX_DEPTH + 1}: nested deeper than {MAX_DEPTH}"),
    ],
)
def test_what_is_wrong_is_told_in_our_words(text: str, message: str) -> None:
    with pytest.raises(SyntaxFault) as raised:
        parts_of_json(text)
    fault = raised.value
    assert f"{fault.line}:{fault.column}: {fault.reason}" == message
