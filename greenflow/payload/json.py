"""JSON as greenflow writes and reads it (BEHAVIOUR 10.1, 10.6): msgspec's, with the gaps closed.

msgspec is fast and strict, but writes null for NaN, keeps integers of any size, and nests as deep
as Python's stack allows. Each of these leaves a trace that C finds: in the text, in another
encoding of the value, in what the garbage collector tracks. Only where there is one Python walks
through the value, which takes longer than decoding it.
"""

from __future__ import annotations

import gc
import re
from math import isfinite
from typing import Any

import msgspec

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.payload.batches import encoded, is_large
from greenflow.payload.value import MAX_DEPTH, MAX_INT, MIN_INT

# To find 19 digits in a row, the least that an integer beyond 64 bits has, at the speed of C.
_DIGITS_TO_0 = bytes(ord("0") if chr(byte).isdecimal() else ord(" ") for byte in range(256))
_LONG_NUMBER = b"0" * 19

# Bytes of a text that are looked at in one go: few enough to stay in the caches next to the core.
SLICE_BYTES = 16 * 1024

# How a double in MessagePack that is infinite or no number goes on behind its mark: the exponent is
# all ones. Other bytes may look like it; where there are more of the first one than are worth a
# look, the value is.
_ODD_FIRST, _ODD_SECOND = (b"\x7f", b"\xff"), b"\xf0"
_LOOKS = 1000


def _plain(item: Any) -> str:
    """What msgspec does not know: an error is its message (BEHAVIOUR 10.6)."""
    if isinstance(item, Exception):
        return str(item)
    raise TypeError(f"{type(item).__name__} has no form in JSON")


# Where msgspec says that a text is wrong.
_PLACE = re.compile(r"\(byte ([0-9]+)\)")

_encode_json = msgspec.json.Encoder(enc_hook=_plain).encode
_encode_messagepack = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode_json = msgspec.json.Decoder().decode


def dumps(value: Any) -> bytes:
    """JSON in UTF-8 that ends in a newline (BEHAVIOUR 10.6): keys in their order, bytes in base64,
    timestamps by RFC 3339, errors as their message. Lets others run where it is large. Raises
    EncodeError for NaN, infinity, integers beyond 64 bits, and what is no payload."""
    try:
        text = encoded(value, _encode) if is_large(value) else _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EncodeError(f"no JSON: {error}") from error
    return text + b"\n"


def _encode(value: Any) -> bytes:
    """Raises ValueError or OverflowError for a number that JSON does not have."""
    text = _encode_json(value)
    # There may be infinity or what is no number: MessagePack, which has both, tells them from null.
    # It has no integers beyond 64 bits, and raises OverflowError.
    packed = _encode_messagepack(value)
    if (_ODD_FIRST[0] in packed or _ODD_FIRST[1] in packed) and _has_odd_double(packed):
        _check_numbers(value)
    return text


def _has_odd_double(packed: bytes) -> bool:
    return any(_may_be_odd(packed, first) for first in _ODD_FIRST)


def _may_be_odd(packed: bytes, first: bytes) -> bool:
    at = -1
    for _ in range(_LOOKS):
        at = packed.find(first, at + 1)
        if at < 0:
            return False
        if packed[at + 1 : at + 2] >= _ODD_SECOND:
            return True
    return True


def _has_long_number(text: bytes) -> bool:
    overlap = len(_LONG_NUMBER) - 1
    for start in range(0, len(text) - overlap, SLICE_BYTES):
        part = text[start : start + SLICE_BYTES + overlap]
        if _LONG_NUMBER in part.translate(_DIGITS_TO_0):
            return True
    return False


def _check_numbers(value: Any) -> None:
    """Raises ValueError for a number that JSON does not have."""
    if isinstance(value, dict):
        for item in value.values():
            _check_numbers(item)
    elif isinstance(value, (list, tuple)):
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
    if _may_be_deep(data) and not is_shallow(value):
        _check_depth(value)
    return value


def decode_fitting(text: bytes, offset: int, end: int) -> Any:
    """The value, of any depth, of a part of a text that begins `offset` bytes into it and ends at
    `end`. Raises InvalidArgument, with the place in the whole text."""
    try:
        value = _decode_json(text)
        return _fitting(value) if _has_long_number(text) else value
    except RecursionError as error:
        raise InvalidArgument() from ValueError(f"no JSON: nested too deep: {error}")
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        reason = _PLACE.sub(lambda place: f"(byte {min(int(place[1]) + offset, end)})", str(error))
        raise InvalidArgument() from ValueError(f"no JSON: {reason}")


def no_json(reason: str, place: int) -> InvalidArgument:
    """The error of a text in which something is wrong at that byte."""
    error = InvalidArgument()
    error.__cause__ = ValueError(f"no JSON: JSON is malformed: {reason} (byte {place})")
    return error


def check_brackets(brackets: bytes, depth: int) -> None:
    """Raises InvalidArgument if these brackets of a text, which follow others so deep, go deeper
    than MAX_DEPTH."""
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise _too_deep()


def _too_deep() -> InvalidArgument:
    return InvalidArgument(f"no JSON: nested deeper than {MAX_DEPTH} lists and maps")


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


def _may_be_deep(data: bytes) -> bool:
    """Whether there are more beginnings of lists and maps than may be inside each other. Where they
    are many, that is told by the first bytes."""
    found = 0
    for start in range(0, len(data), SLICE_BYTES):
        end = start + SLICE_BYTES
        found += data.count(b"[", start, end) + data.count(b"{", start, end)
        if found > MAX_DEPTH:
            return True
    return False


def is_shallow(value: Any) -> bool:
    """Whether lists and maps are surely not nested too deep. The collector tracks all of them that
    hold others, and no scalar."""
    level = [value]
    for _ in range(MAX_DEPTH - 1):
        level = list(filter(gc.is_tracked, gc.get_referents(*level)))
        if not level:
            return True
    return False


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
    raise _too_deep()
