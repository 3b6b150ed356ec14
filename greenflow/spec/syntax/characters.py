"""The place in a text of each character of the strings that were read from it.

Lives here: Written, a text that somebody may ask so, for the faults of code that stands in strings.
A text must have been read before (json.py, yaml). All is worked out when somebody asks: what is
read without fault pays for nothing but the text, which is kept.

In a text with `|`, with escapes, or folded over lines, line and column of a string are not those of
the text plus something; so the string is read once more, in pieces that stand in the text as they
are. If it does not come out as before, nothing is told rather than something wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property

from greenflow.spec.syntax import Lines, offset_of
from greenflow.spec.syntax.spans import Span, are_json, spans_of_documents

_JSON_PIECE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]+"
)

# What ends a line of YAML (1.2.2, section 5.4).
_YAML_BREAK = "\r\n|\r|\n"


class Written:
    """A text, and the name of its file."""

    def __init__(self, text: str, source: str) -> None:
        self.text, self.source = text, source

    @cached_property
    def is_json(self) -> bool:
        """Whether it was read as JSON."""
        return are_json(self.text, self.source)

    @cached_property
    def documents(self) -> list[Span]:
        """The spans of its documents."""
        return list(spans_of_documents(self.text, self.source))

    @cached_property
    def lines(self) -> Lines:
        """Its lines."""
        return Lines(self.text, "\n" if self.is_json else _YAML_BREAK)

    def place(
        self, number: int, way: Iterable[str | int], line: int, column: int
    ) -> tuple[int, int] | None:
        """Line and column in the text of what is at a line and column of a string: the one that
        keys and indices lead to in a document of that number. Lines and columns count from 1. What
        is behind the end of the string is at its end. None where it cannot be told."""
        span = self.documents[number]
        for step in way:
            span = _inside(span, step)
        if span.value is None:
            return None
        # What is wrong at the end is so behind the last character, not behind line ends after it.
        index = min(offset_of(span.value, line, column), len(span.value.rstrip("\n")))
        offset = self._offset(span, span.value, index)
        return None if offset is None else self.lines.at(offset)

    def _offset(self, span: Span, value: str, index: int) -> int | None:
        """Where the character of a string is in the text."""
        pieces = self._pieces(span, value)
        if pieces is None:
            return None
        here, end = 0, span.start
        for start, piece in pieces:
            if index < here + len(piece):
                return start + index - here
            here, end = here + len(piece), start + len(piece)
        # In quotes the end is the closing one, wherever an escape ends; else it is known.
        is_quoted = end < span.end and self.text[span.end - 1] in "'\""
        return span.end - 1 if is_quoted else end

    def _pieces(self, span: Span, value: str) -> list[tuple[int, str]] | None:
        """The string in pieces, each with its place; what is no string is one as it stands."""
        start, end = span.start, span.end
        if not self.is_json:
            from greenflow.spec.syntax.yaml.texts import pieces_of

            return pieces_of(self.text, start, end, value)
        if not self.text.startswith('"', start):
            return [(start, value)]
        return [
            (found.start(), json.loads(f'"{found[0]}"') if found[0][0] == "\\" else found[0])
            for found in _JSON_PIECE.finditer(self.text, start + 1, end - 1)
        ]


def _inside(span: Span, step: str | int) -> Span:
    if isinstance(step, int):
        return span.items[step]
    found = span.find(step)
    assert found is not None  # the values that were read have it
    return found[1]
