"""Follows the journal of an SQLite store and tells the feeds.

Lives here: the thread that looks for changes, and how what it finds reaches feeds on the hub.

One native thread with a connection of its own looks at `PRAGMA data_version` every few
milliseconds, for all feeds of the store together; a write through the same store wakes it at once.
It wakes the hub only when something changed, so an idle feed costs the hub nothing. Readers of a
WAL database wait for no writer, so neither does this thread.

A file that was put in the place of the old one is opened, and every feed reports a gap. When
anything else goes wrong, all feeds are lost with that reason and the thread ends; the next feed
starts another one.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from queue import Empty
from typing import Any

from gevent import get_hub
from gevent.event import AsyncResult
from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

from greenflow.errors import StoreUnavailable
from greenflow.store.database import Database, Link
from greenflow.store.feed import Mailbox
from greenflow.store.tables import Changes, changes_behind, data_version, last_number

# Seconds between two looks at the database. A change by another OS process must be seen within
# 200 ms, and an idle feed may use 1 % of a core at most: a look costs 150 to 200 microseconds, most
# of them for waking the thread (measured: 0.6 to 0.8 %).
INTERVAL = 0.025

# A native queue, in a monkey-patched program too: a thread waits in it, not a greenlet.
_NativeQueue: Callable[[], Any] = get_original("queue", "SimpleQueue")


class Follower:
    """The feeds of a store. Everything but the thread's own loop happens on the store's hub."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pool = ThreadPool(1)
        self._feeds: set[Mailbox] = set()
        self._found: deque[Callable[[], None]] = deque()  # what the hub has to do, in order
        self._wake_hub: Any = get_hub().loop.async_()
        self._wakes: Any = None  # the thread's queue: True is "look now", False is "end"
        self._started: Any = None  # an AsyncResult: set once the thread knows its number
        self._ended: Any = None  # what the pool gave for the thread's loop
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
        wakes = self._wakes
        if wakes is not None:
            wakes.put(True)

    def close(self) -> None:
        """Ends the feeds and the thread."""
        self._closed = True
        if self._ended is not None:
            self._wakes.put(False)
            self._ended.get()
            self._on_found()  # a greenlet may still wait for the thread's start
        self._lose_feeds(self._database.closed())
        self._pool.kill()
        self._wake_hub.stop()
        self._wake_hub.close()

    def _start(self) -> None:
        self._started = AsyncResult()
        self._wakes = _NativeQueue()
        if not self._wake_hub.active:
            self._wake_hub.start(self._on_found)
        self._ended = self._pool.spawn(self._run, self._wakes)

    def _on_found(self) -> None:
        """On the hub: does what the thread left to do. Never blocks."""
        while self._found:
            self._found.popleft()()

    def _tell(self, changes: Changes) -> None:
        for feed in tuple(self._feeds):
            feed.tell((), changes.gap)
            for (collection, namespace), ids in changes.ids.items():
                if collection == feed.collection and feed.namespace in (None, namespace):
                    feed.tell(ids)

    def _lose(self, error: StoreUnavailable) -> None:
        started, self._started = self._started, None
        if not started.ready():
            started.set_exception(error)
        self._lose_feeds(error)

    def _lose_feeds(self, error: StoreUnavailable) -> None:
        for feed in self._feeds:
            feed.lose(str(error))
        self._feeds.clear()

    def _hand_over(self, action: Callable[[], None]) -> None:
        """In the thread: has the hub do something."""
        self._found.append(action)
        self._wake_hub.send()

    def _run(self, wakes: Any) -> None:
        """The thread."""
        try:
            self._look(wakes)
        except Exception as error:
            if isinstance(error, sqlite3.Error):
                reason = self._database.explain(error)
            elif isinstance(error, StoreUnavailable):
                reason = error
            else:
                reason = StoreUnavailable(f"{self._database.name}: cannot be followed: {error!r}")
            self._hand_over(lambda: self._lose(reason))

    def _look(self, wakes: Any) -> None:
        link = self._database.connect()
        try:
            version, number = data_version(link.connection), last_number(link.connection)
            self._hand_over(lambda: self._started.set(None))
            while self._wait(wakes):
                if self._database.replaced(link):
                    link = self._reconnect(link)
                    version, number = data_version(link.connection), last_number(link.connection)
                    self._report(Changes({}, number, True))
                elif (now := data_version(link.connection)) != version:
                    version = now
                    while (changes := changes_behind(link.connection, number)).last != number:
                        number = changes.last
                        self._report(changes)
        finally:
            link.close()

    def _reconnect(self, link: Link) -> Link:
        replacement = self._database.connect()
        link.close()
        return replacement

    def _report(self, changes: Changes) -> None:
        self._hand_over(lambda: self._tell(changes))

    @staticmethod
    def _wait(wakes: Any) -> bool:
        """Until it is time to look; false to end."""
        try:
            go_on: bool = wakes.get(timeout=INTERVAL)
            while go_on and not wakes.empty():
                go_on = wakes.get()
        except Empty:
            return True
        return go_on
