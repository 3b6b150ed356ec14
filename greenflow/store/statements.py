"""How the SQLite store writes many rows in few statements.

Lives here: `insert`, and how many rows go into one step. Which tables there are is tables.py's and
ledger.py's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import islice

# Rows in one step: about a millisecond of work, so neither the hub nor this thread waits for long
# (20 ms is the limit of the hub). Ten parameters each at most, of 32,766 (sqlite.org/limits.html).
PAGE = 256


def insert(
    connection: sqlite3.Connection,
    into: str,
    rows: Iterable[tuple[str | int | bytes | None, ...]],
    verb: str = "INSERT",
) -> None:
    """Stores rows in a table; `into` is its name, and perhaps the columns."""
    rows = iter(rows)
    while part := list(islice(rows, PAGE)):
        places = f"({', '.join('?' * len(part[0]))})"
        connection.execute(
            f"{verb} INTO {into} VALUES {', '.join([places] * len(part))}",
            [column for row in part for column in row],
        )
