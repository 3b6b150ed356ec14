"""The history of a MongoDB store: the contract of store/history.py over the collections of
ledger.py.

Lives here: MongoHistory, which calls the ledger in the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TypeVar

from greenflow.store.change import Edit, Heading
from greenflow.store.history import History
from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.ledger import MongoLedger
from greenflow.store.mongo.thinning import thin

T = TypeVar("T")


class MongoHistory(History):
    """The changes in the collections of ledger.py."""

    def __init__(self, driver: Driver, ledger: MongoLedger, prepare: Callable[[], None]) -> None:
        """`prepare` is called in the driver, before anything is read."""
        self._driver, self._ledger, self._prepare = driver, ledger, prepare

    def _run(self, function: Callable[[], T]) -> T:
        def prepared() -> T:
            self._prepare()
            return function()

        return self._driver.run(prepared)

    def newest(self, namespace: str) -> int:
        return self._run(lambda: self._ledger.newest(namespace))

    def oldest(self, namespace: str) -> int:
        return self._run(lambda: self._ledger.oldest(namespace))

    def headings(
        self,
        namespace: str,
        below: int | None = None,
        limit: int = 100,
        ids: Set[str] | None = None,
    ) -> list[Heading]:
        if limit <= 0:  # no limit at all, to MongoDB
            return []
        return self._run(lambda: self._ledger.headings(namespace, below, limit, ids))

    def edits(
        self, namespace: str, above: int = 0, upto: int | None = None, ids: Set[str] | None = None
    ) -> list[Edit]:
        return self._run(lambda: self._ledger.edits_of(namespace, above, upto, ids))

    def named(self, namespace: str, name: str) -> frozenset[str]:
        return self._run(lambda: self._ledger.named(namespace, name))

    def members(self, namespace: str, collection: str, group: str) -> frozenset[str]:
        return self._run(lambda: self._ledger.members(namespace, collection, group))

    def thin(self, changes: int, before: float) -> int:
        return self._run(lambda: thin(self._ledger, changes, before))
