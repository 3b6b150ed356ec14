"""One SQLite file: how it is opened, what its errors mean, and the threads that work on it.

Lives here: connections, transactions and DatabaseThread. Must not live here: what the tables hold,
which is tables.py's.

No SQLite call runs on the hub. A DatabaseThread has one connection, which never leaves it;
greenlets hand it functions and wait. A function goes on to its end when its greenlet is killed.
What SQLite raises comes back as StoreUnavailable and costs the thread its connection: the next call
opens another one. SQLite gives up the interpreter's lock only inside a call, so functions make few
large calls rather than many small ones.

The file is created by the first connection of a store and never again: when it goes away under a
running store, that is an error and not an empty store. A file that was put in its place is noticed
by device and inode, and opened anew if it is the same database (lineage.py). Nothing but SQLite may
open the file in this OS process: closing any descriptor of a file drops the POSIX locks that SQLite
holds on it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from gevent.lock import RLock
from gevent.monkey import get_original

from greenflow.errors import StoreUnavailable
from greenflow.hub.blocking.threads import Threads
from greenflow.store.lineage import Lineage

T = TypeVar("T")

# KiB of pages that a connection keeps. By itself it is 2 MiB, which the journal of changes fills in
# the course of hours, for each connection; what is read twice is in the cache of the kernel.
CACHE = 256

# `PRAGMA application_id`, by which a file is known as ours: "grfl" in ASCII.
APPLICATION = 0x6772666C

# `PRAGMA user_version`: the layout of the tables. A greater one was written by a newer greenflow.
SCHEMA_VERSION = 3

# Seconds between tries where SQLite reports a lock at once instead of waiting for it, as it does
# while another connection turns on WAL mode (sqlite.org/c3ref/busy_handler.html).
RETRY = 0.01

SYNCHRONOUS = ("FULL", "NORMAL", "EXTRA")

#: The mode of a file that is made: values are in it.
PRIVATE = 0o600

# In a monkey-patched program `time.sleep` would make a hub in the lane's thread.
_native_sleep = get_original("time", "sleep")


class Identity(NamedTuple):
    """Which file it is, whatever its name."""

    device: int
    inode: int


class OpenDatabase:
    """An open connection, and the file that it is connected to."""

    def __init__(
        self, connection: sqlite3.Connection, identity: Identity | None, losses: int
    ) -> None:
        self.connection = connection
        self.identity = identity
        self.losses = losses

    def close(self) -> None:
        """Closes the connection. In the thread that opened it."""
        self.connection.close()


def make_private(path: str) -> None:
    """Make the file, empty and without opening it, for this user alone. SQLite gives the files
    beside it the same mode; what it makes itself, others may read."""
    with suppress(OSError):  # it is there by now, or SQLite will say why it cannot be
        os.mknod(path, PRIVATE)


class StoreDatabase:
    """The file of a store: `path` is where it is, `name` how messages call it.

    `timeout` is how many seconds a call waits for the lock of another writer.
    """

    def __init__(
        self,
        path: str,
        name: str,
        synchronous: str,
        timeout: float,
        create_tables: Callable[[sqlite3.Connection], None],
        upgrade_tables: Callable[[sqlite3.Connection, int], None],
    ) -> None:
        self.path = os.path.abspath(path)
        self.name = name
        self._synchronous = synchronous
        self._timeout = timeout
        self._create_tables = create_tables
        self._upgrade_tables = upgrade_tables
        self.lineage = Lineage(name, self.path)

    def connect(self, create: bool = False) -> OpenDatabase:
        """Opens the file. Raises StoreUnavailable, or an sqlite3.Error for `explain`."""
        while True:
            before = self._identity()
            if before is None and not create:
                self.lineage.losses += 1
                raise StoreUnavailable(
                    f"{self.name}: the file {self.path} is gone; put it back, or restart to begin"
                    " with an empty store"
                )
            if before is None:
                make_private(self.path)
            mode = "rwc" if create else "rw"
            connection = sqlite3.connect(
                f"file:{quote(self.path)}?mode={mode}",
                uri=True,
                isolation_level=None,
                timeout=self._timeout,
            )
            try:
                self._prepare(connection, create)
                after = self._identity()
                if before is None or before == after:
                    self.lineage.check(connection)
                    return OpenDatabase(connection, after, self.lineage.losses)
            except BaseException:
                connection.close()
                raise
            connection.close()

    def replaced(self, link: OpenDatabase) -> bool:
        """Whether the file is no longer the one that the link is connected to, or was another one
        meanwhile: then the files beside it may have changed, though it is back."""
        return self._identity() != link.identity or link.losses != self.lineage.losses

    def _identity(self) -> Identity | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return Identity(status.st_dev, status.st_ino)

    def _prepare(self, connection: sqlite3.Connection, create: bool) -> None:
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        connection.execute(f"PRAGMA cache_size=-{CACHE}")
        new = self._is_new(connection)  # first of all: what is not ours stays as it is
        if new and not create:
            raise self.lineage.lost()
        self._turn_on_wal(connection)
        if new:
            with transaction(connection):
                if self._is_new(connection):
                    self._create_tables(connection)
                    connection.execute(f"PRAGMA application_id={APPLICATION}")
                    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        elif _version(connection) < SCHEMA_VERSION:
            with transaction(connection):
                version = _version(connection)  # somebody else may have been faster
                if version < SCHEMA_VERSION:
                    self._upgrade_tables(connection, version)
                    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        """Whether the file has no tables yet. Raises StoreUnavailable if they are not ours."""
        application, version, tables = connection.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"
            " FROM pragma_application_id, pragma_user_version"
        ).fetchall()[0]
        if application == 0 and version == 0 and tables == 0:
            return True
        if application != APPLICATION:
            raise StoreUnavailable(
                f"{self.name}: {self.path} is the database of another program; name another file"
            )
        if version > SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self.name}: {self.path} was written by a newer greenflow (layout {version}, this"
                f" one knows {SCHEMA_VERSION}); upgrade greenflow"
            )
        return False

    def _turn_on_wal(self, connection: sqlite3.Connection) -> None:
        end = time.monotonic() + self._timeout
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchall()[0]
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                _native_sleep(RETRY)
        if mode != "wal":
            raise StoreUnavailable(
                f"{self.name}: the file system of {self.path} cannot share memory between programs;"
                " put the file on a local disk"
            )

    def closed(self) -> StoreUnavailable:
        """What a call gets that comes after the store was closed."""
        return StoreUnavailable(f"{self.name}: the store is closed")

    def explain(self, error: sqlite3.Error) -> StoreUnavailable:
        """What went wrong, where, and what to do."""
        kind = getattr(error, "sqlite_errorname", type(error).__name__)
        return StoreUnavailable(f"{self.name}: {self._reason(kind, error)}")

    def _reason(self, kind: str, error: sqlite3.Error) -> str:
        folder = os.path.dirname(self.path)
        if kind.startswith("SQLITE_CANTOPEN"):
            if os.path.isdir(self.path):
                return f"{self.path} is a folder; name a file"
            if not os.path.isdir(folder):
                return f"the folder {folder} does not exist; create it"
            return f"{self.path} cannot be opened; allow this user to write it and {folder}"
        for prefix, reason in (
            ("SQLITE_NOTADB", f"{self.path} is not an SQLite database; name another file"),
            ("SQLITE_READONLY", f"{self.path} is read-only; allow writing it and {folder}"),
            ("SQLITE_PERM", f"{self.path} may not be used; allow writing it and {folder}"),
            (
                "SQLITE_BUSY",
                f"{self.path} has been locked by another program for {self._timeout:g} s; try"
                " again, or end what holds it",
            ),
            ("SQLITE_FULL", f"no space left for {self.path}; free some on its disk"),
            ("SQLITE_CORRUPT", f"{self.path} is damaged; restore it from a backup"),
            ("SQLITE_IOERR", f"reading or writing {self.path} failed ({kind}); check its disk"),
        ):
            if kind.startswith(prefix):
                return reason
        return f"{self.path}: {error} ({kind})"


def _version(connection: sqlite3.Connection) -> int:
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    return int(version)


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All or nothing. IMMEDIATE takes the writers' lock first; DEFERRED reads one state of it."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class DatabaseThread:
    """One native thread with one connection, for one call at a time."""

    def __init__(self, database: StoreDatabase) -> None:
        self._database = database
        self._threads = Threads(1)
        self._link: OpenDatabase | None = None
        self._closing = False  # no more calls are taken
        self._ending = RLock()  # several may close it at once
        self._closed = False  # the thread's last call has run

    def open(self) -> None:
        """Connects, and creates the file if there is none. Raises StoreUnavailable."""
        self._in_thread(self._open)

    def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What the function returns or raises, from the lane's thread; only this greenlet waits.

        Raises StoreUnavailable for whatever SQLite raises.
        """
        if self._closing:
            raise self._database.closed()
        return self._in_thread(lambda: self._call(function))

    def close(self) -> None:
        """Waits for calls under way, closes the connection in its thread, and ends the thread."""
        self._closing = True
        with self._ending:
            if not self._closed:
                self._in_thread(self._end)
            self._threads.close()

    def _in_thread(self, step: Callable[[], T]) -> T:
        result: T = self._threads.run(self._guarded, step)
        return result

    def _guarded(self, step: Callable[[], T]) -> T:
        """In the thread."""
        try:
            return step()
        except sqlite3.Error as error:
            self._drop()
            reason = self._database.explain(error)
        raise reason

    def _open(self) -> None:
        self._link = self._database.connect(create=True)

    def _end(self) -> None:
        self._closed = True
        self._drop()

    def _call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise self._database.closed()
        if self._link is not None and self._database.replaced(self._link):
            self._drop()
        if self._link is None:
            self._link = self._database.connect()
        else:
            self._database.lineage.check(self._link.connection)
        return function(self._link.connection)

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
