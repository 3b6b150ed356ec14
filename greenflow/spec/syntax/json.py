"""JSON texts to values and places: one document, or several one after another (JSON lines).

Lives here: the reader on top of the standard library's, which is fast and knows no places; and a
second look at the text, for the places when somebody asks, and for the first thing in it that is
refused (RFC 8259 leaves duplicate keys, large numbers and lone surrogates to the reader).
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

from greenflow.spec.syntax import (
    MAX_DEPTH,
    Lines,
    Part,
    Place,
    SyntaxFault,
    depth_of,
    floating,
    integer,
    too_deep,
    twice,
)

TOKEN = re.compile(
    r'[ \t\r\n]*+(?:([{}\[\]:,])|("(?:[^"\\]|\\.)*+")|([^\s{}\[\]:,"]++))', re.DOTALL
)
_INTEGER = re.compile(r"-?[0-9]+")
_BLANK = re.compile(r"[ \t\r\n]*+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class _Refused(Exception):
    """The first look met something that the second one must find."""


def parts_of_json(text: str) -> list[Part]:
    """The documents of a JSON text, one after another as in JSON lines. Raises SyntaxFault."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_map_of,
        parse_constant=_refuse,
        parse_int=lambda digits: integer(digits, 10, 0, 0),
        parse_float=lambda digits: floating(digits, 0, 0),
    )
    values: list[Any] = []
    position = _skip_blank(text, 0)
    try:
        while position < len(text):
            value, position = decoder.raw_decode(text, position)
            _check_depth(value)
            values.append(value)
            position = _skip_blank(text, position)
        if _SURROGATE_ESCAPE.search(text) or _SURROGATE.search(text):
            _JSONPlaces(text).find()
    except (_Refused, SyntaxFault, RecursionError):
        _JSONPlaces(text).find()
        raise
    except json.JSONDecodeError as error:
        reason = error.msg[0].lower() + error.msg[1:]
        raise SyntaxFault(error.lineno, error.colno, f"not JSON: {reason}") from None
    places = _JSONPlaces(text)
    return [
        Part(value, partial(places.document, index))
        for index, value in enumerate(values)
        if value is not None
    ]


def _skip_blank(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


def _map_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _Refused
    return values


def _refuse(constant: str) -> None:
    raise _Refused


def _check_depth(value: Any) -> None:
    for entry in value if isinstance(value, list) else ():
        _check_levels(entry, depth_of(value, entry) - 1)
    if isinstance(value, dict):
        _check_levels(value, MAX_DEPTH)


def _check_levels(value: Any, levels: int) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        if not level:
            return
        level = [
            item
            for one in level
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, dict | list)
        ]
    if level:
        raise _Refused


class _JSONPlaces:
    """The second look at a JSON text: the places of all documents in it, and the first thing in it
    that is refused. It trusts the first look for the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = Lines(text)
        self.places: list[Place] | None = None

    def document(self, index: int) -> Place:
        return self.find()[index]

    def find(self) -> list[Place]:
        if self.places is None:
            self.places = list(self.scan())
        return self.places

    def scan(self) -> list[Place]:
        roots: list[Place] = []
        stack: list[Any] = [roots]
        key: str | None = None
        key_at = (0, 0)
        for token in TOKEN.finditer(self.text):
            sign, string, word = token.groups()
            line, column = self.lines.at(token.end() - len(sign or string or word))
            above = stack[-1]
            if sign in (":", ","):
                continue
            if sign in ("}", "]"):
                stack.pop()
                continue
            if string is not None:
                value = self.string(string, line, column)
                if isinstance(above, dict) and key is None:
                    if value in above:
                        raise twice(value, line, column)
                    key, key_at = value, (line, column)
                    continue
            elif word is not None:
                self.check_word(word, line, column)
            inside: Any = {} if sign == "{" else [] if sign == "[" else None
            if isinstance(above, dict):
                above[key or ""] = (*key_at, inside)
                key = None
            else:
                above.append((line, column, inside))
            if inside is not None:
                entry = stack[2] if len(stack) > 2 else inside
                if len(stack) > depth_of(stack[1] if len(stack) > 1 else None, entry):
                    raise too_deep(line, column)
                stack.append(inside)
        return roots

    def string(self, token: str, line: int, column: int) -> str:
        value: str = json.loads(token, strict=False)
        if _SURROGATE.search(value):
            reason = "half of a surrogate pair is no character"
            raise SyntaxFault(line, column, reason, is_final=True)
        return value

    def check_word(self, word: str, line: int, column: int) -> None:
        if word in ("NaN", "Infinity", "-Infinity"):
            raise SyntaxFault(line, column, f"{word} is no JSON number")
        if word in ("true", "false", "null"):
            return
        if _INTEGER.fullmatch(word):
            integer(word, 10, line, column)
        else:
            floating(word, line, column)
