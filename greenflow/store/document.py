"""One document: checked, copied, identified, written as text and read back.

Lives here: what a document may hold, its JSON text, and the ids of those that have none. What a
batch of documents changes is plan.py's.

The text is what stores keep, so every document that comes out of one is a copy. Work on many
documents goes through `unhurried` of hub/breathing, which lets others run every few milliseconds.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from gevent.monkey import get_original

from greenflow.errors import InvalidArgument, StoreUnavailable
from greenflow.payload.value import taking
from greenflow.spec.syntax import MAX_DEPTH, MAX_INTEGER

_PLAIN = "null, booleans, numbers, strings, lists and maps"

# RFC 9562 section 5.7: 48 bits of Unix time in milliseconds, then 74 bits that are random.
_RANDOM_BITS = 74
_STEP_BITS = (
    32  # random distance to the next id of one millisecond (RFC 9562 section 6.2, method 2)
)

# Ids are made in the threads of stores too, so the lock is a native one in patched programs.
_id_lock = get_original("_thread", "allocate_lock")()
_last_id = 0


class Row(NamedTuple):
    """A document as stores keep it: its text, and beside it what it is found by.

    `name` is None for a document that is reached by id only. Revision 0 is one that is not stored
    yet: the store gives it the next one.
    """

    id: str
    namespace: str
    name: str | None
    revision: int
    text: str

    def __repr__(self) -> str:
        # Not the text: that of a value is a secret.
        return f"<Row {self.id} at revision {self.revision}>"


def new_id() -> str:
    """A UUIDv7 (RFC 9562 section 5.7), greater than every one this OS process made before."""
    global _last_id
    fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    with _id_lock:
        if fresh <= _last_id:
            fresh = _last_id + 1 + secrets.randbits(_STEP_BITS)
        _last_id = fresh
    high, low = fresh >> 62, fresh & ((1 << 62) - 1)
    stamp, random = high >> 12, high & 0xFFF
    digits = f"{stamp << 80 | 7 << 76 | random << 64 | 0b10 << 62 | low:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def adopt(document: object, path: str) -> dict[str, Any]:
    """A copy of the document, checked to be plain JSON data; `path` is its place in messages.

    Raises InvalidArgument that names the place and what is allowed.
    """
    if not isinstance(document, Mapping):
        raise InvalidArgument(f"{path}: a document is a map, not {_kind(document)}")
    plain: dict[str, Any] = _taken(document, path)
    return plain


def _other(value: Any, path: str) -> float:
    if not isinstance(value, float):
        raise InvalidArgument(f"{path}: {_kind(value)} cannot be stored; allowed are {_PLAIN}")
    if not math.isfinite(value):
        raise InvalidArgument(f"{path}: {value} cannot be stored; numbers are finite")
    return float(value)


_taken = taking(
    frozenset((type(None), bool, str)),
    Mapping,
    _other,
    deepest=MAX_DEPTH,
    greatest=MAX_INTEGER,
    bits="64 bits with its sign",
)


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def identifier(document: Mapping[str, Any], field: str, path: str) -> str | None:
    """`id`, `namespace` or `name` of a document; None when it is missing, null or empty."""
    value = document.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidArgument(f"{path}.{field}: must be a string, not {_kind(value)}")
    if "\0" in value:
        raise InvalidArgument(f"{path}.{field}: must not hold a null character")
    return value


def encode(document: Mapping[str, Any], path: str) -> str:
    """The JSON text of a document that `adopt` has passed."""
    try:
        return msgspec.json.encode(document).decode()
    except UnicodeEncodeError as error:
        fault = str(error)
    raise InvalidArgument(f"{path}: holds text that is not valid Unicode ({fault})")


def decode(text: str) -> dict[str, Any]:
    """The document of a text that `encode` wrote."""
    try:
        document: dict[str, Any] = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(
            f"the store holds a document that is damaged ({error}); restore it from a backup"
        ) from error
    return document


def same(first: str, second: str) -> bool:
    """Whether two texts are equal documents. The order of the top-level fields means nothing; all
    else counts, also the order within maps: a reader may see it, and 1, 1.0 and true differ."""
    if first == second:
        return True
    one, other = decode(first), decode(second)
    # Most that differ differ for Python, too, which is the cheaper question.
    return one == other and _ordered(one) == _ordered(other)


def _ordered(document: dict[str, Any]) -> bytes:
    return msgspec.json.encode(sorted(document.items()))
