"""mongodb://host/database: the store that many machines share.

Lives here: the collections, how they are read and followed, and the store. How a batch is written
is writer.py's and writing.py's, its change in the history is ledger.py's, the connection is
driver.py's, the stored form is documents.py's, the feeds are feed.py's and poll.py's, and whether a
collection is still the same is lineage.py's.

    mongodb://host1,host2/database?replicaSet=name      mongodb+srv://...
    ?feed=stream|tail|poll  how changes are followed; by default what the server can
    all other options       the driver's: TLS, authentication, write and read concern, pool

On a replica set or a sharded cluster a batch is a transaction and changes are followed by a change
stream. On a single server a batch is written document by document, each whole and only if it is
still as it was read; when one cannot be written, those before it are undone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from functools import partial
from typing import Any

from greenflow.hub.breathing import unhurried
from greenflow.spec.signature import Signature, here
from greenflow.store.base import NOTHING_KNOWN, Feed, Known, Record, Rewrite, Store
from greenflow.store.change import SPECS, VALUES
from greenflow.store.document import Row, decode
from greenflow.store.filter import compile_filter
from greenflow.store.mongo.documents import rows
from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.feed import ChangeStream, FeedReader, Tail
from greenflow.store.mongo.history import MongoHistory
from greenflow.store.mongo.poll import Poll
from greenflow.store.mongo.refusal import Refused
from greenflow.store.mongo.strays import Search
from greenflow.store.mongo.writer import MongoWriter
from greenflow.store.mongo.writing import MongoWriting, Planner
from greenflow.store.plan import Current, Plan, Wanted, drafts_of, plan_apply, records_of

READERS: dict[str, type[FeedReader]] = {"stream": ChangeStream, "tail": Tail, "poll": Poll}

_log = logging.getLogger("greenflow.store")


class MongoCollection(MongoWriting):
    """The documents of one collection."""

    patient = True

    def __init__(self, writer: MongoWriter, name: str) -> None:
        super().__init__(writer.driver, name, writer.pending)
        self._writer = writer
        self._readers: set[FeedReader] = set()
        self._told = ""  # what the log says that changes are followed by

    # -- reading -------------------------------------------------------------------------------

    def find(self, filter: Mapping[str, Any] | None) -> list[Record]:
        wanted = compile_filter(filter)
        found = self._driver.run(lambda: self._matching(wanted))
        records = (Record(decode(row.text), row.revision) for row in unhurried(rows(found)))
        matching = [record for record in records if wanted.matches(record.document)]
        return sorted(matching, key=lambda record: str(record.document["id"]))

    def revisions(self, namespace: str | None) -> dict[str, int]:
        """All documents are read: a change by another program shows in nothing else."""
        query = {} if namespace is None else {"namespace": namespace}
        found = self._driver.run(lambda: self._read([query]))
        return {row.id: row.revision for row in unhurried(rows(found))}

    def _current(self, wanted: Wanted) -> Current:
        found = self._driver.run(lambda: self._wanted(wanted))
        return Current(unhurried(rows(found)))

    def delete(
        self, filter: Mapping[str, Any] | None, signature: Signature | None = None
    ) -> list[Record]:
        wanted, signed = compile_filter(filter), signature or here()
        plan = self._deletion(wanted)
        (gone,) = self._driver.run(lambda: self._writer.write([(self, plan)], signed))
        return [Record(decode(row.text), row.revision) for row in unhurried(gone)]

    def _commit(self, wanted: Wanted, plan: Plan, signature: Signature) -> list[Row]:
        storing = self._storing(wanted, plan, signature.places)
        (written,) = self._driver.run(lambda: self._writer.write([(self, storing)], signature))
        return written

    def becoming(self, rewrite: Rewrite, places: Sequence[str]) -> Planner:
        """Plans what becomes of it in a change of both collections."""
        drafts = drafts_of(rewrite.documents)
        plan = partial(plan_apply, drafts)
        return self._storing(Wanted.of(drafts), plan, places, rewrite.gone)

    # -- following -----------------------------------------------------------------------------

    def feed(self, namespace: str | None) -> Feed:
        self._driver.run(self.confirm)
        try:
            return self._open(namespace)
        except Refused as refusal:
            self._driver.settle_for_polls(str(refusal))
            return self._open(namespace)

    def _open(self, namespace: str | None) -> Feed:
        reader = READERS[self._driver.kind(self._has_history)](self._driver, self.name, namespace)
        self._readers.add(reader)
        try:
            feed = reader.open(lambda: self._readers.discard(reader))
        except BaseException:
            self._readers.discard(reader)
            raise
        if self._told != reader.told and not self._driver.polls:
            self._told = reader.told
            _log.info("%s: %s are followed by %s", self._driver.name, self.name, reader.told)
        return feed

    def end_feeds(self) -> None:
        """The store is closed: every feed is lost, and its reader ends soon."""
        for reader in tuple(self._readers):
            reader.end()
            reader.feed.lose(str(self._driver.closed()))


class MongoStore(Store):
    """The store of a MongoDB database. Raises StoreUnavailable when it cannot be reached."""

    def __init__(self, url: str) -> None:
        self._driver = Driver(url)
        self.url = self._driver.name
        self._writer = MongoWriter(self._driver)
        self.specs: MongoCollection = MongoCollection(self._writer, SPECS)
        self.values: MongoCollection = MongoCollection(self._writer, VALUES)
        self.history = MongoHistory(self._driver, self._writer.ledger, self.specs.prepare)
        try:
            self._driver.run(lambda: self._driver.client.admin.command("ping"))
        except BaseException:
            self.close()
            raise

    def rewrite(
        self, specs: Rewrite, values: Rewrite, signature: Signature
    ) -> tuple[list[Record], list[Record]]:
        plans = [
            (self.specs, self.specs.becoming(specs, signature.places)),
            (self.values, self.values.becoming(values, signature.places)),
        ]
        both = self._driver.run(lambda: self._writer.write(plans, signature))
        first, second = map(records_of, both)
        return first, second

    def claim(
        self,
        namespace: str,
        collection: str,
        ids: Set[str] | None = None,
        known: Mapping[str, Known] = NOTHING_KNOWN,
    ) -> int:
        where = self.values if collection == VALUES else self.specs
        search = Search(where, namespace, ids, known, ids is not None)
        return self._driver.run(lambda: self._writer.claim(search))

    def close(self) -> None:
        self.specs.end_feeds()
        self.values.end_feeds()
        self._driver.close()
