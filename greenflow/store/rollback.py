"""The way back: which documents make a namespace as it was, or undo one change.

Lives here: plans of a rollback, made of a history alone. They are carried out by `Store.rewrite`,
signed with the newest change that was seen, so that nothing that came meanwhile is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any, NamedTuple

from greenflow.errors import ChangedMeanwhile, UnknownChange
from greenflow.store.base import Rewrite
from greenflow.store.change import FILES, VALUES, Edit
from greenflow.store.document import decode
from greenflow.store.history import History
from greenflow.values.values import is_encrypted


class Rollback(NamedTuple):
    """What a rollback does: `edits` from what is stored to what was, and `newest`, the change up
    to which that holds."""

    edits: list[Edit]
    newest: int

    def of(self, collection: str) -> Rewrite:
        """What becomes of specs, or of values. Raises UnknownChange for a value whose data the
        history does not have."""
        documents, gone = [], set()
        for edit in self.edits:
            if edit.collection != collection:
                continue
            if edit.after is None:
                gone.add(edit.id)
            else:
                documents.append(_restorable(edit, decode(edit.after)))
        return Rewrite(documents, gone)


def back_to(history: History, namespace: str, number: int, ids: Set[str] | None = None) -> Rollback:
    """What makes the documents of a namespace, or some of them, as change `number` had left them.
    Raises UnknownChange."""
    newest = history.newest(namespace)
    return Rollback(between(history, namespace, newest, number, ids), newest)


def between(
    history: History, namespace: str, first: int, second: int, ids: Set[str] | None = None
) -> list[Edit]:
    """What leads from the documents that one change had left to those of another, earlier or
    later. Change 0 had left none. Raises UnknownChange."""
    newest, oldest = history.newest(namespace), history.oldest(namespace)
    for number in (first, second):
        if not (oldest or 1) - 1 <= number <= newest:
            raise unknown(namespace, number, oldest, newest)
    low, high = sorted((first, second))
    edits: dict[tuple[str, str], Edit] = {}
    for edit in _documents(history.edits(namespace, low, high, ids)):
        key = edit.collection, edit.id
        begun = edits.get(key, edit)
        edits[key] = edit._replace(before=begun.before)
    if first > second:
        edits = {key: _from(edit.after, edit) for key, edit in edits.items()}
    return [edit for edit in edits.values() if edit.before != edit.after]


def undoing(history: History, namespace: str, number: int, ids: Set[str] | None = None) -> Rollback:
    """What undoes one change, or what it did to some documents. Raises UnknownChange, and
    ChangedMeanwhile if a later change was made to the same documents."""
    newest, oldest = history.newest(namespace), history.oldest(namespace)
    if not max(oldest, 1) <= number <= newest:
        raise unknown(namespace, number, oldest, newest)
    edits = list(_documents(history.edits(namespace, number - 1, number, ids)))
    touched = {(edit.collection, edit.id) for edit in edits}
    later = history.edits(namespace, number, newest, {edit.id for edit in edits})
    for edit in later:
        if (edit.collection, edit.id) in touched:
            raise ChangedMeanwhile(
                f"{edit.name or edit.id} was {edit.verb} again by change {edit.number}; roll that"
                f" back first, or go back to before both with --to {number - 1}"
            )
    return Rollback([_from(edit.after, edit) for edit in edits], newest)


def unknown(namespace: str, number: int, oldest: int, newest: int) -> UnknownChange:
    """What is said of a change that the history does not have."""
    if not newest:
        return UnknownChange(f"namespace {namespace} has no changes yet")
    return UnknownChange(
        f"namespace {namespace} has no change {number}; it has those from {oldest} to {newest}"
    )


def _documents(edits: Iterable[Edit]) -> Iterable[Edit]:
    return (edit for edit in edits if edit.collection != FILES)


def _from(stored: str | None, edit: Edit) -> Edit:
    """The edit that leads from what is stored to what was before another edit."""
    return edit._replace(before=stored, after=edit.before)


def _restorable(edit: Edit, document: dict[str, Any]) -> dict[str, Any]:
    if edit.collection == VALUES and not is_encrypted(document):
        raise UnknownChange(
            f"the value {edit.name or edit.id} was not encrypted, so the history does not have its"
            " data; apply it anew, or leave it out by naming what to roll back"
        )
    return document
