"""A batch as steps: one document each, in an order that breaks no rule on the way.

Lives here: what a step is to MongoDB, in a transaction and without one, and how it is undone. Must
not live here: when a batch is begun again, which is the collection's.

Without a transaction a step is carried out only if its document is as it was read. For that the
number in its revision is enough: every write of ours raises it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby, islice
from typing import Any, TypeVar

from pymongo import DeleteOne, InsertOne, ReplaceOne
from pymongo.errors import DuplicateKeyError

from greenflow.store.document import Row, decode, encode
from greenflow.store.mongo.documents import keys, next_number, number, stored

T = TypeVar("T")

Operation = InsertOne[dict[str, Any]] | ReplaceOne[dict[str, Any]] | DeleteOne

# Operations of one command: what is encoded in one stretch, a few milliseconds.
TOGETHER = 500


class Overtaken(Exception):
    """Another writer was faster: what was written is undone, begin again."""


class WriteStep:
    """One document of a batch: as it was (None: not there), as it is to be (None: gone)."""

    def __init__(
        self, before: Row | None, after: Row | None, form: dict[str, Any] | None = None
    ) -> None:
        self.before, self.after, self._form = before, after, form

    def behind(self, before: Row) -> WriteStep:
        """The same, of a document that an earlier step changes."""
        return WriteStep(before, self.after, self._form)

    @property
    def row(self) -> Row:
        row = self.after or self.before
        assert row is not None
        return row

    @property
    def operation(self) -> InsertOne[dict[str, Any]] | ReplaceOne[dict[str, Any]] | None:
        """What does it as one of several in a command, and fails if the document is not as it was
        read: where a replacement finds nothing, MongoDB inserts it, and the id is taken."""
        if self._form is None or len(keys([self.row.id])) > 1:
            return None
        if self.before is None:
            return InsertOne({"_id": self.row.id, **self._form})
        return ReplaceOne({"_id": self.row.id, **_as_read(self.before)}, self._form, upsert=True)

    def in_transaction(self) -> Operation:
        """What does it where no other writer can come between."""
        if self._form is None:
            return DeleteOne({"_id": {"$in": keys([self.row.id])}})
        if self.before is None:
            return InsertOne({"_id": self.row.id, **self._form})
        return ReplaceOne({"_id": {"$in": keys([self.row.id])}}, self._form)

    def write(self, collection: Any) -> None:
        """Do it, if the document is as it was. Raises Overtaken if not."""
        _write(collection, self.before, self._form, self.row.id)

    def undo(self, collection: Any) -> None:
        """Put the document back as it was, unless somebody else changed it meanwhile."""
        form = None
        if self.before is not None:
            form, _ = stored(self.before, number(self.row.revision) + 1)
        with suppress(Overtaken):  # or the step was never carried out
            _write(collection, self.after, form, self.row.id)


def _write(collection: Any, before: Row | None, form: dict[str, Any] | None, id: str) -> None:
    try:
        if before is None:
            if form is not None:
                collection.insert_one({"_id": id, **form})
            return
        as_read = {"_id": {"$in": keys([id])}, **_as_read(before)}
        if form is None:
            found = collection.delete_one(as_read).deleted_count
        else:
            found = collection.replace_one(as_read, form).matched_count
        if not found:
            raise Overtaken
    except DuplicateKeyError as error:
        raise Overtaken from error


def _as_read(row: Row) -> dict[str, Any]:
    """Finds the document if it is as it was read. One of another program has no number."""
    count = number(row.revision)
    return {"_revision": count if count else {"$in": [0, None]}}


def runs(steps: list[WriteStep]) -> Iterator[list[WriteStep]]:
    """The steps in parts that may be one command each; a step that may not is one alone."""
    for together, run in groupby(steps, lambda step: step.operation is not None):
        yield from parts(run, TOGETHER if together else 1)


def ordered(steps: list[WriteStep]) -> list[WriteStep]:
    """The steps in an order in which no two documents have one name at any time. Documents that
    swap their names lose them first."""
    order: list[WriteStep] = []
    waiting = steps
    while waiting:
        held = {_name(step.before): step for step in waiting}
        free: list[WriteStep] = []
        blocked: list[WriteStep] = []
        for step in waiting:
            taken = step.after is not None and step.after.name is not None
            holder = held.get(_name(step.after)) if taken else None
            (free if holder is None or holder is step else blocked).append(step)
        if not free:
            for at, step in enumerate(blocked):
                assert step.before is not None
                nameless, first = _nameless(step.before)
                order.append(first)
                blocked[at] = step.behind(nameless)
        order += free
        waiting = blocked
    return order


def _name(row: Row | None) -> tuple[str, str | None] | None:
    return None if row is None or row.name is None else (row.namespace, row.name)


def _nameless(row: Row) -> tuple[Row, WriteStep]:
    """A row without its name, and the step that takes it away."""
    document = {key: value for key, value in decode(row.text).items() if key != "name"}
    bare = row._replace(name=None, text=encode(document, "$"))
    form, revision = stored(bare, next_number(number(row.revision)))
    bare = bare._replace(revision=revision)
    return bare, WriteStep(row, bare, form)


def parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
