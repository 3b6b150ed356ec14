"""Whether a collection of a MongoDB store is still the one that was opened.

Lives here: MongoLineage. A collection that was dropped, alone or with its database, or replaced by
another one, holds other specs than those that run, and nobody has asked for the change: it is not
followed, and nothing is read from it or written to it, until what was in it is back or the store is
opened anew (BEHAVIOUR 7.13).

What counts is what was in it and not where it lies: a server may move or reshard a collection,
which makes another one of it. So a collection that is another one is taken for the same if most of
some documents that were seen are still there, no older than they were; and one in which nothing was
seen may be any.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from heapq import nlargest
from typing import Any, NamedTuple

from greenflow.errors import StoreUnavailable
from greenflow.store.mongo.documents import REVISION, id_text
from greenflow.store.mongo.driver import Driver

# What there is to know of a collection, one document each: which one it is, and the greatest number
# of what was deleted.
NOTES = "greenflow_notes"

# Documents by which a collection is known again.
SAMPLE = 8


class Seen(NamedTuple):
    """A document that was seen."""

    number: int
    key: Any  # its `_id`
    namespace: Any


class MongoLineage:
    """What was seen of one collection. All methods are called in the driver."""

    def __init__(self, driver: Driver, collection: str) -> None:
        self._driver, self._name = driver, collection
        self._collection = driver.database[collection]
        self._notes = driver.database[NOTES]
        self._identity: str | None = None
        self._seen: dict[str, Seen] = {}

    def check(self) -> bool:
        """Whether it is the collection that it was. Raises StoreUnavailable if it was lost; False
        for another one that may be followed, and has to be prepared."""
        now = self._found()
        if self._identity is None or now == self._identity:
            self._identity = now
            return True
        if self._seen and not self._goes_on():
            raise StoreUnavailable(
                f"{self._driver.name}: the collection {self._name} was dropped or replaced, has"
                " lost what was seen in it, and is not followed; restore it, or restart to run what"
                " is in it"
            )
        self._identity = None
        return False

    def _found(self) -> str | None:
        """Which collection it is now; None: there is none."""
        listed = list(self._driver.database.list_collections(filter={"name": self._name}))
        if not listed:
            return None
        unique = listed[0].get("info", {}).get("uuid")
        if unique is not None:
            return bytes(unique).hex()
        notes = self._notes.find_one({"_id": self._name}) or {}
        if "token" not in notes and self._identity is None:
            notes = {"token": self._make_token()}
        token: str | None = notes.get("token")
        return token

    def _make_token(self) -> str | None:
        """A name for the collection, on a server that gives it none; the first one stays."""
        self._notes.update_one({"_id": self._name}, {"$setOnInsert": {"last": 0}}, upsert=True)
        unnamed = {"_id": self._name, "token": {"$exists": False}}
        self._notes.update_one(unnamed, {"$set": {"token": secrets.token_hex(16)}})
        notes = self._notes.find_one({"_id": self._name}) or {}
        return notes.get("token")

    def _goes_on(self) -> bool:
        seen = self._seen
        keys = [each.key for each in seen.values()]
        found = self._collection.find({"_id": {"$in": keys}}, {REVISION: 1})
        numbers = {id_text(each["_id"]): _number(each) for each in found}
        kept = sum(numbers.get(id, -1) >= each.number for id, each in seen.items())
        return 2 * kept > len(seen)

    def saw(self, found: Iterable[Mapping[str, Any]], namespace: str | None, whole: bool) -> None:
        """These documents are there; if they are `whole`, no others are, in the namespace or at
        all."""
        fresh = {
            id_text(each["_id"]): Seen(_number(each), each["_id"], each.get("namespace"))
            for each in nlargest(SAMPLE, found, key=_number)
        }
        kept = {
            id: each
            for id, each in self._seen.items()
            if not whole or (namespace is not None and each.namespace != namespace)
        }
        both = nlargest(SAMPLE, {**kept, **fresh}.items(), key=lambda item: item[1].number)
        self._seen = dict(both)

    def forget(self, ids: Iterable[str]) -> None:
        """These documents are not there any more."""
        gone = frozenset(ids)
        self._seen = {id: each for id, each in self._seen.items() if id not in gone}


def _number(found: Mapping[str, Any]) -> int:
    number = found.get(REVISION)
    return int(number) if isinstance(number, int | float) else 0
