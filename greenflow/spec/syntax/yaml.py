"""YAML texts to values and places: YAML 1.2 with the core schema, whatever a %YAML line says.

Lives here: the reader on top of libyaml's events, the meaning of scalars, aliases and merge keys.
libyaml comes with PyYAML, for its release 0.2.5 reads `{path: /:name}` and `{url: http://host}`,
which older ones, also the one in ruamel.yaml.clib 0.2.15, refuse.

`yes`, `on` and dates are strings; tags beyond the core schema are refused. Merge keys
(`<<: *base`), which are older than 1.2, are kept because files of others use them. Values are built
from the parser's events in one loop, so nesting reaches no limit of a stack before ours, and every
value that an alias repeats is counted.
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
    floating,
    integer,
    not_finite,
    too_deep,
    twice,
)

#: How many values aliases may repeat in one text. 306 bytes of them can stand for millions of
#: values, which cost 42 s and 2 GiB when they are written out.
MAX_REPEATED = 100_000

# Core schema, YAML 1.2.2 section 10.3.2.
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o([0-7]+)")
_HEXADECIMAL = re.compile(r"0x([0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMERIC = frozenset("0123456789+-.")

# Not c-printable, YAML 1.2.2 section 5.1. A tab, a line feed and a carriage return are.
_NOT_PRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)

_TAG = "tag:yaml.org,2002:"
_MERGE: Any = object()


class _Level:
    """A list or map that is being read."""

    __slots__ = ("anchor", "column", "inside", "key", "line", "merged", "places", "value")

    def __init__(self, event: Any, is_map: bool) -> None:
        self.value: Any = {} if is_map else []
        self.places: Any = {} if is_map else []
        self.line, self.column = event.start_mark.line + 1, event.start_mark.column + 1
        self.anchor: str | None = event.anchor
        # In a map: the key whose value comes next, with its position.
        self.key: Any = None
        self.inside: tuple[int, int] = (0, 0)
        self.merged: list[tuple[dict[str, Any], dict[str, Place]]] = []


def parts_of_yaml(text: str) -> list[Part]:
    """The documents of a YAML text; empty ones are left out. Raises SyntaxFault."""
    from yaml.error import MarkedYAMLError

    bad = _NOT_PRINTABLE.search(text)
    if bad is not None:
        line, column = Lines(text).at(bad.start())
        reason = f"the control character U+{ord(bad[0]):04X} is not allowed in YAML"
        raise SyntaxFault(line, column, reason)
    try:
        return _Composer(text).parts()
    except MarkedYAMLError as error:
        raise _yaml_fault(error, text) from None


class _Composer:
    """Builds values and places from the events of libyaml."""

    def __init__(self, text: str) -> None:
        from yaml import CSafeLoader, events

        self.parser = CSafeLoader(text)
        self.scalar, self.alias = events.ScalarEvent, events.AliasEvent
        self.map_start, self.list_start = events.MappingStartEvent, events.SequenceStartEvent
        self.ends = (events.MappingEndEvent, events.SequenceEndEvent)
        self.document_end = events.DocumentEndEvent
        self.document_start = events.DocumentStartEvent
        self.stack: list[_Level] = []
        self.anchors: dict[str, tuple[Any, Place]] = {}
        self.repeated = 0
        self.root: tuple[Any, Place] = (None, (1, 1, None))

    def parts(self) -> list[Part]:
        parts = []
        parser = self.parser
        while parser.check_event():
            event = parser.get_event()
            kind = type(event)
            if kind is self.scalar:
                self.take_scalar(event)
            elif kind is self.map_start or kind is self.list_start:
                self.enter(event, kind is self.map_start)
            elif kind in self.ends:
                self.leave(event)
            elif kind is self.alias:
                self.repeat(event)
            elif kind is self.document_start:
                self.anchors.clear()
            elif kind is self.document_end:
                value, place = self.root
                if value is not None:
                    parts.append(Part(value, partial(_itself, place)))
        return parts

    def take_scalar(self, event: Any) -> None:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        value: Any = event.value
        stack = self.stack
        level = stack[-1] if stack else None
        expects_key = level is not None and level.key is None and type(level.value) is dict
        if event.tag is not None:
            value = _tagged(event, line, column)
        elif event.implicit[0]:
            if expects_key and value == "<<" and event.anchor is None:
                value = _MERGE
            else:
                value = _plain(value, line, column)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, (line, column, None))
        if level is not None and expects_key:
            self.take_key(level, value, line, column)
        else:
            self.put(value, (line, column, None))

    def take_key(self, level: _Level, key: Any, line: int, column: int) -> None:
        if key is not _MERGE and not isinstance(key, str):
            if isinstance(key, dict | list):
                raise SyntaxFault(line, column, "a key must be a string, not a list or map")
            shown = "null" if key is None else json.dumps(key)
            raise SyntaxFault(line, column, f"a key must be a string: put {shown} in quotes")
        if key is _MERGE:
            if level.merged:
                raise twice("<<", line, column)
        elif key in level.value:
            raise twice(key, line, column)
        level.key, level.inside = key, (line, column)

    def put(self, value: Any, place: Place) -> None:
        """Stores a value that is complete, with its place, where it belongs."""
        if not self.stack:
            self.root = value, place
            return
        level = self.stack[-1]
        if type(level.value) is list:
            level.value.append(value)
            level.places.append(place)
        elif level.key is _MERGE:
            self.merge(level, value, place)
            level.key = None
        else:
            level.value[level.key] = value
            level.places[level.key] = (*level.inside, place[2])
            level.key = None

    def enter(self, event: Any, is_map: bool) -> None:
        level = _Level(event, is_map)
        wanted = "map" if is_map else "seq"
        if event.tag not in (None, "!", _TAG + wanted):
            raise SyntaxFault(level.line, level.column, f"the tag {event.tag} is not known here")
        if self.stack:
            above = self.stack[-1]
            if above.key is None and type(above.value) is dict:
                self.take_key(above, level.value, level.line, level.column)
        if len(self.stack) >= MAX_DEPTH:
            raise too_deep(level.line, level.column)
        self.stack.append(level)

    def leave(self, event: Any) -> None:
        level = self.stack.pop()
        for values, places in level.merged:
            for key, value in values.items():
                if key not in level.value:
                    level.value[key] = value
                    level.places[key] = places[key]
        place = (level.line, level.column, level.places)
        if level.anchor is not None:
            self.anchors[level.anchor] = (level.value, place)
        self.put(level.value, place)

    def repeat(self, event: Any) -> None:
        """Puts a copy of the value of an anchor where an alias stands: values are never shared."""
        line, column, name = event.start_mark.line + 1, event.start_mark.column + 1, event.anchor
        if any(level.anchor == name for level in self.stack):
            raise SyntaxFault(line, column, f"the alias *{name} is inside of what it stands for")
        if name not in self.anchors:
            raise SyntaxFault(line, column, f"the alias *{name} has no anchor &{name} before it")
        value, place = self.anchors[name]
        value = self.copy(value, len(self.stack), line, column)
        level = self.stack[-1] if self.stack else None
        if level is not None and level.key is None and type(level.value) is dict:
            self.take_key(level, value, line, column)
        else:
            self.put(value, (line, column, place[2]))

    def copy(self, value: Any, depth: int, line: int, column: int) -> Any:
        self.repeated += 1
        if self.repeated > MAX_REPEATED:
            reason = f"aliases repeat more than {MAX_REPEATED} values"
            raise SyntaxFault(line, column, reason)
        if depth >= MAX_DEPTH and isinstance(value, dict | list):
            raise too_deep(line, column)
        if isinstance(value, dict):
            return {key: self.copy(item, depth + 1, line, column) for key, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, depth + 1, line, column) for item in value]
        return value

    def merge(self, level: _Level, value: Any, place: Place) -> None:
        """`<<: *base` or `<<: [*one, *two]`: keys that the map does not have itself."""
        values = value if isinstance(value, list) else [value]
        places = place[2] if isinstance(value, list) else [place]
        for one, where in zip(values, places or (), strict=False):
            if not isinstance(one, dict):
                raise SyntaxFault(*level.inside, "<< takes a map, or a list of maps")
            assert isinstance(where[2], dict)
            level.merged.append((one, where[2]))


def _itself(place: Place) -> Place:
    return place


def _plain(text: str, line: int, column: int) -> Any:
    """The value of a scalar without quotes."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMERIC:
        return text
    if _DECIMAL.fullmatch(text):
        return integer(text, 10, line, column)
    if found := _OCTAL.fullmatch(text):
        return integer(found[1], 8, line, column)
    if found := _HEXADECIMAL.fullmatch(text):
        return integer(found[1], 16, line, column)
    if _FLOAT.fullmatch(text):
        return floating(text, line, column)
    if _NOT_FINITE.fullmatch(text):
        raise not_finite(text, line, column)
    return text


