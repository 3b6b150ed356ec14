"""What changed in a MongoDB collection, followed by a change stream or by the tail of a journal.

Lives here: both readers, and what they have in common with poll.py's. A reader waits in a call of
the driver, a short while each time, and tells its feed; when it is lost for whatever reason, it
says so and ends. Who follows opens another feed and compares everything, so no position has to be
kept.

A change stream sees changes by any program. On a server that has none (a single one) each write of
ours puts an entry into a capped collection, the journal (journal.py), and readers follow its end;
changes by other programs are noticed there when everything is compared, at the latest.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gevent import get_hub
from pymongo import CursorType
from pymongo.errors import PyMongoError

from greenflow.errors import StoreUnavailable
from greenflow.store.feed import Mailbox
from greenflow.store.mongo.documents import id_text
from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.journal import JOURNAL, make_journal
from greenflow.store.mongo.refusal import refusable

# Milliseconds that a reader waits in one call: how long closing may take. The server answers at
# once when something happened.
AWAIT_MS = 200

# Events of a change stream after which it is of no use.
_ENDS = frozenset(("drop", "dropDatabase", "invalidate", "rename"))

_log = logging.getLogger("greenflow.store")


class FeedReader:
    """Follows a collection for one feed, in a call of the driver that lasts as long as the feed."""

    told = ""  # in messages

    def __init__(self, driver: Driver, collection: str, namespace: str | None) -> None:
        self._driver, self._collection = driver, driver.database[collection]
        self._is_ending = False
        self._on_close: Callable[[], None] = lambda: None
        self._loop = get_hub().loop
        self.feed = Mailbox(collection, namespace, self._end)

    def open(self, on_close: Callable[[], None]) -> Mailbox:
        """The feed; it misses nothing from now on. Raises StoreUnavailable."""
        self._on_close = on_close
        follow = self._driver.run(self._open)
        self._driver.start(lambda: self._follow(follow))
        return self.feed

    def end(self) -> None:
        """Follow no more; what is under way ends within AWAIT_MS."""
        self._is_ending = True

    def _open(self) -> Callable[[], Iterable[str] | None]:
        """In the driver: a function that waits a while and gives the ids of what changed, or None
        if nothing will come any more."""
        raise NotImplementedError

    def _end(self, _: Mailbox) -> None:
        self.end()
        self._on_close()

    def _follow(self, follow: Callable[[], Iterable[str] | None]) -> None:
        reason = "the feed ended: the position is lost, or the collection was dropped"
        try:
            while not self._is_ending:
                ids = follow()
                if ids is None:
                    break
                if ids:
                    self._tell(lambda ids=ids: self.feed.tell(ids))  # type: ignore[misc]
        except PyMongoError as error:
            reason = str(self._driver.meaning(error))
        except Exception as error:
            reason = f"the feed cannot be read: {error!r}"
            _log.exception("the feed of %s cannot be read", self._driver.name)
        finally:
            self._close()
            if not self._is_ending:
                self._tell(lambda: self.feed.lose(reason))

    def _close(self) -> None:
        """In the driver: give the cursor back."""

    def _tell(self, action: Callable[[], None]) -> None:
        # The reader may be in a native thread, the feed is the hub's.
        self._loop.run_callback_threadsafe(action)


class ChangeStream(FeedReader):
    """A change stream."""

    told = "a change stream"

    def _open(self) -> Callable[[], Iterable[str] | None]:
        pipeline: list[dict[str, Any]] = []
        namespace = self.feed.namespace
        if namespace is not None:
            # A delete does not tell the namespace of what is gone, nor an update where it was.
            elsewhere = {"operationType": "insert", "fullDocument.namespace": {"$ne": namespace}}
            pipeline.append({"$match": {"$nor": [elsewhere]}})
        with refusable(self._driver):
            self._stream = self._collection.watch(
                pipeline, full_document="updateLookup", max_await_time_ms=AWAIT_MS
            )
        self._here: set[str] = set()
        if namespace is not None:
            present = self._collection.find({"namespace": namespace}, {"_id": 1})
            self._here.update(id_text(each["_id"]) for each in present)
        return self._next

    def _next(self) -> Iterable[str] | None:
        event = self._stream.try_next()
        if event is None:
            return () if self._stream.alive else None
        if event["operationType"] in _ENDS:
            return None
        return self._concerned(id_text(event["documentKey"]["_id"]), event)

    def _concerned(self, id: str, event: Mapping[str, Any]) -> Iterable[str]:
        """The id, if the document is in the namespace or was: a tool may move it."""
        namespace = self.feed.namespace
        if namespace is None or event["operationType"] == "delete":
            self._here.discard(id)
            return (id,)
        document = event.get("fullDocument")  # None: it is gone by now
        if document is not None and document.get("namespace") == namespace:
            self._here.add(id)
            return (id,)
        was_here = id in self._here
        self._here.discard(id)
        return (id,) if was_here else ()

    def _close(self) -> None:
        try:
            self._stream.close()
        except PyMongoError:
            return  # the server is away, and the cursor with it


class Tail(FeedReader):
    """The end of the journal."""

    told = "the tail of a journal"

    def _open(self) -> Callable[[], Iterable[str] | None]:
        make_journal(self._driver)
        journal = self._driver.database[JOURNAL]
        wanted: dict[str, Any] = {"collection": self._collection.name}
        if self.feed.namespace is not None:
            wanted["namespace"] = self.feed.namespace
        # A mark says where the journal was when the feed began, and is there to wait behind: a
        # cursor on nothing is dead at once.
        mark = secrets.token_hex(16)
        journal.insert_one({"mark": mark})
        self._cursor = journal.find(
            {"$or": [wanted, {"mark": mark}]}, cursor_type=CursorType.TAILABLE_AWAIT
        ).max_await_time_ms(AWAIT_MS)
        with refusable(self._driver):
            for entry in self._cursor:
                if entry.get("mark") == mark:
                    return self._next
        raise StoreUnavailable(f"{self._driver.name}: the journal cannot be followed")

    def _next(self) -> Iterable[str] | None:
        try:
            entry = self._cursor.next()
        except StopIteration:
            # The driver hides why: an empty wait leaves the cursor alive, and all else does not.
            return () if self._cursor.alive else None
        ids: list[str] = entry.get("ids", [])
        return ids

    def _close(self) -> None:
        try:
            self._cursor.close()
        except PyMongoError:
            return  # the server is away, and the cursor with it
