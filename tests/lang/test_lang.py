"""The registry of languages, and those that only hold a value: text, json, yaml (BEHAVIOUR 15)."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow import lang
from greenflow.errors import CompileFailed


@pytest.mark.parametrize(
    ("language", "code", "value"),
    [
        ("text", "", ""),
        ("text", " {as it is}\n", " {as it is}\n"),
        ("json", '{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        ("json", " null ", None),
        ("json", "", None),
        ("yaml", "a: yes\nb: [1, 0x10]", {"a": "yes", "b": [1, 16]}),
        ("yaml", "", None),
        ("yaml", "2026-01-01", "2026-01-01"),
    ],
)
def test_the_code_is_the_value(language: str, code: str, value: Any) -> None:
    program = lang.compile(language, code)
    assert program("the payload does not matter") == value
    assert program(None) == value


@pytest.mark.parametrize(
    ("language", "code", "line", "column"),
    [
        ("json", '{"a": 1,\n "b": }', 2, 7),
        ("json", "{} {}", 1, 4),
        ("json", '{"a": NaN}', 1, 7),
        ("yaml", "a: 1\na: 2", 2, 1),
        ("yaml", "a: 1\n---\nb: 2", 3, 1),
    ],
)
def test_a_fault_is_told_with_its_place(language: str, code: str, line: int, column: int) -> None:
    with pytest.raises(CompileFailed) as raised:
        lang.compile(language, code)
    assert (raised.value.line, raised.value.column) == (line, column)
    assert f"line {line}, column {column}" in str(raised.value)


def test_an_unknown_language_is_told_with_those_installed() -> None:
    with pytest.raises(CompileFailed, match=r"unknown language 'klingon'; installed are .*text"):
        lang.compile("klingon", "")


def test_the_same_code_is_compiled_once() -> None:
    assert lang.compile("json", "[1]") is lang.compile("json", "[1]")
    assert lang.compile("json", "[1]") is not lang.compile("yaml", "[1]")
