"""The history of a store in memory: its newest changes, as they were.

Lives here: MemoryHistory. It ends with its store, and so keeps the newest KEPT changes of each
namespace and no more, whatever the settings say: what runs for months must not grow.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence, Set
from itertools import islice
from typing import NamedTuple

from greenflow.spec.signature import Signature
from greenflow.store.change import (
    CHANGED,
    CREATED,
    DELETED,
    FILES,
    NAMES,
    VALUES,
    Counts,
    Edit,
    Heading,
    Pair,
    kept,
)
from greenflow.store.document import Row
from greenflow.store.history import History

# Changes of a namespace that are remembered: the default of the setting history.keep.
KEPT = 1000

# Documents in them, at most: some tens of MB where each is a specification of a KiB or two.
KEPT_EDITS = 20_000

_Pairs = Sequence[tuple[str, Pair]]


class _Change(NamedTuple):
    """As it came: most are never looked at."""

    namespace: str
    number: int
    time: float
    signature: Signature
    pairs: _Pairs
    files: tuple[Edit, ...]

    def touches(self, ids: Set[str]) -> bool:
        return any(pair.row.id in ids for _, pair in self.pairs)

    def edits(self) -> tuple[Edit, ...]:
        return (*(_edit(self.number, *pair) for pair in self.pairs), *self.files)

    def heading(self) -> Heading:
        edits = [_edit(self.number, *pair) for pair in self.pairs]
        counted = Counter(edit.verb for edit in edits)
        return Heading(
            self.namespace,
            self.number,
            self.time,
            self.signature.author,
            self.signature.message,
            self.signature.source,
            self.signature.group,
            Counts(counted[CREATED], counted[CHANGED], counted[DELETED]),
            tuple(edit.name or edit.id for edit in edits[:NAMES]),
        )


class MemoryHistory(History):
    """Changes in lists."""

    def __init__(self) -> None:
        self._changes: dict[str, deque[_Change]] = {}
        self._edits: Counter[str] = Counter()  # by namespace
        self._files: dict[tuple[str, str], str] = {}
        self._groups: dict[tuple[str, str, str], str] = {}

    def record(self, pairs: _Pairs, signature: Signature) -> None:
        """Adds what a batch did, as one change of each namespace."""
        by_namespace: dict[str, list[tuple[str, Pair]]] = {}
        for collection, pair in pairs:
            row = pair.row
            if collection == VALUES:
                pair = Pair(_kept(pair.before), _kept(pair.after), pair.place)
            by_namespace.setdefault(row.namespace, []).append((collection, pair))
            if pair.after is None:
                self._groups.pop((row.namespace, collection, row.id), None)
        for namespace, several in by_namespace.items():
            self._record(namespace, several, signature)

    def join(self, collection: str, rows: Iterable[Row], group: str) -> None:
        """Documents belong to a set from now on, and to no other."""
        self._groups.update({(row.namespace, collection, row.id): group for row in rows})

    def clear(self) -> None:
        """Forgets everything."""
        self._changes.clear()
        self._edits.clear()
        self._files.clear()
        self._groups.clear()

    def _record(self, namespace: str, pairs: _Pairs, signature: Signature) -> None:
        changes = self._changes.setdefault(namespace, deque())
        number = changes[-1].number + 1 if changes else 1
        files: list[Edit] = []
        if signature.files and all(collection != VALUES for collection, _ in pairs):
            for path, text in signature.files.items():
                before = self._files.get((namespace, path))
                if before != text:
                    self._files[namespace, path] = text
                    files.append(Edit(number, FILES, path, None, 0, before, text, ""))
        bare = signature._replace(files={}) if files else signature
        changes.append(_Change(namespace, number, time.time(), bare, pairs, tuple(files)))
        count = self._edits[namespace] + len(pairs)
        while len(changes) > 1 and (len(changes) > KEPT or count > KEPT_EDITS):
            count -= len(changes.popleft().pairs)
        self._edits[namespace] = count

    def newest(self, namespace: str) -> int:
        changes = self._changes.get(namespace)
        return changes[-1].number if changes else 0

    def oldest(self, namespace: str) -> int:
        changes = self._changes.get(namespace)
        return changes[0].number if changes else 0

    def headings(
        self,
        namespace: str,
        below: int | None = None,
        limit: int = 100,
        ids: Set[str] | None = None,
    ) -> list[Heading]:
        wanted = (
            change
            for change in reversed(self._changes.get(namespace, ()))
            if below is None or change.number < below
            if ids is None or change.touches(ids)
        )
        return [change.heading() for change in islice(wanted, limit)]

    def edits(
        self, namespace: str, above: int = 0, upto: int | None = None, ids: Set[str] | None = None
    ) -> list[Edit]:
        return [
            edit
            for change in self._changes.get(namespace, ())
            if change.number > above
            if upto is None or change.number <= upto
            for edit in change.edits()
            if ids is None or edit.id in ids
        ]

    def named(self, namespace: str, name: str) -> frozenset[str]:
        return frozenset(edit.id for edit in self.edits(namespace) if name in (edit.name, edit.id))

    def members(self, namespace: str, collection: str, group: str) -> frozenset[str]:
        within = namespace, collection, group
        return frozenset(
            id
            for (space, sort, id), called in self._groups.items()
            if (space, sort, called) == within
        )

    def thin(self, changes: int, before: float) -> int:
        forgotten = 0
        for namespace, remembered in self._changes.items():
            while len(remembered) > max(changes, 1) and remembered[0].time < before:
                self._edits[namespace] -= len(remembered.popleft().pairs)
                forgotten += 1
        return forgotten


def _kept(row: Row | None) -> Row | None:
    """A row of a value as the history may keep it."""
    return row and row._replace(text=kept(VALUES, row.text) or "")


def _edit(number: int, collection: str, pair: Pair) -> Edit:
    row, before, after = pair.row, pair.before, pair.after
    texts = before and before.text, after and after.text
    return Edit(number, collection, row.id, row.name, row.revision, *texts, pair.place)
