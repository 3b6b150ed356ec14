"""The standard functions: sizes, conversions, types, text tests, optionals, base64.

Lives here: what cel-spec's language definition lists, save time (times.py) and `matches`
(regexes.py), and the small libraries of optionals and encoders. Numbers are written as Go writes
them, which is what the language's own examples show.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

from greenflow.errors import messages
from greenflow.lang.cel.library import function, method
from greenflow.lang.cel.meter import Frame, charge, charge_text
from greenflow.lang.cel.values import (
    MAX_INT,
    MAX_UINT,
    MIN_INT,
    NONE,
    SECOND,
    CelError,
    Duration,
    Optional,
    Timestamp,
    Type,
    UInt,
    name,
    normal,
    type_of,
)

_DECIMAL = re.compile(r"[+-]?[0-9]{1,40}")
# Each digit can be read in one way only: what has many and is no double ends at once.
_FLOAT = re.compile(
    r"[+-]?+(?:[0-9]++(?:\.[0-9]*+)?+(?:e[+-]?+[0-9]++)?+|\.[0-9]++(?:e[+-]?+[0-9]++)?+"
    r"|inf(?:inity)?+|nan)",
    re.IGNORECASE,
)
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))

#: From here on a double is written with an exponent (Go's strconv, format g).
_EXPONENT_FROM = 1e21


@function("size", str)
@function("size", bytes)
@function("size", list)
@function("size", dict)
@method("size", str)
@method("size", bytes)
@method("size", list)
@method("size", dict)
def size(value: Any) -> int:
    """Characters, bytes, elements or entries."""
    return len(value)


@function("type", object)
def kind(value: Any) -> Type:
    """The type as a value."""
    return type_of(value)


@function("dyn", object)
def dynamic(value: Any) -> Any:
    """The value: there is no type checker to tell."""
    return value


def _fit(number: int, unsigned: bool) -> int:
    if unsigned:
        if 0 <= number <= MAX_UINT:
            return UInt(number)
        raise CelError("the number is out of the range of uint")
    if MIN_INT <= number <= MAX_INT:
        return int(number)
    raise CelError("the number is out of the range of int")


def _from_float(value: float, unsigned: bool) -> int:
    # Doubles at the ends of int64 stand for a range of numbers, so they are refused as well.
    low, high = (-1.0, 2.0**64) if unsigned else (-(2.0**63), 2.0**63)
    if not low < value < high or (unsigned and value < 0):
        raise CelError(f"the double is out of the range of {'uint' if unsigned else 'int'}")
    return _fit(int(value), unsigned)


def _from_text(text: str, unsigned: bool) -> int:
    if not _DECIMAL.fullmatch(text) or (unsigned and text[0] in "+-"):
        raise CelError(f"the string is no {'uint' if unsigned else 'int'}")
    return _fit(int(text), unsigned)


@function("int", int)
@function("int", UInt)
def int_of(value: int) -> int:
    """The same number as an int."""
    return _fit(value, False)


@function("int", float)
def int_of_double(value: float) -> int:
    """The number without its fraction."""
    return _from_float(value, False)


@function("int", str)
def int_of_text(text: str) -> int:
    """The number written in decimal."""
    return _from_text(text, False)


@function("int", Timestamp)
def int_of_timestamp(moment: Timestamp) -> int:
    """Whole seconds since 1970."""
    return moment.ns // SECOND


@function("uint", int)
@function("uint", UInt)
def uint_of(value: int) -> int:
    """The same number as a uint."""
    return _fit(value, True)


@function("uint", float)
def uint_of_double(value: float) -> int:
    """The number without its fraction."""
    return _from_float(value, True)


@function("uint", str)
def uint_of_text(text: str) -> int:
    """The number written in decimal."""
    return _from_text(text, True)


@function("double", int)
@function("double", UInt)
@function("double", float)
def double_of(value: float) -> float:
    """The nearest double."""
    return float(value)


@function("double", str, scans=True)
def double_of_text(text: str) -> float:
    """The number written in decimal, `Infinity` or `NaN`."""
    if not _FLOAT.fullmatch(text):
        raise CelError("the string is no double")
    value = float(text)
    if math.isinf(value) and text[-1].isdigit():  # it does not say so itself
        raise CelError("the number is out of the range of double")
    return value


@function("bool", bool)
def bool_of(value: bool) -> bool:
    """The same."""
    return value


@function("bool", str)
def bool_of_text(text: str) -> bool:
    """What 1, t, true, True, TRUE and their opposites stand for."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise CelError("the string is no bool")


