"""The connections of one source of data, each with its lane.

Lives here: ConnectionPool. What runs on a connection is sqlite.py's and server.py's. A connection
that somebody may still use is given back when its last job has ended, not when the waiting has.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Generic, Protocol, TypeVar

from greenflow.errors import SqlUnavailable
from greenflow.hub import pools
from greenflow.hub.blocking.lane import Job, Lane
from greenflow.hub.turns import Turns


class PooledConnection(Protocol):
    """What a pool keeps: a connection and its lane."""

    @property
    def lane(self) -> Lane: ...

    def roll_back(self) -> None:
        """Roll back what is under way on it; never fails. In the lane."""

    def renew(self) -> None:
        """Undo what a process left behind in the session. In the lane."""

    def close(self) -> None:
        """Close the connection, if there is one. In the lane."""


C = TypeVar("C", bound=PooledConnection)


class ConnectionPool(Generic[C]):
    """Connections of one source, made when they are wanted; the one used last is used next.

    When all are in use, who came first gets the next one. `busy` is what a message says then; it,
    and the `name`, hold no secret.
    """

    def __init__(self, size: int, make: Callable[[], C], busy: str, name: str = "sql") -> None:
        self._make, self._busy, self._name = make, busy, name
        self._turns = Turns(size)
        self._idle: list[C] = []
        self._oldest: float | None = None
        self._is_closed = False
        pools.enrol(self)

    def state(self) -> pools.PoolState:
        """What it is like now."""
        turns = self._turns
        return pools.PoolState(
            "sql", self._name, turns.size, turns.busy, turns.waiting, self._oldest
        )

    def take(self, seconds: float) -> C:
        """A connection for the caller alone. Raises SqlUnavailable after so many seconds."""
        if not self._turns.take(seconds):
            raise SqlUnavailable(f"{self._busy} for {seconds:g} s")
        if self._idle:
            return self._idle.pop()
        if self._oldest is None:
            self._oldest = monotonic()
        return self._make()

    def give(self, connection: C) -> None:
        """It is free again. In the hub or a greenlet; nothing of it is under way."""
        if self._is_closed:
            self._close(connection)
        else:
            self._idle.append(connection)
        self._turns.give()

    def close(self) -> None:
        """Close what is idle, and wait for it; what is in use is closed when it is given back."""
        self._is_closed = True
        pools.withdraw(self)
        closing = [self._close(connection) for connection in self._idle]
        self._idle.clear()
        for job in closing:
            job.wait()

    def _close(self, connection: C) -> Job[None]:
        job = Job(connection.close, connection.lane.stop)
        connection.lane.post(job)
        return job
