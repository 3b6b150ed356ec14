"""A change on its way on a server without transactions.

Lives here: PendingChange, which is one, and PendingChanges, which waits for those of others and
undoes what a killed writer left.

The change is inserted first, as a pending one: that locks its namespace, for nobody else can insert
the same number. Then what undoes its documents is noted in `greenflow_undo`, with the values' data
as they are, and is removed when the change is done. A writer that goes on says so between two
commands by a `beat`; one whose beat stays the same for PATIENCE is dead, or will find that it was
overtaken. A change of several namespaces is pending in each, and what its `lead` is decides.
"""

from __future__ import annotations

import secrets
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bson.binary import Binary
from bson.int64 import Int64
from pymongo.errors import PyMongoError

from greenflow.spec.signature import Signature
from greenflow.store.document import Row
from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.journal import note
from greenflow.store.mongo.ledger import PENDING, Check, MongoLedger, Pairs, heading_id
from greenflow.store.mongo.steps import TOGETHER, Overtaken, Undo, parts

UNDO = "greenflow_undo"

# Seconds, of one's own clock, for which a writer may be silent. One command of 500 documents takes
# a tenth of one; a writer that was stopped for longer has to begin again, and loses nothing.
PATIENCE = 5.0

# Seconds between two looks at a change on its way: most are done within some of these.
LOOK = 0.005


class PendingChange:
    """A change of this writer's, in the driver."""

    def __init__(self, driver: Driver, ledger: MongoLedger) -> None:
        self._ledger, self._undo = ledger, driver.database[UNDO]
        self._batch = secrets.token_hex(8)
        self._lead: str | None = None
        self._beat, self._beat_at = 0, time.monotonic()
        self._locked: list[tuple[str, int]] = []

    def lock(self, namespace: str, pairs: Pairs, signature: Signature) -> int:
        """Lock a namespace, and begin its change. Returns the number; raises Overtaken."""
        extra = {"batch": self._batch, PENDING: True, "beat": self._beat, "lead": self._lead}
        number = self._ledger.begin(namespace, pairs, signature, None, extra)
        self._lead = self._lead or heading_id(namespace, number)
        self._locked.append((namespace, number))
        return number

    def note(self, collection: str, undos: Iterable[Undo]) -> None:
        """Note what undoes the documents, before they are written."""
        for part in parts(enumerate(undos), TOGETHER):
            forms = [_form(undo, order) for order, undo in part]
            own = {"batch": self._batch, "collection": collection}
            self._undo.insert_many([{**own, **form} for form in forms])

    def record(
        self,
        namespace: str,
        number: int,
        pairs: Pairs,
        signature: Signature,
        check: Check | None = None,
    ) -> None:
        """Insert the edits, unless `check` raises something."""
        own = {"batch": self._batch}
        self._ledger.record(namespace, number, pairs, signature, None, own, check)

    def beat(self) -> None:
        """Say that it goes on, if it was silent for a while. Raises Overtaken."""
        now = time.monotonic()
        if now - self._beat_at < PATIENCE / 4:
            return
        beat = {"$set": {"beat": self._beat + 1}}
        if not self._ledger.changes.update_one(self._mine(), beat).matched_count:
            raise Overtaken
        self._beat, self._beat_at = self._beat + 1, now

    def finish(self) -> None:
        """It is done, and everybody sees it. Raises Overtaken."""
        done = {"$unset": {PENDING: "", "beat": ""}}
        if not self._ledger.changes.update_one(self._mine(), done).matched_count:
            raise Overtaken
        with suppress(PyMongoError):  # others do it, when they come across
            if len(self._locked) > 1:
                _finish(self._ledger, self._batch)
            self._undo.delete_many({"batch": self._batch})

    def is_done(self) -> bool:
        """Whether there is nothing to undo: an error may hide that it was done."""
        if self._lead is None:
            return True
        lead = self._ledger.changes.find_one({"_id": self._lead, "batch": self._batch})
        return lead is not None and PENDING not in lead

    def withdraw(self) -> None:
        """Forget it, once its documents are undone."""
        _forget(self._ledger, self._undo, self._batch, self._locked)

    def _mine(self) -> dict[str, Any]:
        return {"_id": self._lead, "batch": self._batch, PENDING: True, "beat": self._beat}


