"""The math library of cel-go."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from greenflow.lang.cel.library import function, variadic
from greenflow.lang.cel.meter import Frame, pieces
from greenflow.lang.cel.operators import NUMBERS, ORDERS, ordered
from greenflow.lang.cel.values import MAX_UINT, MIN_INT, CelError, UInt, name


def _extreme(
    frame: Frame, shown: str, compare: Callable[[Any, Any], bool], values: list[Any]
) -> Any:
    if len(values) == 1 and isinstance(values[0], list):
        (values,) = values
    if not values:
        raise CelError(f"{shown}() needs a number")
    found = values[0]
    for piece in pieces(frame, values, 2):
        for value in piece:
            if type(value) not in NUMBERS:
                raise CelError(f"{shown}() takes numbers, not {name(value)}")
            if ordered(compare, value, found, frame):
                found = value
    return found


@variadic("math.greatest")
def greatest(frame: Frame, values: list[Any]) -> Any:
    """The largest of the arguments, or of one list; the first of those that are equal."""
    return _extreme(frame, "math.greatest", ORDERS[">"], values)


@variadic("math.least")
def least(frame: Frame, values: list[Any]) -> Any:
    """The smallest of the arguments, or of one list; the first of those that are equal."""
    return _extreme(frame, "math.least", ORDERS["<"], values)


def _whole(value: float, cut: Callable[[float], int]) -> float:
    return math.copysign(float(cut(value)), value) if math.isfinite(value) else value


@function("math.ceil", float)
def ceil(value: float) -> float:
    """The next whole number up."""
    return _whole(value, math.ceil)


@function("math.floor", float)
def floor(value: float) -> float:
    """The next whole number down."""
    return _whole(value, math.floor)


@function("math.trunc", float)
def trunc(value: float) -> float:
    """The number without its fraction."""
    return _whole(value, math.trunc)


@function("math.round", float)
def round_half_away(value: float) -> float:
    """The nearest whole number, a half away from zero."""
    if not math.isfinite(value):
        return value
    whole = math.floor(abs(value))
    return math.copysign(float(whole + (abs(value) - whole >= 0.5)), value)


@function("math.sqrt", float)
@function("math.sqrt", int)
@function("math.sqrt", UInt)
def sqrt(value: float) -> float:
    """The square root; of a negative number NaN."""
    return math.sqrt(value) if value >= 0 else math.nan


@function("math.abs", int)
def absolute(value: int) -> int:
    """The number without its sign."""
    if value == MIN_INT:
        raise CelError("integer overflow")
    return abs(value)


@function("math.abs", UInt)
def absolute_unsigned(value: UInt) -> UInt:
    """The same."""
    return value


@function("math.abs", float)
def absolute_double(value: float) -> float:
    """The number without its sign."""
    return abs(value)


@function("math.sign", int)
@function("math.sign", UInt)
@function("math.sign", float)
def sign(value: Any) -> Any:
    """-1, 0 or 1, of the number's own type."""
    if value != value:
        return value
    return type(value)((value > 0) - (value < 0))


@function("math.isNaN", float)
def is_nan(value: float) -> bool:
    """Whether it is no number."""
    return math.isnan(value)


@function("math.isInf", float)
def is_inf(value: float) -> bool:
    """Whether it is infinite."""
    return math.isinf(value)


@function("math.isFinite", float)
def is_finite(value: float) -> bool:
    """Whether it is neither infinite nor NaN."""
    return math.isfinite(value)


def _bits(shown: str, body: Callable[[int, int], int]) -> None:
    for kind in (int, UInt):

        def run(left: int, right: int, kind: type[int] = kind) -> int:
            return kind(body(int(left), int(right)))

        function(shown, kind, kind)(run)


_bits("math.bitAnd", lambda left, right: left & right)
_bits("math.bitOr", lambda left, right: left | right)
_bits("math.bitXor", lambda left, right: left ^ right)


@function("math.bitNot", int)
def bit_not(value: int) -> int:
    """Every bit turned."""
    return ~value


@function("math.bitNot", UInt)
def bit_not_unsigned(value: UInt) -> UInt:
    """Every bit turned."""
    return UInt(MAX_UINT ^ value)


_WIDTH = 64  # bits of an int or uint; a shift by as many or more leaves 0


def _signed(bits: int) -> int:
    return bits - 2**_WIDTH if bits >= 2 ** (_WIDTH - 1) else bits


def _shift(value: int, offset: int, left: bool) -> int:
    if offset < 0:
        raise CelError("a shift is not negative")
    if offset >= _WIDTH:
        return type(value)(0)
    bits = int(value) & MAX_UINT
    shifted = (bits << offset) & MAX_UINT if left else bits >> offset
    return UInt(shifted) if type(value) is UInt else _signed(shifted)


@function("math.bitShiftLeft", int, int)
@function("math.bitShiftLeft", UInt, int)
def shift_left(value: int, offset: int) -> int:
    """The bits moved up, zeros below."""
    return _shift(value, offset, True)


@function("math.bitShiftRight", int, int)
@function("math.bitShiftRight", UInt, int)
def shift_right(value: int, offset: int) -> int:
    """The bits moved down, zeros above, also in a negative int."""
    return _shift(value, offset, False)
