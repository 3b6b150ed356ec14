"""Events to values and their places.

Lives here: what is done with each event, aliases and merge keys, and the limits of both. Not here:
how a text becomes events (events.py), and what a single scalar means (scalars.py).

Values are built in one loop, so nesting reaches no limit of a stack before ours, and every value
that an alias repeats is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

from greenflow.hub.breathing import pause
from greenflow.spec.syntax import Part, Place, SyntaxFault, depth_of, too_deep, twice
from greenflow.spec.syntax.yaml.scalars import TAG, plain, tagged

#: How many values aliases may repeat in one text. 306 bytes of them can stand for millions of
#: values, which cost 42 s and 2 GiB when they are written out.
MAX_REPEATED = 100_000

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


def compose(stream: Iterable[Any]) -> list[Part]:
    """The documents that events tell of; empty ones are left out. Raises SyntaxFault."""
    return _Composer().parts(stream)


class _Composer:
    def __init__(self) -> None:
        from ruamel.yaml import events

        self.scalar, self.alias = events.ScalarEvent, events.AliasEvent
        self.map_start, self.list_start = events.MappingStartEvent, events.SequenceStartEvent
        self.ends = (events.MappingEndEvent, events.SequenceEndEvent)
        self.document_end = events.DocumentEndEvent
        self.document_start = events.DocumentStartEvent
        self.stack: list[_Level] = []
        self.anchors: dict[str, tuple[Any, Place]] = {}
        self.repeated = 0
        self.root: tuple[Any, Place] = (None, (1, 1, None))

    def parts(self, stream: Iterable[Any]) -> list[Part]:
        parts = []
        for event in stream:
            pause()
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
        if event.ctag is not None:
            value = tagged(event, line, column)
        elif event.implicit[0]:
            if expects_key and value == "<<" and event.anchor is None:
                value = _MERGE
            else:
                value = plain(value, line, column)
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
        if event.ctag is not None and event.tag not in ("!", TAG + wanted):
            raise SyntaxFault(level.line, level.column, f"the tag {event.tag} is not known here")
        if self.stack:
            above = self.stack[-1]
            if above.key is None and type(above.value) is dict:
                self.take_key(above, level.value, level.line, level.column)
        if len(self.stack) >= self.deepest(level.value):
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
        value = self.copy(value, self.deepest(value) - len(self.stack), line, column)
        level = self.stack[-1] if self.stack else None
        if level is not None and level.key is None and type(level.value) is dict:
            self.take_key(level, value, line, column)
        else:
            self.put(value, (line, column, place[2]))

    def deepest(self, value: Any) -> int:
        """The depth of the text at which the value that is next may be, at most."""
        root = self.stack[0].value if self.stack else None
        return depth_of(root, self.stack[1].value if len(self.stack) > 1 else value)

    def copy(self, value: Any, depth: int, line: int, column: int) -> Any:
        self.repeated += 1
        if self.repeated > MAX_REPEATED:
            reason = f"aliases repeat more than {MAX_REPEATED} values"
            raise SyntaxFault(line, column, reason)
        if depth <= 0 and isinstance(value, dict | list):
            raise too_deep(line, column)
        if isinstance(value, dict):
            return {key: self.copy(item, depth - 1, line, column) for key, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, depth - 1, line, column) for item in value]
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
