"""What an apply would do, before it does it: one planner for `diff`, dry runs and pruning.

Lives here: Application. It asks the store's own rules (plan.py), so what it says is what happens,
unless somebody changes the store in between: it knows the newest changes it was made on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from greenflow.errors import GreenflowError
from greenflow.spec.signature import Signature
from greenflow.store.base import Record, Rewrite, Store
from greenflow.store.change import VALUES, Edit
from greenflow.store.document import Row, decode, encode, identifier
from greenflow.store.plan import Current, drafts_of, plan_apply

#: One in so many of a set may be deleted without a word: more is hardly meant.
PART = 5


class TooMuchDeleted(GreenflowError):
    """Pruning would delete more of a set than anybody has said it may."""

    status = 409


class Application(NamedTuple):
    """Documents to store in a collection and ids to delete from it; `edits` are what that would do,
    on top of the changes `made_on`, by namespace."""

    collection: str
    documents: Sequence[Mapping[str, Any]]
    gone: frozenset[str]
    edits: list[Edit]
    made_on: dict[str, int]


def carried_out(
    store: Store, collection: str, rewrite: Rewrite, signature: Signature
) -> list[Record]:
    """Stores and deletes documents of one collection, in one change. Returns what is stored of
    them. Raises as `Store.rewrite` does."""
    if collection == VALUES:
        return store.rewrite(Rewrite(), rewrite, signature)[1]
    return store.rewrite(rewrite, Rewrite(), signature)[0]


def application(
    store: Store,
    collection: str,
    documents: Sequence[Mapping[str, Any]],
    namespaces: Iterable[str],
    group: str = "",
) -> Application:
    """What it would do to apply documents; with a `group` also to delete what belongs to that set
    in the namespaces and is not among them. What other programs wrote is recorded first. Raises as
    `Collection.apply` does."""
    spaces = sorted({*namespaces, *(str(document["namespace"]) for document in documents)})
    for namespace in spaces:
        store.claim(namespace, collection)
    made_on = {namespace: store.history.newest(namespace) for namespace in spaces}
    drafts = drafts_of(documents)
    ids = {each.id for each in drafts}
    names = {each.name for each in drafts if each.name}
    members: set[str] = set()
    if group:
        for namespace in spaces:
            members |= store.history.members(namespace, collection, group)
    where = {"$or": [{"id": {"$in": sorted(ids | members)}}, {"name": {"$in": sorted(names)}}]}
    kept = store.values if collection == VALUES else store.specs
    current = Current(map(_row, kept.find(where)))
    named = {
        holder.id
        for each in drafts
        if each.name and not each.id
        if (holder := current.by_name.get((each.namespace, each.name)))
    }
    gone = frozenset(members & current.by_id.keys()) - ids - named
    rows = plan_apply(drafts, current.without(gone))
    edits = [
        _edit(
            collection, current.by_id.get(row.id), row if each.id else _unidentified(row, current)
        )
        for each, row in zip(drafts, rows, strict=True)
    ]
    edits += [_edit(collection, current.by_id[id], None) for id in sorted(gone)]
    changes = [edit for edit in edits if edit.before != edit.after and edit.revision == 0]
    return Application(collection, documents, gone, changes, made_on)


def check_deletions(plan: Application, members: int, allow_empty: bool, most: int | None) -> None:
    """Raises TooMuchDeleted where pruning would empty a set of so many members, or delete more than
    a fifth of it, unless that is allowed."""
    count = len(plan.gone)
    if count and not plan.documents and not allow_empty:
        raise TooMuchDeleted(
            f"this would delete all {count} of the set, for the files have none: is it the right"
            " folder? --allow-empty does it"
        )
    allowed = most if most is not None else members // PART
    if count > allowed and (most is not None or not (allow_empty and not plan.documents)):
        raise TooMuchDeleted(
            f"this would delete {count} of {members} of the set, more than {allowed}: see"
            f" --dry-run; --max-delete {count} does it"
        )


def _unidentified(row: Row, current: Current) -> Row:
    """The row; one that is new without the id that was made for it, for it will be another one."""
    if row.id in current.by_id:
        return row
    document = {key: value for key, value in decode(row.text).items() if key != "id"}
    return row._replace(id="", text=encode(document, "$"))


def _row(record: Record) -> Row:
    document = record.document
    name = identifier(document, "name", "$")
    return Row(document["id"], document["namespace"], name, record.revision, encode(document, "$"))


def _edit(collection: str, before: Row | None, after: Row | None) -> Edit:
    row = after or before
    assert row is not None
    return Edit(
        0,
        collection,
        row.id,
        row.name,
        0 if after is None else after.revision,
        before and before.text,
        after and after.text,
        "",
    )
