"""Follows the journal of an SQLite store and tells the feeds.

Lives here: the thread that looks for changes, and how what it finds reaches feeds on the hub.

One native thread with a connection of its own looks at `PRAGMA data_version` every few
milliseconds, for all feeds of the store together; a write through the same store wakes it at once.
It wakes the hub only when something changed, so an idle feed costs the hub nothing. Readers of a
WAL database wait for no writer, so neither does this thread.

A file that was put in the place of the old one is opened if it is the same database (lineage.py),
and every feed reports a gap. When anything else goes wrong, all feeds are lost with that reason and
the thread ends; the next feed starts another one.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from gevent.event import AsyncResult

from greenflow.errors import StoreUnavailable
from greenflow.hub.blocking.worker import Worker
from greenflow.store.database import OpenDatabase, StoreDatabase
from greenflow.store.feed import Mailbox
from greenflow.store.tables import Changes, changes_behind, data_version, last_number

# Seconds between two looks at the database. A change by another OS process must be seen within
# 200 ms, and an idle feed may use 1 % of a core at most: a look costs 150 to 200 microseconds, most
# of them for waking the thread (measured: 0.6 to 0.8 %).
INTERVAL = 0.025


class JournalFollower:
    """The feeds of a store. Everything but the thread's own loop happens on the store's hub."""

    def __init__(self, database: StoreDatabase) -> None:
        self._database = database
        # What the thread is told: True is "look now", False is "end".
        self._worker = Worker(is_native=True)
        self._feeds: set[Mailbox] = set()
        self._started: Any = None  # an AsyncResult: set once the thread knows its number
        self._closed = False

    def feed(self, collection: str, namespace: str | None) -> Mailbox:
        """A feed that misses nothing from now on. Raises StoreUnavailable."""
        if self._closed:
            raise self._database.closed()
        feed = Mailbox(collection, namespace, self._feeds.discard)
        self._feeds.add(feed)
        try:
            if self._started is None:
                self._start()
            self._started.get()
        except BaseException:
            self._feeds.discard(feed)
            raise
        return feed

    def wake(self) -> None:
        """Something was written: look now. From any thread."""
        if self._started is not None:
            self._worker.inbox.put(True)

    def close(self) -> None:
        """Ends the feeds and the thread."""
        self._closed = True
        self._worker.inbox.put(False)
        self._worker.join()
        self._lose(self._database.closed())

    def _start(self) -> None:
        self._started = AsyncResult()
        self._worker.start(self._run)

    def _begun(self) -> None:
        if self._started is not None:  # else it was closed meanwhile
            self._started.set(None)

    def _tell(self, changes: Changes) -> None:
        for feed in tuple(self._feeds):
            feed.tell((), changes.gap)
            for (collection, namespace), ids in changes.ids.items():
                if collection == feed.collection and feed.namespace in (None, namespace):
                    feed.tell(ids)

    def _lose(self, error: StoreUnavailable) -> None:
        started, self._started = self._started, None
        if started is not None and not started.ready():
            started.set_exception(error)
        for feed in self._feeds:
            feed.lose(str(error))
        self._feeds.clear()

    def _run(self) -> None:
        """The thread."""
        try:
            self._look()
        except Exception as error:
            if isinstance(error, sqlite3.Error):
                reason = self._database.explain(error)
            elif isinstance(error, StoreUnavailable):
                reason = error
            else:
                reason = StoreUnavailable(f"{self._database.name}: cannot be followed: {error!r}")
            self._worker.tell(self._lose, reason)

    def _look(self) -> None:
        link = self._database.connect()
        try:
            version, number = data_version(link.connection), last_number(link.connection)
            self._worker.tell(self._begun)
            while all(self._worker.received(INTERVAL)):
                if self._database.replaced(link):
                    link = self._reconnect(link)
                    version, number = data_version(link.connection), last_number(link.connection)
                    self._report(Changes({}, number, True))
                elif (now := data_version(link.connection)) != version:
                    version = now
                    self._database.lineage.check(link.connection)
                    while (changes := changes_behind(link.connection, number)).last != number:
                        number = changes.last
                        self._report(changes)
        finally:
            link.close()

    def _reconnect(self, link: OpenDatabase) -> OpenDatabase:
        replacement = self._database.connect()
        link.close()
        return replacement

    def _report(self, changes: Changes) -> None:
        self._worker.tell(self._tell, changes)
