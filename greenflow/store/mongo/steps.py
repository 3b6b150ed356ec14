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
from typing import Any, NamedTuple, TypeVar

from pymongo import DeleteOne, InsertOne, ReplaceOne
from pymongo.errors import DuplicateKeyError, WriteConcernError

from greenflow.store.document import Row, decode, encode
from greenflow.store.mongo.documents import REVISION, next_number, number, stored

T = TypeVar("T")

Operation = InsertOne[dict[str, Any]] | ReplaceOne[dict[str, Any]] | DeleteOne

# Operations of one command: what is encoded in one stretch, a few milliseconds.
TOGETHER = 500


class Overtaken(Exception):
    """Another writer was faster: what was written is undone, begin again."""


class WriteStep:
    """One document of a batch: as it was (None: not there), as it is to be (None: gone).

    `form` is what is stored; `key` is its `_id`, which tools may have made of any type; `has_key`
    is of the server's, see documents.py.
    """

    def __init__(
        self,
        before: Row | None,
        after: Row | None,
        form: dict[str, Any] | None = None,
        key: Any = None,
        has_key: bool = False,
    ) -> None:
        self.before, self.after, self._form, self._has_key = before, after, form, has_key
        self.key = self.row.id if key is None else key
        self._later: WriteStep | None = None  # the step behind this one

    def behind(self, before: Row) -> WriteStep:
        """The same, of a document that an earlier step changes."""
        return WriteStep(before, self.after, self._form, self.key, self._has_key)

    def ahead_of(self, later: WriteStep) -> WriteStep:
        """This step, which knows the one behind it."""
        self._later = later
        return self

    def nameless(self) -> tuple[Row, WriteStep]:
        """The document as it was without its name, and the step that takes it away."""
        row = self.before
        assert row is not None
        document = {key: value for key, value in decode(row.text).items() if key != "name"}
        bare = row._replace(name=None, text=encode(document, "$"))
        form, revision = stored(bare, next_number(number(row.revision)), self._has_key)
        bare = bare._replace(revision=revision)
        return bare, WriteStep(row, bare, form, self.key, self._has_key)

    @property
    def row(self) -> Row:
        row = self.after or self.before
        assert row is not None
        return row

    @property
    def is_delete(self) -> bool:
        return self.after is None

    @property
    def operation(self) -> InsertOne[dict[str, Any]] | ReplaceOne[dict[str, Any]] | None:
        """What does it as one of several in a command, and fails if the document is not as it was
        read: where a replacement finds nothing, MongoDB inserts it, and the id is taken."""
        if self._form is None:
            return None
        if self.before is None:
            return InsertOne({"_id": self.key, **self._form})
        return ReplaceOne({"_id": self.key, **_as_read(self.before)}, self._form, upsert=True)

    def in_transaction(self) -> Operation:
        """What does it where no other writer can come between."""
        if self._form is None:
            return DeleteOne({"_id": self.key})
        if self.before is None:
            return InsertOne({"_id": self.key, **self._form})
        return ReplaceOne({"_id": self.key}, self._form)

    def write(self, collection: Any) -> None:
        """Do it, if the document is as it was. Raises Overtaken if not."""
        as_read = None if self.before is None else _as_read(self.before)
        _write(collection, as_read, self._form, self.key)

    def undo(self) -> Undo:
        """What puts the document back as it was."""
        numbers: tuple[int, ...] = (number(self.row.revision),)
        if self._later is not None:  # undoing that one leaves the document with one more
            numbers += (number(self._later.row.revision) + 1,)
        return Undo(self.key, self.row, self.before, numbers, self.is_delete, self._has_key)


class Undo(NamedTuple):
    """Puts the document of a row, with that `_id`, back as it was before a step (None: not there),
    if it still has one of the numbers that the step may have left, or is gone if the step deleted
    it."""

    key: Any
    row: Row
    before: Row | None
    numbers: tuple[int, ...]
    is_gone: bool
    has_key: bool

    def carry_out(self, collection: Any) -> None:
        """Do it, unless somebody else changed the document meanwhile."""
        form = None
        if self.before is not None:
            form, _ = stored(self.before, max(self.numbers) + 1, self.has_key)
        as_left = None if self.is_gone else {REVISION: {"$in": list(self.numbers)}}
        # Or the step was never carried out; or it is undone, and no majority has said so yet.
        with suppress(Overtaken, WriteConcernError):
            _write(collection, as_left, form, self.key)


def _write(
    collection: Any, as_read: dict[str, Any] | None, form: dict[str, Any] | None, key: Any
) -> None:
    """`as_read` finds the document as it was read; None: it was not there."""
    try:
        if as_read is None:
            if form is not None:
                collection.insert_one({"_id": key, **form})
            return
        wanted = {"_id": key, **as_read}
        if form is None:
            found = collection.delete_one(wanted).deleted_count
        else:
            found = collection.replace_one(wanted, form).matched_count
        if not found:
            raise Overtaken
    except DuplicateKeyError as error:
        raise Overtaken from error


def _as_read(row: Row) -> dict[str, Any]:
    """Finds the document if it is as it was read. One of another program has no number."""
    count = number(row.revision)
    return {REVISION: count if count else {"$in": [0, None]}}


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
                nameless, first = step.nameless()
                blocked[at] = step.behind(nameless)
                order.append(first.ahead_of(blocked[at]))
        order += free
        waiting = blocked
    return order


def _name(row: Row | None) -> tuple[str, str | None] | None:
    return None if row is None or row.name is None else (row.namespace, row.name)


def parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
