"""Databases that SQLAlchemy reaches: PostgreSQL, MySQL, and whatever else it has a dialect for.

Lives here: connections through SQLAlchemy's dialects, and their transactions. SQLAlchemy (extra
`sql`) finds the driver, connects, sets the isolation and knows lost connections; statements go to
the driver's cursor as they are, so that no log of SQLAlchemy's ever has them or their arguments.

psycopg, pymysql and pg8000 wait in Python's sockets: in a monkey-patched program they run in
greenlets. Other drivers, and all of them in a program that is not patched, run in native threads.

A connection that was idle for a while, or since another one was found lost, is tried before it is
used; one that was lost in a transaction is an error of that transaction, for nobody knows what was
done. PostgreSQL undoes a whole transaction when one of its statements fails, and reports its commit
as done; here that is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent.monkey import is_module_patched

from greenflow.errors import CompileFailed, SqlFailed, SqlUnavailable
from greenflow.extras import install
from greenflow.hub.blocking.lane import GreenletLane, Job, Lane, ThreadLane
from greenflow.sql.faults import told
from greenflow.sql.pool import ConnectionPool
from greenflow.sql.session import Remains
from greenflow.sql.source import ServerSource
from greenflow.sql.statement import several, statement
from greenflow.sql.transaction import Row, Transaction, fetched
from greenflow.sql.values import binder, column

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

COOPERATIVE = frozenset(("psycopg", "pymysql", "pg8000"))

# Seconds after which an idle connection is tried before use: shorter ones are those of a load that
# would pay for it with every packet.
TRUSTED = 1.0

# Drivers that take any number of seconds to connect, and what they call it.
_CONNECT_TIMEOUT = {"psycopg": "connect_timeout", "psycopg2": "connect_timeout"}
_CONNECT_TIMEOUT |= {"pymysql": "connect_timeout", "pg8000": "timeout"}

# PostgreSQL's DISCARD ALL, but for the statements that the driver has prepared, which stay, and for
# plans, which nobody sees. The last of it finds statements that SQL has prepared.
_RESET = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; DISCARD SEQUENCES;"
    " DISCARD TEMP; SELECT pg_advisory_unlock_all();"
    " SELECT 1 FROM pg_prepared_statements WHERE from_sql"
)

_PLACEHOLDERS = {"qmark": "qmark", "format": "format", "pyformat": "format", "numeric": "numeric"}


class ServerDatabase:
    """One source; at most so many `connections` at once.

    `timeout` is how many seconds a statement waits for a connection, and connecting may take.
    Raises CompileFailed for a dialect or driver that is not installed.
    """

    def __init__(
        self, source: ServerSource, isolation: str | None, connections: int, timeout: float
    ) -> None:
        self.name, self.timeout = source.name, timeout
        self._source, self._isolation, self.driver = source, isolation, source.driver
        self.lost_at = 0.0  # when a connection was last found lost
        engine = self.engine()
        self.dialect = engine.dialect.name
        self.bind = binder(self.dialect)
        self.style = _PLACEHOLDERS.get(engine.dialect.paramstyle, "")
        if not self.style:
            raise CompileFailed(f"the driver {source.driver!r} is not supported")
        waits = source.driver in COOPERATIVE and is_module_patched("socket")
        self._lane: Callable[[], Lane] = GreenletLane if waits else ThreadLane
        self._cancelling: Lane | None = None
        busy = f"{self.name}: all {connections} connections have been in use"
        self.pool = ConnectionPool(connections, self._connection, busy)

    def engine(self) -> Engine:
        """A new engine, for one connection: none is shared between threads."""
        try:
            from sqlalchemy import URL, create_engine
            from sqlalchemy.exc import ArgumentError, NoSuchModuleError
            from sqlalchemy.pool import NullPool
        except ImportError:
            raise CompileFailed(
                f"a {self._source.dialect} database needs SQLAlchemy: {install('sql')}"
            ) from None
        source = self._source
        name = f"{source.dialect}+{source.driver}" if source.driver else source.dialect
        arguments: dict[str, Any] = {}
        if source.driver in _CONNECT_TIMEOUT:
            arguments[_CONNECT_TIMEOUT[source.driver]] = max(1, round(self.timeout))
        options: dict[str, Any] = {}
        if self._isolation is not None:
            options["isolation_level"] = self._isolation
        try:
            return create_engine(
                URL.create(name, **source.parts),
                poolclass=NullPool,
                hide_parameters=True,
                connect_args=arguments,
                **options,
            )
        except NoSuchModuleError:
            raise CompileFailed(f"no dialect {name!r} of SQLAlchemy's is installed") from None
        except ImportError:
            package = {"psycopg": "psycopg[binary]"}.get(source.driver, source.driver or name)
            raise CompileFailed(
                f"the {source.dialect} database needs its driver: pip install '{package}'"
            ) from None
        except (ArgumentError, TypeError, ValueError) as error:
            raise CompileFailed(f"{self.name}: {type(error).__name__} in the source") from None

    def _connection(self) -> ServerConnection:
        return ServerConnection(self, self._lane())

    def open(self) -> None:
        """Nothing is opened: a server that is away must not keep a workflow from loading."""

    def transaction(self, grace: float) -> ServerTransaction:
        return ServerTransaction(self, grace)

    def cancel(self, connection: ServerConnection) -> None:
        """Have the statement under way on the connection cancelled, by a lane for that alone."""
        if self._cancelling is None:
            self._cancelling = self._lane()
        connection.is_spoiled = True
        self._cancelling.post(Job(connection.cancel))

    def close(self) -> None:
        self.pool.close()
        lane, self._cancelling = self._cancelling, None
        if lane is not None:
            job = Job(_nothing, lane.stop)
            lane.post(job)
            job.wait()


class ServerConnection:
    """A connection and its lane. All methods but `cancel` are called in the lane."""

    def __init__(self, database: ServerDatabase, lane: Lane) -> None:
        self.lane = lane
        self._database = database
        self._engine: Engine | None = None
        self._raw: Any = None
        self._used = 0.0
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
        self, runs: list[tuple[str, tuple[Any, ...] | None]], most: int, looks_back: bool = False
    ) -> list[Row]:
        """The rows of all runs. What looks back has a new session, for what it asks for is of the
        process before. Raises SqlFailed, SqlUnavailable."""
        if looks_back:
            self._renew(Remains.STATE)
        raw = self.opened()
        rows: list[Row] = []
        cursor = raw.cursor()
        try:
            for text, arguments in runs:
                if arguments is None:
                    cursor.execute(text)
                else:
                    cursor.execute(text, arguments)
                fetched(cursor, rows, most, _columns)
                while getattr(cursor, "nextset", _nothing)():  # a procedure may have several
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

    def commit(self) -> None:
        """Commit; raises SqlFailed, and then it is rolled back, or nobody knows."""
        if self._raw is None:
            raise _lost()
        try:
            self._raw.commit()
        except Exception as error:
            self._look_at(error)
            self.roll_back()
            failed = told(error, None)
            raise failed from failed.__cause__
        finally:
            self._used = monotonic()

    def roll_back(self) -> None:
        """Roll back; a connection that cannot, or is spoiled, is closed, which does it, too."""
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


class ServerTransaction(Transaction):
    """Has a connection from its first statement to its end."""

    def __init__(self, database: ServerDatabase, grace: float) -> None:
        super().__init__(database.name, grace)
        self._database = database
        self._connection: ServerConnection | None = None
        self._has_failed = False  # the last statement did
        self._is_lost = False

    def _run(self, sql: str, runs: list[Any], most: int) -> list[Row]:
        database = self._database
        bound = []
        taken = [statement(part, database.dialect) for part in several(sql, database.dialect, runs)]
        for each in taken:
            for arguments in runs:
                text, values = each.bind(arguments, database.style)
                bound.append((text, None if values is None else tuple(map(database.bind, values))))
        if self._is_lost:
            raise _lost()
        connection, looks_back = self._connection, False
        if connection is None:
            connection = self._connection = database.pool.take(database.timeout)
            looks_back = taken[0].looks_back
        connection.remains = max(connection.remains, *(each.remains for each in taken))
        job = Job(partial(connection.query, bound, most, looks_back))
        connection.lane.post(job)
        try:
            rows: list[Row] = self._outcome(job)
        except SqlUnavailable:  # it did not connect
            self._connection = None
            database.pool.give(connection)
            raise
        except SqlFailed:
            self._has_failed = True
            self._is_lost = not connection.is_open
            raise
        self._has_failed = False
        return rows

    def _cancel(self, job: Job[Any]) -> None:
        if self._connection is not None:
            self._database.cancel(self._connection)

    def _commit(self) -> Job[Any] | None:
        connection = self._connection
        if connection is None:
            return None
        if self._has_failed and self._database.dialect == "postgresql":
            return self._last(connection, partial(_refuse, connection))
        return self._last(connection, connection.commit)

    def _roll_back(self) -> Job[Any] | None:
        connection = self._connection
        return None if connection is None else self._last(connection, connection.roll_back)

    def _last(self, connection: ServerConnection, function: Callable[[], None]) -> Job[Any]:
        def ended() -> None:
            try:
                function()
            finally:
                connection.renew()

        job = Job(ended, partial(self._database.pool.give, connection))
        connection.lane.post(job)
        return job


def _columns(row: Any) -> Any:
    return map(column, row)


def _nothing() -> None:
    """Is run after all else in its lane; what a driver without further sets of rows has."""


def _refuse(connection: ServerConnection) -> None:
    connection.roll_back()
    raise SqlFailed(
        "a statement failed, and PostgreSQL has undone all others of this process with it; use a "
        "SAVEPOINT before one that may fail, or ON CONFLICT"
    )


def _lost() -> SqlFailed:
    return SqlFailed("the connection was lost: nothing of the transaction is kept")


def _secrets(engine: Engine) -> tuple[Any, ...]:
    return (engine.url.password or "",)
