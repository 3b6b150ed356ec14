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

from greenflow.hub.breathing import Breath, pause
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
# What may stand in a string up to its end, and what else a value may be (RFC 8259 6 and 7).
_CHARACTERS = re.compile(r'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+')
_WORD = re.compile(
    r"true|false|null|(?P<constant>NaN|-?Infinity)"
    r"|(?:(?P<integer>-?(?:0|[1-9][0-9]*+))(?![.eE][-+0-9]))"
    r"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+"
)
_BLANK = re.compile(r"[ \t\r\n]*+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


# What a place of a text may have to go on with; the first in a list or a map may be its end.
_VALUE, _KEY = "value", "property name enclosed in double quotes"
_COLON, _COMMA = "':' delimiter", "',' delimiter"
_FIRST = "first "
_FIRST_VALUE, _FIRST_KEY = _FIRST + _VALUE, _FIRST + _KEY
_SIGNS = {_COLON: ":", _COMMA: ","}
_CLOSABLE = (_COMMA, _FIRST_VALUE, _FIRST_KEY)


class _Refused(Exception):
    """The first look met something that the second one must find."""


def parts_of_json(text: str) -> list[Part]:
    """The documents of a JSON text, one after another as in JSON lines. Raises SyntaxFault."""
    breath = Breath()

    def read_integer(digits: str) -> int:
        breath.take()
        return integer(digits, 10, 0, 0)

    def read_float(digits: str) -> float:
        breath.take()
        return floating(digits, 0, 0)

    decoder = json.JSONDecoder(
        object_pairs_hook=_map_of,
        parse_constant=_refuse,
        parse_int=read_integer,
        parse_float=read_float,
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
        _JSONPlaces(text).find()
        raise SyntaxFault(error.lineno, error.colno, "not JSON") from None
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
    that is wrong. Its words and places are ours: those of Python's parser differ from version to
    version."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = Lines(text)
        self.places: list[Place] | None = None

    def document(self, index: int) -> Place:
        return self.find()[index]

    def find(self) -> list[Place]:
        """Raises SyntaxFault."""
        if self.places is None:
            self.places = self.scan()
        return self.places

    def scan(self) -> list[Place]:
        text = self.text
        roots: list[Place] = []
        stack: list[Any] = [roots]
        key, key_at, wanted = "", (0, 0), _VALUE
        position = _skip_blank(text, 0)
        while position < len(text):
            pause()
            sign, above = text[position], stack[-1]
            is_map = isinstance(above, dict)
            line, column = self.lines.at(position)
            if sign == ("}" if is_map else "]") and wanted in _CLOSABLE and len(stack) > 1:
                stack.pop()
                position, wanted = position + 1, _COMMA
            elif wanted in _SIGNS:
                if sign != _SIGNS[wanted]:
                    raise self.expected(wanted, position)
                position, wanted = position + 1, _KEY if is_map and wanted == _COMMA else _VALUE
            elif wanted in (_KEY, _FIRST_KEY):
                if sign != '"':
                    raise self.expected(_KEY, position)
                key, position = self.string(position)
                if key in above:
                    raise twice(key, line, column)
                key_at, wanted = (line, column), _COLON
            else:
                inside: Any = {} if sign == "{" else [] if sign == "[" else None
                if is_map:
                    above[key] = (*key_at, inside)
                else:
                    above.append((line, column, inside))
                if inside is not None:
                    entry = stack[2] if len(stack) > 2 else inside
                    if len(stack) > depth_of(stack[1] if len(stack) > 1 else None, entry):
                        raise too_deep(line, column)
                    stack.append(inside)
                    position, wanted = position + 1, _FIRST_KEY if sign == "{" else _FIRST_VALUE
                else:
                    position = self.string(position)[1] if sign == '"' else self.word(position)
                    wanted = _COMMA
            if len(stack) == 1:
                wanted = _VALUE
            position = _skip_blank(text, position)
        if len(stack) > 1:
            raise self.expected(_KEY if wanted == _FIRST_KEY else wanted, position)
        return roots

    def expected(self, what: str, position: int) -> SyntaxFault:
        return self.fault(f"expecting {what.removeprefix(_FIRST)}", position)

    def fault(self, reason: str, position: int) -> SyntaxFault:
        return SyntaxFault(*self.lines.at(position), f"not JSON: {reason}")

    def string(self, start: int) -> tuple[str, int]:
        """The string that begins there, and where it ends."""
        inside = _CHARACTERS.match(self.text, start + 1)
        assert inside is not None  # none are some
        end = inside.end()
        sign = self.text[end : end + 1]
        if sign == "" or (sign == "\\" and end + 1 == len(self.text)):
            raise self.fault("a string without an end starts here", start)
        if sign == "\\":
            wrong = "\\uXXXX escape" if self.text[end + 1] == "u" else "escape"
            raise self.fault(f"invalid {wrong} in a string", end)
        if sign != '"':
            raise self.fault(f"invalid control character U+{ord(sign):04X} in a string", end)
        value: str = json.loads(self.text[start : end + 1])
        if _SURROGATE.search(value):
            line, column = self.lines.at(start)
            reason = "half of a surrogate pair is no character"
            raise SyntaxFault(line, column, reason, is_final=True)
        return value, end + 1

    def word(self, start: int) -> int:
        """Where the number, true, false or null ends that begins there."""
        found = _WORD.match(self.text, start)
        if found is None:
            raise self.expected(_VALUE, start)
        line, column = self.lines.at(start)
        constant, whole = found.group("constant", "integer")
        word = found[0]
        if constant is not None:
            raise SyntaxFault(line, column, f"{constant} is no JSON number")
        if whole is not None:
            integer(word, 10, line, column)
        elif word not in ("true", "false", "null"):
            floating(word, line, column)
        return found.end()
