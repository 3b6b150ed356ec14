"""What other programs wrote into a MongoDB collection: it is not as its last edit has left it.

Lives here: Stray documents, how they are told from those of ours, and the pairs that make a change
of them. When they are looked for, and how the change is written, is writer.py's. Everything here
happens in the driver.

Every write of ours has an edit, in the same transaction, or before its documents while its change
is pending. So within a transaction, or while nobody else has a change on its way, a document whose
content is not that of its last edit was written by another program. A number alone says nothing:
undoing a write raises it, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from pymongo.client_session import ClientSession

from greenflow.store.base import Known
from greenflow.store.change import VALUES, Last, Pair
from greenflow.store.document import Row, decode, encode, identifier, same
from greenflow.store.mongo.documents import number, rows, same_content
from greenflow.store.mongo.ledger import MongoLedger
from greenflow.store.mongo.writing import MongoWriting


class Strayed(Exception):
    """A change is about documents that another program wrote meanwhile: its write comes first."""

    def __init__(self, collection: str, namespace: str, ids: Set[str]) -> None:
        super().__init__(collection, namespace, ids)
        self.collection, self.namespace, self.ids = collection, namespace, ids


class Search(NamedTuple):
    """Where strays are looked for: in a namespace of a collection, or only among some ids.

    `known` is what was known of documents that the history may not have. One that neither has is
    new if it was asked for by its id; else it may be of a greenflow that had no history.
    """

    collection: MongoWriting
    namespace: str
    ids: Set[str] | None
    known: Mapping[str, Known]
    are_new: bool


def check(collection: str, pairs: Sequence[Pair], last: Mapping[str, Last]) -> None:
    """Raises Strayed if documents are not as their last edits have left them."""
    strays = {pair.row.id for pair in pairs if _is_stray(pair.before, last.get(pair.row.id))}
    if strays:
        raise Strayed(collection, pairs[0].row.namespace, strays)


def _is_stray(row: Row | None, last: Last | None) -> bool:
    if last is None:
        return row is not None and not number(row.revision)
    if row is None or last.is_gone:
        return (row is None) != last.is_gone
    return not same_content(row.revision, last.revision)


def found(search: Search, ledger: MongoLedger, session: ClientSession | None) -> list[Pair]:
    """What other programs did, ordered by id."""
    collection, namespace, ids = search.collection, search.namespace, search.ids
    stored = rows(collection.stored(namespace, ids, session))
    now = {row.id: row for row in stored if row.namespace == namespace}
    asked = None if ids is None else sorted(ids)
    last = ledger.last(namespace, collection.name, asked, session)
    return list(_pairs(search, now, last, ledger, session))


def _pairs(
    search: Search,
    now: Mapping[str, Row],
    last: Mapping[str, Last],
    ledger: MongoLedger,
    session: ClientSession | None,
) -> Iterator[Pair]:
    namespace, sort = search.namespace, search.collection.name
    for id in sorted(search.ids if search.ids is not None else now.keys() | last.keys()):
        row, edit = now.get(id), last.get(id)
        if edit is not None:
            if not _is_stray(row, edit):
                continue
            text = None if edit.is_gone else ledger.text(namespace, sort, id, session)
            before = None if text is None else _row(id, namespace, edit.revision, text)
            # Only the order of its fields, perhaps; the data of a value are not in the text.
            is_same = sort != VALUES and before and row and same(before.text, row.text)
        elif id in search.known:
            document, revision = search.known[id]
            before = _row(id, namespace, revision, encode(document, "$"))
            is_same = row is not None and same_content(row.revision, revision)
        else:
            before = None
            is_same = row is None or (not search.are_new and number(row.revision) > 0)
        if not is_same and (before is not None or row is not None):
            yield Pair(before, row)


def _row(id: str, namespace: str, revision: int, text: str) -> Row:
    return Row(id, namespace, identifier(decode(text), "name", "$"), revision, text)
