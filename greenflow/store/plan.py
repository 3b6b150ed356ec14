"""What a batch changes: planned here, once for all stores.

Lives here: the rules of insert, apply and update, over the rows that a batch touches. Must not live
here: how rows are read and written. A store extends `PlannedCollection` with two steps: `_current`,
which reads, and `_commit`, which reads, plans and writes with no writer in between.

Plans are plain functions: they know no greenlet and no database, may run in any thread, and change
nothing. They raise before anything is written, so a batch that fails leaves no trace.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import Any, NamedTuple

from greenflow.errors import DuplicateSpec, InvalidArgument, UnknownSpec
from greenflow.hub.breathing import unhurried
from greenflow.spec.signature import Signature, here
from greenflow.store.base import Collection, Record
from greenflow.store.change import Pair
from greenflow.store.document import (
    Row,
    adopt,
    decode,
    encode,
    identifier,
    new_id,
    same,
)

UNWRITTEN = 0  # the revision of a planned row that has to be written


class Stale(Exception):
    """A document changed between being read and being written: begin again."""


class Draft(NamedTuple):
    """A document on its way in: checked and copied. Without id (`""`) it has no text yet."""

    id: str
    namespace: str
    name: str | None
    document: dict[str, Any]
    text: str
    path: str

    def __repr__(self) -> str:
        return f"<Draft {self.id or self.name}>"  # values are secrets

    def identified(self, id: str) -> Draft:
        """The same with an id, which comes first in the document."""
        document = {"id": id, **{k: v for k, v in self.document.items() if k != "id"}}
        return self._replace(id=id, document=document, text=encode(document, self.path))


class Current:
    """The stored rows that a batch touches, by id and by (namespace, name)."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.by_id: dict[str, Row] = {}
        self.by_name: dict[tuple[str, str], Row] = {}
        for row in rows:
            self.by_id[row.id] = row
            if row.name is not None:
                self.by_name[row.namespace, row.name] = row

    def without(self, ids: Set[str]) -> Current:
        """The rows but for those with some ids."""
        return Current(row for row in self.by_id.values() if row.id not in ids) if ids else self


class Wanted(NamedTuple):
    """The ids and (namespace, name) pairs whose rows a plan needs to see."""

    ids: frozenset[str]
    names: frozenset[tuple[str, str]]

    def also(self, ids: Set[str]) -> Wanted:
        """Those, and more ids."""
        return self._replace(ids=self.ids | ids)

    @classmethod
    def of(cls, drafts: Iterable[Draft]) -> Wanted:
        """What a plan for these drafts needs."""
        drafts = tuple(drafts)
        return cls(
            frozenset(draft.id for draft in drafts if draft.id),
            frozenset((draft.namespace, draft.name) for draft in drafts if draft.name),
        )


Plan = Callable[[Current], list[Row]]


def draft(document: object, path: str) -> Draft:
    """A document that a caller handed in, checked and copied. Raises InvalidArgument."""
    plain = adopt(document, path)
    id = identifier(plain, "id", path) or ""
    namespace = identifier(plain, "namespace", path)
    if namespace is None:
        raise InvalidArgument(f"{path}.namespace: is missing; every document is in a namespace")
    text = encode(plain, path) if id else ""
    return Draft(id, namespace, identifier(plain, "name", path), plain, text, path)


def plan_insert(drafts: Sequence[Draft], current: Current) -> list[Row]:
    """Rows of new documents, all of which have an id. Raises DuplicateSpec."""
    for each in drafts:
        if each.id in current.by_id:
            raise DuplicateSpec(f"the id {each.id!r} is taken")
    return _rows(drafts, current)


def plan_apply(drafts: Sequence[Draft], current: Current) -> list[Row]:
    """Rows of whole documents. Raises DuplicateSpec and InvalidArgument."""
    claimed = {each.id for each in drafts if each.id}
    identified = []
    for each in drafts:
        if not each.id:
            holder = current.by_name.get((each.namespace, each.name)) if each.name else None
            if holder is None or holder.id in claimed:
                each = each.identified(new_id())
            else:
                each = each.identified(holder.id)
        identified.append(each)
    return _rows(identified, current)


def plan_update(drafts: Sequence[Draft], seen: Sequence[int], current: Current) -> list[Row]:
    """Rows of merged documents, made from the revisions `seen`. Raises Stale, DuplicateSpec."""
    for each, revision in zip(drafts, seen, strict=True):
        row = current.by_id.get(each.id)
        if row is None or row.revision != revision:
            raise Stale
    return _rows(drafts, current)


def _rows(drafts: Sequence[Draft], current: Current) -> list[Row]:
    """One row for each draft; those that are as stored are the stored ones."""
    ids: set[str] = set()
    for each in drafts:
        if each.id in ids:
            raise DuplicateSpec(f"the id {each.id!r} is there twice in one batch")
        ids.add(each.id)
    names: set[tuple[str, str]] = set()
    rows = []
    for each in drafts:
        stored = current.by_id.get(each.id)
        if stored is not None:
            _stays(stored, each.namespace, each.path)
        if each.name is not None:
            _claim(each.namespace, each.name, ids, names, current)
        if stored is not None and same(stored.text, each.text):
            rows.append(stored)
        else:
            rows.append(Row(each.id, each.namespace, each.name, UNWRITTEN, each.text))
    return rows


