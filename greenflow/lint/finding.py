"""What lint has found: LintFinding, and the files that it is about.

Lives here: the values that go from the checks to the reports.
"""

from __future__ import annotations

from typing import NamedTuple

from greenflow.spec.document import Document


class LintFinding(NamedTuple):
    """One thing at one place. `line` and `column` count from 1; `anchor` is the line of the field
    or spec that it is about, where an ignore is written. `subject` is the name of the spec."""

    rule: str
    path: str
    line: int
    column: int
    message: str
    subject: str = ""
    anchor: int = 0


class File(NamedTuple):
    """A file as it was read."""

    path: str
    text: str
    documents: list[Document]


def at(document: Document, rule: str, path: str, message: str) -> LintFinding:
    """A finding about a part of a document."""
    line, column = document.position(path)
    name = document.data.get("name") or document.data.get("id") or ""
    return LintFinding(rule, document.source, line, column, message, str(name), line)