def _tagged(event: Any, line: int, column: int) -> Any:
    """The value of a scalar with a tag (`!!str 5`). Tags that call code in other readers are
    refused, as is every tag that is not of the core schema."""
    text, tag = event.value, event.tag
    if tag in ("!", _TAG + "str"):
        return text
    wanted: dict[str, tuple[type, ...]] = {
        _TAG + "null": (type(None),),
        _TAG + "bool": (bool,),
        _TAG + "int": (int,),
        _TAG + "float": (float, int),
    }
    if tag not in wanted:
        raise SyntaxFault(line, column, f"the tag {tag} is not known here")
    value = _plain(text, line, column)
    if type(value) not in wanted[tag]:
        raise SyntaxFault(line, column, f"{text!r} is no {tag.removeprefix(_TAG)}")
    return float(value) if tag == _TAG + "float" else value


def _yaml_fault(error: Any, text: str) -> SyntaxFault:
    """libyaml's complaint in our words. Its marks count from 0."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    lines = text.splitlines()
    here = lines[line][column : column + 1] if line < len(lines) else ""
    reason = str(error.problem or error.context)
    if here == "\t" and "character" in reason:
        reason = "a tab cannot indent: use blanks"
    elif here and "cannot start any token" in reason:
        reason = f"the character {here!r} cannot start a value: put the text in quotes"
    elif error.context and error.context_mark is not None and error.context_mark.line != line:
        reason = f"{reason}, {error.context} that starts in line {error.context_mark.line + 1}"
    return SyntaxFault(line + 1, column + 1, reason)


def to_yaml(value: Any) -> str:
    """A YAML text of which `parts_of_yaml` makes the value again. Texts of several lines are
    written as such, and whatever could be read as something else is quoted."""
    import yaml

    class Dumper(yaml.CSafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent(dumper: Any, text: str) -> yaml.ScalarNode:
        style = "|" if "\n" in text else None if _is_plain(text) else '"'
        node: yaml.ScalarNode = dumper.represent_scalar(_TAG + "str", text, style=style)
        return node

    Dumper.add_representer(str, represent)
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100))


def _is_plain(text: str) -> bool:
    """Whether our own reader takes the text for a string when it has no quotes. The writer only
    knows what older readers of YAML 1.1 take for something else."""
    try:
        return text != "<<" and isinstance(_plain(text, 0, 0), str)
    except SyntaxFault:
        return False
