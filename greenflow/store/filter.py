"""Filters over documents: a map of conditions, compiled to one Python predicate.

Lives here: the filters of BEHAVIOUR 7.5, what is wrong with one, and which of its conditions a
store may look up in an index. Must not live here: any store's query language.

    None or {}                          every document
    {path: value}                       equal; a map with no `$` key is a value like any other
    {path: {$eq $ne $in $nin $lt $lte $gt $gte $exists: operand, $not: {operator: operand}}}
    {$and: [filter, ...]}  {$or: [filter, ...]}  {$not: filter}

All conditions of a map must hold. A path reaches into maps by dots; what is not there equals null.
Values are compared by kind: null, booleans, numbers, strings, lists, maps. Values of unlike kinds
are unequal and none is the lesser; only booleans, numbers and strings have an order. A comparison
never raises; everything that can be wrong is found when the filter is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any, NamedTuple

from greenflow.errors import InvalidArgument

# Filters inside each other: more than a person writes, and far below Python's recursion limit.
MAX_DEPTH = 100

Predicate = Callable[[Any], bool]

_ABSENT = object()  # what a path finds where there is nothing
_INDEXED = ("id", "namespace", "name")


class Filter(NamedTuple):
    """A compiled filter.

    `matches` decides. `narrow` gives strings for some of the fields id, namespace and name:
    whatever matches has one of them there, so a store need only look at those.
    """

    matches: Predicate
    narrow: dict[str, frozenset[str]]


def compile_filter(filter: Mapping[str, Any] | None) -> Filter:
    """The filter as a predicate. Raises InvalidArgument that names the place of what is wrong."""
    if filter is None:
        return Filter(_all([]), {})
    matches = _filter(filter, "$", MAX_DEPTH)
    return Filter(matches, _narrow(filter))


def equal(first: Any, second: Any) -> bool:
    """Whether two values are equal and of one kind: 1 equals 1.0 and not true."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, int | float):
        return isinstance(second, int | float) and first == second
    if isinstance(first, list | tuple):
        return (
            isinstance(second, list | tuple)
            and len(first) == len(second)
            and all(map(equal, first, second))
        )
    if isinstance(first, Mapping):
        return (
            isinstance(second, Mapping)
            and first.keys() == second.keys()
            and all(equal(item, second[key]) for key, item in first.items())
        )
    return type(first) is type(second) and bool(first == second)


def less(first: Any, second: Any) -> bool:
    """Whether the first value has its place before the second: false for those without an order."""
    kinds: tuple[Any, ...] = (bool, int | float, str)
    for kind in kinds:
        if isinstance(first, kind) or isinstance(second, kind):
            return isinstance(first, kind) and isinstance(second, kind) and bool(first < second)
    return False


