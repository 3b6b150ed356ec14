"""What other programs wrote into an SQLite store, until it is claimed as a change of `unknown`.

Lives here: the triggers that notice such a write, in its own transaction, and what they keep of it.
How a change is recorded is ledger.py's.

A write of ours puts its lines into the journal first: so the last row that this connection inserted
is the journal's last when it deletes rows, and each row that it inserts has the number of a line of
its own. A write without that is another program's. Its triggers do what it left out: the document
gets a line and a revision, so feeds report it; and `unclaimed` has what was there before, until a
change is made of it in one transaction, by whoever is first. The data of values are not kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from greenflow.store.change import SPECS, VALUES, Pair
from greenflow.store.document import Row, same

_TABLE = (
    "CREATE TABLE unclaimed (collection TEXT NOT NULL, id TEXT NOT NULL, namespace TEXT NOT NULL,"
    " name TEXT, revision INTEGER NOT NULL, document TEXT, PRIMARY KEY (collection, id))"
    " WITHOUT ROWID"
)

# The last number of the journal, and that it is not of this connection. Not that of
# sqlite_sequence: SQLite writes that one at the end of the statement which fires the triggers.
_LAST = "(SELECT max(number) FROM journal)"
_FOREIGN = f"last_insert_rowid() IS NOT {_LAST}"

# What the history may have of the text of a row.
_TEXTS = {
    SPECS: "{row}document",
    VALUES: "CASE WHEN json_valid({row}document) THEN json_remove({row}document, '$.data') END",
}

# Of a value, what was there before is not what the history has to the letter: nothing leans on it.
_REVISIONS = {SPECS: "{row}revision", VALUES: "-1"}


def create(connection: sqlite3.Connection) -> None:
    """Makes the table and the triggers, in a file that has none."""
    connection.execute(_TABLE)
    for table in (SPECS, VALUES):
        for statement in _triggers(table):
            connection.execute(statement)


def _triggers(table: str) -> Iterator[str]:
    """The triggers of one table."""
    revision, text = _REVISIONS[table], _TEXTS[table]
    # The policy for conflicts is that of the statement which fires a trigger: so none may happen.
    unknown = f"NOT EXISTS (SELECT 1 FROM unclaimed WHERE collection = '{table}' AND id = {{id}})"
    old = (
        f"INSERT INTO unclaimed SELECT '{table}', OLD.id, OLD.namespace, OLD.name,"
        f" {revision.format(row='OLD.')}, {text.format(row='OLD.')}"
        f" WHERE {unknown.format(id='OLD.id')};"
    )
    new = (
        f"INSERT INTO unclaimed SELECT '{table}', NEW.id, NEW.namespace, NEW.name, 0, NULL"
        f" WHERE {unknown.format(id='NEW.id')};"
    )
    line = f"INSERT INTO journal (collection, namespace, id) SELECT '{table}', "
    numbered = f'UPDATE "{table}" SET revision = {_LAST} WHERE id = NEW.id;'
    inserted = (
        "NOT EXISTS (SELECT 1 FROM journal WHERE number = NEW.revision"
        f" AND collection = '{table}' AND id = NEW.id)"
    )
    # INSERT OR REPLACE deletes what is in its way, and fires no trigger for that.
    yield (
        f'CREATE TRIGGER "{table}_inserting" BEFORE INSERT ON "{table}" WHEN {inserted} BEGIN'
        f" INSERT INTO unclaimed SELECT '{table}', id, namespace, name,"
        f' {revision.format(row="")}, {text.format(row="")} FROM "{table}" AS there'
        " WHERE (id = NEW.id OR (namespace = NEW.namespace AND name = NEW.name))"
        f" AND {unknown.format(id='there.id')}; {new}"
        f' {line} namespace, id FROM "{table}"'
        " WHERE namespace = NEW.namespace AND name = NEW.name AND id != NEW.id; END"
    )
    yield (
        f'CREATE TRIGGER "{table}_inserted" AFTER INSERT ON "{table}" WHEN {inserted} BEGIN'
        f" {line} NEW.namespace, NEW.id; {numbered} END"
    )
    yield (
        f'CREATE TRIGGER "{table}_updated" AFTER UPDATE ON "{table}" WHEN {_FOREIGN} BEGIN'
        f" {old} {new} {line} OLD.namespace, OLD.id"
        " WHERE OLD.id != NEW.id OR OLD.namespace != NEW.namespace;"
        f" {line} NEW.namespace, NEW.id; {numbered} END"
    )
    yield (
        f'CREATE TRIGGER "{table}_deleted" AFTER DELETE ON "{table}" WHEN {_FOREIGN} BEGIN'
        f" {old} {line} OLD.namespace, OLD.id; END"
    )


def are_there(connection: sqlite3.Connection) -> bool:
    """Whether another program wrote something that is not claimed."""
    ((found,),) = connection.execute("SELECT EXISTS (SELECT 1 FROM unclaimed)").fetchall()
    return bool(found)


def claim(connection: sqlite3.Connection) -> list[tuple[str, Pair]]:
    """What other programs wrote, by collection; from now on it is nobody else's. In a transaction.

    What cannot be read stays: nobody can say what it is before it is mended.
    """
    pairs: list[tuple[str, Pair]] = []
    for table in (SPECS, VALUES):
        found = connection.execute(
            "SELECT was.id, was.namespace, was.name, was.revision, was.document,"
            " now.namespace, now.name, now.revision, now.document"
            f' FROM unclaimed AS was LEFT JOIN "{table}" AS now ON now.id = was.id'
            " WHERE was.collection = ? ORDER BY was.id",
            (table,),
        ).fetchall()
        claimed: list[str] = []
        for id, *columns in found:
            before = Row(id, *columns[:4]) if columns[3] is not None else None
            after = Row(id, *columns[4:]) if columns[7] is not None else None
            if all(row is None or _is_document(row.text) for row in (before, after)):
                claimed.append(id)
                pairs += ((table, pair) for pair in _pairs(before, after))
        connection.executemany(
            "DELETE FROM unclaimed WHERE collection = ? AND id = ?", [(table, id) for id in claimed]
        )
    return pairs


def _is_document(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, TypeError):
        return False


def _pairs(before: Row | None, after: Row | None) -> Iterator[Pair]:
    """What was done to one document: each namespace has its own part of it."""
    if before is not None and after is not None:
        if before.namespace != after.namespace:
            yield Pair(before, None)
            yield Pair(None, after)
        elif not same(before.text, after.text):
            yield Pair(before, after)
    elif before is not None or after is not None:
        yield Pair(before, after)
