"""What a database's error says to people and to workflows.

Lives here: `told`, and nothing that waits or opens. An error of a driver is never kept, raised on
or shown as it is: its text, its notes and its parameters may hold arguments, which are secrets.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any, NamedTuple

from greenflow.errors import SqlFailed
from greenflow.log.secret import MASK

# Shorter texts than this are masked only where they stand alone.
LEAST = 3

_SORTS = {
    # SQLSTATE, of PostgreSQL and the standard
    "23505": "unique violation",
    "23503": "foreign key violation",
    "23502": "not null violation",
    "23514": "check violation",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "locked",
    "57014": "cancelled",
    "42P01": "unknown table",
    "42703": "unknown column",
    "42601": "syntax error",
    # MySQL
    "1062": "unique violation",
    "1451": "foreign key violation",
    "1452": "foreign key violation",
    "1048": "not null violation",
    "3819": "check violation",
    "4025": "check violation",
    "1213": "deadlock",
    "1205": "locked",
    "1146": "unknown table",
    "1054": "unknown column",
    "1064": "syntax error",
    # SQLite
    "SQLITE_CONSTRAINT_UNIQUE": "unique violation",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique violation",
    "SQLITE_CONSTRAINT_ROWID": "unique violation",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign key violation",
    "SQLITE_CONSTRAINT_NOTNULL": "not null violation",
    "SQLITE_CONSTRAINT_CHECK": "check violation",
    "SQLITE_BUSY": "locked",
    "SQLITE_BUSY_SNAPSHOT": "serialization failure",
    "SQLITE_LOCKED": "locked",
    "SQLITE_INTERRUPT": "cancelled",
}

_QUOTED_VALUE = re.compile(r"(?<=: )\".*\"|(?<=entry )'.*'(?= for )|(?<=value: )'.*?'(?= for )")


class Facts(NamedTuple):
    """What there is to know of a driver's error."""

    text: str
    code: str


def told(error: BaseException, arguments: tuple[Any, ...] | None) -> SqlFailed:
    """The error of a statement or a commit as one of ours, without the arguments; to be raised
    `from` its own cause, for else the driver's error would be shown, too."""
    facts = _facts(error)
    failed = SqlFailed(_masked(facts.text, arguments))
    sort = _SORTS.get(facts.code)
    chain = [text for text in (sort, facts.code) if text]
    inner: BaseException = failed
    for text in chain:
        inner.__cause__ = SqlFailed(text)
        inner = inner.__cause__
    return failed


def _facts(error: BaseException) -> Facts:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorname", "")
        return Facts(_first_line(str(error)), code)
    if isinstance(error, OverflowError | UnicodeError | TypeError):  # of binding: tells the value
        return Facts(f"an argument cannot be bound ({type(error).__name__})", "")
    diagnosis = getattr(error, "diag", None)  # psycopg
    if diagnosis is not None and getattr(diagnosis, "message_primary", None):
        return Facts(_first_line(diagnosis.message_primary), getattr(error, "sqlstate", "") or "")
    first = error.args[0] if error.args else None
    if isinstance(first, dict) and "M" in first:  # pg8000
        return Facts(_first_line(str(first["M"])), str(first.get("C", "")))
    if isinstance(first, int) and len(error.args) > 1:  # MySQL
        return Facts(_first_line(str(error.args[1])), str(first))
    return Facts(_first_line(str(error)) or type(error).__name__, "")


def _first_line(text: str) -> str:
    """What follows often quotes a row, or the statement."""
    return text.strip().partition("\n")[0]


def _masked(text: str, arguments: tuple[Any, ...] | None) -> str:
    """The text without what came as an argument."""
    if not arguments:
        return text
    text = _QUOTED_VALUE.sub(MASK, text)
    values = {str(value) for value in _flat(arguments) if value not in (None, "", b"")}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= LEAST:
            text = text.replace(value, MASK)
        else:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", MASK, text)
    return text


def _flat(arguments: Any) -> Any:
    for value in arguments:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        elif isinstance(value, bytes):
            yield value.decode("utf-8", "replace")
        elif not isinstance(value, bool):
            yield value
