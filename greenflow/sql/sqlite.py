"""SQLite: one connection that writes, some that read, each in a native thread of its own.

Lives here: how a transaction uses its connections. How a file is opened is file.py's. It needs
nothing but Python's sqlite3: SQLAlchemy takes five times as long for a small statement, and adds
nothing here.

SQLite has one writer at a time. Writers queue for the writing connection, in order, so they never
wait for one another inside SQLite, nor fail because another was faster; other OS processes are
waited for inside, up to the busy time-out. A transaction begins (BEGIN IMMEDIATE) with the first
statement that writes. Until then each statement reads the latest state on any reading connection,
so a process that only reads holds nothing while it does something else, and WAL files can be
checkpointed. With an isolation from REPEATABLE READ on, the first statement of any sort begins it.

A statement counts as reading by its first word; one that writes after all (WITH ... INSERT) is
refused by its connection, which may only query, and then written. A database in memory has one
connection for everything.

SQLite releases the interpreter's lock inside each call, and waits for it after: few large calls
are better than many small ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gevent import get_hub

from greenflow.errors import GreenflowError, SqlFailed, SqlUnavailable
from greenflow.hub.blocking.lane import Job
from greenflow.hub.breathing import unhurried
from greenflow.sql.faults import told
from greenflow.sql.pool import ConnectionPool
from greenflow.sql.source import SqliteSource
from greenflow.sql.sqlite_connection import Runs, SqliteConnection, lost
from greenflow.sql.statement import Statement, several, statement
from greenflow.sql.transaction import Row, Subtransaction, Transaction
from greenflow.sql.values import binder

# Isolation levels that need a transaction around reading, too.
STRICT = frozenset(("REPEATABLE READ", "SNAPSHOT", "SERIALIZABLE", "LINEARIZABLE"))

# Seconds between interrupts of a statement that goes on in spite of the first.
AGAIN = 0.02


_bind = binder("sqlite")


class SqliteDatabase:
    """One SQLite file, or a database in memory; `connections` is how many read at once.

    `timeout` is how many seconds a statement waits for a connection, and for other programs.
    """

    def __init__(
        self, source: SqliteSource, isolation: str | None, connections: int, timeout: float
    ) -> None:
        self.name = source.name
        self._source, self.strict, self.timeout = source, isolation in STRICT, timeout
        seconds = timeout if source.timeout is None else source.timeout
        make = partial(SqliteConnection, source, seconds)
        does = "writing" if source.path else "using it"
        busy = f"{self.name}: another transaction has been {does}"
        self.writing = ConnectionPool(
            1, partial(make, reads_only=False), busy, f"{self.name}, writing"
        )
        self.reading, self.has_file = self.writing, bool(source.path)
        if source.path:
            busy = f"{self.name}: all {connections} connections that read have been in use"
            self.reading = ConnectionPool(
                connections, partial(make, reads_only=True), busy, f"{self.name}, reading"
            )

    def open(self) -> None:
        """Open the file, which is created if there is none. Raises SqlUnavailable."""
        connection = self.writing.take(self.timeout)
        job: Job[Any] = Job(connection.opened, partial(self.writing.give, connection))
        connection.lane.post(job)
        job.wait()
        job.outcome()

    def transaction(self, grace: float) -> SqliteTransaction:
        return SqliteTransaction(self, grace)

    def close(self) -> None:
        self.writing.close()
        if self.reading is not self.writing:
            self.reading.close()


class SqliteTransaction(Transaction[SqliteConnection]):
    """Reads on any reading connection until it writes; from then on has the writing one."""

    def __init__(self, database: SqliteDatabase, grace: float) -> None:
        super().__init__(database, grace, database.writing)
        self._database = database
        self._cancelled: SqliteConnection | None = None  # of the job under way
        self._spared = False  # the job writes: SQLite rolls all back when it breaks that off
        self._is_lost = False

    def _run(self, sql: str, runs: list[Any], most: int, part: Subtransaction | None) -> list[Row]:
        texts = [statement(text, "sqlite") for text in several(sql, "sqlite", runs)]
        rows: list[Row] = []
        for taken in texts:
            bound = [_bound(taken, arguments) for arguments in unhurried(runs)]
            rows += self._run_one(taken, bound, most - len(rows), part)
        return rows

    def _run_one(
        self, taken: Statement, runs: Runs, most: int, part: Subtransaction | None
    ) -> list[Row]:
        database, looks_back = self._database, False
        if self._connection is None and taken.reads and not database.strict:
            reading = database.reading.take(database.timeout)
            reading.remains = taken.remains
            self._spared = False
            give = partial(database.reading.give, reading)
            replaces = taken.looks_back and not self._database.has_file
            try:
                return self._on(reading, partial(_read, reading, runs, most, replaces), give)
            except _Writes:
                pass
        if self._connection is None:
            self._connection = self._taken()
            looks_back = taken.looks_back
        connection = self._connection
        connection.remains = max(connection.remains, taken.remains)
        # Reading leaves nothing to undo, and may be broken off: the transaction goes on.
        names = [] if taken.only_reads else self._begin_part(part)
        self._spared = not taken.only_reads
        write = partial(self._write, connection, runs, most, names, looks_back)
        return self._on(connection, write)

    def _on(
        self,
        connection: SqliteConnection,
        function: Callable[[], list[Row]],
        then: Callable[[], object] | None = None,
    ) -> list[Row]:
        job = Job(function, then)
        self._cancelled = connection
        connection.lane.post(job)
        try:
            rows: list[Row] = self._outcome(job)
            return rows
        except SqlUnavailable:
            if connection is self._connection and not connection.in_transaction:
                self._connection = None  # it did not begin: others may try
                self._database.writing.give(connection)
            raise
        finally:
            self._cancelled = None

    def _write(
        self,
        connection: SqliteConnection,
        runs: Runs,
        most: int,
        names: list[str],
        looks_back: bool,
    ) -> list[Row]:
        """In the thread."""
        if self._is_lost:
            raise lost()
        if looks_back:
            connection.replace()
        if not connection.in_transaction:
            connection.begin()
        try:
            connection.mark(names)
            return connection.query(runs, most)
        except GreenflowError:
            raise
        except Exception as error:
            self._is_lost = not connection.in_transaction
            connection.broke(error)
            failed = told(error, _arguments(runs))
            raise failed from failed.__cause__

    def _cancel(self, job: Job[Any]) -> None:
        connection = self._connection if self._given_up else self._cancelled
        if connection is None or (self._spared and self._spares_statements()):
            return
        connection.interrupt()
        # Its thread may have been just about to begin, which an interrupt does not reach.
        timer = get_hub().loop.timer(AGAIN, AGAIN)

        def again() -> None:
            if job.is_done:
                timer.stop()
                timer.close()
            else:
                connection.interrupt()

        timer.start(again)

    def _commit(self) -> Job[Any] | None:
        connection = self._connection
        return None if connection is None else self._last(connection.commit)

    def _keep(self, name: str) -> Job[Any] | None:
        return self._end_savepoint(SqliteConnection.keep, name)

    def _undo(self, name: str) -> Job[Any] | None:
        return self._end_savepoint(SqliteConnection.undo, name)

    def _end_savepoint(
        self, ends: Callable[[SqliteConnection, str], None], name: str
    ) -> Job[Any] | None:
        def end() -> None:
            """In the thread."""
            assert connection is not None
            try:
                ends(connection, name)
            except SqlFailed:
                self._is_lost = not connection.in_transaction
                raise

        connection = self._connection
        return self._post(end)


class _Writes(Exception):
    """What was taken for reading writes."""


def _read(connection: SqliteConnection, runs: Runs, most: int, replaces: bool) -> list[Row]:
    """In the thread, outside of a transaction."""
    try:
        if replaces:
            connection.replace()
        return connection.query(runs, most)
    except GreenflowError:
        raise
    except Exception as error:
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_READONLY"):
            raise _Writes from None
        connection.broke(error)
        failed = told(error, _arguments(runs))
        raise failed from failed.__cause__
    finally:
        connection.renew()


def _bound(taken: Statement, arguments: Any) -> tuple[str, tuple[Any, ...] | None]:
    sql, values = taken.bind(arguments, "qmark")
    return sql, None if values is None else tuple(map(_bind, values))


def _arguments(runs: Runs) -> tuple[Any, ...]:
    return tuple(value for _, values in runs for value in values or ())
