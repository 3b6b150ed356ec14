"""Values into databases and out of them, and what errors tell of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from greenflow.errors import InvalidArgument, messages
from greenflow.payload.value import adopt
from greenflow.sql.faults import told
from greenflow.sql.values import binder, column

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678900, timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        (Decimal("9.90"), 9.9),
        (Decimal("12"), 12),
        (Decimal("1E+3"), 1000),
        (Decimal("0.1234567890123456789"), "0.1234567890123456789"),
        (Decimal("1E+400"), "1E+400"),
        (2**70, str(2**70)),
        (MOMENT, MOMENT),
        (datetime(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC)),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(minutes=1), 60.0),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (memoryview(b"a"), b"a"),
        (bytearray(b"a"), b"a"),
        ({"a": [Decimal(1)]}, {"a": [1]}),
        ((1, {2}), [1, [2]]),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_columns_are_payloads(value: Any, payload: Any) -> None:
    found = column(value)
    assert found == payload
    assert type(found) is type(payload)
    assert adopt(found) == payload


def test_no_number_is_not_a_number() -> None:
    assert column(Decimal("NaN")) != column(Decimal("NaN"))


def test_arguments_of_the_dialects() -> None:
    assert binder("sqlite")(MOMENT) == "2026-01-02T01:04:05.678900Z"
    assert binder("mysql")(MOMENT) == datetime(2026, 1, 2, 1, 4, 5, 678900)
    assert binder("postgresql")(MOMENT) is MOMENT
    assert binder("postgresql")([1, {"a": 1}]) == [1, '{"a":1}']
    assert binder("mysql")([1, {"a": MOMENT}]) == '[1,{"a":"2026-01-02T03:04:05.678900+02:00"}]'
    with pytest.raises(InvalidArgument):
        binder("postgresql")([object()])


class Diagnosis:
    message_primary = 'invalid input syntax for type integer: "hidden"'


class Psycopg(Exception):
    diag = Diagnosis()
    sqlstate = "22P02"


@pytest.mark.parametrize(
    ("error", "arguments", "chain"),
    [
        (Psycopg(), ("Hidden",), ["invalid input syntax for type integer: ***", "22P02"]),
        (
            Exception(1062, "Duplicate entry 'x-hidden' for key 'users.email'"),
            ("x",),
            ["Duplicate entry *** for key 'users.email'", "unique violation", "1062"],
        ),
        (
            Exception({"M": "column a: hidden and 7 of 77", "C": "23514"}),
            ("hidden", [7], b"and", None, True),
            ["column a: *** *** *** of 77", "check violation", "23514"],
        ),
        (Exception("first\nDETAIL: hidden"), (), ["first"]),
        (OverflowError("hidden"), ("hidden",), ["an argument cannot be bound (OverflowError)"]),
        (Exception(), None, ["Exception"]),
    ],
)
def test_an_error_is_told_without_arguments(
    error: Exception, arguments: tuple[Any, ...] | None, chain: list[str]
) -> None:
    assert list(messages(told(error, arguments))) == chain
