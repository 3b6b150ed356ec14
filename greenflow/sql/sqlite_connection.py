"""A connection to one SQLite file, and its thread.

Lives here: SqliteConnection. Which transaction has it is sqlite.py's, how a file is opened
file.py's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from greenflow.errors import SqlFailed, SqlUnavailable
from greenflow.hub.blocking.lane import ThreadLane
from greenflow.sql.faults import told
from greenflow.sql.file import connect, identity, reason_of
from greenflow.sql.savepoints import Execute, Savepoints
from greenflow.sql.session import Remains
from greenflow.sql.source import SqliteSource
from greenflow.sql.transaction import Row, fetched

# Errors after which a connection is not used again.
_BROKEN = (
    *("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL"),
)

Runs = list[tuple[str, tuple[Any, ...] | None]]  # SQL and arguments


class SqliteConnection:
    """A connection and its thread. All methods but `interrupt` are called in the thread."""

    def __init__(self, source: SqliteSource, timeout: float, *, reads_only: bool) -> None:
        self.lane = ThreadLane()
        self._source, self._timeout, self._reads_only = source, timeout, reads_only
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self.remains = Remains.NOTHING  # of what its process has run
        self._savepoints = Savepoints("sqlite")

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
            raise lost()
        try:
            self._savepoints.undo_above(connection.execute)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.roll_back()
            self.broke(error)
            failed = told(error, None)
            raise failed from failed.__cause__

    def roll_back(self) -> None:
        """Roll back; a connection that cannot is closed, which does it, too."""
        self._savepoints.names.clear()
        connection = self._connection
        if connection is not None and connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self.close()

    def mark(self, names: list[str]) -> None:
        """Make these savepoints, in a transaction that has begun."""
        if names:
            self._savepoints.make(self.opened().execute, names)

    def keep(self, name: str) -> None:
        """Keep what was done since a savepoint. Raises SqlFailed."""
        if not self.in_transaction:  # an error, or an interrupt, has rolled it back
            raise lost()
        self._end(name, self._savepoints.keep)

    def undo(self, name: str) -> None:
        """Undo what was done since a savepoint. Raises SqlFailed, when all is rolled back."""
        self._end(name, self._savepoints.undo)

    def _end(self, name: str, ends: Callable[[Execute, str], None]) -> None:
        connection = self._connection
        if connection is None or not connection.in_transaction:
            return  # all is undone
        try:
            ends(connection.execute, name)
        except sqlite3.Error as error:
            self.roll_back()
            self.broke(error)
            failed = told(error, None)
            raise failed from failed.__cause__

    def close(self) -> None:
        self._savepoints.names.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def interrupt(self) -> None:
        """Break the statement under way off, from the hub."""
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.ProgrammingError):  # it is being closed
                connection.interrupt()


def _unchanged(row: Any) -> Any:
    """SQLite's values are payloads as they are."""
    return row


def lost() -> SqlFailed:
    """What a transaction is told that SQLite has rolled back."""
    return SqlFailed("SQLite has rolled the transaction back after an error: nothing of it is kept")