@function("bytes", bytes)
def bytes_of(value: bytes) -> bytes:
    """The same."""
    return value


@function("bytes", str, scans=True)
def bytes_of_text(text: str) -> bytes:
    """The text in UTF-8."""
    return encode(text)


def encode(text: str) -> bytes:
    """The text in UTF-8; JSON may bring half a character, which has none."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CelError("the string holds half a surrogate pair") from error


def decode(data: bytes) -> str:
    """The text that is in UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CelError("the bytes are no UTF-8") from error


def write_double(value: float) -> str:
    """The shortest text that reads as the double."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    if value.is_integer() and abs(value) < _EXPONENT_FROM:
        return "-0" if value == 0 and math.copysign(1, value) < 0 else str(int(value))
    return repr(value)


@function("string", bytes, scans=True)
def text_of_bytes(value: bytes) -> str:
    """The text that is in UTF-8."""
    return decode(value)


@function("string", str, metered=True)
def text_of_text(frame: Frame, text: str) -> str:
    """The same."""
    return text


@function("string", object, metered=True)
def text_of_any(frame: Frame, value: Any) -> str:
    """The value as text; an error is its message and those of its causes."""
    text = text_of(value)
    charge(frame, len(text) >> 4)
    return text


def text_of(value: Any) -> str:
    """The value as text; an error is its message and those of its causes."""
    value = normal(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return write_double(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return decode(value)
    if isinstance(value, Timestamp | Duration):
        return write_time(value)
    if isinstance(value, Exception):
        return ": ".join(messages(value))
    raise CelError(f"no such overload: string({name(value)})")


def write_time(value: Timestamp | Duration) -> str:
    """RFC 3339 in UTC, or seconds with their unit; no more digits than are needed."""
    seconds, rest = divmod(abs(value.ns) if isinstance(value, Duration) else value.ns, SECOND)
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    if isinstance(value, Duration):
        return f"{'-' if value.ns < 0 else ''}{seconds}{fraction}s"
    moment = Timestamp(seconds * SECOND).datetime()
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}{fraction}Z"


@method("startsWith", str, str, metered=True)
def starts_with(frame: Frame, text: str, part: str) -> bool:
    """Whether the text begins so."""
    charge_text(frame, part)
    return text.startswith(part)


@method("endsWith", str, str, metered=True)
def ends_with(frame: Frame, text: str, part: str) -> bool:
    """Whether the text ends so."""
    charge_text(frame, part)
    return text.endswith(part)


@method("contains", str, str, scans=True)
def contains(text: str, part: str) -> bool:
    """Whether the part is in the text."""
    return part in text


@function("optional.of", object)
def optional_of(value: Any) -> Optional:
    """The value as an optional, null too."""
    return Optional(value)


@function("optional.none")
def optional_none() -> Optional:
    """None."""
    return NONE


@function("optional.ofNonZeroValue", object)
def optional_of_non_zero(value: Any) -> Optional:
    """The value, or none for null, false, zero and what is empty."""
    plain = value.ns if isinstance(value, Duration) else value
    return Optional(value) if plain or isinstance(value, Exception) else NONE


@function("optional.unwrap", list, metered=True)
@method("unwrapOpt", list, metered=True)
def unwrap(frame: Frame, values: list[Any]) -> list[Any]:
    """The values of those optionals that have one."""
    charge(frame, len(values))
    for value in values:
        if not isinstance(value, Optional):
            raise CelError(f"{name(value)} is no optional")
    return [value.value for value in values if value.present]


@method("hasValue", Optional)
def has_value(value: Optional) -> bool:
    """Whether there is a value."""
    return value.present


@method("value", Optional)
def value_of(value: Optional) -> Any:
    """The value; none is an error."""
    if value.present:
        return value.value
    raise CelError("the optional has no value")


@method("or", Optional, Optional)
def either(value: Optional, other: Optional) -> Optional:
    """The first that has a value."""
    return value if value.present else other


@method("orValue", Optional, object)
def or_value(value: Any, other: Any) -> Any:
    """The value, or the other."""
    if not isinstance(value, Optional):
        raise CelError(f"{name(value)} is no optional")
    return value.value if value.present else other


@function("base64.encode", bytes, scans=True)
def base64_encode(data: bytes) -> str:
    """The bytes in base64, padded."""
    return base64.b64encode(data).decode("ascii")


@function("base64.decode", str, scans=True)
def base64_decode(text: str) -> bytes:
    """The bytes that are in base64, with or without padding."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CelError("the string is no base64") from error
