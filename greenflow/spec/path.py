"""Paths of faults, `$.routes[0].method`: how they are written, and what they lead to.

Lives here: how a path goes through lists and maps, of values or of their places. A key may hold
dots and brackets; the longest key that fits is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Way = tuple[str | int, ...]


def written(way: Iterable[str | int]) -> str:
    """The path of keys and indexes, as errors write it."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in way)


def step(inside: object, rest: str) -> tuple[Way, str] | None:
    """The key or index that `rest` of a path enters next in a list or map, and what then remains of
    the path. None where it leads to nothing there."""
    if isinstance(inside, list):
        number, bracket, after = rest.removeprefix("[").partition("]")
        if rest.startswith("[") and bracket and number.isdecimal() and int(number) < len(inside):
            return (int(number),), after
    elif rest.startswith("[0]"):
        # A single value where a list is wanted is a list of one (BEHAVIOUR 1.5).
        return (), rest.removeprefix("[0]")
    elif isinstance(inside, dict) and rest.startswith("."):
        named = rest[1:]
        for end in range(len(named), 0, -1):
            if (end == len(named) or named[end] in ".[") and named[:end] in inside:
                return (named[:end],), named[end:]
    return None


def value_at(data: Any, path: str) -> Any:
    """What a path leads to; None where that is nothing."""
    rest = path.removeprefix("$")
    while rest:
        entered = step(data, rest)
        if entered is None:
            return None
        way, rest = entered
        for key in way:
            data = data[key]
    return data
