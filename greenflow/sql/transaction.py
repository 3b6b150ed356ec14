"""A transaction as a resource of a process: later statements see earlier ones (BEHAVIOUR 14.1).

Lives here: what every database has in common. How a statement is run, and how it begins and ends,
is sqlite.py's and server.py's.

Statements of one transaction are run one at a time. Whoever waits for one may be interrupted: the
statement is then cancelled where the driver can, what was done is rolled back after it, and the
end of the process waits for that, up to the grace (BEHAVIOUR 4.8, 4.11).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, Self

from gevent.lock import Semaphore

from greenflow.errors import SqlFailed
from greenflow.hub.blocking.lane import Job

Row = dict[str, Any]

_log = logging.getLogger("greenflow.sql")


class Database(Protocol):
    """One source, opened."""

    name: str

    def open(self) -> None:
        """Look whether it can be opened, where that is quick. Raises SqlUnavailable."""

    def transaction(self, grace: float) -> Transaction:
        """A new one, which has not begun. `grace` is how many seconds a rollback is waited for."""

    def close(self) -> None:
        """Let go of what is idle now, and of the rest when it is."""


def fetched(cursor: Any, rows: list[Row], most: int, values: Callable[[Any], Any]) -> None:
    """Add what a cursor has found to the rows, as maps. Raises SqlFailed for more than `most`."""
    if cursor.description is None:
        return
    keys = [each[0] for each in cursor.description]
    found = cursor.fetchmany(most - len(rows) + 1)
    if len(rows) + len(found) > most:
        raise SqlFailed(
            f"there are more than {most:,} rows: use LIMIT, or raise `rows` of the node"
        )
    rows += [dict(zip(keys, values(row), strict=True)) for row in found]


class Transaction(ABC):
    """Begins with the first statement that needs it; left without an error it commits."""

    def __init__(self, name: str, grace: float) -> None:
        self._name, self._grace = name, grace
        self._turn = Semaphore()
        self.ended = False
        self._on_end: list[Callable[[], object]] = []

    def on_end(self, hook: Callable[[], object]) -> None:
        """Call the hook when it has ended."""
        self._on_end.append(hook)

    def run(self, sql: str, runs: list[Any], most: int) -> list[Row]:
        """Run SQL once for each of `runs`: None, a list of arguments or a map; returns the rows,
        `most` of them.

        Raises InvalidArgument for arguments that do not fit, SqlFailed, SqlUnavailable.
        """
        with self._turn:
            if self.ended:
                raise SqlFailed("the transaction has ended")
            return self._run(sql, runs, most)

    @abstractmethod
    def _run(self, sql: str, runs: list[Any], most: int) -> list[Row]: ...

    @abstractmethod
    def _commit(self) -> Job[Any] | None:
        """Have it committed; None if nothing has begun. What fails must be rolled back."""

    @abstractmethod
    def _roll_back(self) -> Job[Any] | None:
        """Have it rolled back; None if nothing has begun. Never fails."""

    @abstractmethod
    def _cancel(self, job: Job[Any]) -> None:
        """Cancel the statement of a job that was abandoned, if the driver can do that."""

    def _outcome(self, job: Job[Any]) -> Any:
        """Wait for a job that was posted. One whose waiting is broken off is cancelled."""
        try:
            job.wait()
        except BaseException:
            if not job.is_done:
                job.is_abandoned = True
                self._cancel(job)
            raise
        return job.outcome()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self.ended:
            return
        self.ended = True
        try:
            if error is None:
                self._end_well()
            else:
                self._end_badly()
        finally:
            while self._on_end:
                self._on_end.pop()()

    def _end_well(self) -> None:
        job = self._commit()
        if job is not None:
            job.wait()  # in `settle`, which nothing interrupts; and if so, it goes on
            job.outcome()

    def _end_badly(self) -> None:
        job = self._roll_back()
        if job is not None and not job.wait(self._grace):
            _log.warning(
                "%s: a statement did not end within the grace of %g s, and is left behind; its "
                "transaction is rolled back when it ends",
                self._name,
                self._grace,
            )
