"""CEL: the values of literals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import CompileFailed
from greenflow.lang import cel
from greenflow.lang.cel import literals, parsing, tree
from greenflow.lang.cel.values import UInt


def value(code: str) -> Any:
    node = parsing.parse(code)
    assert isinstance(node, tree.Literal)
    return node.value


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("''", ""),
        ('""', ""),
        ("''''''", ""),
        ('""""""', ""),
        ("'\"'", '"'),
        ('"\'"', "'"),
        ("'a\\'b'", "a'b"),
        ("'\\\\'", "\\"),
        ("'''it's'''", "it's"),
        ("'''a''b'''", "a''b"),
        ("'''a\nb\r\nc'''", "a\nb\r\nc"),
        ("'''\\''''", "'"),
        ('"""a"b"""', 'a"b'),
        (r"'\a\b\f\n\r\t\v\\\?\"\'\`'", "\a\b\f\n\r\t\v\\?\"'`"),
        (r"'\x41\X41\101\u0041\U00000041'", "AAAAA"),
        (r"'\xff\377'", "ÿÿ"),
        (r"'\U0001F600'", "😀"),
        (r"'\x4141'", "A41"),
        (r"'\1011'", "A1"),
        (r"r'\n'", "\\n"),
        (r"R'\'", "\\"),
        (r"r'''\'''", "\\"),
        (r'r"""\n"a"""', '\\n"a'),
        ("'é😀\u2028'", "é😀\u2028"),
        ("'// no comment'", "// no comment"),
        ("b'é'", "é".encode()),
        (r"b'\xff\377\n\`'", b"\xff\xff\n`"),
        (r"B'''a'b'''", b"a'b"),
        (r"br'\n'", b"\\n"),
        (r"rB'\n'", b"\\n"),
        (r'bR"""\n"a"""', b'\\n"a'),
        ("b''", b""),
        ("0", 0),
        ("007", 7),
        ("0xfF", 255),
        ("0XfFu", UInt(255)),
        ("18446744073709551615U", UInt(2**64 - 1)),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("1.5e+3", 1500.0),
        ("true", True),
        ("null", None),
    ],
)
def test_literals(code: str, expected: Any) -> None:
    found = value(code)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("code", "column", "reason"),
    [
        (r"'ab\q'", 4, r"unknown escape \q"),
        (r"'\x4'", 2, r"unknown escape \x"),
        (r"'\u004'", 2, r"unknown escape \u"),
        (r"'\U0000004'", 2, r"unknown escape \U"),
        (r"'\400'", 2, r"unknown escape \4"),
        (r"'\18'", 2, r"unknown escape \1"),
        (r"'a\ud800'", 3, "the escape is no character"),
        (r"'\U00110000'", 2, "the escape is no character"),
        (r"'''x\q'''", 5, r"unknown escape \q"),
        (r"b'\u0041'", 3, "no escape that bytes can have"),
        (r"b'''\q'''", 5, "no escape that bytes can have"),
        ("9223372036854775808", 1, "append u to an unsigned one"),
        ("-9223372036854775809", 2, "append u to an unsigned one"),
        ("18446744073709551616", 1, "the number does not fit 64 bits"),
        ("18446744073709551616u", 1, "the number does not fit 64 bits"),
        ("0x10000000000000000", 1, "the number does not fit 64 bits"),
        ("9" * 5000, 1, "the number does not fit 64 bits"),
    ],
)
def test_what_is_no_literal(code: str, column: int, reason: str) -> None:
    with pytest.raises(CompileFailed) as caught:
        cel.compile(code)
    assert reason in str(caught.value)
    assert (caught.value.line, caught.value.column) == (1, column)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_every_character_may_be_escaped(characters: str) -> None:
    escaped = "".join(f"\\U{ord(character):08x}" for character in characters)
    assert literals.string(f"'{escaped}'", 0) == characters


@given(st.binary(max_size=20))
def test_every_byte_may_be_escaped(octets: bytes) -> None:
    assert literals.string("b'" + "".join(f"\\{octet:03o}" for octet in octets) + "'", 0) == octets


@pytest.mark.parametrize("quote", ["'", '"', "'''", '"""'])
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="'\"\r\n"), max_size=9))
def test_a_raw_string_is_what_stands_there(quote: str, characters: str) -> None:
    assert value(f"r{quote}{characters}{quote}") == characters
