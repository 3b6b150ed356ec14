"""mongodb://host/database: records in a collection that several engines share.

Lives here: MongoArchive. The connection is the store's (store/mongo/driver).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pymongo import DESCENDING, ReplaceOne

from greenflow.records.archive import Archive, Archived, Choice
from greenflow.records.record import FAILED, SLOW
from greenflow.store.mongo.driver import Driver

T = TypeVar("T")

#: The collection in the database of the URL.
COLLECTION = "greenflow_runs"

_NEWEST_FIRST = [("began", DESCENDING), ("_id", DESCENDING)]


class MongoArchive(Archive):
    """A collection of MongoDB."""

    def __init__(self, url: str, namespace: str) -> None:
        self.namespace = namespace
        self._driver = Driver(url)
        self._runs = self._driver.database[COLLECTION]
        self._is_indexed = False

    def write(self, records: Sequence[Archived]) -> None:
        writes = [
            ReplaceOne({"_id": each.about.id}, self._document(each), True) for each in records
        ]

        def insert() -> None:
            if not self._is_indexed:
                self._runs.create_index([("namespace", 1), *_NEWEST_FIRST])
                self._is_indexed = True
            self._runs.bulk_write(writes, ordered=False)

        self._driver.run(insert)

    def _document(self, record: Archived) -> dict[str, Any]:
        about, data = record
        return {
            "_id": about.id,
            "namespace": self.namespace,
            "began": about.started,
            "failed": FAILED in about.why,
            "slow": SLOW in about.why,
            "nodes": sorted(about.nodes),
            "size": len(data),
            "data": data,
        }

    def find(self, choice: Choice) -> list[bytes]:
        wanted: dict[str, Any] = {"namespace": self.namespace}
        if choice.failed:
            wanted["failed"] = True
        if choice.slow:
            wanted["slow"] = True
        if choice.node is not None:
            wanted["nodes"] = choice.node
        if choice.since is not None:
            wanted["began"] = {"$gte": choice.since}
        if choice.below is not None:
            began, id = choice.below
            wanted["$or"] = [{"began": {"$lt": began}}, {"began": began, "_id": {"$lt": id}}]

        def find() -> list[bytes]:
            found = self._runs.find(wanted, {"data": 1}).sort(_NEWEST_FIRST).limit(choice.limit)
            return [bytes(each["data"]) for each in found]

        return self._run(find)

    def get(self, id: str) -> bytes | None:
        found = self._run(lambda: self._runs.find_one({"_id": id}, {"data": 1}))
        return None if found is None else bytes(found["data"])

    def thin(self, before: float, most_bytes: int) -> int:
        def delete() -> int:
            ours = {"namespace": self.namespace}
            count = self._runs.delete_many({**ours, "began": {"$lt": before}}).deleted_count
            size = 0
            for each in self._runs.find(ours, {"size": 1, "began": 1}).sort(_NEWEST_FIRST):
                size += each["size"]
                if size > most_bytes:
                    older = {"began": {"$lt": each["began"]}}
                    same = {"began": each["began"], "_id": {"$lte": each["_id"]}}
                    gone = self._runs.delete_many({**ours, "$or": [older, same]})
                    return count + gone.deleted_count
            return count

        return self._run(delete)

    def close(self) -> None:
        self._driver.close()

    def _run(self, function: Callable[[], T]) -> T:
        return self._driver.run(function)
