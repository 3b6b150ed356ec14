"""Equality, order, arithmetic, membership, indexing: the operators on any two values.

Lives here: the whole meaning of each operator. The emitter inlines the common cases and comes here
for the rest. Functions that walk containers take the frame and charge its budget, because a value
may share its parts so often that walking it never ends.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import datetime
from typing import Any

from greenflow.errors import messages
from greenflow.lang.cel.meter import PIECE, Frame, bounded, charge, charge_text, pieces
from greenflow.lang.cel.values import (
    MAX_INT,
    MAX_UINT,
    MIN_INT,
    NONE,
    CelError,
    Duration,
    Optional,
    Timestamp,
    Type,
    UInt,
    key,
    name,
    normal,
)
from greenflow.payload.origin import FIELDS, shown

#: Two values of one of these classes are equal when Python says so.
SIMPLE = frozenset((str, int, float, bool, type(None), bytes, UInt))
NUMBERS = frozenset((int, UInt, float))
_INTEGERS = frozenset((int, UInt))
_MIXED = frozenset((int, float))
ORDERED = frozenset((str, bytes, bool))
TEXTS = frozenset((str, bytes))

#: Steps that the comparison of a container, and of each of its elements, takes.
_CONTAINER, _ELEMENT = 5, 3


def equal(left: Any, right: Any, frame: Frame) -> bool:
    """Whether two values are equal; unlike types are not, numbers compare across types, an error
    equals what BEHAVIOUR 5.8 says."""
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        if kind is float or other is float:
            return float(left) == float(right)
        return bool(left == right)
    if kind is other:
        if kind in SIMPLE:
            if kind in TEXTS:
                charge_text(frame, left)
            return bool(left == right)
        if kind is list:
            charge(frame, _CONTAINER)
            return len(left) == len(right) and _equal_lists(left, right, frame)
        if kind is dict:
            charge(frame, _CONTAINER)
            return len(left) == len(right) and _equal_maps(left, right, frame)
        if kind is Timestamp or kind is Duration:
            return bool(left.ns == right.ns)
        if kind is Optional:
            return left.present is right.present and equal(left.value, right.value, frame)
        if kind is Type:
            return bool(left.name == right.name)
    if isinstance(left, Exception):
        return _equal_error(left, right)
    if isinstance(right, Exception):
        return _equal_error(right, left)
    if isinstance(left, datetime) or isinstance(right, datetime):
        a, b = normal(left), normal(right)
        return type(a) is type(b) is Timestamp and a.ns == b.ns
    plain, other_plain = normal(left), normal(right)
    if plain is not left or other_plain is not right:
        return equal(plain, other_plain, frame)
    return left is right


def _equal_lists(left: list[Any], right: list[Any], frame: Frame) -> bool:
    if len(left) <= PIECE:
        charge(frame, _ELEMENT * len(left))
        return all(equal(a, b, frame) for a, b in zip(left, right, strict=True))
    both = zip(pieces(frame, left, _ELEMENT), pieces(frame, right, 0), strict=True)
    return all(
        equal(a, b, frame) for piece, other in both for a, b in zip(piece, other, strict=True)
    )


def _equal_maps(left: dict[Any, Any], right: dict[Any, Any], frame: Frame) -> bool:
    return all(
        item in right and equal(value, right[item], frame)
        for piece in pieces(frame, list(left.items()), _ELEMENT)
        for item, value in piece
    )


def _equal_error(error: Exception, other: Any) -> bool:
    if isinstance(other, str):
        if not isinstance(error, ExceptionGroup) and str(error) == other:
            return True  # the common case, without a generator
        return other in messages(error)
    if isinstance(other, Exception):
        mine, others = list(messages(error)), list(messages(other))
        return error is other or mine[0] in others or others[0] in mine
    return False


Order = Callable[[Any, Any], bool]
ORDERS: dict[str, Order] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def ordered(compare: Order, left: Any, right: Any, frame: Frame) -> bool:
    """`left < right`, or another order. Raises CelError for what has none."""
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        if kind is float or other is float:
            return compare(float(left), float(right))
        return compare(left, right)
    if kind is other and kind in ORDERED:
        if kind in TEXTS:
            charge_text(frame, left)
        return compare(left, right)
    a, b = normal(left), normal(right)
    if type(a) is type(b) and type(a) in (Timestamp, Duration):
        return compare(a.ns, b.ns)
    if a is not left or b is not right:
        return ordered(compare, a, b, frame)
    raise CelError(f"{name(left)} and {name(right)} have no order")


def _whole(value: int, kind: type) -> Any:
    if kind is UInt:
        if 0 <= value <= MAX_UINT:
            return UInt(value)
        raise CelError("unsigned integer overflow")
    if MIN_INT <= value <= MAX_INT:
        return value
    raise CelError("integer overflow")


def _mismatch(sign: str, left: Any, right: Any) -> CelError:
    return CelError(f"no such overload: {name(left)} {sign} {name(right)}")


def _pair(sign: str, left: Any, right: Any) -> tuple[Any, Any]:
    """Both as what they are to an operator; raises where nothing changed, to end the search. An int
    and a double are doubles: a number of JSON is a number, whether its author wrote 5 or 5.0."""
    a, b = normal(left), normal(right)
    if {type(a), type(b)} == _MIXED:
        return float(a), float(b)
    if a is left and b is right:
        raise _mismatch(sign, left, right)
    return a, b


def add(left: Any, right: Any, frame: Frame) -> Any:
    """The sum, or the one behind the other."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind in _INTEGERS:
            return _whole(int(left) + int(right), kind)
        if kind is float:
            return left + right
        if kind is str or kind is bytes:
            length = len(left) + len(right)
            bounded(length)
            charge(frame, length >> 4)
            return left + right
        if kind is list:
            length = len(left) + len(right)
            bounded(length)
            charge(frame, length)
            return left + right
        if kind is Duration:
            return Duration(left.ns + right.ns)
    elif (kind is Timestamp and other is Duration) or (kind is Duration and other is Timestamp):
        return Timestamp(left.ns + right.ns)
    return add(*_pair("+", left, right), frame)