def _stays(row: Row, namespace: str, path: str) -> None:
    """A document cannot move to another namespace. Raises InvalidArgument."""
    if row.namespace != namespace:
        raise InvalidArgument(
            f"{path}.namespace: the id {row.id!r} is in namespace {row.namespace!r},"
            f" which cannot be changed to {namespace!r}"
        )


def _claim(
    namespace: str, name: str, ids: set[str], names: set[tuple[str, str]], current: Current
) -> None:
    """Takes a name for a document of the batch; one whose holder is in the batch too is free."""
    where = f"the name {name!r} in namespace {namespace!r}"
    if (namespace, name) in names:
        raise DuplicateSpec(f"{where} is there twice in one batch")
    names.add((namespace, name))
    holder = current.by_name.get((namespace, name))
    if holder is not None and holder.id not in ids:
        raise DuplicateSpec(f"{where} is taken by the id {holder.id!r}")


class _Patch(NamedTuple):
    """Fields to merge into the document with an id, or else with a (namespace, name)."""

    id: str | None
    namespace: str
    name: str | None
    fields: dict[str, Any]
    path: str

    def __repr__(self) -> str:
        return f"<Patch of {self.id or self.name}>"  # values are secrets

    def find(self, current: Current) -> Row:
        """The row it patches. Raises UnknownSpec."""
        if self.id is not None:
            row, what = current.by_id.get(self.id), f"id {self.id!r}"
        else:
            row = current.by_name.get((self.namespace, self.name or ""))
            what = f"name {self.name!r} in namespace {self.namespace!r}"
        if row is None:
            raise UnknownSpec(f"nothing has the {what}")
        _stays(row, self.namespace, self.path)
        return row


def _patch(document: object, path: str) -> _Patch:
    fields = adopt(document, path)
    id = identifier(fields, "id", path)
    namespace = identifier(fields, "namespace", path)
    name = identifier(fields, "name", path)
    if namespace is None:
        raise InvalidArgument(f"{path}.namespace: is missing; every document is in a namespace")
    if id is None and name is None:
        raise InvalidArgument(f"{path}: has neither id nor name to find a document by")
    fields.pop("id", None)
    return _Patch(id, namespace, name, fields, path)


def _merge(row: Row, patch: _Patch) -> dict[str, Any]:
    merged = {**decode(row.text), **patch.fields}
    for field, value in patch.fields.items():
        if value is None:
            del merged[field]
    return merged


class PlannedCollection(Collection):
    """insert, apply and update, over the two steps that differ from store to store."""

    @abstractmethod
    def _current(self, wanted: Wanted) -> Current:
        """The stored rows that are wanted, as of one moment."""

    @abstractmethod
    def _commit(self, wanted: Wanted, plan: Plan, signature: Signature) -> list[Row]:
        """Plans over what is stored and writes the rows that are unwritten, with no writer in
        between and all or nothing, and the change with them. Returns the plan's rows, with their
        revisions."""

    def insert(
        self, documents: Iterable[Mapping[str, Any]], signature: Signature | None = None
    ) -> list[Record]:
        drafts = [each if each.id else each.identified(new_id()) for each in drafts_of(documents)]
        return self._write(drafts, partial(plan_insert, drafts), signature)

    def apply(
        self, documents: Iterable[Mapping[str, Any]], signature: Signature | None = None
    ) -> list[Record]:
        drafts = drafts_of(documents)
        return self._write(drafts, partial(plan_apply, drafts), signature)

    def update(
        self,
        patches: Iterable[Mapping[str, Any]],
        validate: Callable[[dict[str, Any]], dict[str, Any]],
        signature: Signature | None = None,
    ) -> list[Record]:
        checked = [_patch(each, f"$[{at}]") for at, each in enumerate(unhurried(patches))]
        wanted = Wanted(
            frozenset(patch.id for patch in checked if patch.id),
            frozenset((patch.namespace, patch.name) for patch in checked if patch.name),
        )
        while checked:
            rows, drafts = [], []
            current = self._current(wanted)
            for patch in unhurried(checked):
                row = patch.find(current)
                merged = draft(validate(_merge(row, patch)), patch.path)
                if merged.id != row.id:
                    raise InvalidArgument(f"{patch.path}.id: {row.id!r} cannot be changed")
                rows.append(row)
                drafts.append(merged)
            try:
                seen = [row.revision for row in rows]
                return self._write(drafts, partial(plan_update, drafts, seen), signature)
            except Stale:
                continue
        return []

    def _write(
        self, drafts: Sequence[Draft], plan: Plan, signature: Signature | None
    ) -> list[Record]:
        if not drafts:
            return []
        rows = self._commit(Wanted.of(drafts), plan, signature or here())
        return records_of(rows)


def records_of(rows: Iterable[Row]) -> list[Record]:
    """The documents of rows."""
    return [Record(decode(row.text), row.revision) for row in unhurried(rows)]


def drafts_of(documents: Iterable[Mapping[str, Any]]) -> list[Draft]:
    """The documents of a batch as drafts. Raises InvalidArgument."""
    if isinstance(documents, Mapping | str):
        raise InvalidArgument("$: takes a list of documents, not a single one")
    return [draft(document, f"$[{at}]") for at, document in enumerate(unhurried(documents))]


def pairs_of(current: Current, rows: Sequence[Row], places: Sequence[str] = ()) -> list[Pair]:
    """What a plan changes: its rows that are not the stored ones, with those."""
    pairs = []
    for at, row in enumerate(rows):
        before = current.by_id.get(row.id)
        if before is None or before.revision != row.revision:
            pairs.append(Pair(before, row, places[at] if places else ""))
    return pairs
