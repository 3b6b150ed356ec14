"""memory://: a store in the memory of one OS process, private to the Store it is opened as.

Lives here: the rows in maps, and feeds that are told at once. It keeps nothing beyond `close`.

Each step on the maps is one stretch without a switch, so no greenlet sees half a batch. Rows are
never changed, only replaced; a read takes the rows as they are and decodes them at leisure. They
hold text only, which the garbage collector does not have to walk through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count, product
from typing import Any

from greenflow.errors import StoreMisconfigured, StoreUnavailable
from greenflow.hub.breathing import unhurried
from greenflow.store.base import Record, Store
from greenflow.store.document import Row, decode
from greenflow.store.feed import Mailbox
from greenflow.store.filter import Filter, compile_filter
from greenflow.store.plan import UNWRITTEN, Current, Plan, PlannedCollection, Wanted

_CLOSED = "memory://: the store is closed"


class MemoryCollection(PlannedCollection):
    """Documents in a map by id, with a map of names beside it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: dict[str, Row] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._revisions = count(1)
        self._feeds: set[Mailbox] = set()
        self._closed = False

    def delete(self, filter: Mapping[str, Any] | None) -> list[Record]:
        wanted = compile_filter(filter)
        rows = [row for row in self._candidates(wanted) if wanted.matches(decode(row.text))]
        for row in rows:
            self._drop(row)
        self._tell(rows)
        return [Record(decode(row.text), row.revision) for row in unhurried(rows)]

    def find(self, filter: Mapping[str, Any] | None) -> list[Record]:
        wanted = compile_filter(filter)
        rows = unhurried(self._candidates(wanted))
        records = (Record(decode(row.text), row.revision) for row in rows)
        return [record for record in records if wanted.matches(record.document)]

    def revisions(self, namespace: str | None) -> dict[str, int]:
        self._check()
        return {
            row.id: row.revision
            for row in self._rows.values()
            if namespace is None or row.namespace == namespace
        }

    def feed(self, namespace: str | None) -> Mailbox:
        self._check()
        feed = Mailbox(self._name, namespace, self._feeds.discard)
        self._feeds.add(feed)
        return feed

    def close(self) -> None:
        """Forgets everything and ends the feeds."""
        self._closed = True
        self._rows.clear()
        self._ids.clear()
        for feed in self._feeds:
            feed.lose(_CLOSED)
        self._feeds.clear()

    def _check(self) -> None:
        if self._closed:
            raise StoreUnavailable(_CLOSED)

    def _candidates(self, wanted: Filter) -> list[Row]:
        """What may match, ordered by id, as of now."""
        self._check()
        ids: Iterable[str] = self._rows
        if "id" in wanted.narrow:
            ids = wanted.narrow["id"]
        elif "namespace" in wanted.narrow and "name" in wanted.narrow:
            pairs = product(wanted.narrow["namespace"], wanted.narrow["name"])
            ids = [self._ids[pair] for pair in pairs if pair in self._ids]
        return [self._rows[id] for id in sorted(ids) if id in self._rows]

    def _current(self, wanted: Wanted) -> Current:
        self._check()
        ids = {self._ids[name] for name in wanted.names if name in self._ids}
        return Current(self._rows[id] for id in ids | wanted.ids if id in self._rows)

    def _commit(self, wanted: Wanted, plan: Plan) -> list[Row]:
        rows = plan(self._current(wanted))
        changed = [row for row in rows if row.revision == UNWRITTEN]
        for row in changed:
            if row.id in self._rows:
                self._drop(self._rows[row.id])
        for row in changed:
            self._put(row._replace(revision=next(self._revisions)))
        self._tell(changed)
        return [self._rows[row.id] for row in rows]

    def _put(self, row: Row) -> None:
        self._rows[row.id] = row
        if row.name is not None:
            self._ids[row.namespace, row.name] = row.id

    def _drop(self, row: Row) -> None:
        del self._rows[row.id]
        if row.name is not None:
            del self._ids[row.namespace, row.name]

    def _tell(self, rows: list[Row]) -> None:
        for feed in tuple(self._feeds):
            feed.tell(row.id for row in rows if feed.namespace in (None, row.namespace))


class MemoryStore(Store):
    """The store of `memory://`: what is put into it lives as long as it is open."""

    def __init__(self, url: str = "memory://") -> None:
        if url != "memory://":
            raise StoreMisconfigured("memory:// takes nothing behind it; every store is a new one")
        self.url = url
        self.specs: MemoryCollection = MemoryCollection("specs")
        self.values: MemoryCollection = MemoryCollection("values")

    def close(self) -> None:
        self.specs.close()
        self.values.close()
