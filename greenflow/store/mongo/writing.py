"""The two collections of a MongoDB store in the driver: how they are read, and a batch's documents
written.

Lives here: MongoWriting, what the two have below what everybody calls: preparing them, reading,
working out what a batch does, and writing its documents. What one document is to MongoDB is
steps.py's; when a batch is begun again, and the change that it is, are writer.py's. Everything here
happens in the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from greenflow.errors import DuplicateSpec, StoreUnavailable
from greenflow.store.change import Pair
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
from greenflow.store.mongo.indexes import make_indexes
from greenflow.store.mongo.journal import make_journal, note
from greenflow.store.mongo.lineage import NOTES, MongoLineage
from greenflow.store.mongo.pending import PendingChanges
from greenflow.store.mongo.refusal import Refused
from greenflow.store.mongo.steps import TOGETHER, Overtaken, WriteStep, ordered, parts, runs
from greenflow.store.plan import UNWRITTEN, Current, Plan, PlannedCollection, Wanted, pairs_of

Found = list[dict[str, Any]]


class MongoPart(NamedTuple):
    """What a change does to one collection: its rows, as the caller gets them, and the steps."""

    collection: MongoWriting
    rows: list[Row]
    steps: list[WriteStep]
    pairs: list[Pair]


Planner = Callable[[ClientSession | None], MongoPart]


# Documents of one answer of the server: what is decoded in one stretch, a few milliseconds.
PAGE = 500

# Ids that are asked for in one query. Some servers compare each document with each id (SecantusDB
# takes 10 ms for 100, and 700 ms for 1,000); to others a query more is a fraction of a millisecond.
ASKED = 100

# Ids in one entry of the journal.
NOTED = 100

_DUPLICATE = 11000  # the code of a key that is taken


class MongoWriting(PlannedCollection):
    """The documents of one collection, in the driver."""

    def __init__(self, driver: Driver, name: str, pending: PendingChanges) -> None:
        self._driver, self.name = driver, name
        self._pending = pending
        self._collection = driver.database[name]
        self._notes = driver.database[NOTES]
        self._lineage = MongoLineage(driver, name)
        self._has_history = False  # the server's: it has change streams, or should
        self._has_key = False  # documents have their namespace and name in one field
        self._is_prepared = False
        self._last_number = 0

    # -- preparing -----------------------------------------------------------------------------

    def prepare(self) -> None:
        """Ask what the server can, and make indexes and the journal, once."""
        if self._is_prepared:
            return
        self._has_history = self._driver.has_history()
        self._has_key = make_indexes(self._driver, self._collection)
        if self.tells:
            try:
                make_journal(self._driver)
            except Refused as refusal:
                self._driver.settle_for_polls(str(refusal))
        self._pending.prepare(self.tells)
        self._is_prepared = True

    @property
    def has_history(self) -> bool:
        """Whether the server has transactions, or should."""
        return self._has_history

    @property
    def tells(self) -> bool:
        """Whether changes are followed by a journal."""
        return self._driver.kind(self._has_history) == "tail"

    def prepare_again(self) -> None:
        """Make what is not there any more."""
        self._is_prepared = False
        self.prepare()

    def confirm(self) -> None:
        """See that it is the collection that was opened. Raises StoreUnavailable."""
        self.prepare()
        while not self._lineage.check():
            self.prepare_again()

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

    def stored(self, namespace: str, ids: Set[str] | None, session: ClientSession | None) -> Found:
        """The documents of a namespace, or those with some ids."""
        if ids is None:
            return self._read([{"namespace": namespace}], session)
        return self._by_id(sorted(ids), {}, session)

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
        self.prepare()
        found: Found = []
        for query in queries:
            found += self._collection.find(query, batch_size=PAGE, session=session)
        missing = set(ids or ()) - {id_text(each["_id"]) for each in found}
        if session is None:
            self.confirm()  # after it: what was dropped before has told us nothing
        self._lineage.forget(missing)
        namespace = queries[0].get("namespace") if queries else None
        is_whole = ids is None and (namespace is None or isinstance(namespace, str))
        self._lineage.saw(found, namespace if is_whole else None, is_whole)
        return found

    # -- writing -------------------------------------------------------------------------------

    def _deletion(self, wanted: Filter) -> Planner:
        """Plans to delete what the filter finds."""

        def plan(session: ClientSession | None) -> MongoPart:
            found = self._matching(wanted, session)
            others = other_keys(found)
            gone = [row for row in rows(found) if wanted.matches(decode(row.text))]
            gone.sort(key=lambda row: row.id)
            steps = [WriteStep(row, None, key=others.get(row.id)) for row in gone]
            return MongoPart(self, gone, steps, [Pair(row, None) for row in gone])

        return plan

    def _storing(
        self, wanted: Wanted, plan: Plan, places: Sequence[str] = (), gone: Set[str] = frozenset()
    ) -> Planner:
        """Plans over what is stored, and to delete some ids first."""

        def planned(session: ClientSession | None) -> MongoPart:
            found = self._wanted(wanted.also(gone), session)
            others, current = other_keys(found), Current(rows(found))
            planned = plan(current.without(gone))
            unwritten = [row for row in planned if row.revision == UNWRITTEN]
            if unwritten:
                self._refuse_held(found, unwritten)
            floor = 0
            if any(row.id not in current.by_id for row in unwritten):
                notes = self._notes.find_one({"_id": self.name}, session=session) or {}
                floor = int(notes.get("last", 0))
            written: list[Row] = []
            removed = (gone & current.by_id.keys()) - {row.id for row in planned}
            leaving = [current.by_id[id] for id in sorted(removed)]
            steps = [WriteStep(row, None, key=others.get(row.id)) for row in leaving]
            for row in planned:
                if row.revision == UNWRITTEN:
                    before = current.by_id.get(row.id)
                    count = self._number(before, floor)
                    form, revision = stored(row, count, self._has_key)
                    row = row._replace(revision=revision)
                    key = others.get(row.id)
                    steps.append(WriteStep(before, row, form, key, self._has_key))
                written.append(row)
            pairs = pairs_of(current, written, places)
            pairs += [Pair(row, None) for row in leaving]
            return MongoPart(self, written, ordered(steps), pairs)

        return planned

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
            self._notes.update_one({"_id": self.name}, last, upsert=True, session=session)

    def wrote(self, steps: list[WriteStep]) -> None:
        """These are done: tell those who follow, and know them again."""
        self._note(steps)
        self._lineage.forget(step.row.id for step in steps if step.is_delete)
        self._lineage.saw(self._written(steps), None, False)

    @staticmethod
    def _written(steps: list[WriteStep]) -> Iterator[Mapping[str, Any]]:
        for step in steps:
            if not step.is_delete:
                count = number(step.row.revision)
                yield {"_id": step.key, "namespace": step.row.namespace, "_revision": count}

    def write_in_transaction(self, steps: list[WriteStep], session: ClientSession) -> None:
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

    def write_one_by_one(
        self, steps: list[WriteStep], done: list[WriteStep], beat: Callable[[], None]
    ) -> None:
        """On a server without transactions: each step only if its document is as it was read. Those
        that were done are added to `done`; `beat` is called between commands."""
        self._note_deleted(steps, None)
        for at, run in enumerate(runs(steps)):
            if at:
                beat()
            if run[0].operation is None:
                run[0].write(self._collection)
                done += run
            else:
                self._write_run(run, done)

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

    def undo(self, done: list[WriteStep]) -> None:
        """Put back what was written before a batch failed. Raises PyMongoError."""
        for step in reversed(done):
            step.undo().carry_out(self._collection)
        self._note(done)  # who looked meanwhile must look again

    def _note(self, steps: list[WriteStep]) -> None:
        """Tell those who follow the journal."""
        if not self.tells:
            return
        ids: dict[str, list[str]] = {}
        for step in steps:
            ids.setdefault(step.row.namespace, []).append(step.row.id)
        for namespace, changed in ids.items():
            for part in parts(changed, NOTED):
                note(self._driver, self.name, {namespace: part})


def _is_duplicate(error: BulkWriteError) -> bool:
    faults = (error.details or {}).get("writeErrors", ())
    return any(fault.get("code") == _DUPLICATE for fault in faults)
