"""sqlite:///path: records in a file of their own.

Lives here: SQLiteArchive. The file is for its owner alone: what workflows work on is in it. It may
be removed while no engine uses it, and is made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from greenflow.errors import StoreMisconfigured, StoreUnavailable
from greenflow.hub.blocking.threads import Threads
from greenflow.records.archive import Archive, Archived, Choice
from greenflow.records.record import FAILED, SLOW
from greenflow.store.database import make_private

T = TypeVar("T")

#: Seconds that a call waits for another engine that writes.
TIMEOUT = 5.0

# What stands around each name in a list of them: no name has a line break.
_BETWEEN = "\n"

_TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, namespace TEXT NOT NULL, began REAL NOT NULL, failed INTEGER NOT NULL,
    slow INTEGER NOT NULL, nodes TEXT NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_began ON runs (began, id, size);
"""


class SQLiteArchive(Archive):
    """A file of SQLite, opened when it is first used; calls run in a native thread, one by one."""

    def __init__(self, url: str, namespace: str) -> None:
        self.path, self.namespace = url.removeprefix("sqlite:///"), namespace
        if self.path == url or not self.path:
            raise StoreMisconfigured(f"{url}: sqlite:///relative/path.db or sqlite:////path.db")
        self._threads = Threads(1)
        self._connection: sqlite3.Connection | None = None

    def write(self, records: Sequence[Archived]) -> None:
        rows = [self._row(each) for each in records]

        def insert(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?)", rows)

        self._call(insert)

    def _row(self, record: Archived) -> tuple[Any, ...]:
        about, data = record
        names = _BETWEEN.join(("", *sorted(about.nodes), ""))
        return (
            about.id,
            self.namespace,
            about.started,
            FAILED in about.why,
            SLOW in about.why,
            names,
            len(data),
            data,
        )

    def find(self, choice: Choice) -> list[bytes]:
        conditions: list[str] = ["namespace = ?"]
        bound: list[Any] = [self.namespace]
        if choice.failed:
            conditions.append("failed")
        if choice.slow:
            conditions.append("slow")
        if choice.node is not None:
            conditions.append("instr(nodes, ?)")
            bound.append(f"{_BETWEEN}{choice.node}{_BETWEEN}")
        if choice.since is not None:
            conditions.append("began >= ?")
            bound.append(choice.since)
        if choice.below is not None:
            conditions.append("(began, id) < (?, ?)")
            bound += choice.below
        query = (
            f"SELECT data FROM runs WHERE {' AND '.join(conditions)} "
            "ORDER BY began DESC, id DESC LIMIT ?"
        )
        bound.append(choice.limit)
        return self._call(lambda connection: [row[0] for row in connection.execute(query, bound)])

    def get(self, id: str) -> bytes | None:
        query = "SELECT data FROM runs WHERE id = ?"
        row = self._call(lambda connection: connection.execute(query, (id,)).fetchone())
        return None if row is None else bytes(row[0])

    def thin(self, before: float, most_bytes: int) -> int:
        def delete(connection: sqlite3.Connection) -> int:
            count = connection.execute("DELETE FROM runs WHERE began < ?", (before,)).rowcount
            (size,) = connection.execute("SELECT coalesce(sum(size), 0) FROM runs").fetchone()
            if size <= most_bytes:
                return count
            # The newest whose sizes are within the limit stay.
            cut = connection.execute(
                "SELECT began, id FROM (SELECT began, id, sum(size) OVER "
                "(ORDER BY began DESC, id DESC) AS so_far FROM runs) WHERE so_far > ? "
                "ORDER BY began DESC, id DESC LIMIT 1",
                (most_bytes,),
            ).fetchone()
            gone = connection.execute("DELETE FROM runs WHERE (began, id) <= (?, ?)", cut)
            return count + gone.rowcount

        return self._call(delete)

    def close(self) -> None:
        self._threads.run(self._drop)
        self._threads.join()
        self._threads.close()

    def _call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        result: T = self._threads.run(self._guarded, function)
        return result

    def _guarded(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """In the thread."""
        try:
            connection = self._connection or self._open()
            with connection:
                return function(connection)
        except sqlite3.Error as error:
            self._drop()
            reason = str(error)
        raise StoreUnavailable(f"sqlite:///{self.path}: {reason}")

    def _open(self) -> sqlite3.Connection:
        make_private(self.path)
        # Always of the one thread, which gevent may replace by another one.
        connection = sqlite3.connect(self.path, timeout=TIMEOUT, check_same_thread=False)
        self._connection = connection
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(_TABLES)
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
