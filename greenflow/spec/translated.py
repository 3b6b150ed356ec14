"""A document in the meanings of this engine, for whoever reads files that were written for another.

Lives here: Translated, what became of a document, and where in the author's text a place in it is.
What means what is scheme/compat's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from greenflow.errors import SpecFault
from greenflow.spec.path import value_at
from greenflow.spec.syntax import Lines, offset_of


class Insertion(NamedTuple):
    """Text that was put into code, at an offset of the code as it was written."""

    offset: int
    text: str


class Translated(NamedTuple):
    """A document as it is meant here, what its author should know, each with its path, and what
    was inserted into code, by the path of the code. Paths are those of what was written."""

    data: dict[str, Any]
    notes: tuple[SpecFault, ...] = ()
    insertions: Mapping[str, tuple[Insertion, ...]] = {}

    def located(self, fault: SpecFault) -> SpecFault:
        """A fault of `data` at its place in what was written: of inserted text, the place it was
        put."""
        insertions = self.insertions.get(fault.path)
        if not fault.line or not insertions:
            return fault
        code = value_at(self.data, fault.path)
        offset = offset_of(code, fault.line, fault.column)
        written = with_insertions(code, insertions, undo=True)
        for insertion in insertions:
            if offset > insertion.offset:
                offset = max(insertion.offset, offset - len(insertion.text))
        line, column = Lines(written).at(offset)
        return fault._replace(line=line, column=column)


def with_insertions(code: str, insertions: tuple[Insertion, ...], *, undo: bool = False) -> str:
    """The code with the texts in it; to `undo`, the code that they were put into."""
    for insertion in insertions if undo else reversed(insertions):
        start, text = insertion
        code = code[:start] + ("" if undo else text) + code[start + len(text) * undo :]
    return code
