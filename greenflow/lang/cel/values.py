"""The values of CEL that Python lacks, and the errors of evaluation.

Lives here: unsigned integers, timestamps, durations, optionals, types, Boolean map keys. Null,
bool, int, double, string, bytes, list and map are Python's own, so payloads need no conversion on
the way in.

A `Timestamp` and a `Duration` count nanoseconds, as CEL does. A `datetime` of a payload becomes a
Timestamp when something computes with it, and what leaves becomes a `datetime` again, cut to
microseconds. Python holds `True` and `1` for the same key of a map; CEL does not, so Boolean keys
are kept as `TRUE_KEY` and `FALSE_KEY` inside.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

MIN_INT, MAX_INT = -(2**63), 2**63 - 1  # CEL's int
MAX_UINT = 2**64 - 1  # CEL's uint
SECOND = 1_000_000_000  # nanoseconds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: The years 1 to 9999, as nanoseconds since 1970 (google.protobuf.Timestamp).
MIN_TIMESTAMP, MAX_TIMESTAMP = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND - 1


class CelError(Exception):
    """An evaluation that failed; `&&`, `||` and the quantifiers may absorb it. `at` is the offset
    in the code, None while it is not known."""

    def __init__(self, reason: str, at: int | None = None) -> None:
        self.reason, self.at = reason, at
        super().__init__(reason)


class BudgetSpent(Exception):
    """The step budget is spent; nothing absorbs this."""


class UInt(int):
    """An unsigned integer. It equals, orders and hashes as the number that it is."""

    __slots__ = ()


class Timestamp:
    """A point in time, `ns` nanoseconds from 1970 in UTC."""

    __slots__ = ("ns",)

    def __init__(self, ns: int) -> None:
        if not MIN_TIMESTAMP <= ns <= MAX_TIMESTAMP:
            raise CelError("timestamp out of range: the years are 1 to 9999")
        self.ns = ns

    @classmethod
    def of(cls, moment: datetime) -> Timestamp:
        """The same moment; one without a time zone is read as UTC."""
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        since = aware - EPOCH
        return cls((since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000)

    def datetime(self) -> datetime:
        """The moment in UTC, cut to microseconds."""
        return EPOCH + timedelta(microseconds=self.ns // 1000)


class Duration:
    """A length of time in nanoseconds, signed 64 bit."""

    __slots__ = ("ns",)

    def __init__(self, ns: int) -> None:
        if not MIN_INT <= ns <= MAX_INT:
            raise CelError("duration out of range: 292 years at most")
        self.ns = ns


class Optional:
    """A value, or none."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any, present: bool = True) -> None:
        self.value, self.present = value, present


NONE: Final = Optional(None, False)


class Type:
    """A type as a value."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _BoolKey:
    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


TRUE_KEY: Final = _BoolKey(True)
FALSE_KEY: Final = _BoolKey(False)

TYPES: Final = {
    name: Type(name)
    for name in (
        "null_type",
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "type",
        "optional_type",
        "error",
        "stream",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
    )
}

_BY_CLASS: Final[dict[type, Type]] = {
    type(None): TYPES["null_type"],
    bool: TYPES["bool"],
    int: TYPES["int"],
    UInt: TYPES["uint"],
    float: TYPES["double"],
    str: TYPES["string"],
    bytes: TYPES["bytes"],
    list: TYPES["list"],
    dict: TYPES["map"],
    Type: TYPES["type"],
    Optional: TYPES["optional_type"],
    Timestamp: TYPES["google.protobuf.Timestamp"],
    Duration: TYPES["google.protobuf.Duration"],
}


def type_of(value: Any) -> Type:
    """The type of a value. A whole number of a payload above int64 is a uint; an error payload has
    the type `error`, and a body that is read once the type `stream`."""
    kind = _BY_CLASS.get(type(value))
    if kind is not None:
        return TYPES["uint"] if type(value) is int and value > MAX_INT else kind
    native = native_class(value)
    return TYPES["error"] if native is Exception else _BY_CLASS.get(native, TYPES["stream"])


def native_class(value: Any) -> type:
    """The class that a value of a sub-class, or a datetime, is treated as."""
    if type(value) in _BY_CLASS:
        return type(value)
    if isinstance(value, datetime):
        return Timestamp
    for kind in (Exception, dict, list, str, bytes, float, UInt, int):
        if isinstance(value, kind):
            return kind
    return type(value)


def name(value: Any) -> str:
    """The name of a value's type, for messages."""
    return type_of(value).name


def normal(value: Any) -> Any:
    """The value, with a datetime as a Timestamp and a sub-class as what it extends."""
    if type(value) in _BY_CLASS:
        return value
    if isinstance(value, datetime):
        return Timestamp.of(value)
    kind = native_class(value)
    return value if kind is Exception or kind is type(value) else kind(value)


def key(value: Any) -> Any:
    """What a value is as a key inside a map; raises CelError where it cannot be one."""
    kind = type(value)
    if kind is str or kind is int or kind is UInt:
        return value
    if kind is bool:
        return TRUE_KEY if value else FALSE_KEY
    raise CelError(f"unsupported key type: {name(value)}")


def keys(mapping: dict[Any, Any]) -> list[Any]:
    """The keys of a map as values."""
    if TRUE_KEY in mapping or FALSE_KEY in mapping:
        return [unkey(item) for item in mapping]
    return list(mapping)


def unkey(item: Any) -> Any:
    """The value of what `key` gave."""
    return item.value if type(item) is _BoolKey else item