class PendingChanges:
    """The changes on their way in a database. Everything in the driver."""

    def __init__(self, driver: Driver, ledger: MongoLedger) -> None:
        self._driver, self._ledger = driver, ledger
        self._undo = driver.database[UNDO]

    def begin(self) -> PendingChange:
        """A new one."""
        return PendingChange(self._driver, self._ledger)

    def prepare(self, tells: bool) -> None:
        """Before the first use: clear what killed writers left."""
        self._ledger.prepare()
        self._undo.create_index("batch", name="batches")
        self.settle(tells)
        noted = set(self._undo.distinct("batch"))
        if noted:  # of changes that are done, or were withdrawn
            noted -= set(self._ledger.changes.distinct("batch", {PENDING: True}))
            self._undo.delete_many({"batch": {"$in": sorted(noted)}})

    def settle(self, tells: bool) -> None:
        """Wait until those that are on their way now are done or undone; `tells`: those who follow
        the journal."""
        waiting: set[str] | None = None
        seen: dict[str, tuple[Any, float]] = {}
        while True:
            heads = list(self._ledger.changes.find({PENDING: True}))
            batches = {head["batch"]: head["lead"] or head["_id"] for head in heads}
            there = set(batches)
            waiting = there if waiting is None else waiting & there
            if not waiting:
                return
            for batch in sorted(waiting):
                lead = self._ledger.changes.find_one({"_id": batches[batch], "batch": batch})
                if lead is None:  # it is being withdrawn
                    self._ledger.changes.delete_many({"batch": batch, PENDING: True})
                elif PENDING not in lead:
                    _finish(self._ledger, batch)
                else:
                    now = time.monotonic()
                    beat, since = seen.get(batch, (None, now))
                    if beat != lead["beat"]:
                        seen[batch] = (lead["beat"], now)
                    elif now - since >= PATIENCE:
                        self._take_over(lead, tells)
            time.sleep(LOOK)

    def _take_over(self, lead: Mapping[str, Any], tells: bool) -> None:
        """Undo what a dead writer wrote, if nobody else does."""
        batch, own = lead["batch"], secrets.token_hex(8)
        as_seen = {"_id": lead["_id"], "batch": batch, PENDING: True, "beat": lead["beat"]}
        if not self._ledger.changes.update_one(as_seen, {"$set": {"beat": own}}).matched_count:
            return
        noted = self._undo.find({"batch": batch})
        for each in sorted(noted, key=lambda each: int(each["order"]), reverse=True):
            undo, collection = _undo_of(each), each["collection"]
            undo.carry_out(self._driver.database[collection])
            if tells:
                note(self._driver, collection, {each["namespace"]: [each["id"]]})
        heads = self._ledger.changes.find({"batch": batch, PENDING: True})
        locked = [(head["namespace"], int(head["number"])) for head in heads]
        locked.sort(key=lambda each: heading_id(*each) != lead["_id"])
        _forget(self._ledger, self._undo, batch, locked)


def _finish(ledger: MongoLedger, batch: str) -> None:
    ledger.changes.update_many(
        {"batch": batch, PENDING: True}, {"$unset": {PENDING: "", "beat": ""}}
    )


def _forget(ledger: MongoLedger, undo: Any, batch: str, locked: Sequence[tuple[str, int]]) -> None:
    """The first one, which leads, goes last: until then the rest is known to be undone."""
    for namespace, number in locked:
        edits = {"namespace": namespace, "number": Int64(number), "batch": batch}
        ledger.edits.delete_many(edits)
    undo.delete_many({"batch": batch})
    for change in reversed(locked):
        ledger.changes.delete_one({"_id": heading_id(*change), "batch": batch, PENDING: True})


def _form(undo: Undo, order: int) -> dict[str, Any]:
    before = undo.before
    row = undo.row
    return {
        "order": order,
        "namespace": row.namespace,
        "id": row.id,
        "key": undo.key,
        "before": None
        if before is None
        else {
            "name": before.name,
            "revision": Int64(before.revision),
            "text": Binary(zlib.compress(before.text.encode(), 1)),
        },
        "numbers": [Int64(number) for number in undo.numbers],
        "is_gone": undo.is_gone,
        "has_key": undo.has_key,
    }


def _undo_of(found: Mapping[str, Any]) -> Undo:
    was, before = found["before"], None
    row = Row(found["id"], found["namespace"], None, 0, "")
    if was is not None:
        text = zlib.decompress(bytes(was["text"])).decode()
        before = row._replace(name=was["name"], revision=int(was["revision"]), text=text)
    numbers = tuple(map(int, found["numbers"]))
    return Undo(found["key"], row, before, numbers, found["is_gone"], found["has_key"])
