"""The lists and sets libraries of cel-go.

Sets are lists whose order and repeats do not matter. Finding an element compares it with each, so
these functions charge the product of the lengths.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

from greenflow.lang.cel.library import function, method
from greenflow.lang.cel.meter import Frame, bounded, charge
from greenflow.lang.cel.operators import NUMBERS, ORDERS, contains, ordered
from greenflow.lang.cel.values import (
    NONE,
    CelError,
    Duration,
    Optional,
    Timestamp,
    name,
    normal,
)


@method("slice", list, int, int, scans=True)
def part(items: list[Any], begin: int, end: int) -> list[Any]:
    """The elements from `begin` up to before `end`."""
    if not 0 <= begin <= end <= len(items):
        raise CelError(f"slice({begin}, {end}) is out of a list of {len(items)}")
    return items[begin:end]


def _flatten(frame: Frame, items: list[Any], depth: int) -> list[Any]:
    if depth < 0:
        raise CelError("the depth of flatten() is not negative")
    # A depth is a turn of this loop: lists in lists cost no stack.
    for _ in range(depth):
        charge(frame, len(items))
        if not any(isinstance(item, list) for item in items):
            break
        length = sum(len(item) if isinstance(item, list) else 1 for item in items)
        bounded(length)
        charge(frame, length)
        items = [inner for item in items for inner in (item if isinstance(item, list) else (item,))]
    return items


@method("flatten", list, metered=True)
def flatten(frame: Frame, items: list[Any]) -> list[Any]:
    """The elements, those of inner lists in their place."""
    return _flatten(frame, items, 1)


@method("flatten", list, int, metered=True)
def flatten_deep(frame: Frame, items: list[Any], depth: int) -> list[Any]:
    """The same for lists inside each other so deep."""
    return _flatten(frame, items, depth)


@method("distinct", list, metered=True)
def distinct(frame: Frame, items: list[Any]) -> list[Any]:
    """The elements without those that equal an earlier one."""
    found: list[Any] = []
    seen: set[str] = set()
    charge(frame, len(items))
    for item in items:
        if type(item) is str:
            if item in seen:
                continue
            seen.add(item)
        elif contains(item, found, frame):
            continue
        found.append(item)
    return found


@function("lists.range", int, metered=True)
def numbers(frame: Frame, end: int) -> list[int]:
    """The ints from 0 up to before `end`."""
    bounded(end)
    charge(frame, max(end, 0))
    return list(range(end))


@method("reverse", list, scans=True)
def backwards(items: list[Any]) -> list[Any]:
    """The elements from the last to the first."""
    return items[::-1]


def sorted_by(frame: Frame, items: list[Any], ranks: list[Any]) -> list[Any]:
    """The items in the order of their ranks, which are all of one type that has an order; items
    of equal rank keep theirs."""
    plain = [normal(rank) for rank in ranks]
    kinds = {float if type(rank) in NUMBERS else type(rank) for rank in plain}
    if len(kinds) > 1 or not kinds <= {float, str, bytes, bool, Timestamp, Duration}:
        shown = ", ".join(sorted({name(rank) for rank in plain}))
        raise CelError(f"elements of these types cannot be sorted: {shown}")
    less = ORDERS["<"]

    def compare(left: int, right: int) -> int:
        a, b = plain[left], plain[right]
        return -1 if ordered(less, a, b) else 1 if ordered(less, b, a) else 0

    charge(frame, len(items) * len(items).bit_length())
    return [items[i] for i in sorted(range(len(items)), key=cmp_to_key(compare))]


@method("sort", list, metered=True)
def sort(frame: Frame, items: list[Any]) -> list[Any]:
    """The elements in their order."""
    return sorted_by(frame, items, items)


@method("first", list)
def first(items: list[Any]) -> Optional:
    """The first element; of an empty list none, as an optional."""
    return Optional(items[0]) if items else NONE


@method("last", list)
def last(items: list[Any]) -> Optional:
    """The last element; of an empty list none, as an optional."""
    return Optional(items[-1]) if items else NONE


@function("sets.contains", list, list, metered=True)
def includes(frame: Frame, items: list[Any], others: list[Any]) -> bool:
    """Whether each of the others is in the list."""
    return all(contains(other, items, frame) for other in others)


@function("sets.equivalent", list, list, metered=True)
def equivalent(frame: Frame, items: list[Any], others: list[Any]) -> bool:
    """Whether each includes the other."""
    return includes(frame, items, others) and includes(frame, others, items)


@function("sets.intersects", list, list, metered=True)
def intersects(frame: Frame, items: list[Any], others: list[Any]) -> bool:
    """Whether they share an element."""
    return any(contains(other, items, frame) for other in others)
