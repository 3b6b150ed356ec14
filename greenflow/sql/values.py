"""Values on their way into a database and out of it.

Lives here: what a payload is as an argument of SQL, and what a column is as a payload.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from greenflow.errors import InvalidArgument
from greenflow.payload.batches import encoded, is_large
from greenflow.payload.value import MAX_INT, MIN_INT

# Significant digits that a float keeps of every decimal number (DBL_DIG of C).
FLOAT_DIGITS = 15

_AS_THEY_ARE = frozenset((type(None), bool, int, float, str, bytes))


def binder(dialect: str) -> Callable[[Any], Any]:
    """What makes a payload an argument for a dialect of SQLAlchemy's, or for SQLite.

    It raises InvalidArgument for what no column can hold, and does not say the value.
    """

    def bind(value: Any) -> Any:
        kind = type(value)
        if kind is int:
            if dialect == "sqlite" and value >= 2**63:
                raise InvalidArgument("an argument is an integer that SQLite cannot hold: 64 bits")
            return value
        if kind in _AS_THEY_ARE:
            return value
        if isinstance(value, datetime):
            return _moment(value, dialect)
        if kind is list and dialect == "postgresql":
            return [bind(item) for item in value]
        if kind in (list, dict):
            return _json(value)
        reason = "null, boolean, number, string, bytes, timestamp, list or map"
        raise InvalidArgument(f"an argument is {kind.__name__}; it can be {reason}")

    return bind


def _moment(value: datetime, dialect: str) -> Any:
    if dialect == "sqlite":  # which has no type for it; such texts sort by time
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if dialect in ("mysql", "mariadb"):  # whose types have no zone
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _json(value: Any) -> str:
    try:
        return encoded(value, _encode) if is_large(value) else _encode(value)
    except (TypeError, ValueError):
        reason = ValueError("a list or a map among the arguments cannot be JSON")
        raise InvalidArgument() from reason


def _encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_in_json)


def _in_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError


def column(value: Any) -> Any:
    """A value of a database as a payload. A timestamp without a zone is UTC; an exact number is a
    number if a float keeps all its digits, else a string."""
    kind = type(value)
    if kind is int:
        return value if MIN_INT <= value <= MAX_INT else str(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is Decimal:
        return _decimal(value)
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, dict):
        return {str(key): column(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [column(item) for item in value]
    return str(value)


def _decimal(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return float(value)
    digits, exponent = value.as_tuple().digits, value.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent >= 0 and MIN_INT <= value <= MAX_INT:
        return int(value)
    return float(value) if len(digits) <= FLOAT_DIGITS and abs(exponent) < 300 else str(value)
