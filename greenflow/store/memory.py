"""memory://: a store in the memory of one OS process, private to the Store it is opened as.

Lives here: the rows in maps, and feeds that are told at once. It keeps nothing beyond `close`.

Each step on the maps is one stretch without a switch, so no greenlet sees half a batch. Rows are
never changed, only replaced; a read takes the rows as they are and decodes them at leisure. They
hold text only, which the garbage collector does not have to walk through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import count, product
from typing import Any, NamedTuple

from greenflow.errors import StoreMisconfigured, StoreUnavailable
from greenflow.hub.breathing import unhurried
from greenflow.spec.signature import Signature, here
from greenflow.store.base import Record, Rewrite, Store
from greenflow.store.change import SPECS, VALUES, Pair, check_expected
from greenflow.store.document import Row, decode
from greenflow.store.feed import Mailbox
from greenflow.store.filter import Filter, compile_filter
from greenflow.store.plan import (
    UNWRITTEN,
    Current,
    Draft,
    Plan,
    PlannedCollection,
    Wanted,
    drafts_of,
    pairs_of,
    plan_apply,
    records_of,
)
from greenflow.store.recent import MemoryHistory

_CLOSED = "memory://: the store is closed"


class Planned(NamedTuple):
    """The rows that are there, those to store, and those to delete."""

    current: Current
    rows: list[Row]
    removed: list[Row]


class MemoryCollection(PlannedCollection):
    """Documents in a map by id, with a map of names beside it."""

    def __init__(self, name: str, history: MemoryHistory) -> None:
        self._name = name
        self._history = history
        self._rows: dict[str, Row] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._revisions = count(1)
        self._feeds: set[Mailbox] = set()
        self._closed = False

    def delete(
        self, filter: Mapping[str, Any] | None, signature: Signature | None = None
    ) -> list[Record]:
        wanted, signed = compile_filter(filter), signature or here()
        rows = [row for row in self._candidates(wanted) if wanted.matches(decode(row.text))]
        check_expected(signed, self._history.newest)
        planned = Planned(Current(rows), [], rows)
        self._history.record(self.carry_out(planned, signed), signed)
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

    def _commit(self, wanted: Wanted, plan: Plan, signature: Signature) -> list[Row]:
        current = self._current(wanted)
        rows = plan(current)
        check_expected(signature, self._history.newest)
        self._history.record(self.carry_out(Planned(current, rows, []), signature), signature)
        return [self._rows[row.id] for row in rows]

    def planned(self, drafts: Sequence[Draft], gone: Set[str]) -> Planned:
        """What storing some documents and deleting others would do. In one stretch with
        `carry_out`."""
        current = self._current(Wanted.of(drafts).also(gone))
        removed = [current.by_id[id] for id in sorted(gone & current.by_id.keys())]
        return Planned(current, plan_apply(drafts, current.without(gone)), removed)

    def carry_out(self, planned: Planned, signature: Signature) -> list[tuple[str, Pair]]:
        """Write the rows that are unwritten, once others are gone, and tell the feeds."""
        current, rows, removed = planned
        changed = [row for row in rows if row.revision == UNWRITTEN]
        for row in removed:
            self._drop(row)
        for row in changed:
            if row.id in self._rows:
                self._drop(self._rows[row.id])
        for row in changed:
            self._put(row._replace(revision=next(self._revisions)))
        self._tell([*removed, *changed])
        if signature.group:
            self._history.join(self._name, rows, signature.group)
        written = [self._rows[row.id] for row in rows]
        pairs = [(self._name, pair) for pair in pairs_of(current, written, signature.places)]
        return pairs + [(self._name, Pair(row, None)) for row in removed]

    def row(self, id: str) -> Row:
        """What is stored with an id."""
        return self._rows[id]

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
        self.history: MemoryHistory = MemoryHistory()
        self.specs: MemoryCollection = MemoryCollection(SPECS, self.history)
        self.values: MemoryCollection = MemoryCollection(VALUES, self.history)

    def rewrite(
        self, specs: Rewrite, values: Rewrite, signature: Signature
    ) -> tuple[list[Record], list[Record]]:
        both = (self.specs, self.values)
        wanted = [(drafts_of(documents), gone) for documents, gone in (specs, values)]
        planned = [
            collection.planned(drafts, gone)
            for collection, (drafts, gone) in zip(both, wanted, strict=True)
        ]
        check_expected(signature, self.history.newest)
        pairs: list[tuple[str, Pair]] = []
        for collection, plan in zip(both, planned, strict=True):
            pairs += collection.carry_out(plan, signature)
        self.history.record(pairs, signature)
        first, second = (
            records_of([collection.row(row.id) for row in plan.rows])
            for collection, plan in zip(both, planned, strict=True)
        )
        return first, second

    def close(self) -> None:
        self.specs.close()
        self.values.close()
        self.history.clear()
