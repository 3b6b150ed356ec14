"""Where each value of a text begins and ends, for whoever changes a text in place.

Lives here: Span, and the spans of JSON and YAML texts. A text must have been read before
(json.py, yaml): what they refuse is not looked for again.

What is changed by its span leaves all else as it was, byte for byte. The round trip of ruamel.yaml
keeps comments and the order, too, but lays out indentation, maps in brackets and the blanks before
comments anew: of 50 files that people wrote it changed 20 when nothing in them was to be changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from greenflow.spec.syntax import SyntaxFault
from greenflow.spec.syntax.json import TOKEN, parts_of_json
from greenflow.spec.syntax.yaml.events import from_events


class Span:
    """The part of a text from `start` to `end` that a value was written as. `pairs` are the keys
    and values of a map, `items` those of a list; `value` is the text of a scalar. An alias is the
    span of what it stands for."""

    __slots__ = ("end", "is_map", "items", "pairs", "start", "value")

    def __init__(
        self, start: int, end: int, value: str | None = None, is_map: bool = False
    ) -> None:
        self.start, self.end = start, end
        self.value, self.is_map = value, is_map
        self.pairs: list[tuple[Span, Span]] = []
        self.items: list[Span] = []

    def find(self, key: str) -> tuple[Span, Span] | None:
        """The key and the value of a map, also one that is merged into it (`<<: *base`)."""
        for name, value in self.pairs:
            if name.value == key:
                return name, value
        for merged in self._merged():
            found = merged.find(key)
            if found is not None:
                return found
        return None

    def _merged(self) -> Iterator[Span]:
        for name, value in self.pairs:
            if name.value == "<<":
                yield from value.items or (value,)


class _Building:
    """The spans of a text, as its parts come one after another."""

    def __init__(self) -> None:
        self.roots: list[Span] = []
        self.stack: list[tuple[Span, Span | None]] = []  # with the key whose value comes next

    def put(self, span: Span) -> None:
        """The next part is a scalar, an alias, or the beginning of a list or map."""
        if not self.stack:
            self.roots.append(span)
            return
        above, key = self.stack[-1]
        if not above.is_map:
            above.items.append(span)
        elif key is None:
            self.stack[-1] = (above, span)
        else:
            above.pairs.append((key, span))
            self.stack[-1] = (above, None)

    def enter(self, span: Span) -> None:
        """What comes next is in this list or map."""
        self.stack.append((span, None))

    def leave(self, end: int) -> None:
        """It ends here."""
        self.stack.pop()[0].end = end

    def documents(self) -> list[Span]:
        """Those that are lists or maps."""
        return [span for span in self.roots if span.value is None]


def spans_of_documents(text: str, source: str) -> Iterator[Span]:
    """The span of each document of a file, in the order in which `greenflow.spec.document` reads
    them."""
    for span in (spans_of_json if are_json(text, source) else spans_of_yaml)(text):
        yield from (span,) if span.is_map else span.items


def are_json(text: str, source: str) -> bool:
    """Whether `greenflow.spec.document` has read the text of a file as JSON."""
    if source.endswith(".json"):
        return True
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        parts_of_json(text)
    except SyntaxFault:
        return False  # so it is YAML that begins like JSON
    return True


def spans_of_json(text: str) -> list[Span]:
    """The spans of the lists and maps that are the documents of a JSON text."""
    building = _Building()
    for token in TOKEN.finditer(text):
        sign, string, word = token.groups()
        start = token.end() - len(sign or string or word)
        if sign in (":", ","):
            continue
        if sign in ("}", "]"):
            building.leave(token.end())
            continue
        value = json.loads(string, strict=False) if string is not None else word
        span = Span(start, token.end(), value, sign == "{")
        building.put(span)
        if sign is not None:
            building.enter(span)
    return building.documents()


def spans_of_yaml(text: str) -> list[Span]:
    """The spans of the lists and maps that are the documents of a YAML text."""
    return from_events(text, spans_of_events)


def spans_of_events(stream: Iterable[Any]) -> list[Span]:
    """The same, of the events of a YAML text."""
    from ruamel.yaml import events

    building = _Building()
    anchors: dict[str, Span] = {}
    for event in stream:
        kind = type(event)
        if kind is events.DocumentStartEvent:
            anchors.clear()
        elif kind is events.AliasEvent:
            building.put(anchors[event.anchor])
        elif issubclass(kind, events.NodeEvent):
            value = event.value if kind is events.ScalarEvent else None
            is_map = kind is events.MappingStartEvent
            span = Span(event.start_mark.index, event.end_mark.index, value, is_map)
            if event.anchor is not None:
                anchors[event.anchor] = span
            building.put(span)
            if value is None:
                building.enter(span)
        elif issubclass(kind, events.CollectionEndEvent):
            building.leave(event.end_mark.index)
    return building.documents()
