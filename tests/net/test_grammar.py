from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.grammar import (
    CONTROL_CHARACTERS,
    FIELD_VALUE,
    QUOTED,
    QUOTED_TEXT,
    TOKEN,
    TOKEN_CHARACTERS,
    elements,
    has_control,
    is_token,
    unquoted,
)

# RFC 9110 5.6.2, written out.
TCHAR = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

BYTES = [chr(number) for number in range(256)]


def test_a_token_is_made_of_what_the_standard_lists() -> None:
    assert {each for each in BYTES if is_token(each)} == set(TCHAR)
    assert is_token(TCHAR)
    assert not is_token("")
    assert not is_token("a b")
    assert not is_token("a\n")
    assert not is_token("\u0661")  # a digit, and none of ours


def test_no_line_of_a_field_holds_control_characters() -> None:
    bad = {chr(number) for number in range(32)} - {"\t"} | {"\x7f"}
    assert {each for each in BYTES if has_control(each)} == bad
    assert {each for each in BYTES if not re.fullmatch(FIELD_VALUE, each)} == bad
    assert {each for each in BYTES if re.fullmatch(f"[{CONTROL_CHARACTERS}]", each)} == bad
    assert not has_control("\x80\u2028\U0001f600")
    assert has_control("a\r\nb: c")


@pytest.mark.parametrize("expression", [TOKEN, FIELD_VALUE, QUOTED, TOKEN_CHARACTERS])
def test_an_expression_for_text_is_one_for_bytes(expression: str) -> None:
    expression = f"[{expression}]" if expression is TOKEN_CHARACTERS else expression
    text, raw = re.compile(expression), re.compile(expression.encode())
    for each in [*BYTES, "abc", '"a\\"b"', '"']:
        assert bool(text.fullmatch(each)) == bool(raw.fullmatch(each.encode("latin-1")))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ('""', ""),
        ('"a b"', "a b"),
        (r'"a\"b\\c\d"', r'a"b\cd'),
        ('"\t\xe4"', "\t\xe4"),
        ('"a', None),
        ('a"', None),
        ('"a"b"', None),
        (r'"a\"', None),
        ('"a\x00"', None),
        ('"\\\n"', None),
        ('"a\x7f"', None),
    ],
)
def test_quoted_strings(text: str, meaning: str | None) -> None:
    match = re.fullmatch(f'"({QUOTED_TEXT})"', text)
    assert (None if match is None else unquoted(match[1])) == meaning
    assert (re.fullmatch(QUOTED, text) is None) == (meaning is None)


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])))
def test_what_was_quoted_is_read_back(text: str) -> None:
    written = text.replace("\\", "\\\\").replace('"', '\\"')
    match = re.fullmatch(f'"({QUOTED_TEXT})"', f'"{written}"')
    assert match is not None
    assert unquoted(match[1]) == text


def test_elements_of_a_list() -> None:
    assert elements("close, \tKeep-Alive ,,x") == ["close", "keep-alive", "", "x"]
