"""Databases that SQLAlchemy reaches: PostgreSQL, MySQL, and whatever else it has a dialect for.

Lives here: connections through SQLAlchemy's dialects (engine.py), and their transactions.
Statements go to the driver's cursor as they are, so that no log of SQLAlchemy's ever has them or
their arguments.

psycopg, pymysql and pg8000 wait in Python's sockets: in a monkey-patched program they run in
greenlets. Other drivers, and all of them in a program that is not patched, run in native threads.

A connection that was idle for a while, or since another one was found lost, is tried before it is
used; one that was lost in a transaction is an error of that transaction, for nobody knows what was
done. PostgreSQL undoes a whole transaction when one of its statements fails, and reports its commit
as done; here that is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent import get_hub
from gevent.monkey import is_module_patched

from greenflow.errors import CompileFailed, SqlFailed, SqlUnavailable
from greenflow.hub.blocking.lane import GreenletLane, Job, Lane, ThreadLane
from greenflow.hub.breathing import unhurried
from greenflow.sql.engine import engine
from greenflow.sql.pool import ConnectionPool
from greenflow.sql.server_connection import ServerConnection, lost
from greenflow.sql.source import ServerSource
from greenflow.sql.statement import several, statement
from greenflow.sql.transaction import Row, Subtransaction, Transaction, has_ended
from greenflow.sql.values import binder

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

COOPERATIVE = frozenset(("psycopg", "pymysql", "pg8000"))

# Seconds until a server is told again to cancel what has not ended: it may not have had it yet. A
# cancellation opens a connection of its own.
AGAIN = 0.25

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
        dialect = self.engine().dialect
        self.dialect = dialect.name
        self.bind = binder(self.dialect)
        self.style = _PLACEHOLDERS.get(dialect.paramstyle, "")
        if not self.style:
            raise CompileFailed(f"the driver {source.driver!r} is not supported")
        waits = source.driver in COOPERATIVE and is_module_patched("socket")
        self._lane: Callable[[], Lane] = GreenletLane if waits else ThreadLane
        self._cancelling: Lane | None = None
        busy = f"{self.name}: all {connections} connections have been in use"
        self.pool = ConnectionPool(connections, self._connection, busy, self.name)

    def engine(self) -> Engine:
        """A new engine, for one connection: none is shared between threads."""
        return engine(self._source, self._isolation, self.timeout)

    def _connection(self) -> ServerConnection:
        return ServerConnection(self, self._lane())

    def open(self) -> None:
        """Nothing is opened: a server that is away must not keep a workflow from loading."""

    def transaction(self, grace: float) -> ServerTransaction:
        return ServerTransaction(self, grace)

    def cancel(self, connection: ServerConnection) -> Job[None]:
        """Have the statement under way on the connection cancelled, by a lane for that alone."""
        if self._cancelling is None:
            self._cancelling = self._lane()
        connection.is_spoiled = True
        job = Job(connection.cancel)
        self._cancelling.post(job)
        return job

    def close(self) -> None:
        self.pool.close()
        lane, self._cancelling = self._cancelling, None
        if lane is not None:
            job = Job(_nothing, lane.stop)
            lane.post(job)
            job.wait()


class ServerTransaction(Transaction[ServerConnection]):
    """Has a connection from its first statement to its end."""

    def __init__(self, database: ServerDatabase, grace: float) -> None:
        super().__init__(database, grace, database.pool)
        self._database = database
        self._has_failed = False  # the last statement did, or was broken off
        self._cancellation: Job[None] | None = None  # of a statement, on its way to the server
        self._is_lost = False

    def _run(self, sql: str, runs: list[Any], most: int, part: Subtransaction | None) -> list[Row]:
        database = self._database
        bound = []
        taken = [statement(part, database.dialect) for part in several(sql, database.dialect, runs)]
        for each in taken:
            for arguments in unhurried(runs):
                text, values = each.bind(arguments, database.style)
                bound.append((text, None if values is None else tuple(map(database.bind, values))))
        if self._is_lost:
            raise lost()
        self._await_cancellation()
        connection, looks_back = self._connection, False
        if connection is None:
            connection = self._connection = self._taken()
            looks_back = taken[0].looks_back
        elif self.ended:
            raise has_ended()
        connection.remains = max(connection.remains, *(each.remains for each in taken))
        job = Job(partial(connection.query, bound, most, self._begin_part(part), looks_back))
        connection.lane.post(job)
        self._has_failed = True  # if it is broken off
        try:
            rows: list[Row] = self._outcome(job)
        except SqlUnavailable:  # it did not connect
            self._connection = None
            database.pool.give(connection)
            raise
        except SqlFailed:
            self._is_lost = not connection.is_open
            raise
        self._has_failed = False
        return rows

    def _cancel(self, job: Job[Any]) -> None:
        """Until the grace is over: what is left behind then goes on to its end."""
        connection, deadline = self._connection, monotonic() + self._grace
        if connection is None:
            return
        self._cancellation = self._database.cancel(connection)
        timer = get_hub().loop.timer(AGAIN, AGAIN)

        def again() -> None:
            if job.is_done or monotonic() > deadline:
                timer.stop()
                timer.close()
            elif self._cancellation is None or self._cancellation.is_done:
                self._cancellation = self._database.cancel(connection)

        timer.start(again)

    def _await_cancellation(self) -> None:
        """A cancellation is not to hit the next statement: when it has been sent, the server has
        had it (PostgreSQL, PQcancel)."""
        cancellation, self._cancellation = self._cancellation, None
        if cancellation is not None:
            cancellation.wait(self._grace)

    @property
    def _in_doubt(self) -> bool:
        """Whether PostgreSQL may have undone what was done, which it does not say at the end."""
        return self._has_failed and self._database.dialect == "postgresql"

    def _commit(self) -> Job[Any] | None:
        connection = self._connection
        if connection is None:
            return None
        self._await_cancellation()
        return self._last(partial(connection.commit, in_doubt=self._in_doubt))

    def _keep(self, name: str) -> Job[Any] | None:
        connection = self._connection
        if connection is None:
            return None
        keep = partial(connection.keep, name, in_doubt=self._in_doubt)
        return self._end_savepoint(connection, keep)

    def _undo(self, name: str) -> Job[Any] | None:
        connection = self._connection
        if connection is None:
            return None
        return self._end_savepoint(connection, partial(connection.undo, name))

    def _end_savepoint(
        self, connection: ServerConnection, function: Callable[[], None]
    ) -> Job[Any] | None:
        def end() -> None:
            """In the lane."""
            try:
                function()
            finally:
                self._is_lost = self._is_lost or not connection.is_open

        self._await_cancellation()
        return None if self.ended else self._post(end)  # it may be somebody else's connection now


def _nothing() -> None:
    """Is run after all else in its lane."""
