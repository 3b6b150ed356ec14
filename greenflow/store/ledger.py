"""The tables of an SQLite store's history, and every statement on them.

Lives here: SQL, over a connection that is handed in. No threads, no greenlets. What an edit holds
is change.py's.

`changes` has a row for each change, `edits` one for each document of it, found by document and by
number; `sets` says to which set a document belongs. They are written in the transaction that writes
the documents.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import groupby, islice

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
    Last,
    Packed,
    Pair,
    pack,
    pack_files,
    unpack_with,
)
from greenflow.store.document import Row
from greenflow.store.statements import PAGE, insert

_TABLES = (
    "CREATE TABLE changes (namespace TEXT NOT NULL, number INTEGER NOT NULL, time INTEGER NOT NULL,"
    " author TEXT NOT NULL, message TEXT NOT NULL, source TEXT NOT NULL, member TEXT NOT NULL,"
    " PRIMARY KEY (namespace, number)) WITHOUT ROWID",
    "CREATE TABLE edits (namespace TEXT NOT NULL, collection TEXT NOT NULL, id TEXT NOT NULL,"
    " number INTEGER NOT NULL, name TEXT, revision INTEGER NOT NULL, verb TEXT NOT NULL,"
    " depth INTEGER NOT NULL, place TEXT NOT NULL, data BLOB NOT NULL)",
    "CREATE UNIQUE INDEX edits_document ON edits (namespace, collection, id, number)",
    "CREATE INDEX edits_number ON edits (namespace, number)",
    "CREATE INDEX edits_name ON edits (namespace, name) WHERE name IS NOT NULL",
    "CREATE TABLE sets (namespace TEXT NOT NULL, collection TEXT NOT NULL, id TEXT NOT NULL,"
    " member TEXT NOT NULL, PRIMARY KEY (namespace, collection, id)) WITHOUT ROWID",
)

_EDIT = "number, collection, id, name, revision, verb, depth, place, data"

# One letter a verb: there is one in each row.
_LETTERS = {CREATED: "+", CHANGED: "~", DELETED: "-"}
_VERBS = {letter: verb for verb, letter in _LETTERS.items()}


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables, in a file that has none."""
    for statement in _TABLES:
        connection.execute(statement)


def newest(connection: sqlite3.Connection, namespace: str) -> int:
    """The number of the newest change of a namespace; 0 if there is none."""
    ((number,),) = connection.execute(
        "SELECT coalesce(max(number), 0) FROM changes WHERE namespace = ?", (namespace,)
    ).fetchall()
    return int(number)


def oldest(connection: sqlite3.Connection, namespace: str) -> int:
    """The number of the oldest change that is remembered; 0 if there is none."""
    ((number,),) = connection.execute(
        "SELECT coalesce(min(number), 0) FROM changes WHERE namespace = ?", (namespace,)
    ).fetchall()
    return int(number)


def record(
    connection: sqlite3.Connection, pairs: Sequence[tuple[str, Pair]], signature: Signature
) -> None:
    """Writes what a batch does, (collection, rows) by (collection, rows), as one change of each
    namespace. In the transaction that writes the rows."""
    ordered = sorted(pairs, key=lambda pair: pair[1].row.namespace)
    for namespace, several in groupby(ordered, key=lambda pair: pair[1].row.namespace):
        _record(connection, namespace, list(several), signature)


def join(connection: sqlite3.Connection, collection: str, rows: Iterable[Row], group: str) -> None:
    """Documents belong to a set from now on, and to no other."""
    insert(
        connection,
        "sets",
        [(row.namespace, collection, row.id, group) for row in rows],
        "INSERT OR REPLACE",
    )


def _record(
    connection: sqlite3.Connection,
    namespace: str,
    pairs: list[tuple[str, Pair]],
    signature: Signature,
) -> None:
    number = newest(connection, namespace) + 1
    connection.execute(
        "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            namespace,
            number,
            time.time_ns() // 1000,
            signature.author,
            signature.message,
            signature.source,
            signature.group,
        ),
    )
    packed: list[Packed] = []
    for collection, several in groupby(sorted(pairs, key=_collection), key=_collection):
        batch = [pair for _, pair in several]
        last = _last(connection, namespace, collection, [pair.row.id for pair in batch])
        packed += [pack(number, collection, pair, last.get(pair.row.id)) for pair in batch]
        gone = [pair.row.id for pair in batch if pair.after is None]
        _leave(connection, namespace, collection, gone)
    if all(collection != VALUES for collection, _ in pairs):  # a file of values has them in clear
        packed += _files(connection, namespace, number, signature)
    insert(
        connection,
        f"edits (namespace, {_EDIT})",
        [(namespace, *each._replace(verb=_LETTERS[each.verb])) for each in packed],
    )