def _all(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return lambda value: all(predicate(value) for predicate in predicates)


def _any(predicates: list[Predicate]) -> Predicate:
    return lambda value: any(predicate(value) for predicate in predicates)


def _negated(predicate: Predicate) -> Predicate:
    return lambda value: not predicate(value)


def _filter(filter: Any, path: str, depth: int) -> Predicate:
    if not isinstance(filter, Mapping):
        raise InvalidArgument(f"{path}: a filter is a map, not {type(filter).__name__}")
    if not depth:
        raise InvalidArgument(f"{path}: filters nested deeper than {MAX_DEPTH}")
    predicates = []
    for key, operand in filter.items():
        if not isinstance(key, str):
            raise InvalidArgument(f"{path}: the fields of a filter are strings, not {key!r}")
        place = f"{path}.{key}"
        if key in ("$and", "$or"):
            if not isinstance(operand, list | tuple) or not operand:
                raise InvalidArgument(f"{place}: takes a list of filters")
            parts = [_filter(o, f"{place}[{at}]", depth - 1) for at, o in enumerate(operand)]
            predicates.append(_all(parts) if key == "$and" else _any(parts))
        elif key == "$not":
            predicates.append(_negated(_filter(operand, place, depth - 1)))
        elif key.startswith("$"):
            raise InvalidArgument(f"{place}: unknown operator; allowed here are $and, $or, $not")
        else:
            predicates.append(_field(key, operand, place, depth))
    return _all(predicates)


def _field(name: str, operand: Any, path: str, depth: int) -> Predicate:
    steps = name.split(".")
    if not all(steps):
        raise InvalidArgument(f"{path}: an empty field name")
    holds = _conditions(operand, path, depth) if _has_operators(operand) else _equals(operand)
    if len(steps) == 1:
        return lambda document: holds(document.get(name, _ABSENT))
    return lambda document: holds(reduce(_step, steps, document))


def _step(value: Any, key: str) -> Any:
    return value.get(key, _ABSENT) if isinstance(value, Mapping) else _ABSENT


def _has_operators(operand: Any) -> bool:
    return isinstance(operand, Mapping) and any(
        isinstance(key, str) and key.startswith("$") for key in operand
    )


def _conditions(operand: Any, path: str, depth: int) -> Predicate:
    if not depth:
        raise InvalidArgument(f"{path}: filters nested deeper than {MAX_DEPTH}")
    predicates = []
    for key, value in operand.items():
        place = f"{path}.{key}"
        if key == "$not":
            if not _has_operators(value):
                raise InvalidArgument(f"{place}: takes a map of operators")
            predicates.append(_negated(_conditions(value, place, depth - 1)))
        elif key in _OPERATORS:
            predicates.append(_OPERATORS[key](value, place))
        else:
            allowed = ", ".join([*_OPERATORS, "$not"])
            raise InvalidArgument(f"{place}: unknown operator; allowed here are {allowed}")
    return _all(predicates)


def _value(value: Any) -> Any:
    return None if value is _ABSENT else value


def _equals(operand: Any, path: str = "") -> Predicate:
    if isinstance(operand, str):
        return lambda value: isinstance(value, str) and value == operand
    return lambda value: equal(_value(value), operand)


def _unequal(operand: Any, path: str) -> Predicate:
    return _negated(_equals(operand))


def _among(operand: Any, path: str) -> Predicate:
    if not isinstance(operand, list | tuple | set | frozenset):
        raise InvalidArgument(f"{path}: takes a list")
    strings = frozenset(each for each in operand if isinstance(each, str))
    others = [each for each in operand if not isinstance(each, str)]

    def holds(value: Any) -> bool:
        if isinstance(value, str):
            return value in strings
        return any(equal(_value(value), other) for other in others)

    return holds


def _not_among(operand: Any, path: str) -> Predicate:
    return _negated(_among(operand, path))


def _below(operand: Any, path: str) -> Predicate:
    return lambda value: less(value, operand)


def _at_most(operand: Any, path: str) -> Predicate:
    return lambda value: less(value, operand) or equal(_value(value), operand)


def _above(operand: Any, path: str) -> Predicate:
    return lambda value: less(operand, value)


def _at_least(operand: Any, path: str) -> Predicate:
    return lambda value: less(operand, value) or equal(_value(value), operand)


def _exists(operand: Any, path: str) -> Predicate:
    if not isinstance(operand, bool):
        raise InvalidArgument(f"{path}: takes true or false")
    return lambda value: (value is not _ABSENT) is operand


_OPERATORS: dict[str, Callable[[Any, str], Predicate]] = {
    "$eq": _equals,
    "$ne": _unequal,
    "$in": _among,
    "$nin": _not_among,
    "$lt": _below,
    "$lte": _at_most,
    "$gt": _above,
    "$gte": _at_least,
    "$exists": _exists,
}


def _narrow(filter: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The strings that the indexed fields of whatever matches are among, where that is known."""
    found: dict[str, frozenset[str]] = {}
    for key, operand in filter.items():
        if key == "$and":
            for part in operand:
                _join(found, _narrow(part))
        elif key in _INDEXED:
            for allowed in _allowed(operand):
                strings = _strings(allowed)
                if strings is not None:
                    _join(found, {key: strings})
    return found


def _join(found: dict[str, frozenset[str]], more: dict[str, frozenset[str]]) -> None:
    for field, strings in more.items():
        found[field] = found[field] & strings if field in found else strings


def _allowed(operand: Any) -> Iterable[Iterable[Any]]:
    if not _has_operators(operand):
        yield (operand,)
        return
    if "$eq" in operand:
        yield (operand["$eq"],)
    if "$in" in operand:
        yield operand["$in"]


def _strings(values: Iterable[Any]) -> frozenset[str] | None:
    """The values, if an index can find them all: it has no null, no empty and no broken text."""
    values = tuple(values)
    for value in values:
        if not isinstance(value, str) or not value or "\0" in value:
            return None
        try:
            value.encode()
        except UnicodeEncodeError:
            return None
    return frozenset(values)
