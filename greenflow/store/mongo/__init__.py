"""mongodb://host/database: the store that many machines share.

Lives here: the collections and the store. The connection is driver.py's, the stored form is
documents.py's, the feeds are feed.py's.

    mongodb://host1,host2/database?replicaSet=name      mongodb+srv://...
    ?feed=stream|tail       how changes are followed; by default what the server can
    all other options       the driver's: TLS, authentication, write and read concern, pool

On a replica set or a sharded cluster a batch is a transaction and changes are followed by a change
stream. On a single server a batch is written document by document, each whole and only if it is
still as it was read; when one cannot be written, those before it are undone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pymongo import ASCENDING
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, PyMongoError

from greenflow.errors import StoreUnavailable
from greenflow.hub.breathing import unhurried
from greenflow.store.base import Feed, Record, Store
from greenflow.store.document import Row, decode
from greenflow.store.filter import Filter, compile_filter
from greenflow.store.mongo.documents import keys, next_number, number, rows, stored
from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.feed import JOURNAL, ChangeStream, FeedReader, Tail, make_journal, note
from greenflow.store.mongo.steps import TOGETHER, Overtaken, WriteStep, ordered, parts, runs
from greenflow.store.plan import UNWRITTEN, Current, Plan, PlannedCollection, Wanted

T = TypeVar("T")

Found = list[dict[str, Any]]

# Documents of one answer of the server: what is decoded in one stretch, a few milliseconds.
PAGE = 500

# Ids that are asked for in one query. Some servers compare each document with each id (SecantusDB
# takes 10 ms for 100, and 700 ms for 1,000); to others a query more is a fraction of a millisecond.
ASKED = 100

# Ids in one entry of the journal.
NOTED = 100

# Times that a batch is begun again because another writer was faster.
ATTEMPTS = 20

_DUPLICATE = 11000  # the code of a key that is taken

_log = logging.getLogger("greenflow.store")


class MongoCollection(PlannedCollection):
    """The documents of one collection."""

    patient = True

    def __init__(self, driver: Driver, name: str) -> None:
        self._driver, self._name = driver, name
        self._collection = driver.database[name]
        self._journal = driver.database[JOURNAL]
        self._readers: set[FeedReader] = set()
        self._has_history: bool | None = None
        self._is_indexed = False
        self._last_number = 0

    # -- reading -------------------------------------------------------------------------------

    def find(self, filter: Mapping[str, Any] | None) -> list[Record]:
        wanted = compile_filter(filter)
        found = self._driver.run(lambda: self._matching(wanted))
        records = (Record(decode(row.text), row.revision) for row in rows(unhurried(found)))
        matching = [record for record in records if wanted.matches(record.document)]
        return sorted(matching, key=lambda record: str(record.document["id"]))

    def revisions(self, namespace: str | None) -> dict[str, int]:
        """All documents are read: a change by another program shows in nothing else."""
        query = {} if namespace is None else {"namespace": namespace}
        found = self._driver.run(lambda: self._read([query]))
        return {row.id: row.revision for row in rows(unhurried(found))}

    def _current(self, wanted: Wanted) -> Current:
        found = self._driver.run(lambda: self._wanted(wanted))
        return Current(rows(unhurried(found)))

    def _matching(self, wanted: Filter, session: ClientSession | None = None) -> Found:
        """In the driver: what may match."""
        query: dict[str, Any] = {}
        for field, values in wanted.narrow.items():
            if field != "id":
                query[field] = {"$in": sorted(values)}
        if "id" not in wanted.narrow:
            return self._read([query], session)
        asked = parts(sorted(wanted.narrow["id"]), ASKED)
        return self._read([{**query, "_id": {"$in": keys(part)}} for part in asked], session)

    def _wanted(self, wanted: Wanted, session: ClientSession | None = None) -> Found:
        """In the driver: the documents that a plan needs, each once."""
        found = self._read(
            [{"_id": {"$in": keys(part)}} for part in parts(sorted(wanted.ids), ASKED)], session
        )
        # A name that one of these has is nobody else's.
        known = {(each.get("namespace"), each.get("name")) for each in found}
        by_namespace: dict[str, list[str]] = {}
        for namespace, name in sorted(wanted.names - known):
            by_namespace.setdefault(namespace, []).append(name)
        found += self._read(
            [
                {"namespace": namespace, "name": {"$in": part}}
                for namespace, names in by_namespace.items()
                for part in parts(names, ASKED)
            ],
            session,
        )
        return list({str(each["_id"]): each for each in found}.values())

    def _read(self, queries: list[dict[str, Any]], session: ClientSession | None = None) -> Found:
        """In the driver."""
        self._prepare()
        found: Found = []
        for query in queries:
            found += self._collection.find(query, batch_size=PAGE, session=session)
        return found

    # -- writing -------------------------------------------------------------------------------

    def delete(self, filter: Mapping[str, Any] | None) -> list[Record]:
        wanted = compile_filter(filter)

        def change(session: ClientSession | None) -> tuple[list[Row], list[WriteStep]]:
            found = sorted(rows(self._matching(wanted, session)), key=lambda row: row.id)
            gone = [row for row in found if wanted.matches(decode(row.text))]
            return gone, [WriteStep(row, None) for row in gone]

        gone = self._driver.run(lambda: self._write_all(change))
        return [Record(decode(row.text), row.revision) for row in unhurried(gone)]

    def _commit(self, wanted: Wanted, plan: Plan) -> list[Row]:
        def change(session: ClientSession | None) -> tuple[list[Row], list[WriteStep]]:
            current = Current(rows(self._wanted(wanted, session)))
            planned = plan(current)
            written: list[Row] = []
            steps = []
            for row in planned:
                if row.revision == UNWRITTEN:
                    before = current.by_id.get(row.id)
                    form, revision = stored(row, self._number(before))
                    row = row._replace(revision=revision)
                    steps.append(WriteStep(before, row, form))
                written.append(row)
            return written, ordered(steps)

        return self._driver.run(lambda: self._write_all(change))

    def _number(self, before: Row | None) -> int:
        """The next number of a document. Those that a store gives only grow, also for an id that
        was deleted meanwhile. One above the next is left free, for a name taken away first."""
        last = max(self._last_number, 0 if before is None else number(before.revision) + 1)
        self._last_number = next_number(last)
        return self._last_number

    def _write_all(
        self, change: Callable[[ClientSession | None], tuple[list[Row], list[WriteStep]]]
    ) -> list[Row]:
        """In the driver: read, plan and write, all or nothing, until no other writer is faster."""
        self._prepare()
        for _ in range(ATTEMPTS):
            try:
                if self._has_history:
                    with self._driver.client.start_session() as session:
                        result, steps = session.with_transaction(
                            lambda session: self._in_transaction(change, session)
                        )
                else:
                    result, steps = change(None)
                    self._one_by_one(steps)
            except Overtaken:
                continue
            self._note(steps)
            return result
        raise StoreUnavailable(
            f"{self._driver.name}: other writers were faster {ATTEMPTS} times; try again"
        )

    def _in_transaction(
        self,
        change: Callable[[ClientSession | None], tuple[list[Row], list[WriteStep]]],
        session: ClientSession,
    ) -> tuple[list[Row], list[WriteStep]]:
        result, steps = change(session)
        operations = [step.in_transaction() for step in steps]
        for part in parts(operations, TOGETHER):
            try:
                self._collection.bulk_write(part, ordered=True, session=session)
            except BulkWriteError as error:
                if _is_duplicate(error):
                    raise Overtaken from error
                raise
        return result, steps

    def _one_by_one(self, steps: list[WriteStep]) -> None:
        """On a server without transactions: each step only if its document is as it was read."""
        done: list[WriteStep] = []
        try:
            for run in runs(steps):
                if run[0].operation is None:
                    run[0].write(self._collection)
                    done += run
                else:
                    self._write_run(run, done)
        except BaseException as error:
            self._undo(done, error)
            raise

    def _write_run(self, run: list[WriteStep], done: list[WriteStep]) -> None:
        """Steps in one command, up to the first that does not fit; those that were done are added
        to `done`. Raises Overtaken."""
        done += run  # all of them, as long as nothing else is known
        try:
            result = self._collection.bulk_write([step.operation for step in run if step.operation])
            remade = result.upserted_ids or {}
            overtaken = bool(remade)
        except BulkWriteError as error:
            details = error.details or {}
            written = min((each["index"] for each in details["writeErrors"]), default=0)
            del done[len(done) - len(run) + written :]
            remade = {each["index"]: each["_id"] for each in details.get("upserted", ())}
            overtaken = _is_duplicate(error)
            if not overtaken:
                raise
        for index in remade:
            # Somebody deleted it meanwhile: undoing it is deleting it.
            at = done.index(run[index])
            done[at] = WriteStep(None, run[index].after)
        if overtaken:
            raise Overtaken

    def _undo(self, done: list[WriteStep], error: BaseException) -> None:
        """Put back what was written before a batch failed."""
        try:
            for step in reversed(done):
                step.undo(self._collection)
            self._note(done)  # who looked meanwhile must look again
        except PyMongoError as failure:
            error.add_note(f"some of the batch is written, and could not be undone: {failure}")

    def _note(self, steps: list[WriteStep]) -> None:
        """In the driver: tell those who follow the journal."""
        if self._follows() is ChangeStream:
            return
        ids: dict[str, list[str]] = {}
        for step in steps:
            ids.setdefault(step.row.namespace, []).append(step.row.id)
        for namespace, changed in ids.items():
            for part in parts(changed, NOTED):
                note(self._journal, self._name, {namespace: part})

    # -- following -----------------------------------------------------------------------------

    def feed(self, namespace: str | None) -> Feed:
        self._driver.run(self._prepare)
        reader = self._follows()(self._driver, self._name, namespace)
        self._readers.add(reader)
        try:
            return reader.open(lambda: self._readers.discard(reader))
        except BaseException:
            self._readers.discard(reader)
            raise

    def end_feeds(self) -> None:
        """The store is closed: every feed is lost, and its reader ends soon."""
        for reader in tuple(self._readers):
            reader.end()
            reader.feed.lose(str(self._driver.closed()))

    def _follows(self) -> type[FeedReader]:
        if self._driver.feed is not None:
            return ChangeStream if self._driver.feed == "stream" else Tail
        return ChangeStream if self._has_history else Tail

    def _prepare(self) -> None:
        """In the driver: ask what the server can, and make indexes and the journal, once."""
        if self._is_indexed:
            return
        self._has_history = self._driver.has_history()
        self._collection.create_index(
            [("namespace", ASCENDING), ("name", ASCENDING)],
            unique=True,
            # A document without name, or with an empty one, is reached by its id only.
            partialFilterExpression={"name": {"$gt": ""}},
            name="names",
        )
        self._collection.create_index([("_revision", ASCENDING)], name="revisions")
        if self._follows() is Tail:
            make_journal(self._driver)
        self._is_indexed = True
        _log.info(
            "%s: %s are followed by %s",
            self._driver.name,
            self._name,
            "a change stream" if self._follows() is ChangeStream else "the tail of a journal",
        )


def _is_duplicate(error: BulkWriteError) -> bool:
    faults = (error.details or {}).get("writeErrors", ())
    return any(fault.get("code") == _DUPLICATE for fault in faults)


class MongoStore(Store):
    """The store of a MongoDB database. Raises StoreUnavailable when it cannot be reached."""

    def __init__(self, url: str) -> None:
        self._driver = Driver(url)
        self.url = self._driver.name
        self.specs: MongoCollection = MongoCollection(self._driver, "specs")
        self.values: MongoCollection = MongoCollection(self._driver, "values")
        try:
            self._driver.run(lambda: self._driver.client.admin.command("ping"))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.specs.end_feeds()
        self.values.end_feeds()
        self._driver.close()
