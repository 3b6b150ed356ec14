"""The collections of a MongoDB store's history, and every operation on them.

Lives here: MongoLedger. All of it happens in the driver, and what writes takes the session of a
transaction, or None where there are none. What an edit holds is change.py's; a change on its way
without a transaction is pending.py's.

`greenflow_changes` has a document for each change, whose `_id` is its number and namespace, so that
no two writers make the same one; `greenflow_edits` one for each document of it; `greenflow_sets`
says to which set a document belongs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import groupby
from typing import Any

from bson.binary import Binary
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, IndexModel, ReplaceOne
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError

from greenflow.spec.signature import Signature
from greenflow.store.change import (
    CHANGED,
    CREATED,
    DELETED,
    FILES,
    NAMES,
    SPECS,
    VALUES,
    Counts,
    Edit,
    Heading,
    Last,
    Packed,
    Pair,
    check_expected,
    pack,
    pack_files,
    unpack_with,
    verb,
)
from greenflow.store.document import Row
from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.steps import Overtaken, parts

CHANGES, EDITS, SETS = "greenflow_changes", "greenflow_edits", "greenflow_sets"

# What a change on its way has that is not done: it locks its namespace, and no reader sees it.
PENDING = "pending"

# Ids in one query, and edits in one command, as in writing.py and steps.py.
ASKED, TOGETHER = 100, 500

# Documents whose last edits are asked for one by one: each is found at once at the end of an index,
# on any server. Of more they are asked for together.
FEW = 8

_DUPLICATE = 11000  # the code of a key that is taken

Pairs = Sequence[tuple[str, Pair]]

# Looks at the pairs of a collection and the last edits of their documents.
Check = Callable[[str, Sequence[Pair], Mapping[str, Last]], None]

_LAST = {"revision": 1, "depth": 1, "verb": 1}

_DONE: dict[str, Any] = {PENDING: {"$exists": False}}

_INDEXES = {
    CHANGES: [
        IndexModel([("namespace", ASCENDING), ("number", ASCENDING)], name="numbers"),
        IndexModel([(PENDING, ASCENDING)], name="pending"),
    ],
    EDITS: [
        IndexModel(
            [(key, ASCENDING) for key in ("namespace", "collection", "id", "number")],
            unique=True,
            name="documents",
        ),
        IndexModel([("namespace", ASCENDING), ("number", ASCENDING)], name="numbers"),
        IndexModel([("namespace", ASCENDING), ("name", ASCENDING)], name="names"),
    ],
    SETS: [
        IndexModel(
            [(key, ASCENDING) for key in ("namespace", "collection", "member")], name="members"
        )
    ],
}


class MongoLedger:
    """The changes of all namespaces of a database."""

    def __init__(self, driver: Driver) -> None:
        self.changes = driver.database[CHANGES]
        self.edits = driver.database[EDITS]
        self.sets = driver.database[SETS]

    def prepare(self) -> None:
        """Make the collections and their indexes, if they are not there."""
        for collection in (self.changes, self.edits, self.sets):
            collection.create_indexes(_INDEXES[collection.name])

    # -- writing -------------------------------------------------------------------------------

    def check(self, signature: Signature, session: ClientSession | None = None) -> None:
        """Raises ChangedMeanwhile if the signature expects other changes to be the newest."""
        check_expected(signature, partial(self.newest, session=session))

    def begin(
        self,
        namespace: str,
        pairs: Pairs,
        signature: Signature,
        session: ClientSession | None,
        extra: Mapping[str, Any],
    ) -> int:
        """Insert the next change of a namespace, with `extra` fields, if nobody else does. Returns
        its number; raises Overtaken."""
        number = self.newest(namespace, session) + 1
        verbs = Counter(verb(*(row and row.text for row in pair[:2])) for _, pair in pairs)
        heading = {
            "_id": heading_id(namespace, number),
            "namespace": namespace,
            "number": Int64(number),
            "time": Int64(time.time_ns() // 1000),
            "author": signature.author,
            "message": signature.message,
            "source": signature.source,
            "group": signature.group,
            "counts": [verbs[each] for each in (CREATED, CHANGED, DELETED)],
            "names": [pair.row.name or pair.row.id for _, pair in pairs[:NAMES]],
            **extra,
        }
        try:
            self.changes.insert_one(heading, session=session)
        except DuplicateKeyError as error:
            raise Overtaken from error
        return number

    def record(
        self,
        namespace: str,
        number: int,
        pairs: Pairs,
        signature: Signature,
        session: ClientSession | None,
        extra: Mapping[str, Any],
        check: Check | None = None,
    ) -> None:
        """Insert the edits of a change that was begun, unless `check` raises something over its
        pairs and the last edits of their documents. Raises Overtaken."""
        packed: list[Packed] = []
        for collection, several in groupby(pairs, key=_collection):
            batch = [pair for _, pair in several]
            last = self.last(namespace, collection, [pair.row.id for pair in batch], session)
            if check is not None:
                check(collection, batch, last)
            packed += [pack(number, collection, pair, last.get(pair.row.id)) for pair in batch]
        # a file of values has them in clear
        if signature.files and all(collection != VALUES for collection, _ in pairs):
            last = self.last(namespace, FILES, list(signature.files), session)
            packed += pack_files(
                number,
                namespace,
                signature.files,
                last,
                lambda path: self.text(namespace, FILES, path, session),
            )
        for part in parts(packed, TOGETHER):
            forms = [_form(namespace, each, extra) for each in part]
            try:
                self.edits.insert_many(forms, session=session)
            except BulkWriteError as error:
                if any(
                    each.get("code") == _DUPLICATE for each in (error.details or {})["writeErrors"]
                ):
                    raise Overtaken from error
                raise

    def join(
        self, collection: str, rows: Iterable[Row], group: str, session: ClientSession | None
    ) -> None:
        """Documents belong to a set from now on, and to no other."""
        for part in parts(rows, TOGETHER):
            replacements = []
            for row in part:
                key = {"_id": f"{collection}:{row.id}"}
                form = {"namespace": row.namespace, "collection": collection, "id": row.id}
                replacements.append(ReplaceOne(key, {**form, "member": group}, upsert=True))
            self.sets.bulk_write(replacements, session=session)

    def leave(self, pairs: Pairs, session: ClientSession | None) -> None:
        """What is deleted belongs to no set any more."""
        gone = [f"{collection}:{pair.row.id}" for collection, pair in pairs if pair.after is None]
        for part in parts(gone, ASKED):
            self.sets.delete_many({"_id": {"$in": part}}, session=session)

    def last(
        self,
        namespace: str,
        collection: str,
        ids: Sequence[str] | None,
        session: ClientSession | None,
    ) -> dict[str, Last]:
        """The newest edits of documents, as far as there are any; None: of all of them."""
        within = {"namespace": namespace, "collection": collection}
        if ids is not None and len(ids) <= FEW:
            order = [("number", DESCENDING)]
            found = (
                (id, self.edits.find_one({**within, "id": id}, _LAST, sort=order, session=session))
                for id in ids
            )
            return {id: _last(edit) for id, edit in found if edit is not None}
        last: dict[str, Last] = {}
        for among in [{}] if ids is None else [{"id": {"$in": part}} for part in parts(ids, ASKED)]:
            keys = ("namespace", "collection", "id", "number")
            pipeline: list[dict[str, Any]] = [
                {"$match": {**within, **among}},
                {"$sort": dict.fromkeys(keys, DESCENDING)},
                {"$group": {"_id": "$id", **{key: {"$first": f"${key}"} for key in _LAST}}},
            ]
            for edit in self.edits.aggregate(pipeline, session=session):
                last[edit["_id"]] = _last(edit)
        return last

    def text(
        self, namespace: str, collection: str, id: str, session: ClientSession | None
    ) -> str | None:
        """The newest text of a document or a file; None if there is none."""
        query = {"namespace": namespace, "collection": collection, "id": id}
        order = [("number", DESCENDING)]
        newest = self.edits.find_one(query, sort=order, session=session)
        if newest is None:
            return None
        found = unpack_with([_packed(newest)], lambda first: self._lead(namespace, first, session))
        return list(found)[-1].after

    # -- reading -------------------------------------------------------------------------------

    def newest(self, namespace: str, session: ClientSession | None = None) -> int:
        """The number of the newest change that is done; 0 if there is none."""
        return self._end(namespace, DESCENDING, session)

    def oldest(self, namespace: str) -> int:
        """The number of the oldest change that is remembered; 0 if there is none."""
        return self._end(namespace, ASCENDING, None)

    def _end(self, namespace: str, direction: int, session: ClientSession | None) -> int:
        query = {"namespace": namespace, **_DONE}
        change = self.changes.find_one(query, sort=[("number", direction)], session=session)
        return 0 if change is None else int(change["number"])

    def headings(
        self, namespace: str, below: int | None, limit: int, ids: Set[str] | None
    ) -> list[Heading]:
        """The newest changes, the newest first."""
        query: dict[str, Any] = {"namespace": namespace, **_DONE}
        if ids is not None:
            touched = self._of(namespace, ids, (SPECS, VALUES), {}, {"number": 1})
            oldest, newest = self.oldest(namespace), self.newest(namespace)
            numbers = {int(each["number"]) for each in touched}
            wanted = (n for n in numbers if oldest <= n <= newest and (below is None or n < below))
            some = sorted(wanted, reverse=True)[:limit]
            query["_id"] = {"$in": [heading_id(namespace, number) for number in some]}
        elif below is not None:
            query["number"] = {"$lt": below}
        order = [("number", DESCENDING)]
        return [_heading(each) for each in self.changes.find(query, sort=order, limit=limit)]

    def edits_of(
        self, namespace: str, above: int, upto: int | None, ids: Set[str] | None
    ) -> list[Edit]:
        """What the changes above one number and up to another did, in their order."""
        # what is older than the oldest is there only to be leant on, what is newer is on its way
        above = max(above, self.oldest(namespace) - 1)
        newest = self.newest(namespace)
        between = {"$gt": above, "$lte": newest if upto is None else min(upto, newest)}
        if ids is None:
            found = list(self.edits.find({"namespace": namespace, "number": between}))
        else:
            among = (SPECS, VALUES, FILES)
            found = list(self._of(namespace, ids, among, {"number": between}, None))
        packed = sorted(map(_packed, found), key=lambda each: each[:3])
        edits = unpack_with(packed, lambda first: self._lead(namespace, first, None))
        return [edit for edit in edits if edit.number > above]

    def _of(
        self,
        namespace: str,
        ids: Iterable[str],
        collections: Sequence[str],
        more: Mapping[str, Any],
        fields: Mapping[str, int] | None,
    ) -> Iterator[dict[str, Any]]:
        """The edits of some ids."""
        among = {"namespace": namespace, "collection": {"$in": list(collections)}, **more}
        for part in parts(sorted(ids), ASKED):
            yield from self.edits.find({**among, "id": {"$in": part}}, fields)

    def _lead(self, namespace: str, first: Packed, session: ClientSession | None) -> list[Packed]:
        """The edits that one leans on, in their order."""
        query = {"namespace": namespace, "collection": first.collection, "id": first.id}
        before = {**query, "number": {"$lt": first.number}}
        order = [("number", DESCENDING)]
        found = list(self.edits.find(before, sort=order, limit=first.depth, session=session))
        return [_packed(each) for each in reversed(found)]

    def named(self, namespace: str, name: str) -> frozenset[str]:
        """The ids of documents that have or had a name, or are called by that id."""
        upto = {"number": {"$lte": self.newest(namespace)}}
        named = self.edits.find({"namespace": namespace, "name": name, **upto}, {"id": 1})
        called = self._of(namespace, {name}, (SPECS, VALUES), upto, {"id": 1})
        return frozenset(each["id"] for each in (*named, *called))

    def members(self, namespace: str, collection: str, group: str) -> frozenset[str]:
        """The ids of the documents of a collection that belong to a set."""
        query = {"namespace": namespace, "collection": collection, "member": group}
        return frozenset(each["id"] for each in self.sets.find(query, {"id": 1}))


def heading_id(namespace: str, number: int) -> str:
    """The `_id` of a change."""
    return f"{number}:{namespace}"


def by_namespace(pairs: Pairs) -> dict[str, list[tuple[str, Pair]]]:
    """What a batch does to each namespace, specs before values."""
    spaces: dict[str, list[tuple[str, Pair]]] = {}
    for pair in sorted(pairs, key=_collection):
        spaces.setdefault(pair[1].row.namespace, []).append(pair)
    return dict(sorted(spaces.items()))


def _collection(pair: tuple[str, Pair]) -> str:
    return pair[0]


def _form(namespace: str, packed: Packed, extra: Mapping[str, Any]) -> dict[str, Any]:
    form = {**packed._asdict(), "number": Int64(packed.number), "data": Binary(packed.data)}
    return {"namespace": namespace, **form, "revision": Int64(packed.revision), **extra}


def _packed(found: Mapping[str, Any]) -> Packed:
    fields = {field: found[field] for field in Packed._fields}
    numbers = {field: int(found[field]) for field in ("number", "revision", "depth")}
    return Packed(**{**fields, **numbers, "data": bytes(found["data"])})


def _last(found: Mapping[str, Any]) -> Last:
    return Last(int(found["revision"]), int(found["depth"]), found["verb"] == DELETED)


def _heading(found: Mapping[str, Any]) -> Heading:
    return Heading(
        found["namespace"],
        int(found["number"]),
        int(found["time"]) / 1e6,
        found["author"],
        found["message"],
        found["source"],
        found["group"],
        Counts(*found["counts"]),
        tuple(found["names"]),
    )
