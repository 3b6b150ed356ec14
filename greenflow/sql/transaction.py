"""A transaction as a resource of a process: later statements see earlier ones (BEHAVIOUR 14.1).

Lives here: what every database has in common: Transaction, and Subtransaction, what a part of the
process does in it. How a statement is run, and how it begins and ends, is sqlite.py's and
server.py's.

Statements of one transaction are run one at a time. Whoever waits for one may be interrupted: the
statement is then cancelled where the driver can, what was done is rolled back after it, and the
end of the process waits for that, up to the grace (BEHAVIOUR 4.8, 4.11).

A part works behind a savepoint of its own, which is made with its first statement. A database has
them in a stack, so from then on the transaction is the part's alone, and that of parts of it, until
it ends: the others wait. What has not ended well when that around it does is undone.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Generic, Protocol, Self

from gevent.event import Event
from gevent.lock import Semaphore

from greenflow.errors import SqlFailed, SqlUnavailable
from greenflow.hub.blocking.lane import Job
from greenflow.sql.pool import C, ConnectionPool

Row = dict[str, Any]

_log = logging.getLogger("greenflow.sql")


class Database(Protocol):
    """One source, opened."""

    name: str
    timeout: float

    def open(self) -> None:
        """Look whether it can be opened, where that is quick. Raises SqlUnavailable."""

    def transaction(self, grace: float) -> Transaction[Any]:
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


class Transaction(ABC, Generic[C]):
    """Begins with the first statement that needs it; left without an error it commits."""

    def __init__(self, database: Database, grace: float, pool: ConnectionPool[C]) -> None:
        self._name, self._timeout, self._grace = database.name, database.timeout, grace
        self._pool = pool
        self._connection: C | None = None  # that it works on, once it has begun
        self._turn = Semaphore()
        self.ended = False
        self._on_end: list[Callable[[], object]] = []
        self._job: Job[Any] | None = None  # the statement under way
        self._parts: list[Subtransaction] = []  # that have a savepoint, the outermost first
        self._part_ended: Event | None = None  # somebody waits for it
        self._made = 0  # savepoints so far, for their names
        self._given_up = False  # a part was, with a statement that did not end
        #: Whether all of it is to be rolled back anyhow, so that no statement need be spared.
        self.is_doomed: Callable[[], bool] = _no

    def on_end(self, hook: Callable[[], object]) -> None:
        """Call the hook when it has ended."""
        self._on_end.append(hook)

    def part(self) -> Subtransaction:
        """What a part of the process works in."""
        return Subtransaction(self, None)

    def run(
        self, sql: str, runs: list[Any], most: int, part: Subtransaction | None = None
    ) -> list[Row]:
        """Run SQL once for each of `runs`: None, a list of arguments or a map; returns the rows,
        `most` of them.

        Raises InvalidArgument for arguments that do not fit, SqlFailed, SqlUnavailable.
        """
        while True:
            if self._parts:
                self._await_parts(part)
            with self._turn:
                if self.ended or (part is not None and part.ended):
                    raise has_ended()
                if self._given_up:
                    raise _given_up()
                if self._is_free_for(part):  # else one began to work while it waited for its turn
                    return self._run(sql, runs, most, part)

    # -- parts ---------------------------------------------------------------------------------

    def _is_free_for(self, part: Subtransaction | None) -> bool:
        """Whether the innermost part that has a savepoint is this one, or around it."""
        if not self._parts:
            return True
        innermost = self._parts[-1]
        while part is not None and part is not innermost:
            part = part.around
        return part is not None

    def _await_parts(self, part: Subtransaction | None) -> None:
        end = monotonic() + self._timeout
        while not self._is_free_for(part):
            if self._part_ended is None:
                self._part_ended = Event()
            if not self._part_ended.wait(max(0.0, end - monotonic())):
                raise SqlUnavailable(
                    f"{self._name}: another part of the process has been using its transaction for "
                    f"{self._timeout:g} s"
                )

    def _begin_part(self, part: Subtransaction | None) -> list[str]:
        """The names of the savepoints that must be there before a statement of the part."""
        begun = len(self._parts)
        innermost = self._parts[-1] if self._parts else None
        while part is not None and part is not innermost:
            self._made += 1
            part.name = f"greenflow_{self._made}"
            self._parts.insert(begun, part)
            part = part.around
        return [each.name for each in self._parts]

    def end_part(self, part: Subtransaction, *, well: bool) -> None:
        """Keep or undo what a part did; for the part alone. Raises SqlFailed."""
        if part not in self._parts:
            return
        try:
            self._end_inside(self._parts.index(part) + 1)
            if self._given_up:
                raise _given_up()
            job = self._keep(part.name) if well else self._undo(part.name)
            if job is not None:
                if not job.wait(None if well else self._grace):
                    self._give_up()
                job.outcome()
        finally:
            if part in self._parts:  # the whole may have ended meanwhile
                self._forget(self._parts.index(part))

    def _end_inside(self, level: int) -> None:
        """The parts inside, from this one on, have not ended well by now: they are undone by what
        comes next, once a statement of theirs has ended."""
        if len(self._parts) > level:
            for each in self._parts[level:]:
                each.has_left = True
            if self._job is not None and not self._job.is_done:
                self._abandon(self._job)
                behind = self._post(_nothing)
                if behind is not None and not behind.wait(self._grace):
                    self._give_up()
            self._forget(level)

    def _forget(self, level: int) -> None:
        del self._parts[level:]
        waiting, self._part_ended = self._part_ended, None
        if waiting is not None:
            waiting.set()

    def _give_up(self) -> None:
        """A statement of a part goes on after its grace: nothing of the transaction is kept."""
        self._given_up = True
        _log.warning(
            "%s: a statement did not end within the grace of %g s, and is left behind; the whole "
            "transaction is rolled back when it ends",
            self._name,
            self._grace,
        )
        if self._job is not None and not self._job.is_done:
            self._cancel(self._job)

    def _spares_statements(self) -> bool:
        """Whether a statement must not be broken off where that rolls all of the transaction back:
        others go on with it."""
        return not (self._given_up or self.is_doomed())

    def _taken(self) -> C:
        """A connection for it, unless it has ended meanwhile, as when a part has waited that is
        not wanted any more."""
        connection = self._pool.take(self._timeout)
        if self.ended:
            self._pool.give(connection)
            raise has_ended()
        return connection

    # -- what a database does ------------------------------------------------------------------

    @abstractmethod
    def _run(
        self, sql: str, runs: list[Any], most: int, part: Subtransaction | None
    ) -> list[Row]: ...

    def _post(
        self, function: Callable[[], None], then: Callable[[], object] | None = None
    ) -> Job[Any] | None:
        """Have a function called behind the statements so far; None if nothing has begun."""
        if self._connection is None:
            return None
        job: Job[Any] = Job(function, then)
        self._connection.lane.post(job)
        return job

    def _last(self, function: Callable[[], None]) -> Job[Any] | None:
        """The same; then what is left in the session is undone, and the connection given back."""
        connection = self._connection
        if connection is None:
            return None

        def ended() -> None:
            try:
                function()
            finally:
                connection.renew()

        return self._post(ended, partial(self._pool.give, connection))

    def _roll_back(self) -> Job[Any] | None:
        """Have it rolled back, which never fails; None if nothing has begun."""
        return None if self._connection is None else self._last(self._connection.roll_back)

    @abstractmethod
    def _commit(self) -> Job[Any] | None:
        """Have it committed, without what parts did that have not ended; None if nothing has begun.
        What fails must be rolled back."""

    @abstractmethod
    def _keep(self, name: str) -> Job[Any] | None:
        """Have what was done since that savepoint kept; None if there is none. What fails must be
        undone."""

    @abstractmethod
    def _undo(self, name: str) -> Job[Any] | None:
        """Have what was done since that savepoint undone; None if there is none. If that fails,
        nothing of the transaction may be kept."""

    @abstractmethod
    def _cancel(self, job: Job[Any]) -> None:
        """Cancel the statement of a job that was abandoned, if the driver can do that."""

    def _outcome(self, job: Job[Any]) -> Any:
        """Wait for a job that was posted. One whose waiting is broken off is cancelled."""
        self._job = job
        try:
            job.wait()
        except BaseException:
            self._abandon(job)
            raise
        return job.outcome()

    def _abandon(self, job: Job[Any]) -> None:
        if not job.is_done and not job.is_abandoned:
            job.is_abandoned = True
            self._cancel(job)

    # -- its end -------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self.ended:
            return
        self.ended = True
        try:
            if error is not None:
                self.is_doomed = _yes
            self._end_inside(0)
            if error is None and not self._given_up:
                self._end_well()
            else:
                self._end_badly()
                if error is None:
                    raise _given_up()
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


class Subtransaction:
    """What a part of a process does in the transaction of the whole: left without an error it is
    kept, as far as the whole is, else undone."""

    def __init__(self, transaction: Transaction[Any], around: Subtransaction | None) -> None:
        self._transaction = transaction
        self.around = around  # the part that it is a part of
        self.name = ""  # of its savepoint
        self.has_left = False

    @property
    def ended(self) -> bool:
        """Whether it, or what it is a part of, has ended."""
        part: Subtransaction | None = self
        while part is not None and not part.has_left:
            part = part.around
        return part is not None or self._transaction.ended

    def part(self) -> Subtransaction:
        """What a part of this part works in."""
        return Subtransaction(self._transaction, self)

    def run(self, sql: str, runs: list[Any], most: int) -> list[Row]:
        """As that of the transaction; raises SqlUnavailable also when other parts have it for too
        long."""
        return self._transaction.run(sql, runs, most, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not self.ended:
            self.has_left = True
            self._transaction.end_part(self, well=error is None)


def _nothing() -> None:
    """Is called after all else."""


def _no() -> bool:
    return False


def _yes() -> bool:
    return True


def has_ended() -> SqlFailed:
    """What a statement is told that comes too late."""
    return SqlFailed("the transaction has ended")


def _given_up() -> SqlFailed:
    return SqlFailed(
        "a statement of a part that was broken off did not end: nothing of the transaction is kept"
    )
