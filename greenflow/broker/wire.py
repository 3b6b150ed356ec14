"""Payloads as the body of a message, and back.

Lives here: the encoding. We write MessagePack, which keeps apart what JSON does not: bytes,
timestamps (its extension -1), integers of 64 bits and NaN. Errors are our extension 1: a map of
`m`, the message, `c`, the cause, and `g`, the errors of a group. Timestamps come back in UTC. A
body stream cannot be published.

Programs other than greenflow may publish, too: their messages are read as MessagePack or JSON, by
their content type.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Any

import msgspec

from greenflow.errors import InvalidArgument, WorkflowError
from greenflow.hub.collector import put_off
from greenflow.payload.json import loads
from greenflow.payload.large import LARGE_BYTES, loads_in_turns
from greenflow.payload.stream import Stream
from greenflow.payload.value import adopt

MESSAGEPACK, JSON = "application/msgpack", "application/json"

_TRACE = "; traceparent="

ERROR = 1  # the code of our extension for errors

# A cause of a cause and so on, this deep. Chains of real errors are short; a cycle ends here.
MAX_CAUSES = 10


def encode(payload: Any) -> bytes:
    """The payload as MessagePack. Raises InvalidArgument for what cannot travel."""
    try:
        return _encoder.encode(payload)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgument() from ValueError(f"the payload cannot be published: {error}")


def kind_of(trace: str | None) -> str:
    """The content type of what `encode` made. Which trace it is of goes with it as a parameter, for
    that is what every server keeps beside a body."""
    return MESSAGEPACK if trace is None else f"{MESSAGEPACK}{_TRACE}{trace}"


def trace_of(content_type: str) -> str | None:
    """Which trace a message is of, if its content type says so."""
    return content_type.partition(_TRACE)[2] or None


def decode(body: bytes, content_type: str = MESSAGEPACK) -> Any:
    """The payload of a message. Lets others run where it is large, as far as MessagePack is not one
    call of C: 8 MiB take it 50 ms at most. Raises InvalidArgument for what is none."""
    kind = content_type.partition(";")[0].strip().lower()
    is_large = len(body) >= LARGE_BYTES
    if kind == JSON:
        text = body.removeprefix(BOM_UTF8)  # RFC 8259 8.1
        return loads_in_turns(text, limited=False) if is_large else loads(text)
    if kind != MESSAGEPACK:
        raise InvalidArgument(
            f"a message has the content type {content_type!r}; allowed are {MESSAGEPACK} and {JSON}"
        )
    if is_large:
        put_off()
    try:
        return adopt(_decoder.decode(body))
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgument() from ValueError(f"the body is no {MESSAGEPACK}: {error}")


def _extend(item: Any) -> msgspec.msgpack.Ext:
    if isinstance(item, Exception):
        return msgspec.msgpack.Ext(ERROR, msgspec.msgpack.encode(_tell(item, MAX_CAUSES)))
    if isinstance(item, Stream):
        raise TypeError("a body stream is read once; read it first")
    raise TypeError(f"{type(item).__qualname__} is no payload")


def _tell(error: BaseException, depth: int) -> dict[str, Any]:
    text = error.message if isinstance(error, BaseExceptionGroup) else str(error)
    told: dict[str, Any] = {"m": writable(text)}
    if depth and isinstance(error, BaseExceptionGroup):
        told["g"] = [_tell(member, depth - 1) for member in error.exceptions]
    if depth and error.__cause__ is not None:
        told["c"] = _tell(error.__cause__, depth - 1)
    return told


def writable(text: str) -> str:
    """The text with halves of surrogate pairs, which no UTF-8 can write, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


class _Told(msgspec.Struct):
    m: str
    g: list[_Told] | None = None
    c: _Told | None = None


def _revive(code: int, data: memoryview) -> Exception:
    if code != ERROR:
        raise ValueError(f"unknown extension {code}")
    return _error(msgspec.msgpack.decode(bytes(data), type=_Told))


def _error(told: _Told) -> Exception:
    error: Exception
    if told.g:
        error = ExceptionGroup(told.m, [_error(member) for member in told.g])
    else:
        error = WorkflowError(told.m)
    if told.c is not None:
        error.__cause__ = _error(told.c)
    return error


_encoder = msgspec.msgpack.Encoder(enc_hook=_extend)
_decoder = msgspec.msgpack.Decoder(ext_hook=_revive)
