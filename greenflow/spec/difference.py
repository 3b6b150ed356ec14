"""How two versions of a document differ: by what they mean, not by how they were written.

Lives here: the fields that differ (`fields`), and the same as unified text (`unified`). The order
of fields, quotes and comments mean nothing; code is compared line by line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from greenflow.spec.syntax.yaml import to_yaml

#: Fields in the order in which people write them; others follow, by name.
_FIRST = ("kind", "name", "namespace", "id", "annotations")
_LAST = ("env", "ports")


class Absent:
    """What stands where one version has nothing."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


class Difference(NamedTuple):
    """A part that differs: `path` is where, as faults write it; before and after may be ABSENT."""

    path: str
    before: Any
    after: Any


def fields(before: Any, after: Any, path: str = "$") -> Iterator[Difference]:
    """The smallest parts that differ, in the order of `after`. 1, 1.0 and true are different."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in (*after, *(key for key in before if key not in after)):
            here = before.get(key, ABSENT), after.get(key, ABSENT)
            yield from fields(*here, f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            first = before[index] if index < len(before) else ABSENT
            second = after[index] if index < len(after) else ABSENT
            yield from fields(first, second, f"{path}[{index}]")
    elif type(before) is not type(after) or before != after:
        yield Difference(path, before, after)


def unified(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, name: str
) -> list[str]:
    """The lines of a unified diff of both as YAML, without line ends; none if they are the same."""
    return list(
        difflib.unified_diff(
            _lines(before),
            _lines(after),
            "/dev/null" if before is None else f"a/{name}",
            "/dev/null" if after is None else f"b/{name}",
            lineterm="",
        )
    )


def ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its fields in one order, whoever wrote it."""
    rest = sorted(document.keys() - {*_FIRST, *_LAST})
    return {key: document[key] for key in (*_FIRST, *rest, *_LAST) if key in document}


def _lines(document: Mapping[str, Any] | None) -> list[str]:
    return [] if document is None else to_yaml(ordered(document)).splitlines()
