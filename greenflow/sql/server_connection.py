"""A connection to a database server, and its lane.

Lives here: ServerConnection. Which transaction has it is server.py's, how it is opened engine.py's.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from greenflow.errors import SqlFailed, SqlUnavailable
from greenflow.hub.blocking.lane import Lane
from greenflow.sql.faults import told
from greenflow.sql.savepoints import Savepoints
from greenflow.sql.session import Remains
from greenflow.sql.transaction import Row, fetched
from greenflow.sql.values import column

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

# Seconds after which an idle connection is tried before use: shorter ones are those of a load that
# would pay for it with every packet.
TRUSTED = 1.0

# PostgreSQL's DISCARD ALL, but for the statements that the driver has prepared, which stay, and for
# plans, which nobody sees. The last of it finds statements that SQL has prepared.
_RESET = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; DISCARD SEQUENCES;"
    " DISCARD TEMP; SELECT pg_advisory_unlock_all();"
    " SELECT 1 FROM pg_prepared_statements WHERE from_sql"
)


class ServerHome(Protocol):
    """What a connection knows of its database."""

    name: str
    dialect: str
    driver: str
    lost_at: float

    def engine(self) -> Engine:
        """A new engine."""


class ServerConnection:
    """A connection and its lane. All methods but `cancel` are called in the lane."""

    def __init__(self, database: ServerHome, lane: Lane) -> None:
        self.lane = lane
        self._database = database
        self._engine: Engine | None = None
        self._raw: Any = None
        self._used = 0.0
        self._savepoints = Savepoints(database.dialect)
        self.is_spoiled = False  # a cancellation may come late, and hit another statement
        self.remains = Remains.NOTHING  # of what its process has run

    def opened(self) -> Any:
        """The driver's connection, opened if need be, and tried if it was idle for long. Raises
        SqlUnavailable."""
        database = self._database
        if self._raw is not None and self._used < max(monotonic() - TRUSTED, database.lost_at):
            assert self._engine is not None
            try:
                alive = self._engine.dialect.do_ping(self._raw.dbapi_connection)
                self._raw.rollback()  # trying begins a transaction in some
            except Exception:
                alive = False
            if not alive:
                self.close()
        if self._raw is None:
            if self._engine is None:
                self._engine = database.engine()
            try:
                self._raw = self._engine.raw_connection()
            except Exception as error:
                failed = told(getattr(error, "orig", None) or error, _secrets(self._engine))
                raise SqlUnavailable(f"{database.name} cannot be reached: {failed}") from None
        return self._raw

    def query(
        self,
        runs: list[tuple[str, tuple[Any, ...] | None]],
        most: int,
        names: list[str],
        looks_back: bool = False,
    ) -> list[Row]:
        """The rows of all runs, behind these savepoints. What looks back has a new session, for
        what it asks for is of the process before. Raises SqlFailed, SqlUnavailable."""
        if looks_back:
            self._renew(Remains.STATE)
        raw = self.opened()
        rows: list[Row] = []
        cursor = raw.cursor()
        try:
            if names:
                self._savepoints.make(cursor.execute, names)
            for text, arguments in runs:
                if arguments is None:
                    cursor.execute(text)
                else:
                    cursor.execute(text, arguments)
                fetched(cursor, rows, most, _columns)
                while getattr(cursor, "nextset", _no_more)():  # a procedure may have several
                    fetched(cursor, rows, most, _columns)
            return rows
        except SqlFailed:
            raise
        except Exception as error:
            self._look_at(error)
            values = tuple(value for _, each in runs for value in each or ())
            failed = told(error, values)
            raise failed from failed.__cause__
        finally:
            with suppress(Exception):  # of a connection that is lost
                cursor.close()
            self._used = monotonic()

    def commit(self, *, in_doubt: bool) -> None:
        """Commit; raises SqlFailed, and then it is rolled back, or nobody knows. `in_doubt`: the
        database may have undone it, and not say so."""
        if self._raw is None:
            raise lost()
        try:
            self._savepoints.undo_above(self._execute)
            if in_doubt and self._is_undone():
                self.roll_back()
                raise _undone()
            self._raw.commit()
        except SqlFailed:
            raise
        except Exception as error:
            self._look_at(error)
            self.roll_back()
            failed = told(error, None)
            raise failed from failed.__cause__
        finally:
            self._savepoints.names.clear()
            self._used = monotonic()
        if self.is_spoiled:
            self.is_spoiled = False
            self._drop()

    def keep(self, name: str, *, in_doubt: bool) -> None:
        """Keep what was done since a savepoint; raises SqlFailed, and then it is undone."""
        if self._raw is None:
            raise lost()
        if name not in self._savepoints.names:
            return
        try:
            self._savepoints.keep(self._execute, name)
        except Exception as error:
            self.undo(name)
            failed = _undone() if in_doubt else told(error, None)
            raise failed from failed.__cause__

    def _is_undone(self) -> bool:
        try:
            self._execute("SELECT 1")
        except Exception:
            return True
        return False

    def undo(self, name: str) -> None:
        """Undo what was done since a savepoint. Raises SqlFailed: then the connection is closed, so
        that nothing of the transaction is kept."""
        if name in self._savepoints.names:
            try:
                self._savepoints.undo(self._execute, name)
            except Exception as error:
                self._drop()
                failed = told(error, None)
                raise failed from failed.__cause__

    def _execute(self, sql: str) -> None:
        cursor = self._raw.cursor()
        try:
            cursor.execute(sql)
        finally:
            cursor.close()

    def roll_back(self) -> None:
        """Roll back; a connection that cannot, or is spoiled, is closed, which does it, too."""
        self._savepoints.names.clear()
        if self.is_spoiled:
            self.is_spoiled = False
            self._drop()
        if self._raw is not None:
            try:
                self._raw.rollback()
            except Exception:
                self._drop()

    def cancel(self) -> None:
        """Cancel the statement under way, if the driver can; else it goes on to its end."""
        raw = self._raw
        driver = None if raw is None else raw.dbapi_connection
        cancel = getattr(driver, "cancel_safe", None) or getattr(driver, "cancel", None)
        if cancel is not None:
            with suppress(Exception):  # the statement goes on, and is waited for up to the grace
                cancel()

    def renew(self) -> None:
        """Undo what the process leaves behind in the session, if it may have left something. A
        connection that cannot is closed, which does it, too."""
        remains, self.remains = self.remains, Remains.NOTHING
        self._renew(remains)

    def _renew(self, remains: Remains) -> None:
        if self._raw is None or remains is Remains.NOTHING:
            return
        is_known = self._database.driver == "psycopg" and self._database.dialect == "postgresql"
        if remains is Remains.ANYTHING or not is_known or not self._reset():
            raw, self._raw = self._raw, None
            with suppress(Exception):  # it may be lost
                raw.close()

    def _reset(self) -> bool:
        """PostgreSQL: a new session on the same connection; whether it is one."""
        driver = self._raw.dbapi_connection
        try:
            driver.autocommit = True
            try:
                cursor = driver.execute(_RESET)
                while cursor.nextset():
                    pass
                return cursor.fetchone() is None
            finally:
                driver.autocommit = False
        except Exception:
            return False

    @property
    def is_open(self) -> bool:
        return self._raw is not None

    def _look_at(self, error: Exception) -> None:
        """A lost connection is let go of, and the others are not trusted any more."""
        assert self._engine is not None
        dialect = self._engine.dialect
        if isinstance(error, dialect.loaded_dbapi.Error) and dialect.is_disconnect(
            error, self._raw.dbapi_connection, None
        ):
            self._database.lost_at = monotonic()
            self._drop()

    def _drop(self) -> None:
        self._savepoints.names.clear()
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.invalidate()

    def close(self) -> None:
        """Close the connection, if there is one."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with suppress(Exception):  # it may be lost
                raw.close()
        if self._engine is not None:
            self._engine.dispose()


def _columns(row: Any) -> Any:
    return map(column, row)


def _undone() -> SqlFailed:
    return SqlFailed(
        "a statement failed, and PostgreSQL has undone all others of this process with it; use a "
        "SAVEPOINT before one that may fail, or ON CONFLICT"
    )


def lost() -> SqlFailed:
    """What a transaction is told whose connection is gone."""
    return SqlFailed("the connection was lost: nothing of the transaction is kept")


def _no_more() -> None:
    """What a driver without further sets of rows has."""


def _secrets(engine: Engine) -> tuple[Any, ...]:
    return (engine.url.password or "",)
