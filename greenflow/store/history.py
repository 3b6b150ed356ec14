"""The contract of a store's history: what was changed, by whom, when and why.

Lives here: what every store answers of its changes. How an edit is packed is change.py's; what is
made of them is rollback.py's. One suite (tests/store/test_history.py) runs against every store.

The changes of a namespace are numbered from 1, without a gap, in the order in which they took
effect: a change and its documents are written together or not at all. Old ones are forgotten by
`thin`; the newest never is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Set

from greenflow.store.change import Edit, Heading


class History(ABC):
    """The changes of a store. Every method raises StoreUnavailable when it is out of reach."""

    @abstractmethod
    def newest(self, namespace: str) -> int:
        """The number of the newest change of a namespace; 0 if there is none."""

    @abstractmethod
    def oldest(self, namespace: str) -> int:
        """The number of the oldest change that is remembered; 0 if there is none."""

    @abstractmethod
    def headings(
        self,
        namespace: str,
        below: int | None = None,
        limit: int = 100,
        ids: Set[str] | None = None,
    ) -> list[Heading]:
        """The newest changes, the newest first; with `below` those before that number, with `ids`
        only those of these documents."""

    @abstractmethod
    def edits(
        self, namespace: str, above: int = 0, upto: int | None = None, ids: Set[str] | None = None
    ) -> list[Edit]:
        """What the changes above one number and up to another did, in their order; with `ids` only
        to these documents and files."""

    @abstractmethod
    def named(self, namespace: str, name: str) -> frozenset[str]:
        """The ids of documents that have or had a name, or are called by that id."""

    @abstractmethod
    def members(self, namespace: str, collection: str, group: str) -> frozenset[str]:
        """The ids of the documents of a collection that belong to a set."""

    @abstractmethod
    def thin(self, changes: int, before: float) -> int:
        """Forget all but the newest changes of each namespace that are older than a time, in
        seconds since 1970. Returns how many were forgotten."""
