"""How batches are written to a MongoDB collection: all or nothing, with no writer in between.

Lives here: MongoWriting, what the two collections have below what everybody calls: preparing them,
reading in the driver, and writing. What one document of a batch is to MongoDB is steps.py's.
Everything here happens in the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from greenflow.errors import DuplicateSpec, StoreUnavailable
from greenflow.store.document import Row, decode
from greenflow.store.filter import Filter
from greenflow.store.mongo.documents import (
    faults,
    id_text,
    keys,
    next_number,
    number,
    other_keys,
    rows,
    stored,
)
from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.history import NOTES, MongoHistory
from greenflow.store.mongo.indexes import make_indexes
from greenflow.store.mongo.journal import make_journal, note
from greenflow.store.mongo.refusal import Refused, is_refusal, words
from greenflow.store.mongo.steps import TOGETHER, Overtaken, WriteStep, ordered, parts, runs
from greenflow.store.mongo.transaction import in_transaction
from greenflow.store.plan import UNWRITTEN, Current, Plan, PlannedCollection, Wanted

Found = list[dict[str, Any]]

Change = Callable[[ClientSession | None], tuple[list[Row], list[WriteStep]]]

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
# The code of a server before 4.4 for a collection that is to be made in a transaction.
_NOT_IN_TRANSACTION = 263


class MongoWriting(PlannedCollection):
    """The documents of one collection, in the driver."""

    def __init__(self, driver: Driver, name: str) -> None:
        self._driver, self._name = driver, name
        self._collection = driver.database[name]
        self._notes = driver.database[NOTES]
        self._history = MongoHistory(driver, name)
        self._has_history = False  # the server's: it has change streams, or should
        self._has_key = False  # documents have their namespace and name in one field
        self._is_prepared = False
        self._last_number = 0

    # -- preparing -----------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Ask what the server can, and make indexes and the journal, once."""
        if self._is_prepared:
            return
        self._has_history = self._driver.has_history()
        self._has_key = make_indexes(self._driver, self._collection)
        if self._driver.kind(self._has_history) == "tail":
            try:
                make_journal(self._driver)
            except Refused as refusal:
                self._driver.settle_for_polls(str(refusal))
        self._is_prepared = True

    def _confirm(self) -> None:
        """See that it is the collection that was opened. Raises StoreUnavailable."""
        self._prepare()
        while not self._history.check():
            self._is_prepared = False
            self._prepare()

    # -- reading -------------------------------------------------------------------------------

    def _matching(self, wanted: Filter, session: ClientSession | None = None) -> Found:
        """What may match."""
        query: dict[str, Any] = {}
        for field, values in wanted.narrow.items():
            if field != "id":
                query[field] = {"$in": sorted(values)}
        if "id" not in wanted.narrow:
            return self._read([query], session)
        return self._by_id(sorted(wanted.narrow["id"]), query, session)

    def _by_id(self, ids: list[str], query: dict[str, Any], session: ClientSession | None) -> Found:
        asked = [{**query, "_id": {"$in": keys(part)}} for part in parts(ids, ASKED)]
        return self._read(asked, session, ids)

    def _wanted(self, wanted: Wanted, session: ClientSession | None = None) -> Found:
        """The documents that a plan needs, each once."""
        found = self._by_id(sorted(wanted.ids), {}, session)
        # A name that one of these has is nobody else's.
        known = {(each.get("namespace"), each.get("name")) for each in found}
        by_namespace: dict[str, list[str]] = {}
        for namespace, name in sorted(wanted.names - known):
            by_namespace.setdefault(namespace, []).append(name)
        named = [
            {"namespace": namespace, "name": {"$in": part}}
            for namespace, names in by_namespace.items()
            for part in parts(names, ASKED)
        ]
        found += self._read(named, session, [])
        return list({id_text(each["_id"]): each for each in found}.values())

    def _read(
        self,
        queries: list[dict[str, Any]],
        session: ClientSession | None = None,
        ids: list[str] | None = None,
    ) -> Found:
        """What the queries find, which ask for these ids, or else for all of some namespace. It is
        believed only of the collection that was opened."""
        self._prepare()
        found: Found = []
        for query in queries:
            found += self._collection.find(query, batch_size=PAGE, session=session)
        missing = set(ids or ()) - {id_text(each["_id"]) for each in found}
        if session is None:
            self._confirm()  # after it: what was dropped before has told us nothing
        self._history.forget(missing)
        namespace = queries[0].get("namespace") if queries else None
        is_whole = ids is None and (namespace is None or isinstance(namespace, str))
        self._history.saw(found, namespace if is_whole else None, is_whole)
        return found

    # -- writing -------------------------------------------------------------------------------

    def _delete(self, wanted: Filter) -> list[Row]:
        def change(session: ClientSession | None) -> tuple[list[Row], list[WriteStep]]:
            found = self._matching(wanted, session)
            others = other_keys(found)
            gone = [row for row in rows(found) if wanted.matches(decode(row.text))]
            gone.sort(key=lambda row: row.id)
            return gone, [WriteStep(row, None, key=others.get(row.id)) for row in gone]

        return self._write_all(change)

    def _store(self, wanted: Wanted, plan: Plan) -> list[Row]:
        def change(session: ClientSession | None) -> tuple[list[Row], list[WriteStep]]:
            found = self._wanted(wanted, session)
            others, current = other_keys(found), Current(rows(found))
            planned = plan(current)
            unwritten = [row for row in planned if row.revision == UNWRITTEN]
            if unwritten:
                self._refuse_held(found, unwritten)
            floor = 0
            if any(row.id not in current.by_id for row in unwritten):
                notes = self._notes.find_one({"_id": self._name}, session=session) or {}
                floor = int(notes.get("last", 0))
            written: list[Row] = []
            steps = []
            for row in planned:
                if row.revision == UNWRITTEN:
                    before = current.by_id.get(row.id)
                    count = self._number(before, floor)
                    form, revision = stored(row, count, self._has_key)
                    row = row._replace(revision=revision)
                    key = others.get(row.id)
                    steps.append(WriteStep(before, row, form, key, self._has_key))
                written.append(row)
            return written, ordered(steps)

        return self._write_all(change)

    @staticmethod
    def _refuse_held(found: Found, unwritten: list[Row]) -> None:
        """A document that is none of ours may have the id or the name of one that is to be."""
        wanted = {row.id for row in unwritten}, {(row.namespace, row.name) for row in unwritten}
        for each, fault in faults(found):
            id, name = id_text(each["_id"]), (each.get("namespace"), each.get("name"))
            if id in wanted[0] or (name[1] is not None and name in wanted[1]):
                what = f"id {id!r}" if id in wanted[0] else f"name {name[1]!r}"
                raise DuplicateSpec(
                    f"the {what} is held by the document {id}, which is no valid one: {fault}; mend"
                    " or delete it with a tool of MongoDB's"
                )

    def _number(self, before: Row | None, floor: int) -> int:
        """The next number of a document. Those that a store gives only grow, also for an id that
        was deleted meanwhile. One above the next is left free, for a name taken away first."""
        last = max(self._last_number, floor if before is None else number(before.revision) + 1)
        self._last_number = next_number(last)
        return self._last_number

    def _note_deleted(self, steps: list[WriteStep], session: ClientSession | None) -> None:
        """Keep the greatest number of what is deleted: one that is stored again has a greater one,
        whatever the clock of its machine says."""
        deleted = [number(step.before.revision) for step in steps if step.is_delete and step.before]
        if deleted and max(deleted) > 0:
            last = {"$max": {"last": max(deleted)}}
            self._notes.update_one({"_id": self._name}, last, upsert=True, session=session)

    def _write_all(self, change: Change) -> list[Row]:
        """Read, plan and write, all or nothing, until no other writer is faster."""
        self._confirm()
        for _ in range(ATTEMPTS):
            try:
                if self._has_history and self._driver.has_transactions is not False:
                    result, steps = self._together(change)
                else:
                    result, steps = change(None)
                    self._note_deleted(steps, None)
                    self._one_by_one(steps)
            except Overtaken:
                continue
            self._note(steps)
            self._history.forget(step.row.id for step in steps if step.is_delete)
            self._history.saw(self._written(steps), None, False)
            return result
        raise StoreUnavailable(
            f"{self._driver.name}: other writers were faster {ATTEMPTS} times; try again"
        )

    @staticmethod
    def _written(steps: list[WriteStep]) -> Iterator[Mapping[str, Any]]:
        for step in steps:
            if not step.is_delete:
                count = number(step.row.revision)
                yield {"_id": step.key, "namespace": step.row.namespace, "_revision": count}

    def _together(self, change: Change) -> tuple[list[Row], list[WriteStep]]:
        """In a transaction. Raises Overtaken, also if the server turns out to have none."""
        try:
            done = in_transaction(
                self._driver, lambda session: self._in_transaction(change, session)
            )
        except OperationFailure as error:
            if error.code == _NOT_IN_TRANSACTION:
                self._is_prepared = False
                self._prepare()
                raise Overtaken from error
            if not self._driver.has_transactions and is_refusal(error):
                self._driver.settle_for_steps(words(error))
                raise Overtaken from error
            raise
        self._driver.has_transactions = True
        return done

    def _in_transaction(
        self, change: Change, session: ClientSession
    ) -> tuple[list[Row], list[WriteStep]]:
        result, steps = change(session)
        self._note_deleted(steps, session)
        for part in parts(steps, TOGETHER):
            try:
                operations = [step.in_transaction() for step in part]
                outcome = self._collection.bulk_write(operations, ordered=True, session=session)
            except BulkWriteError as error:
                if _is_duplicate(error):
                    raise Overtaken from error
                raise
            done = outcome.inserted_count + outcome.matched_count + outcome.deleted_count
            if done != len(part):
                raise StoreUnavailable(
                    f"{self._driver.name}: {len(part) - done} of {len(part)} documents of a batch"
                    f" were not found again, and nothing of it is written: {part[0].row.id} ..."
                )
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
            # None: all are written, and only a majority has not said so.
            faulty = [each["index"] for each in details.get("writeErrors", ())]
            if faulty:
                del done[len(done) - len(run) + min(faulty) :]
            remade = {each["index"]: each["_id"] for each in details.get("upserted", ())}
            overtaken = _is_duplicate(error) or (bool(remade) and not faulty)
            if not overtaken:
                raise
        for index in remade:
            # Somebody deleted it meanwhile: undoing it is deleting it.
            at = done.index(run[index])
            done[at] = WriteStep(None, run[index].after, key=run[index].key)
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
        """Tell those who follow the journal."""
        if self._driver.kind(self._has_history) != "tail":
            return
        ids: dict[str, list[str]] = {}
        for step in steps:
            ids.setdefault(step.row.namespace, []).append(step.row.id)
        for namespace, changed in ids.items():
            for part in parts(changed, NOTED):
                note(self._driver, self._name, {namespace: part})


def _is_duplicate(error: BulkWriteError) -> bool:
    faults = (error.details or {}).get("writeErrors", ())
    return any(fault.get("code") == _DUPLICATE for fault in faults)
