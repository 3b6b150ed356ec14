"""Which payloads may travel, and how they are kept apart.

Lives here: the check and the copy of payloads. Of greenflow only errors and stream are imported.

A payload is null, bool, int (64 bit), float, string, bytes, list, map with string keys, timestamp
(a `datetime` with a time zone) or error (an `Exception`); BEHAVIOUR 3.7. An HTTP body may also be a
`Stream`, which is shared, for it can be read only once. Kinds of ours never change
a payload, so payloads pass between them as they are. Code from outside gets a `copy`, and what it
hands in is taken over by `adopt`, which checks and copies in one pass. Other data that comes from
outside is taken the same way, by rules of its own (`taking`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from greenflow.errors import InvalidArgument
from greenflow.hub.collector import put_off
from greenflow.payload.stream import Stream

T = TypeVar("T")

# Containers inside containers, counted: deeper than any document a person writes, and shallow
# enough that no encoder or comparison of Python's own meets its recursion limit (1,000 frames).
MAX_DEPTH = 200

# BEHAVIOUR 3.7: an integer is 64 bit, signed or unsigned as JSON and CEL have them.
MIN_INT, MAX_INT = -(2**63), 2**64 - 1

# What a value takes in memory besides the characters in it, about: an object of Python's, and its
# place in a list or map (CPython: 24 to 64 bytes and 8 to 24).
ITEM_BYTES = 64


# Items of a list or map from which on there is a pause between so many of them.
MANY = 64

# And from which on no full collection of garbage is wanted in the middle of it.
VERY_MANY = 4096


def _go_on() -> None:
    """No pause: a worker of a `python` node has one thing to do."""


# What is done in a pause.
_pause: Callable[[], None] = _go_on


def pause_with(pause: Callable[[], None]) -> None:
    """Have this called now and then by whatever copies or checks a large payload. The engine lets
    others run; who has no hub calls nothing."""
    global _pause
    _pause = pause


def pause() -> None:
    """Between two pieces of work on a large payload."""
    _pause()


def _paced(items: Iterable[T]) -> Iterator[T]:
    """The items as they are now, with pauses."""
    kept = list(items)
    if len(kept) > VERY_MANY:
        put_off()
    for start in range(0, len(kept), MANY):
        yield from kept[start : start + MANY]
        _pause()


def _items(payload: dict[Any, T]) -> Iterable[tuple[Any, T]]:
    """Those of a map; of many as they are now, with pauses."""
    if len(payload) <= MANY:
        return payload.items()
    # No list of pairs, for the garbage collector would look at each of them.
    return zip(list(payload), _paced(payload.values()), strict=True)


def copy(payload: Any) -> Any:
    """The same payload in lists and maps of its own; scalars, errors and timestamps are shared."""
    kind = type(payload)
    if kind is dict:
        items = payload.items() if len(payload) <= MANY else _items(payload)
        return {key: copy(item) for key, item in items}
    if kind is list:
        return [copy(item) for item in (payload if len(payload) <= MANY else _paced(payload))]
    return payload


def measured(payload: Any) -> tuple[Any, int]:
    """The same payload as `copy` makes it, and about how many bytes of memory it takes."""
    kind = type(payload)
    if kind is dict:
        size, items = ITEM_BYTES, {}
        for key, item in _items(payload):
            items[key], more = measured(item)
            size += len(key) + more
        return items, size
    if kind is list:
        size, elements = ITEM_BYTES, []
        for item in payload if len(payload) <= MANY else _paced(payload):
            element, more = measured(item)
            elements.append(element)
            size += more
        return elements, size
    length = len(payload) if kind is str or kind is bytes else 0
    return payload, ITEM_BYTES + length


def taking(
    plain: frozenset[type],
    maps: Any,
    other: Callable[[Any, str], Any],
    *,
    deepest: int = MAX_DEPTH,
    greatest: int = MAX_INT,
    bits: str = "64 bits",
) -> Callable[[Any, str], Any]:
    """A function that copies a value that is handed in, and checks it: what of the types `plain` is
    in it stays as it is, integers are up to `greatest`, and so fit `bits`, `maps` and lists are no
    deeper than `deepest`, tuples become lists, and sub-classes what they extend. All else is what
    `other` makes of it and its place, or refuses. The function takes the value and its place, and
    raises InvalidArgument that names the place of what is wrong."""

    def taken(value: Any, path: str, depth: int = deepest) -> Any:
        kind = type(value)
        if kind in plain:
            return value
        if kind is int:
            if MIN_INT <= value <= greatest:
                return value
            raise InvalidArgument(f"{path}: an integer must fit {bits}")
        if isinstance(value, maps):
            if not depth:
                raise _too_deep(path, deepest)
            # Of many at the speed of C.
            for key in value if len(value) <= MANY or {*map(type, value)} != {str} else ():
                if not isinstance(key, str):
                    reason = f"the keys of a map are strings, not {type(key).__qualname__}"
                    raise InvalidArgument(f"{path}: {reason}")
            items = value.items() if len(value) <= MANY else _items(value)
            return {
                key if type(key) is str else _text(key): taken(item, f"{path}.{key}", depth - 1)
                for key, item in items
            }
        if isinstance(value, list | tuple):
            if not depth:
                raise _too_deep(path, deepest)
            elements = value if len(value) <= MANY else _paced(value)
            return [taken(item, f"{path}[{at}]", depth - 1) for at, item in enumerate(elements)]
        if isinstance(value, int):
            return taken(int(value), path)
        return _text(value) if isinstance(value, str) else other(value, path)

    return taken


# A string as it is, also of a sub-class that shows itself in another way.
_text = str.__str__


def _too_deep(path: str, deepest: int) -> InvalidArgument:
    return InvalidArgument(f"{path}: nested deeper than {deepest} lists and maps")


def _other(payload: Any, path: str) -> Any:
    if isinstance(payload, Exception | Stream):
        return payload
    if isinstance(payload, datetime):
        if payload.tzinfo is None:
            raise InvalidArgument(f"{path}: a timestamp needs a time zone")
        return payload
    if isinstance(payload, float):
        return float(payload)
    if isinstance(payload, bytearray | memoryview | bytes):
        return bytes(payload)
    raise InvalidArgument(
        f"{path}: {type(payload).__qualname__} is no payload; use null, bool, int, float, string, "
        "bytes, list, map, timestamp or error"
    )


_adopted = taking(frozenset((type(None), bool, float, str, bytes)), dict, _other)


def adopt(payload: Any) -> Any:
    """A copy of what code from outside hands in, tuples as lists, sub-classes as what they extend.

    Raises InvalidArgument that names the place of what is no payload.
    """
    return _adopted(payload, "$")


def by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of others for workflows: it gets copies, and what it returns is a payload. What
    the engine tells it of its caller, by name, is given on as it is."""

    @functools.wraps(function)
    def call(*arguments: Any, **told: Any) -> Any:
        return adopt(function(*map(copy, arguments), **told))

    return call
