"""The tables of the SQLite store, and every statement on them.

Lives here: SQL, over a connection that is handed in. No threads, no greenlets.

Each collection is a table of rows. The journal has one line for each change of a document; its
number is the document's new revision, so a feed is what came behind a number. Numbers have no
holes: one that is missing behind the last one seen means that it was trimmed, or that this is
another file. They begin with the time the file was made, in microseconds, so that two files share
none: whoever finds another file in the place of the old one sees other revisions.

Statements take and give many rows in one step, lists as JSON or as many parameters, because each
step costs the thread the interpreter's lock, which a busy hub gives back only after milliseconds.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from greenflow.store import ledger, unclaimed
from greenflow.store.change import SPECS, VALUES
from greenflow.store.document import Row
from greenflow.store.plan import Wanted
from greenflow.store.statements import PAGE, insert

# Lines of the journal that are kept. A feed that is further behind reports a gap; at a hundred
# changes a second that is a quarter of an hour. About 10 MB.
JOURNAL_KEPT = 100_000

# Lines of the journal in one step, for the same reason; they are short.
JOURNAL_PAGE = 2_000

_ROW = "json_array(id, namespace, name, revision, document)"


class Page(NamedTuple):
    """Some rows as one JSON text: decoded where there is time to."""

    text: str

    def __repr__(self) -> str:
        return f"<Page of {len(self.text)} characters>"  # values are secrets

    def rows(self) -> list[Row]:
        """The rows, ordered by id."""
        return sorted(msgspec.json.decode(self.text, type=list[Row]))


class Changes(NamedTuple):
    """What the journal has behind a number: ids by (collection, namespace), and the last number."""

    ids: dict[tuple[str, str], set[str]]
    last: int
    gap: bool


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables, in an empty file."""
    for table in (SPECS, VALUES):
        connection.execute(
            f'CREATE TABLE "{table}" (id TEXT PRIMARY KEY NOT NULL, namespace TEXT NOT NULL,'
            " name TEXT, revision INTEGER NOT NULL, document TEXT NOT NULL)"
        )
        connection.execute(f'CREATE INDEX "{table}_namespace" ON "{table}" (namespace, id)')
        connection.execute(
            f'CREATE UNIQUE INDEX "{table}_name" ON "{table}" (namespace, name)'
            " WHERE name IS NOT NULL"
        )
    connection.execute(
        "CREATE TABLE journal (number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " collection TEXT NOT NULL, namespace TEXT NOT NULL, id TEXT NOT NULL)"
    )
    connection.execute(
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('journal', ?)",
        (time.time_ns() // 1000,),
    )
    ledger.create(connection)
    unclaimed.create(connection)


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Makes the tables that a file of an older layout lacks. In a transaction."""
    if version < 2:
        ledger.create(connection)
    if version < 3:
        unclaimed.create(connection)


def last_number(connection: sqlite3.Connection) -> int:
    """The number of the last change, also if its line is gone."""
    ((number,),) = connection.execute(
        "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"
    ).fetchall()
    return int(number)


def goes_on(connection: sqlite3.Connection, number: int) -> bool:
    """Whether the journal goes on behind a number that was seen in it, though perhaps the next
    lines have been trimmed."""
    ((newest, next_is_there, kept),) = connection.execute(
        "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'journal'),"
        " EXISTS (SELECT 1 FROM journal WHERE number = ?), (SELECT count(*) FROM journal)",
        (number + 1,),
    ).fetchall()
    return bool(newest >= number and (next_is_there or kept >= JOURNAL_KEPT))


def data_version(connection: sqlite3.Connection) -> int:
    """A number that differs once another connection, of any OS process, has written."""
    ((version,),) = connection.execute("PRAGMA data_version").fetchall()
    return int(version)


def changes_behind(connection: sqlite3.Connection, number: int) -> Changes:
    """The next changes behind a number, or a gap up to now; `last` is the number if none are."""
    ((newest, first, last, text),) = connection.execute(
        "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'journal'), min(number), max(number),"
        " json_group_array(json_array(collection, namespace, id))"
        f" FROM (SELECT * FROM journal WHERE number > ? ORDER BY number LIMIT {JOURNAL_PAGE})",
        (number,),
    ).fetchall()
    if newest == number:
        return Changes({}, number, False)
    if first != number + 1:  # also when there are none, because the number went back
        return Changes({}, newest, True)
    ids: dict[tuple[str, str], set[str]] = {}
    for collection, namespace, id in msgspec.json.decode(text, type=list[tuple[str, str, str]]):
        ids.setdefault((collection, namespace), set()).add(id)
    return Changes(ids, last, False)


def find(
    connection: sqlite3.Connection, table: str, narrow: dict[str, frozenset[str]]
) -> Iterator[Page]:
    """The rows whose columns are among the strings of `narrow`, in pages ordered by id."""
    conditions: list[str] = []
    parameters: list[str] = []
    for column, strings in narrow.items():
        if column != "id" and len(strings) == 1:
            # with `=` the planner walks the index of the column; with `IN` it would not
            conditions.append(f"{column} = ?")
            parameters.extend(strings)
        elif column != "id":
            conditions.append(f"{column} IN (SELECT value FROM json_each(?))")
            parameters.append(json.dumps(sorted(strings)))
    if "id" in narrow:
        ids = iter(sorted(narrow["id"]))
        where = " AND ".join(["id IN (SELECT value FROM json_each(?))", *conditions])
        while part := list(islice(ids, PAGE)):
            page, _ = _page(connection, table, where, [json.dumps(part), *parameters])
            if page is not None:
                yield page
        return
    where = " AND ".join(["id > ?", *conditions])
    last: str | None = ""
    while last is not None:
        page, last = _page(connection, table, where, [last, *parameters])
        if page is not None:
            yield page


def _page(
    connection: sqlite3.Connection, table: str, where: str, parameters: Sequence[str]
) -> tuple[Page | None, str | None]:
    """At most PAGE rows, and their last id."""
    ((text, last),) = connection.execute(
        f"SELECT json_group_array({_ROW}), max(id) FROM"
        f' (SELECT * FROM "{table}" WHERE {where} ORDER BY id LIMIT {PAGE})',
        parameters,
    ).fetchall()
    return (None if last is None else Page(text)), last


def wanted_rows(connection: sqlite3.Connection, table: str, wanted: Wanted) -> Iterator[Page]:
    """The rows with one of the ids or one of the names; a row may come twice."""
    if wanted.ids:
        yield from find(connection, table, {"id": wanted.ids})
    names = iter(sorted(wanted.names))
    while part := list(islice(names, PAGE)):
        ((text,),) = connection.execute(
            f"SELECT json_group_array({_ROW}) FROM"
            f' (SELECT value FROM json_each(?)) AS pair CROSS JOIN "{table}"'
            " ON namespace = pair.value ->> 0 AND name = pair.value ->> 1 AND name IS NOT NULL",
            (json.dumps(part),),
        ).fetchall()
        yield Page(text)


def revisions(
    connection: sqlite3.Connection, table: str, namespace: str | None
) -> Iterator[list[tuple[str, int]]]:
    """(id, revision) of each row of a namespace, or of all."""
    where = "" if namespace is None else "AND namespace = ?"
    parameters = [] if namespace is None else [namespace]
    last: str | None = ""
    while last is not None:
        ((text, last),) = connection.execute(
            "SELECT json_group_array(json_array(id, revision)), max(id) FROM (SELECT id, revision"
            f' FROM "{table}" WHERE id > ? {where} ORDER BY id LIMIT {PAGE})',
            [last, *parameters],
        ).fetchall()
        yield msgspec.json.decode(text, type=list[tuple[str, int]])


def write(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> list[Row]:
    """Stores rows, new ones and in place of old ones; returns them with their revisions.

    The old rows go first, so that names may move between them.
    """
    numbered = _journal(connection, table, rows)
    _remove(connection, table, [row.id for row in rows])
    insert(connection, f'"{table}" (id, namespace, name, revision, document)', numbered)
    _trim(connection, numbered[-1].revision)  # last: a row has its line (unclaimed.py)
    return numbered


def remove(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    """Deletes rows."""
    numbered = _journal(connection, table, rows)
    _remove(connection, table, [row.id for row in rows])
    _trim(connection, numbered[-1].revision)


def _journal(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> list[Row]:
    first = last_number(connection) + 1
    numbered = [row._replace(revision=number) for number, row in enumerate(rows, first)]
    insert(
        connection,
        "journal (number, collection, namespace, id)",
        [(row.revision, table, row.namespace, row.id) for row in numbered],
    )
    return numbered


def _trim(connection: sqlite3.Connection, last: int) -> None:
    connection.execute("DELETE FROM journal WHERE number <= ?", (last - JOURNAL_KEPT,))


def _remove(connection: sqlite3.Connection, table: str, ids: Iterable[str]) -> None:
    ids = iter(ids)
    while part := list(islice(ids, PAGE)):
        connection.execute(
            f'DELETE FROM "{table}" WHERE id IN (SELECT value FROM json_each(?))',
            (json.dumps(part),),
        )
