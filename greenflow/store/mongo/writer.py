"""How a change is written to MongoDB: its documents and its place in the history, all or nothing.

Lives here: MongoWriter, over one or both collections. What a batch does to one of them, and how its
documents are written, is writing.py's; what is kept of the change is ledger.py's. Everything here
happens in the driver.

What another program wrote is a change of its own: `claim` makes it, and a write to the same
documents makes it first, so the history has no hole (strays.py).

Where there are transactions a change is one. Elsewhere it is pending until all is written, see
pending.py, and what was written is undone when something fails.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from greenflow.errors import StoreUnavailable
from greenflow.spec.signature import Signature, unknown
from greenflow.store.change import Pair
from greenflow.store.document import Row
from greenflow.store.mongo import strays
from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.ledger import Check, MongoLedger, by_namespace
from greenflow.store.mongo.pending import PendingChange, PendingChanges
from greenflow.store.mongo.refusal import is_refusal, words
from greenflow.store.mongo.steps import Overtaken, WriteStep
from greenflow.store.mongo.strays import Search, Strayed
from greenflow.store.mongo.transaction import in_transaction
from greenflow.store.mongo.writing import MongoPart, MongoWriting, Planner

T = TypeVar("T")

# Times that a change is begun again because another writer was faster, and the seconds of the
# longest pause between two of them: less than one in all.
ATTEMPTS = 40
PAUSE = 0.05

# The code of a server before 4.4 for a collection that is to be made in a transaction.
_NOT_IN_TRANSACTION = 263

Plans = Sequence[tuple[MongoWriting, Planner]]


class MongoWriter:
    """Writes the changes of a store, one after the other."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.ledger = MongoLedger(driver)
        self.pending = PendingChanges(driver, self.ledger)
        # Changes of one namespace are never side by side: those of one store need not find out from
        # the server.
        self._lock = threading.Lock()

    def write(self, plans: Plans, signature: Signature) -> list[list[Row]]:
        """Read, plan and write, all or nothing, until no other writer is faster. Returns the rows
        of each plan."""
        collections = [collection for collection, _ in plans]
        check: Check | None = strays.check
        with self._lock:
            for collection in collections:
                collection.confirm()
            for attempt in range(ATTEMPTS):
                try:
                    written = self._all_or_nothing(
                        collections,
                        partial(self._together, plans, signature, check),
                        partial(self._step_by_step, plans, signature, check),
                    )
                except Overtaken:
                    self._give_way(attempt, collections)
                    continue
                except Strayed as stray:
                    check = None  # they are recorded, or are nothing that has to be
                    self._claim_first(stray, collections)
                    continue
                for part in written:
                    part.collection.wrote(part.steps)
                return [part.rows for part in written]
        raise self._overtaken()

    def claim(self, search: Search) -> int:
        """Record what other programs wrote, as a change of its own, unless somebody else does.
        Returns how many documents it was."""
        search.collection.prepare()
        if not self._has_transactions([search.collection]):
            # One that is on its way may have recorded it, or have died over that.
            self.pending.settle(search.collection.tells)
        pairs = strays.found(search, self.ledger, None)
        if not pairs:
            return 0
        with self._lock:
            search.collection.confirm()
            return self._claimed(search._replace(ids={pair.row.id for pair in pairs}))

    def _claim_first(self, stray: Strayed, collections: Sequence[MongoWriting]) -> None:
        for collection in collections:
            if collection.name == stray.collection:
                self._claimed(Search(collection, stray.namespace, stray.ids, {}, False))

    def _claimed(self, search: Search) -> int:
        """Holding the lock."""
        for attempt in range(ATTEMPTS):
            try:
                return self._all_or_nothing(
                    [search.collection],
                    partial(self._claim_together, search),
                    partial(self._claim_alone, search),
                    ReadConcern("snapshot"),  # of documents and edits that may be on two shards
                )
            except Overtaken:
                self._give_way(attempt, [search.collection])
        raise self._overtaken()

    def _give_way(self, attempt: int, collections: Sequence[MongoWriting]) -> None:
        time.sleep(random.random() * min(PAUSE, 0.001 * 2**attempt))
        self.pending.settle(collections[0].tells)

    def _overtaken(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self.driver.name}: other writers were faster {ATTEMPTS} times; try again"
        )

    def _all_or_nothing(
        self,
        collections: Sequence[MongoWriting],
        together: Callable[[ClientSession], T],
        step_by_step: Callable[[], T],
        read_concern: ReadConcern | None = None,
    ) -> T:
        """What one of them returns, which write the same: in a transaction if there are any. Raises
        Overtaken."""
        if not self._has_transactions(collections):
            return step_by_step()
        try:
            outcome = in_transaction(self.driver, together, read_concern)
        except OperationFailure as error:
            if error.code == _NOT_IN_TRANSACTION:
                for collection in collections:
                    collection.prepare_again()
                raise Overtaken from error
            if not self.driver.has_transactions and is_refusal(error):
                self.driver.settle_for_steps(words(error))
                raise Overtaken from error
            raise
        self.driver.has_transactions = True
        return outcome

    def _has_transactions(self, collections: Sequence[MongoWriting]) -> bool:
        """Whether the server has them, or has not been asked yet."""
        return self.driver.has_transactions is not False and all(
            collection.has_history for collection in collections
        )

    def _together(
        self, plans: Plans, signature: Signature, check: Check | None, session: ClientSession
    ) -> list[MongoPart]:
        """In a transaction."""
        parts = [plan(session) for _, plan in plans]
        self.ledger.check(signature, session)
        for part in parts:
            part.collection.write_in_transaction(part.steps, session)
        spaces = by_namespace(_pairs(parts))
        for namespace, pairs in spaces.items():
            number = self.ledger.newest(namespace, session) + 1
            self.ledger.record(namespace, number, pairs, signature, session, {}, check)
        self._belong(parts, signature, session)
        # Last: the transaction of a writer that is killed keeps what it wrote for a minute, and
        # other writers of the namespace want the same number.
        for namespace, pairs in spaces.items():
            self.ledger.begin(namespace, pairs, signature, session, {})
        return parts

    def _step_by_step(
        self, plans: Plans, signature: Signature, check: Check | None
    ) -> list[MongoPart]:
        """Without a transaction."""
        parts = [plan(None) for _, plan in plans]
        self.ledger.check(signature)
        spaces = by_namespace(_pairs(parts))
        change = self.pending.begin()
        done: list[tuple[MongoWriting, list[WriteStep]]] = []
        try:
            if spaces:
                numbers = {
                    namespace: change.lock(namespace, pairs, signature)
                    for namespace, pairs in spaces.items()
                }
                self.ledger.check(signature)
                for part in parts:
                    change.note(part.collection.name, [step.undo() for step in part.steps])
                for namespace, pairs in spaces.items():
                    change.record(namespace, numbers[namespace], pairs, signature, check)
                change.beat()
                for part in parts:
                    mine: list[WriteStep] = []
                    done.append((part.collection, mine))
                    part.collection.write_one_by_one(part.steps, mine, change.beat)
                change.finish()
        except BaseException as error:
            _undo(change, done, error)
            raise
        self._belong(parts, signature, None)
        return parts

    def _claim_together(self, search: Search, session: ClientSession) -> int:
        """In a transaction."""
        pairs = self._strays(search, session)
        if pairs:
            namespace, signature = search.namespace, unknown()
            number = self.ledger.newest(namespace, session) + 1
            self.ledger.record(namespace, number, pairs, signature, session, {})
            self.ledger.leave(pairs, session)
            self.ledger.begin(namespace, pairs, signature, session, {})
        return len(pairs)

    def _claim_alone(self, search: Search) -> int:
        """Without a transaction. What was found is certain only while nobody else writes."""
        pairs = self._strays(search, None)
        if not pairs:
            return 0
        namespace, signature = search.namespace, unknown()
        change = self.pending.begin()
        try:
            number = change.lock(namespace, pairs, signature)
            if self._strays(search, None) != pairs:
                raise Overtaken
            change.record(namespace, number, pairs, signature)
            change.finish()
        except BaseException as error:
            _undo(change, (), error)
            raise
        self.ledger.leave(pairs, None)
        return len(pairs)

    def _strays(self, search: Search, session: ClientSession | None) -> list[tuple[str, Pair]]:
        name = search.collection.name
        return [(name, pair) for pair in strays.found(search, self.ledger, session)]

    def _belong(
        self, parts: Sequence[MongoPart], signature: Signature, session: ClientSession | None
    ) -> None:
        self.ledger.leave(_pairs(parts), session)
        if signature.group:
            for part in parts:
                gone = {pair.row.id for pair in part.pairs if pair.after is None}
                staying = [row for row in part.rows if row.id not in gone]
                self.ledger.join(part.collection.name, staying, signature.group, session)


def _pairs(parts: Sequence[MongoPart]) -> list[tuple[str, Pair]]:
    return [(part.collection.name, pair) for part in parts for pair in part.pairs]


def _undo(
    change: PendingChange,
    done: Sequence[tuple[MongoWriting, list[WriteStep]]],
    error: BaseException,
) -> None:
    """Put back what was written before a change failed. What cannot be put back now is undone by
    who opens the store next, or writes to the namespace."""
    try:
        if not change.is_done():
            for collection, steps in reversed(done):
                collection.undo(steps)
            change.withdraw()
    except PyMongoError as failure:
        error.add_note(f"some of the batch is written, and could not be undone: {failure}")