def _collection(pair: tuple[str, Pair]) -> str:
    return pair[0]


def _files(
    connection: sqlite3.Connection, namespace: str, number: int, signature: Signature
) -> Iterator[Packed]:
    """The files whose texts are not what the history has of them."""
    last = _last(connection, namespace, FILES, list(signature.files))
    return pack_files(
        number,
        namespace,
        signature.files,
        last,
        lambda path: _newest_text(connection, namespace, FILES, path),
    )


def _newest_text(
    connection: sqlite3.Connection, namespace: str, collection: str, id: str
) -> str | None:
    ((number,),) = connection.execute(
        "SELECT max(number) FROM edits WHERE namespace = ? AND collection = ? AND id = ?",
        (namespace, collection, id),
    ).fetchall()
    found = edits(connection, namespace, number - 1, number, {id})
    return next((edit.after for edit in found if edit.collection == collection), None)


def _last(
    connection: sqlite3.Connection, namespace: str, collection: str, ids: Sequence[str]
) -> dict[str, Last]:
    """The newest edits of documents, as far as there are any."""
    last: dict[str, Last] = {}
    each = iter(ids)
    while part := list(islice(each, PAGE)):
        rows = connection.execute(
            "SELECT value, (SELECT json_array(revision, depth) FROM edits WHERE namespace = ?"
            " AND collection = ? AND id = value ORDER BY number DESC LIMIT 1)"
            " FROM json_each(?)",
            (namespace, collection, json.dumps(part)),
        ).fetchall()
        last.update((id, Last(*json.loads(text))) for id, text in rows if text is not None)
    return last


def _leave(
    connection: sqlite3.Connection, namespace: str, collection: str, ids: Sequence[str]
) -> None:
    each = iter(ids)
    while part := list(islice(each, PAGE)):
        connection.execute(
            "DELETE FROM sets WHERE namespace = ? AND collection = ?"
            " AND id IN (SELECT value FROM json_each(?))",
            (namespace, collection, json.dumps(part)),
        )


def headings(
    connection: sqlite3.Connection,
    namespace: str,
    below: int | None,
    limit: int,
    ids: Set[str] | None,
) -> list[Heading]:
    """The newest changes, the newest first."""
    where, parameters = "namespace = ?", [namespace]
    if below is not None:
        where += " AND number < ?"
        parameters.append(str(below))
    if ids is not None:
        where += (
            " AND number IN (SELECT number FROM (SELECT value FROM json_each(?)) CROSS JOIN edits"
            " ON namespace = ? AND collection IN ('specs', 'values') AND id = value)"
        )
        parameters += [json.dumps(sorted(ids)), namespace]
    rows = connection.execute(
        f"SELECT * FROM changes WHERE {where} ORDER BY number DESC LIMIT ?", [*parameters, limit]
    ).fetchall()
    return [_heading(connection, row) for row in rows]


def _heading(
    connection: sqlite3.Connection, row: tuple[str, int, int, str, str, str, str]
) -> Heading:
    namespace, number, microseconds, author, message, source, group = row
    counted = dict(
        connection.execute(
            "SELECT verb, count(*) FROM edits WHERE namespace = ? AND number = ?"
            f" AND collection != '{FILES}' GROUP BY verb",
            (namespace, number),
        ).fetchall()
    )
    names = connection.execute(
        "SELECT coalesce(name, id) FROM edits WHERE namespace = ? AND number = ?"
        f" AND collection != '{FILES}' LIMIT {NAMES}",
        (namespace, number),
    ).fetchall()
    counts = (counted.get(_LETTERS[verb], 0) for verb in (CREATED, CHANGED, DELETED))
    return Heading(
        namespace,
        number,
        microseconds / 1e6,
        author,
        message,
        source,
        group,
        Counts(*counts),
        tuple(name for (name,) in names),
    )