def subtract(left: Any, right: Any) -> Any:
    """The difference."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind in _INTEGERS:
            return _whole(int(left) - int(right), kind)
        if kind is float:
            return left - right
        if kind is Duration or kind is Timestamp:
            return Duration(left.ns - right.ns)
    elif kind is Timestamp and other is Duration:
        return Timestamp(left.ns - right.ns)
    return subtract(*_pair("-", left, right))


def multiply(left: Any, right: Any) -> Any:
    """The product."""
    kind = type(left)
    if kind is type(right):
        if kind in _INTEGERS:
            return _whole(int(left) * int(right), kind)
        if kind is float:
            return left * right
    return multiply(*_pair("*", left, right))


def divide(left: Any, right: Any) -> Any:
    """The quotient, of integers cut towards zero."""
    kind = type(left)
    if kind is type(right):
        if kind in _INTEGERS:
            if not right:
                raise CelError("division by zero")
            quotient = abs(int(left)) // abs(int(right))
            return _whole(quotient if (left < 0) == (right < 0) else -quotient, kind)
        if kind is float:
            if right:
                return left / right
            if left == 0 or left != left:
                return math.nan
            return math.copysign(math.inf, left) * math.copysign(1.0, right)
    return divide(*_pair("/", left, right))


def remainder(left: Any, right: Any) -> Any:
    """What an integer division leaves, with the sign of the left."""
    kind = type(left)
    if kind is type(right) and kind in _INTEGERS:
        if not right:
            raise CelError("modulus by zero")
        rest = abs(int(left)) % abs(int(right))
        return _whole(-rest if left < 0 else rest, kind)
    return remainder(*_pair("%", left, right))


def negate(value: Any) -> Any:
    """The value below zero."""
    plain = normal(value)
    if type(plain) is int:
        return _whole(-plain, int)
    if type(plain) is float:
        return -plain
    if type(plain) is Duration:
        return Duration(-plain.ns)
    raise CelError(f"no such overload: -{name(value)}")


def contains(item: Any, container: Any, frame: Frame) -> bool:
    """`item in container`: an element of a list, or a key of a map."""
    if isinstance(container, list):
        return any(
            equal(item, element, frame)
            for piece in pieces(frame, container, _ELEMENT)
            for element in piece
        )
    if isinstance(container, dict):
        if type(item) is str:
            charge_text(frame, item)  # a key that is as long may have to be compared
        return lookup(item) in container
    raise CelError(f"no such overload: {name(item)} in {name(container)}")


_NO_KEY = object()


def lookup(item: Any) -> Any:
    """What to look a value up as: a double finds the integer that it equals, and what can be no
    key finds nothing."""
    if type(item) is float:
        return int(item) if item.is_integer() else _NO_KEY
    try:
        return key(normal(item))
    except CelError:
        return _NO_KEY


_MISSING = object()


def find(container: Any, item: Any) -> Any:
    """The element or value there, of an optional as an optional. Raises CelError, also for what
    cannot be indexed."""
    if type(container) is Optional:
        return find_optional(container, item)
    if isinstance(container, dict):
        value = container.get(lookup(item), _MISSING)
        if value is _MISSING:
            raise CelError(f"no such key: {_shown(item)}")
        return value
    if isinstance(container, list):
        if type(item) is float and item.is_integer():
            item = int(item)
        if type(item) not in _INTEGERS:
            raise CelError(f"{name(item)} is no index of a list")
        if 0 <= item < len(container):
            return container[item]
        raise CelError(f"index out of bounds: {item}")
    raise CelError(f"no such overload: {name(container)}[{name(item)}]")


def _shown(item: Any) -> str:
    if type(item) in TEXTS:
        item = item[:80]
    return repr(item)[:80] if type(item) in SIMPLE else name(item)


def find_optional(container: Any, item: Any) -> Optional:
    """The element or value there as an optional; only what cannot be indexed is an error."""
    if type(container) is Optional:
        return find_optional(container.value, item) if container.present else NONE
    if isinstance(container, dict):
        value = container.get(lookup(item), _MISSING)
        return NONE if value is _MISSING else Optional(value)
    if isinstance(container, list):
        if type(item) is float and item.is_integer():
            item = int(item)
        if type(item) not in _INTEGERS:
            raise CelError(f"{name(item)} is no index of a list")
        return Optional(container[item]) if 0 <= item < len(container) else NONE
    raise CelError(f"no such overload: {name(container)}[?{name(item)}]")


def field_of(container: Any, field: str) -> Any:
    """`container.field`."""
    if type(container) is Optional:
        return find_optional(container, field)
    if isinstance(container, dict):
        return find(container, field)
    if isinstance(container, Exception) and field in FIELDS:
        return shown(container)[field]
    raise CelError(
        f"{name(container)} has no fields; {field!r} is asked for{_of_an_error(container)}"
    )


def _of_an_error(container: Any) -> str:
    return f" (an error has {', '.join(FIELDS)})" if isinstance(container, Exception) else ""


def field_optional(container: Any, field: str) -> Optional:
    """`container.?field`."""
    if type(container) is Optional or isinstance(container, dict):
        return find_optional(container, field)
    if isinstance(container, Exception):
        value = shown(container).get(field)
        return NONE if value is None else Optional(value)
    raise CelError(f"{name(container)} has no fields; {field!r} is asked for")


def has_field(container: Any, field: str) -> bool:
    """`has(container.field)`."""
    if type(container) is Optional:
        return find_optional(container, field).present
    if isinstance(container, dict):
        return field in container
    if isinstance(container, Exception):
        return shown(container).get(field) is not None
    raise CelError(f"{name(container)} has no fields; {field!r} is asked for")
