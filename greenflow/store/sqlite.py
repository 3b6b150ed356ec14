"""sqlite:///path: the embedded default. Durable, for many OS processes of one machine.

Lives here: the collections and the store over an SQLite file. The file and its threads are
database.py's, the SQL is tables.py's and ledger.py's, the feeds are follow.py's.

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
from collections.abc import Mapping, Set
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from greenflow.errors import StoreMisconfigured
from greenflow.hub.breathing import unhurried
from greenflow.log.redactor import redact_url
from greenflow.spec.signature import Signature, here, unknown
from greenflow.store import ledger, tables, unclaimed
from greenflow.store.base import NOTHING_KNOWN, Feed, Known, Record, Rewrite, Store
from greenflow.store.change import SPECS, VALUES, Edit, Heading, Pair, check_expected
from greenflow.store.database import SYNCHRONOUS, DatabaseThread, StoreDatabase, transaction
from greenflow.store.document import Row, decode
from greenflow.store.filter import Filter, compile_filter
from greenflow.store.follow import JournalFollower
from greenflow.store.history import History
from greenflow.store.plan import (
    UNWRITTEN,
    Current,
    Plan,
    PlannedCollection,
    Wanted,
    drafts_of,
    pairs_of,
    plan_apply,
    records_of,
)

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

    def delete(
        self, filter: Mapping[str, Any] | None, signature: Signature | None = None
    ) -> list[Record]:
        wanted, signed = compile_filter(filter), signature or here()
        rows = self._writer.run(lambda connection: self._delete(connection, wanted, signed))
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

    def _commit(self, wanted: Wanted, plan: Plan, signature: Signature) -> list[Row]:
        step = _Step(self._table, wanted, plan)

        def change(connection: sqlite3.Connection) -> list[Row]:
            (rows,) = _carry_out(connection, [step], signature)
            self._follower.wake()
            return rows

        return self._writer.run(change)

    def _delete(
        self, connection: sqlite3.Connection, wanted: Filter, signature: Signature
    ) -> list[Row]:
        """In the writer's thread."""
        with transaction(connection):
            _claim(connection)
            check_expected(signature, partial(ledger.newest, connection))
            pages = tables.find(connection, self._table, wanted.narrow)
            rows = [
                row for page in pages for row in page.rows() if wanted.matches(decode(row.text))
            ]
            if rows:
                tables.remove(connection, self._table, rows)
                pairs = [(self._table, Pair(row, None)) for row in rows]
                ledger.record(connection, pairs, signature)
        self._follower.wake()
        return rows


class _Step(NamedTuple):
    """What becomes of one table in a change; `gone` are ids to delete first."""

    table: str
    wanted: Wanted
    plan: Plan
    gone: Set[str] = frozenset()


def _carry_out(
    connection: sqlite3.Connection, steps: list[_Step], signature: Signature
) -> list[list[Row]]:
    """Plans over what is stored and writes it, with the change, in one transaction. In the
    writer's thread. Returns the rows of each plan."""
    outcome: list[list[Row]] = []
    pairs: list[tuple[str, Pair]] = []
    with transaction(connection):
        _claim(connection)
        check_expected(signature, partial(ledger.newest, connection))
        for table, wanted, plan, gone in steps:
            pages = tables.wanted_rows(connection, table, wanted.also(gone))
            current = Current(row for page in pages for row in page.rows())
            rows = plan(current.without(gone))
            removed = [current.by_id[id] for id in sorted(gone & current.by_id.keys())]
            if removed:
                tables.remove(connection, table, removed)
            unwritten = [row for row in rows if row.revision == UNWRITTEN]
            if unwritten:
                written = {row.id: row for row in tables.write(connection, table, unwritten)}
                rows = [written.get(row.id, row) for row in rows]
            outcome.append(rows)
            pairs += [(table, pair) for pair in pairs_of(current, rows, signature.places)]
            pairs += [(table, Pair(row, None)) for row in removed]
            if signature.group:
                ledger.join(connection, table, rows, signature.group)
        ledger.record(connection, pairs, signature)
    return outcome


def _claim(connection: sqlite3.Connection) -> int:
    """Records what other programs wrote before, and returns how many documents that is. In a
    transaction."""
    if not unclaimed.are_there(connection):
        return 0
    pairs = unclaimed.claim(connection)
    ledger.record(connection, pairs, unknown())
    return len(pairs)


class SqliteHistory(History):
    """The changes in the tables of ledger.py."""

    def __init__(self, reader: DatabaseThread, writer: DatabaseThread) -> None:
        self._reader, self._writer = reader, writer

    def newest(self, namespace: str) -> int:
        return self._reader.run(partial(ledger.newest, namespace=namespace))

    def oldest(self, namespace: str) -> int:
        return self._reader.run(partial(ledger.oldest, namespace=namespace))

    def headings(
        self,
        namespace: str,
        below: int | None = None,
        limit: int = 100,
        ids: Set[str] | None = None,
    ) -> list[Heading]:
        def read(connection: sqlite3.Connection) -> list[Heading]:
            with transaction(connection, "DEFERRED"):
                return ledger.headings(connection, namespace, below, limit, ids)

        return self._reader.run(read)

    def edits(
        self, namespace: str, above: int = 0, upto: int | None = None, ids: Set[str] | None = None
    ) -> list[Edit]:
        def read(connection: sqlite3.Connection) -> list[Edit]:
            with transaction(connection, "DEFERRED"):
                return ledger.edits(connection, namespace, above, upto, ids)

        return self._reader.run(read)

    def named(self, namespace: str, name: str) -> frozenset[str]:
        return self._reader.run(partial(ledger.named, namespace=namespace, name=name))

    def members(self, namespace: str, collection: str, group: str) -> frozenset[str]:
        return self._reader.run(
            lambda connection: ledger.members(connection, namespace, collection, group)
        )

    def thin(self, changes: int, before: float) -> int:
        def forget(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                return ledger.thin(connection, changes, before)

        return self._writer.run(forget)


class SqliteStore(Store):
    """The store of an SQLite file, which is created if there is none. Raises StoreUnavailable."""

    def __init__(self, url: str) -> None:
        self.url = redact_url(url)
        database = _database(url)
        self._writer = DatabaseThread(database)
        self._reader = DatabaseThread(database)
        self._follower = JournalFollower(database)
        self.specs = SqliteCollection(SPECS, self._reader, self._writer, self._follower)
        self.values = SqliteCollection(VALUES, self._reader, self._writer, self._follower)
        self.history = SqliteHistory(self._reader, self._writer)
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

    def rewrite(
        self, specs: Rewrite, values: Rewrite, signature: Signature
    ) -> tuple[list[Record], list[Record]]:
        steps = []
        for table, (documents, gone) in ((SPECS, specs), (VALUES, values)):
            drafts = drafts_of(documents)
            steps.append(_Step(table, Wanted.of(drafts), partial(plan_apply, drafts), gone))
        both = self._writer.run(lambda connection: _carry_out(connection, steps, signature))
        self._follower.wake()
        first, second = map(records_of, both)
        return first, second

    def claim(
        self,
        namespace: str,
        collection: str,
        ids: Set[str] | None = None,
        known: Mapping[str, Known] = NOTHING_KNOWN,
    ) -> int:
        def record(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                return _claim(connection)

        return self._writer.run(record) if self._reader.run(unclaimed.are_there) else 0

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
    return StoreDatabase(unquote(path), name, synchronous, timeout, tables.create, tables.upgrade)
