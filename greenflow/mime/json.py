"""JSON as greenflow writes and reads it (BEHAVIOUR 10.1, 10.6): msgspec's, with the gaps closed.

msgspec is fast and strict, but writes null for NaN, keeps integers of any size, and nests as deep
as Python's stack allows. Each of these leaves a trace in the text that is cheap to look for; only
where there is one the value itself is walked through.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.value import MAX_DEPTH, MAX_INT, MIN_INT

# To find 19 digits in a row, the least that an integer beyond 64 bits has, at the speed of C.
_DIGITS_TO_0 = bytes(ord("0") if chr(byte).isdecimal() else ord(" ") for byte in range(256))
_LONG_NUMBER = b"0" * 19


def _plain(item: Any) -> str:
    """What msgspec does not know: an error is its message (BEHAVIOUR 10.6)."""
    if isinstance(item, Exception):
        return str(item)
    raise TypeError(f"{type(item).__name__} has no form in JSON")


_encode_json = msgspec.json.Encoder(enc_hook=_plain).encode
_decode_json = msgspec.json.Decoder().decode


def dumps(value: Any) -> bytes:
    """JSON in UTF-8 that ends in a newline (BEHAVIOUR 10.6): keys in their order, bytes in base64,
    timestamps by RFC 3339, errors as their message. Raises EncodeError for NaN, infinity, integers
    beyond 64 bits, and what is no payload."""
    try:
        text = _encode_json(value)
        # msgspec writes null for what is no number, and integers of any size; both are rare.
        if _has_null(text) or _has_long_number(text):
            _check_numbers(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"no JSON: {error}") from error
    return text + b"\n"


def _has_null(text: bytes) -> bool:
    """Whether there may be a null; most of those within strings are told apart."""
    return b":null" in text or b",null" in text or b"[null" in text or text == b"null"


def _has_long_number(text: bytes) -> bool:
    return len(text) >= len(_LONG_NUMBER) and _LONG_NUMBER in text.translate(_DIGITS_TO_0)


def _check_numbers(value: Any) -> None:
    """Raises ValueError for a number that JSON does not have."""
    if isinstance(value, dict):
        for item in value.values():
            _check_numbers(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_numbers(item)
    elif isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{value} is not a number that JSON has")
    elif isinstance(value, int) and not MIN_INT <= value <= MAX_INT:
        raise ValueError("an integer must fit 64 bits")


def loads(text: bytes | str) -> Any:
    """The value of a JSON text (RFC 8259), read strictly; of equal keys the last one counts. A
    number without fraction and exponent is an int if it fits 64 bits, else a float.

    Raises InvalidArgument, also for more than MAX_DEPTH lists and maps inside each other.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        value = _decode_json(data)
        if _has_long_number(data):
            value = _fitting(value)
    except RecursionError as error:
        raise InvalidArgument() from ValueError(f"no JSON: nested too deep: {error}")
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise InvalidArgument() from ValueError(f"no JSON: {error}")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


def _fitting(value: Any) -> Any:
    """The value with integers beyond 64 bits as floats."""
    kind = type(value)
    if kind is int:
        return value if MIN_INT <= value <= MAX_INT else float(value)
    if kind is dict:
        return {key: _fitting(item) for key, item in value.items()}
    if kind is list:
        return [_fitting(item) for item in value]
    return value


def _check_depth(value: Any) -> None:
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return
    raise InvalidArgument(f"no JSON: nested deeper than {MAX_DEPTH} lists and maps")
