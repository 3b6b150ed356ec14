"""YAML texts to values and places: YAML 1.2 with the core schema, whatever a %YAML line says.

Lives here: which characters may be in a text; the rest is in the modules: text to events
(`events`, and the judge in `scanner`), events to values (`composer`, `scalars`), what is told of
faults (`faults`), values to text (`writer`). All of it stands on ruamel.yaml, which is imported
when the first text is read.

Merge keys (`<<: *base`), which are older than 1.2, are kept because files of others use them.
"""

from __future__ import annotations

import re

from greenflow.spec.syntax import Lines, Part, SyntaxFault
from greenflow.spec.syntax.yaml.composer import MAX_REPEATED, compose
from greenflow.spec.syntax.yaml.events import from_events
from greenflow.spec.syntax.yaml.writer import to_yaml

__all__ = ["MAX_REPEATED", "parts_of_yaml", "to_yaml"]

# Not c-printable, YAML 1.2.2 section 5.1. A tab, a line feed and a carriage return are.
_NOT_PRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)


def parts_of_yaml(text: str) -> list[Part]:
    """The documents of a YAML text; empty ones are left out. Raises SyntaxFault."""
    bad = _NOT_PRINTABLE.search(text)
    if bad is not None:
        line, column = Lines(text).at(bad.start())
        reason = f"the control character U+{ord(bad[0]):04X} is not allowed in YAML"
        raise SyntaxFault(line, column, reason)
    return from_events(text, compose)
