"""How old changes of a MongoDB store are forgotten.

Lives here: `thin`, in the driver. How changes are kept is ledger.py's.
"""

from __future__ import annotations

from typing import Any

from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING

from greenflow.store.change import DELETED
from greenflow.store.mongo.ledger import TOGETHER, MongoLedger
from greenflow.store.mongo.steps import parts


def thin(ledger: MongoLedger, changes: int, before: float) -> int:
    """Forget all but the newest changes of each namespace that are older than a time. What a
    kept edit leans on stays, and what the next one may."""
    forgotten = 0
    for namespace in ledger.changes.distinct("namespace"):
        upto = ledger.newest(namespace) - max(changes, 1)
        old = {
            "namespace": namespace,
            "number": {"$lte": upto},
            "time": {"$lt": Int64(int(before * 1e6))},
        }
        newest = ledger.changes.find_one(old, sort=[("number", DESCENDING)])
        if newest is None:
            continue
        cut = int(newest["number"])
        below = {"namespace": namespace, "number": {"$lte": cut}}
        forgotten += ledger.changes.delete_many(below).deleted_count
        _thin_edits(ledger, namespace, cut)
    return forgotten


def _thin_edits(ledger: MongoLedger, namespace: str, cut: int) -> None:
    fields = {"collection": 1, "id": 1, "number": 1, "depth": 1, "verb": 1}
    old: dict[tuple[str, str], list[dict[str, Any]]] = {}
    query = {"namespace": namespace, "number": {"$lte": cut}}
    for each in ledger.edits.find(query, fields, sort=[("number", ASCENDING)]):
        old.setdefault((each["collection"], each["id"]), []).append(each)
    useless: list[Any] = []
    for (collection, id), edits in old.items():
        after = {"namespace": namespace, "collection": collection, "id": id}
        first = ledger.edits.find_one(
            {**after, "number": {"$gt": cut}}, fields, sort=[("number", ASCENDING)]
        )
        # a writer at this very moment may lean on the last one; not if the document is gone
        needed = 0
        if first is not None:
            needed = int(first["depth"])
        elif edits[-1]["verb"] != DELETED:
            needed = int(edits[-1]["depth"]) + 1
        useless += [each["_id"] for each in edits[: len(edits) - needed]]
    for part in parts(useless, TOGETHER):
        ledger.edits.delete_many({"_id": {"$in": part}})
