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

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from gevent import get_hub

from greenflow.errors import GreenflowError, SqlFailed, SqlUnavailable
from greenflow.hub.blocking.lane import Job, ThreadLane
from greenflow.sql.faults import told
from greenflow.sql.file import connect, identity, reason_of
from greenflow.sql.pool import ConnectionPool
from greenflow.sql.session import Remains
from greenflow.sql.source import SqliteSource
from greenflow.sql.statement import Statement, several, statement
from greenflow.sql.transaction import Row, Transaction, fetched
from greenflow.sql.values import binder

# Isolation levels that need a transaction around reading, too.
STRICT = frozenset(("REPEATABLE READ", "SNAPSHOT", "SERIALIZABLE", "LINEARIZABLE"))

# Seconds between interrupts of a statement that goes on in spite of the first.
AGAIN = 0.02

# Errors after which a connection is not used again.
_BROKEN = (
    *("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL"),
)

Runs = list[tuple[str, tuple[Any, ...] | None]]  # SQL and arguments

_bind = binder("sqlite")


class SqliteConnection:
    """A connection and its thread. All methods but `interrupt` are called in the thread."""

    def __init__(self, source: SqliteSource, timeout: float, *, reads_only: bool) -> None:
        self.lane = ThreadLane()
        self._source, self._timeout, self._reads_only = source, timeout, reads_only
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self.remains = Remains.NOTHING  # of what its process has run

    @property
    def in_transaction(self) -> bool:
        return self._connection is not None and self._connection.in_transaction

    def opened(self) -> sqlite3.Connection:
        """The connection, opened if need be. Raises SqlUnavailable."""
        if self._connection is not None and not self._is_of_file():
            self.close()
        if self._connection is None:
            try:
                self._connection = connect(self._source, self._timeout, self._reads_only)
            except sqlite3.Error as error:
                raise SqlUnavailable(reason_of(self._source, error)) from None
            self._file = identity(self._source.path)
        return self._connection

    def _is_of_file(self) -> bool:
        """Whether the file is still the one that was opened. One that is gone may come back."""
        if not self._source.path or self._connection is None or self.in_transaction:
            return True
        return identity(self._source.path) == self._file

    def renew(self) -> None:
        """Undo what the process leaves behind in the session, if it may have left something."""
        remains, self.remains = self.remains, Remains.NOTHING
        if remains is not Remains.NOTHING:
            self.replace()

    def replace(self) -> None:
        """A new session: the next one to use the connection opens the file anew. A database in
        memory is copied into a new connection."""
        old = self._connection
        if old is None or self._source.path:
            self.close()
            return
        fresh = connect(self._source, self._timeout, self._reads_only)
        old.backup(fresh)
        self._connection = fresh
        old.close()

    def query(self, runs: Runs, most: int) -> list[Row]:
        """The rows of all runs. Raises what sqlite3 raises, SqlFailed for more than `most`."""
        connection = self.opened()
        rows: list[Row] = []
        for sql, arguments in runs:
            cursor = connection.execute(sql, arguments or ())
            try:
                fetched(cursor, rows, most, _unchanged)
            finally:
                cursor.close()
        return rows

    def broke(self, error: Exception) -> None:
        """After an error: let go of a connection that it may have spoiled."""
        if getattr(error, "sqlite_errorname", "").startswith(_BROKEN):
            self.close()

    def begin(self) -> None:
        """Begin to write. Raises SqlUnavailable if another program does for too long."""
        connection = self.opened()
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self.broke(error)
            raise SqlUnavailable(reason_of(self._source, error, self._timeout)) from None

    def commit(self) -> None:
        """Commit, or roll back and raise SqlFailed."""
        connection = self._connection
        if connection is None or not connection.in_transaction:
            raise _lost()
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.roll_back()
            self.broke(error)
            failed = told(error, None)
            raise failed from failed.__cause__

    def roll_back(self) -> None:
        """Roll back; a connection that cannot is closed, which does it, too."""
        connection = self._connection
        if connection is not None and connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def interrupt(self) -> None:
        """Break the statement under way off, from the hub."""
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.ProgrammingError):  # it is being closed
                connection.interrupt()


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
        self.writing = ConnectionPool(1, partial(make, reads_only=False), busy)
        self.reading, self.has_file = self.writing, bool(source.path)
        if source.path:
            busy = f"{self.name}: all {connections} connections that read have been in use"
            self.reading = ConnectionPool(connections, partial(make, reads_only=True), busy)

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


class SqliteTransaction(Transaction):
    """Reads on any reading connection until it writes; from then on has the writing one."""

    def __init__(self, database: SqliteDatabase, grace: float) -> None:
        super().__init__(database.name, grace)
        self._database = database
        self._connection: SqliteConnection | None = None  # that writes
        self._cancelled: SqliteConnection | None = None  # of the job under way
        self._is_lost = False

    def _run(self, sql: str, runs: list[Any], most: int) -> list[Row]:
        parts = [statement(part, "sqlite") for part in several(sql, "sqlite", runs)]
        rows: list[Row] = []
        for taken in parts:
            bound = [_bound(taken, arguments) for arguments in runs]
            rows += self._run_one(taken, bound, most - len(rows))
        return rows

    def _run_one(self, taken: Statement, runs: Runs, most: int) -> list[Row]:
        database, looks_back = self._database, False
        if self._connection is None and taken.reads and not database.strict:
            reading = database.reading.take(database.timeout)
            reading.remains = taken.remains
            give = partial(database.reading.give, reading)
            replaces = taken.looks_back and not self._database.has_file
            try:
                return self._on(reading, partial(_read, reading, runs, most, replaces), give)
            except _Writes:
                pass
        if self._connection is None:
            self._connection = database.writing.take(database.timeout)
            looks_back = taken.looks_back
        connection = self._connection
        connection.remains = max(connection.remains, taken.remains)
        return self._on(connection, partial(self._write, connection, runs, most, looks_back))

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
        self, connection: SqliteConnection, runs: Runs, most: int, looks_back: bool
    ) -> list[Row]:
        """In the thread."""
        if self._is_lost:
            raise _lost()
        if looks_back:
            connection.replace()
        if not connection.in_transaction:
            connection.begin()
        try:
            return connection.query(runs, most)
        except GreenflowError:
            raise
        except Exception as error:
            self._is_lost = not connection.in_transaction
            connection.broke(error)
            failed = told(error, _arguments(runs))
            raise failed from failed.__cause__

    def _cancel(self, job: Job[Any]) -> None:
        connection = self._cancelled
        if connection is None:
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
        return None if connection is None else self._last(connection, connection.commit)

    def _roll_back(self) -> Job[Any] | None:
        connection = self._connection
        return None if connection is None else self._last(connection, connection.roll_back)

    def _last(self, connection: SqliteConnection, function: Callable[[], None]) -> Job[Any]:
        def ended() -> None:
            try:
                function()
            finally:
                connection.renew()

        job = Job(ended, partial(self._database.writing.give, connection))
        connection.lane.post(job)
        return job


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


def _unchanged(row: Any) -> Any:
    """SQLite's values are payloads as they are."""
    return row


def _lost() -> SqlFailed:
    return SqlFailed("SQLite has rolled the transaction back after an error: nothing of it is kept")


def _bound(taken: Statement, arguments: Any) -> tuple[str, tuple[Any, ...] | None]:
    sql, values = taken.bind(arguments, "qmark")
    return sql, None if values is None else tuple(map(_bind, values))


def _arguments(runs: Runs) -> tuple[Any, ...]:
    return tuple(value for _, values in runs for value in values or ())
