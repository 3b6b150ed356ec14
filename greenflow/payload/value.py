"""Which payloads may travel, and how they are kept apart.

Lives here: the check and the copy of payloads. Of greenflow only errors and stream are imported.

A payload is null, bool, int (64 bit), float, string, bytes, list, map with string keys, timestamp
(a `datetime` with a time zone) or error (an `Exception`); BEHAVIOUR 3.7. An HTTP body may also be a
`Stream`, which is shared, for it can be read only once. Kinds of ours never change
a payload, so payloads pass between them as they are. Code from outside gets a `copy`, and what it
hands in is taken over by `adopt`, which checks and copies in one pass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any

from greenflow.errors import InvalidArgument
from greenflow.payload.stream import Stream

# Containers inside containers, counted: deeper than any document a person writes, and shallow
# enough that no encoder or comparison of Python's own meets its recursion limit (1,000 frames).
MAX_DEPTH = 200

# BEHAVIOUR 3.7: an integer is 64 bit, signed or unsigned as JSON and CEL have them.
MIN_INT, MAX_INT = -(2**63), 2**64 - 1

_SCALARS = frozenset((type(None), bool, float, str, bytes))


def copy(payload: Any) -> Any:
    """The same payload in lists and maps of its own; scalars, errors and timestamps are shared."""
    kind = type(payload)
    if kind is dict:
        return {key: copy(item) for key, item in payload.items()}
    if kind is list:
        return [copy(item) for item in payload]
    return payload


def adopt(payload: Any) -> Any:
    """A copy of what code from outside hands in, tuples as lists, sub-classes as what they extend.

    Raises InvalidArgument that names the place of what is no payload.
    """
    return _adopt(payload, "$", MAX_DEPTH)


def _adopt(payload: Any, path: str, depth: int) -> Any:
    kind = type(payload)
    if kind in _SCALARS:
        return payload
    if kind is int:
        if MIN_INT <= payload <= MAX_INT:
            return payload
        raise InvalidArgument(f"{path}: an integer must fit 64 bits")
    if not depth:
        raise InvalidArgument(f"{path}: nested deeper than {MAX_DEPTH} lists and maps")
    if isinstance(payload, dict):
        for key in payload:
            if not isinstance(key, str):
                raise InvalidArgument(f"{path}: the keys of a map are strings, not {_name(key)}")
        return {str(key): _adopt(item, f"{path}.{key}", depth - 1) for key, item in payload.items()}
    if isinstance(payload, list | tuple):
        return [_adopt(item, f"{path}[{i}]", depth - 1) for i, item in enumerate(payload)]
    if isinstance(payload, Exception | Stream):
        return payload
    if isinstance(payload, datetime):
        if payload.tzinfo is None:
            raise InvalidArgument(f"{path}: a timestamp needs a time zone")
        return payload
    for scalar in (bool, int, float, str):
        if isinstance(payload, scalar):
            return _adopt(scalar(payload), path, depth)
    if isinstance(payload, bytearray | memoryview | bytes):
        return bytes(payload)
    raise InvalidArgument(
        f"{path}: {_name(payload)} is no payload; use null, bool, int, float, string, bytes, list, "
        "map, timestamp or error"
    )


def _name(item: object) -> str:
    return type(item).__qualname__


def by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of others for workflows: it gets copies, and what it returns is a payload."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return adopt(function(*map(copy, arguments)))

    return call
