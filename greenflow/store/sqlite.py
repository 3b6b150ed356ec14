"""sqlite:///path: the embedded default. Durable, for many OS processes of one machine.

Lives here: the collections and the store over an SQLite file. The file and its threads are
database.py's, the SQL is tables.py's, the feeds are follow.py's.

    sqlite:///relative/path.db            sqlite:////absolute/path.db
    ?synchronous=FULL|NORMAL|EXTRA        FULL (default): a reported write survives a power cut;
                                          NORMAL: it survives a crash of the program, at less cost
    ?timeout=SECONDS                      how long to wait for another writer's lock

Reads, writes and feeds have a thread and a connection each, so that none waits for another: in WAL
mode a reader sees the last whole commit while a write is under way. A write reads, plans and writes
in one transaction that holds the writers' lock of the file from its start. Documents are decoded in
the greenlet that asked, in slices. The database is three files (with `-wal` and `-shm`): copy or
replace it only as a whole, or with SQLite's own tools.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, unquote

from greenflow.errors import StoreMisconfigured
from greenflow.hub.breathing import unhurried
from greenflow.log.redactor import redact_url
from greenflow.store import tables
from greenflow.store.base import Feed, Record, Store
from greenflow.store.database import SYNCHRONOUS, DatabaseThread, StoreDatabase, transaction
from greenflow.store.document import Row, decode
from greenflow.store.filter import Filter, compile_filter
from greenflow.store.follow import JournalFollower
from greenflow.store.plan import UNWRITTEN, Current, Plan, PlannedCollection, Wanted

# Seconds that a call waits for another writer. A batch of 10,000 documents takes less than one; a
# program that is stopped in a transaction should be reported before a person gives up.
TIMEOUT = 10.0


class SqliteCollection(PlannedCollection):
    """The documents of one table."""

    def __init__(
        self, table: str, reader: DatabaseThread, writer: DatabaseThread, follower: JournalFollower
    ) -> None:
        self._table = table
        self._reader = reader
        self._writer = writer
        self._follower = follower

    def delete(self, filter: Mapping[str, Any] | None) -> list[Record]:
        wanted = compile_filter(filter)
        rows = self._writer.run(lambda connection: self._delete(connection, wanted))
        return [Record(decode(row.text), row.revision) for row in unhurried(rows)]

    def find(self, filter: Mapping[str, Any] | None) -> list[Record]:
        wanted = compile_filter(filter)

        def read(connection: sqlite3.Connection) -> list[tables.Page]:
            with transaction(connection, "DEFERRED"):
                return list(tables.find(connection, self._table, wanted.narrow))

        rows = (row for page in self._reader.run(read) for row in page.rows())
        records = (Record(decode(row.text), row.revision) for row in unhurried(rows))
        return [record for record in records if wanted.matches(record.document)]

    def revisions(self, namespace: str | None) -> dict[str, int]:
        def read(connection: sqlite3.Connection) -> dict[str, int]:
            with transaction(connection, "DEFERRED"):
                found: dict[str, int] = {}
                for page in tables.revisions(connection, self._table, namespace):
                    found.update(page)
                return found

        return self._reader.run(read)

    def feed(self, namespace: str | None) -> Feed:
        return self._follower.feed(self._table, namespace)

    def _current(self, wanted: Wanted) -> Current:
        def read(connection: sqlite3.Connection) -> list[tables.Page]:
            with transaction(connection, "DEFERRED"):
                return list(tables.wanted_rows(connection, self._table, wanted))

        return Current(row for page in self._reader.run(read) for row in page.rows())

    def _commit(self, wanted: Wanted, plan: Plan) -> list[Row]:
        def change(connection: sqlite3.Connection) -> list[Row]:
            with transaction(connection):
                pages = tables.wanted_rows(connection, self._table, wanted)
                rows = plan(Current(row for page in pages for row in page.rows()))
                unwritten = [row for row in rows if row.revision == UNWRITTEN]
                if not unwritten:
                    return rows
                written = {row.id: row for row in tables.write(connection, self._table, unwritten)}
            self._follower.wake()
            return [written.get(row.id, row) for row in rows]

        return self._writer.run(change)

    def _delete(self, connection: sqlite3.Connection, wanted: Filter) -> list[Row]:
        """In the writer's thread."""
        with transaction(connection):
            pages = tables.find(connection, self._table, wanted.narrow)
            rows = [
                row for page in pages for row in page.rows() if wanted.matches(decode(row.text))
            ]
            if rows:
                tables.remove(connection, self._table, rows)
        self._follower.wake()
        return rows


class SqliteStore(Store):
    """The store of an SQLite file, which is created if there is none. Raises StoreUnavailable."""

    def __init__(self, url: str) -> None:
        self.url = redact_url(url)
        database = _database(url)
        self._writer = DatabaseThread(database)
        self._reader = DatabaseThread(database)
        self._follower = JournalFollower(database)
        self.specs = SqliteCollection(tables.SPECS, self._reader, self._writer, self._follower)
        self.values = SqliteCollection(tables.VALUES, self._reader, self._writer, self._follower)
        try:
            self._writer.open()
        except BaseException:
            self.close()
            raise

    @classmethod
    def absent(cls, url: str) -> str:
        path = _database(url).path
        with suppress(OSError):
            if os.path.isdir(path) or os.stat(path).st_size:
                return ""
        folder = os.path.dirname(path)
        return path if os.path.isdir(folder) else f"{path}: the folder {folder} does not exist"

    def close(self) -> None:
        self._follower.close()
        self._reader.close()
        self._writer.close()


def _database(url: str) -> StoreDatabase:
    name = redact_url(url)
    location, _, query = url.partition("://")[2].partition("?")
    host, _, path = location.partition("/")
    if host or not path:
        raise StoreMisconfigured(
            f"{name}: write sqlite:///relative/path.db or sqlite:////absolute/path.db"
        )
    synchronous, timeout = "FULL", TIMEOUT
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option == "synchronous" and value.upper() in SYNCHRONOUS:
            synchronous = value.upper()
        elif option == "timeout" and value.replace(".", "", 1).isdecimal():
            timeout = float(value)
        else:
            shown = redact_url(f"?{option}={value}")[1:]
            raise StoreMisconfigured(
                f"{name}: unknown option {shown}; allowed are timeout=SECONDS and"
                f" synchronous={'|'.join(SYNCHRONOUS)}"
            )
    return StoreDatabase(unquote(path), name, synchronous, timeout, tables.create)
