"""A feed that is told what changed: what has come waits in it until it is asked for.

Lives here: the waiting side of a feed. Who tells it is the store's: memory.py tells at once,
follow.py as the journal grows. Everything here happens on the hub of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gevent.event import Event

from greenflow.errors import StoreUnavailable
from greenflow.store.base import Batch, Feed

# Ids that wait in a feed before it forgets them and reports a gap instead. About 10 MB; a reader
# that is so far behind is as quick with comparing everything.
MAX_WAITING = 100_000


class Mailbox(Feed):
    """A feed of one collection, of one namespace or of all (None)."""

    def __init__(
        self, collection: str, namespace: str | None, on_close: Callable[[Mailbox], None]
    ) -> None:
        self.collection = collection
        self.namespace = namespace
        self._on_close = on_close
        self._ids: set[str] = set()
        self._gap = False
        self._loss = ""
        self._closed = False
        self._news = Event()

    def tell(self, ids: Iterable[str], gap: bool = False) -> None:
        """These ids changed in this feed's collection and namespace; never blocks."""
        self._ids.update(ids)
        if len(self._ids) > MAX_WAITING:
            self._ids.clear()
            gap = True
        self._gap = self._gap or gap
        if self._ids or self._gap:
            self._news.set()

    def lose(self, reason: str) -> None:
        """Nothing will come any more; `next` says why."""
        self._loss = reason
        self._news.set()

    def next(self, timeout: float | None) -> Batch | None:
        self._news.wait(timeout)
        if self._closed:
            return None
        if self._loss:
            raise StoreUnavailable(self._loss)
        if not self._ids and not self._gap:
            return None
        self._news.clear()
        batch = Batch(frozenset(self._ids), self._gap)
        self._ids.clear()
        self._gap = False
        return batch

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._news.set()
            self._on_close(self)