def edits(
    connection: sqlite3.Connection,
    namespace: str,
    above: int,
    upto: int | None,
    ids: Set[str] | None,
) -> list[Edit]:
    """What the changes above one number and up to another did, in their order."""
    # what is older than the oldest is there only to be leant on
    above = max(above, oldest(connection, namespace) - 1)
    last = newest(connection, namespace) if upto is None else upto
    if ids is None:
        rows = connection.execute(
            f"SELECT {_EDIT} FROM edits WHERE namespace = ? AND number > ? AND number <= ?"
            " ORDER BY number, collection, id",
            (namespace, above, last),
        ).fetchall()
    else:
        rows = connection.execute(
            f"SELECT {_EDIT} FROM (SELECT value FROM json_each(?)) CROSS JOIN edits"
            " ON namespace = ? AND collection IN ('specs', 'values', 'files') AND id = value"
            " AND number > ? AND number <= ? ORDER BY number, collection, id",
            (json.dumps(sorted(ids)), namespace, above, last),
        ).fetchall()
    packed = [_packed(row) for row in rows]
    found = unpack_with(packed, lambda first: _lead(connection, namespace, first))
    return [edit for edit in found if edit.number > above]


def _lead(connection: sqlite3.Connection, namespace: str, first: Packed) -> list[Packed]:
    """The edits that one leans on, in their order."""
    rows = connection.execute(
        f"SELECT {_EDIT} FROM edits WHERE namespace = ? AND collection = ? AND id = ?"
        " AND number < ? ORDER BY number DESC LIMIT ?",
        (namespace, first.collection, first.id, first.number, first.depth),
    ).fetchall()
    return [_packed(row) for row in reversed(rows)]


def _packed(row: tuple[int, str, str, str | None, int, str, int, str, bytes]) -> Packed:
    packed = Packed(*row)
    return packed._replace(verb=_VERBS[packed.verb])


def named(connection: sqlite3.Connection, namespace: str, name: str) -> frozenset[str]:
    """The ids of documents that have or had a name, or are called by that id."""
    rows = connection.execute(
        "SELECT DISTINCT id FROM edits WHERE namespace = :namespace AND name = :name"
        " UNION SELECT id FROM edits WHERE namespace = :namespace AND id = :name"
        " AND collection IN ('specs', 'values')",
        {"namespace": namespace, "name": name},
    ).fetchall()
    return frozenset(id for (id,) in rows)


def members(
    connection: sqlite3.Connection, namespace: str, collection: str, group: str
) -> frozenset[str]:
    """The ids of the documents of a collection that belong to a set."""
    rows = connection.execute(
        "SELECT id FROM sets WHERE namespace = ? AND collection = ? AND member = ?",
        (namespace, collection, group),
    ).fetchall()
    return frozenset(id for (id,) in rows)


def thin(connection: sqlite3.Connection, changes: int, before: float) -> int:
    """Forget all but the newest changes of each namespace that are older than a time. What a kept
    edit leans on stays. In a transaction."""
    forgotten = 0
    for (namespace,) in connection.execute("SELECT DISTINCT namespace FROM changes").fetchall():
        ((cut,),) = connection.execute(
            "SELECT coalesce(max(number), 0) FROM changes"
            " WHERE namespace = ? AND number <= ? AND time < ?",
            (namespace, newest(connection, namespace) - max(changes, 1), int(before * 1e6)),
        ).fetchall()
        forgotten += connection.execute(
            "DELETE FROM changes WHERE namespace = ? AND number <= ?", (namespace, cut)
        ).rowcount
        connection.execute(
            "DELETE FROM edits WHERE namespace = :namespace AND number <= :cut AND number <"
            " coalesce((SELECT max(whole.number) FROM edits AS whole"
            "  WHERE whole.namespace = :namespace AND whole.collection = edits.collection"
            "  AND whole.id = edits.id AND whole.depth = 0 AND whole.number <="
            "  (SELECT min(kept.number) FROM edits AS kept WHERE kept.namespace = :namespace"
            "   AND kept.collection = edits.collection AND kept.id = edits.id"
            "   AND kept.number > :cut)), :cut + 1)",
            {"namespace": namespace, "cut": cut},
        )
    return forgotten
