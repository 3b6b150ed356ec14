"""The closures of operators and calls.

Lives here: for each operator a closure that does the common types itself, and hands every other
pair of values to operators.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from greenflow.lang.cel import operators
from greenflow.lang.cel.library import Function
from greenflow.lang.cel.meter import LONG, Frame, charge_text
from greenflow.lang.cel.operators import ORDERED, ORDERS, SIMPLE, TEXTS
from greenflow.lang.cel.values import MAX_INT, MIN_INT, CelError

Closure = Callable[[Frame], Any]

_DIRECT = ORDERED | {int, float}  # two of one of these are ordered as Python orders them


def positioned(body: Callable[..., Any], at: int) -> Callable[..., Any]:
    """The function, whose errors say where in the code they arose."""

    def run(*values: Any) -> Any:
        try:
            return body(*values)
        except CelError as error:
            if error.at is None:
                error.at = at
            raise

    return run


def binary(sign: str, left: Closure, right: Closure, at: int) -> Closure:
    """The closure of `left sign right`."""
    if sign == "==":
        return _equals(left, right)
    if sign == "!=":
        equals = _equals(left, right)
        return lambda frame: not equals(frame)
    if sign in ORDERS:
        return _order(ORDERS[sign], left, right, at)
    if sign == "in":
        contains = positioned(operators.contains, at)
        return lambda frame: contains(left(frame), right(frame), frame)
    if sign == "+":
        return _add(left, right, at)
    if sign == "-":
        return _subtract(left, right, at)
    slow = positioned(_SLOW[sign], at)
    return lambda frame: slow(left(frame), right(frame))


_SLOW = {
    "*": operators.multiply,
    "/": operators.divide,
    "%": operators.remainder,
}


def equals_constant(left: Closure, value: Any, wanted: bool, at: int) -> Closure:
    """`left == value`, or `!=` where not wanted."""
    kind, equal = type(value), operators.equal
    if kind in TEXTS and len(value) > LONG:
        return binary("==" if wanted else "!=", left, lambda frame: value, at)
    if wanted:

        def run(frame: Frame) -> bool:
            item = left(frame)
            return item == value if type(item) is kind else equal(item, value, frame)

        return run

    def run_not(frame: Frame) -> bool:
        item = left(frame)
        return item != value if type(item) is kind else not equal(item, value, frame)

    return run_not


def _equals(left: Closure, right: Closure) -> Closure:
    equal = operators.equal

    def run(frame: Frame) -> bool:
        item, other = left(frame), right(frame)
        kind = type(item)
        if kind is type(other) and kind in SIMPLE:
            if kind in TEXTS and len(item) > LONG:
                charge_text(frame, item)
            same: bool = item == other
            return same
        return equal(item, other, frame)

    return run


def _order(compare: operators.Order, left: Closure, right: Closure, at: int) -> Closure:
    slow = positioned(partial(operators.ordered, compare), at)

    def run(frame: Frame) -> bool:
        item, other = left(frame), right(frame)
        kind = type(item)
        if kind is type(other) and kind in _DIRECT:
            if kind in TEXTS and len(item) > LONG:
                charge_text(frame, item)
            return compare(item, other)
        return bool(slow(item, other, frame))

    return run


def _add(left: Closure, right: Closure, at: int) -> Closure:
    slow = positioned(operators.add, at)

    def run(frame: Frame) -> Any:
        item, other = left(frame), right(frame)
        if type(item) is int and type(other) is int:
            value = item + other
            if MIN_INT <= value <= MAX_INT:
                return value
        elif type(item) is float and type(other) is float:
            return item + other
        return slow(item, other, frame)

    return run


def _subtract(left: Closure, right: Closure, at: int) -> Closure:
    slow = positioned(operators.subtract, at)

    def run(frame: Frame) -> Any:
        item, other = left(frame), right(frame)
        if type(item) is int and type(other) is int:
            value = item - other
            if MIN_INT <= value <= MAX_INT:
                return value
        elif type(item) is float and type(other) is float:
            return item - other
        return slow(item, other)

    return run


def call(found: Function, arguments: list[Closure], at: int) -> Closure:
    """The closure of a function's call; its overload is chosen by the values."""
    overloads, resolve, metered = found.overloads.get, found.resolve, found.metered

    def apply(frame: Frame, values: tuple[Any, ...]) -> Any:
        body, plain = resolve(values)
        return body(frame, *plain) if metered else body(*plain)

    slow = positioned(apply, at)
    if metered and not found.variadic and len(arguments) in (1, 2):
        return _metered(overloads, slow, arguments, at)
    if metered or len(arguments) > 2 or found.variadic:
        return lambda frame: slow(frame, tuple([argument(frame) for argument in arguments]))
    if len(arguments) == 1:
        (only,) = arguments

        def run_one(frame: Frame) -> Any:
            value = only(frame)
            body = overloads((type(value),))
            if body is None:
                return slow(frame, (value,))
            try:
                return body(value)
            except CelError as error:
                error.at = at if error.at is None else error.at
                raise

        return run_one
    if len(arguments) == 2:
        first, second = arguments

        def run_two(frame: Frame) -> Any:
            value, other = first(frame), second(frame)
            body = overloads((type(value), type(other)))
            if body is None:
                return slow(frame, (value, other))
            try:
                return body(value, other)
            except CelError as error:
                error.at = at if error.at is None else error.at
                raise

        return run_two
    return lambda frame: slow(frame, ())


def _metered(
    overloads: Callable[..., Any], slow: Callable[..., Any], arguments: list[Closure], at: int
) -> Closure:
    """The closure of a call of one argument or two whose function charges the budget."""
    if len(arguments) == 1:
        (only,) = arguments

        def run_one(frame: Frame) -> Any:
            value = only(frame)
            body = overloads((type(value),))
            if body is None:
                return slow(frame, (value,))
            try:
                return body(frame, value)
            except CelError as error:
                error.at = at if error.at is None else error.at
                raise

        return run_one
    first, second = arguments

    def run_two(frame: Frame) -> Any:
        value, other = first(frame), second(frame)
        body = overloads((type(value), type(other)))
        if body is None:
            return slow(frame, (value, other))
        try:
            return body(frame, value, other)
        except CelError as error:
            error.at = at if error.at is None else error.at
            raise

    return run_two
