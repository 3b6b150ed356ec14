"""Keeps the symbol table, and the values that specs refer to, equal to the store.

Lives here: Loader. It knows a collection's feed and the `change` of what it keeps equal to the
collection, nothing of nodes. A runtime has two: one for its specs, one for its values.

It is level-triggered: an event only says "look at this id". The feed is opened first, then
everything is compared, then the feed is followed; after every reconnect, and every COMPARE seconds
besides, `{id: revision}` of the store is compared with the table, so nothing depends on the feed
being complete. While the store is away the workflows run on.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import gevent
from gevent.event import Event

from greenflow.errors import StoreUnavailable
from greenflow.histogram import Histogram
from greenflow.hub.backoff import MOST, Backoff
from greenflow.table.claiming import Claiming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from greenflow.store.base import Collection, Feed
    from greenflow.table.claiming import Claim

# Seconds between two warnings of a store that is away: it stays so until somebody looks.
REMIND = 60.0

TOGETHER = 0.010  # seconds: events that arrive within them are one change (BEHAVIOUR 6.13)
COMPARE = 30.0  # seconds between comparisons of all revisions (BEHAVIOUR 6.13)

TEND = 600.0  # seconds between two times that the store is tended: nobody waits for it

# Seconds between tries, at most, with a store whose calls wait for it to come back: they are the
# pause, and notice at once that it is over.
BACKOFF_PATIENT = 0.5

_log = logging.getLogger("greenflow.loader")


class Follower(Protocol):
    """What is kept equal to a collection: the table of symbols, or the values."""

    def revisions(self) -> dict[str, int]:
        """The newest revision seen of every document."""

    def failed(self) -> list[str]:
        """The ids that trying again may help."""

    def known(self, id: str) -> tuple[Mapping[str, Any], int] | None:
        """The newest document seen with an id, and its revision."""

    def change(
        self, documents: Mapping[str, tuple[Mapping[str, Any], int] | None], retry: bool = False
    ) -> None:
        """These are the documents now, by id, with their revisions; None is one that is gone."""


class Loader:
    """Follows one namespace of a collection into a table, or into what else is kept equal to it."""

    def __init__(
        self,
        table: Follower,
        collection: Collection,
        namespace: str,
        meanwhile: str = "workflows run on",
        tend: Callable[[], object] = lambda: None,
        claim: Claim = lambda ids, known: 0,
        loaded: Callable[[], object] = lambda: None,
    ) -> None:
        """`meanwhile` is what the log says of a store that is away; `tend` is called now and then
        while it is not, `claim` soon after something changed (claiming.py), and `loaded` after each
        change that was looked at."""
        self.table, self.collection, self.namespace = table, collection, namespace
        self._meanwhile, self._tend, self._loaded = meanwhile, tend, loaded
        self.connected = False
        self._feed: Feed | None = None
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self._stopping = Event()
        self._retry, self._retry_at = Backoff(), 0.0
        self._compare_at = 0.0
        self._tend_at = monotonic() + COMPARE  # not while everything starts
        self._remind_at = 0.0
        self._claiming = Claiming(claim, namespace)
        # How often the store was lost; how long changes took from the feed's word to the table's
        # swap; and when all revisions were compared last, by monotonic().
        self.lost, self.times, self.compared_at = 0, Histogram(), monotonic()

    def start(self) -> None:
        """Load everything, then follow. Raises StoreUnavailable if the first load fails."""
        self._connect()
        self._greenlet = gevent.spawn(self._follow)
        self._claiming.start()

    def stop(self) -> None:
        """Follow no more. The table stays as it is."""
        self._stopping.set()
        self._disconnect()
        if self._greenlet is not None:
            self._greenlet.join()
        self._claiming.stop()

    def _connect(self) -> None:
        self._feed = self.collection.feed(self.namespace)
        self._compare()
        self.connected = True

    def _disconnect(self) -> None:
        feed, self._feed, self.connected = self._feed, None, False
        if feed is not None:
            feed.close()

    def _follow(self) -> None:
        reconnect = Backoff(BACKOFF_PATIENT if self.collection.patient else MOST)
        while not self._stopping.is_set():
            try:
                if self._feed is None:
                    self._connect()
                    _log.info("the store is back", extra={"namespace": self.namespace})
                self._step()
                reconnect.reset()
            except StoreUnavailable as error:
                self._lost(error, reconnect)
            except Exception as error:
                # A fault of ours or of a kind's: never the end of following.
                _log.error(
                    "a change could not be loaded: %s",
                    error,
                    exc_info=error,
                    extra={"namespace": self.namespace},
                )
                self._lost(error, reconnect)

    def _lost(self, error: Exception, reconnect: Backoff) -> None:
        if self._stopping.is_set():
            return
        seconds = reconnect.next()
        self.lost += self.connected
        if self.connected or monotonic() >= self._remind_at:
            self._remind_at = monotonic() + REMIND
            _log.warning(
                "the store is away, %s: %s",
                self._meanwhile,
                error,
                extra={"namespace": self.namespace},
            )
        self._disconnect()
        self._stopping.wait(seconds)

    def _step(self) -> None:
        """Wait for an event, a retry or a comparison, and do it."""
        feed = self._feed
        if feed is None:  # stopped meanwhile
            return
        batch = feed.next(max(0.0, min(self._retry_at, self._compare_at) - monotonic()))
        if batch is not None:
            begin = monotonic()
            ids, gap, end = set(batch.ids), batch.gap, begin + TOGETHER
            while (left := end - monotonic()) > 0 and (more := feed.next(left)) is not None:
                ids |= more.ids
                gap = gap or more.gap
            if gap:
                self._compare()
            else:
                self._look(ids)
            self.times.add(monotonic() - begin)
            self._retry.reset()
        elif self._stopping.is_set():
            return
        elif monotonic() >= self._compare_at:
            self._compare()
        if monotonic() >= self._tend_at:
            self._tend_at = monotonic() + TEND
            self._tend()
        if monotonic() >= self._retry_at:
            if batch is None and self.table.failed():
                self.table.change({}, retry=True)
            waiting = bool(self.table.failed())
            self._retry_at = monotonic() + (self._retry.next() if waiting else MOST)
        elif batch is not None and self.table.failed():
            self._retry_at = min(self._retry_at, monotonic() + self._retry.next())

    def _compare(self) -> None:
        """Bring the table to the store, whatever the feed said."""
        self._compare_at = monotonic() + COMPARE
        mine = self.table.revisions()
        if not mine:
            records = self.collection.find({"namespace": self.namespace})
            self.table.change({r.document["id"]: (r.document, r.revision) for r in records})
            self._claiming.all()
            self._loaded()
        else:
            theirs = self.collection.revisions(self.namespace)
            self._look(id for id in mine.keys() | theirs.keys() if mine.get(id) != theirs.get(id))
        self.compared_at = monotonic()

    def _look(self, ids: Iterable[str]) -> None:
        wanted = sorted(ids)
        if wanted:
            found = self.collection.find({"namespace": self.namespace, "id": {"$in": wanted}})
            records = {r.document["id"]: (r.document, r.revision) for r in found}
            known = {id: self.table.known(id) for id in wanted}
            self.table.change({id: records.get(id) for id in wanted})
            self._claiming.some(known)
            self._loaded()
