"""The lists and sets libraries of cel-go.

Sets are lists whose order and repeats do not matter. Finding an element compares it with each, so
these functions charge the product of the lengths.
"""

from __future__ import annotations

from typing import Any

from greenflow.lang.cel.library import function, method
from greenflow.lang.cel.meter import Frame, bounded, charge, charge_text, pieces
from greenflow.lang.cel.operators import NUMBERS, TEXTS, contains
from greenflow.lang.cel.values import (
    NONE,
    CelError,
    Duration,
    Optional,
    Timestamp,
    name,
    normal,
)

#: Characters that are compared in the time of a step, as a power of two.
_COMPARED_A_STEP = 8


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
        flat: list[Any] = []
        has_lists = False
        for piece in pieces(frame, items, 2):
            for item in piece:
                if not isinstance(item, list):
                    flat.append(item)
                    continue
                has_lists = True
                bounded(len(flat) + len(item))
                charge(frame, len(item))
                flat += item
        items = flat
        if not has_lists:
            break
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
    for piece in pieces(frame, items, 1):
        for item in piece:
            if type(item) is str:
                charge_text(frame, item)
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
    places: list[Any] = []
    kinds, names, length = set(), set(), 0
    rounds = len(ranks).bit_length()
    for piece in pieces(frame, ranks, rounds):
        for rank in map(normal, piece):
            kind = type(rank)
            kinds.add(float if kind in NUMBERS else kind)
            names.add(name(rank))
            if kind in TEXTS:
                length += len(rank)
            places.append(rank.ns if kind is Timestamp or kind is Duration else rank)
    if len(kinds) > 1 or not kinds <= {float, str, bytes, bool, Timestamp, Duration}:
        raise CelError(f"elements of these types cannot be sorted: {', '.join(sorted(names))}")
    charge(frame, (length >> _COMPARED_A_STEP) * rounds)
    return [items[i] for i in sorted(range(len(items)), key=places.__getitem__)]


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
