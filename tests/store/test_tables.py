"""The SQL of the SQLite store, in memory: the journal's numbers, trimming and gaps."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from greenflow.store import tables
from greenflow.store.document import Row
from greenflow.store.tables import Changes, changes_behind, last_number


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        tables.create(connection)
        yield connection


def rows(*ids: str, namespace: str = "n") -> list[Row]:
    return [Row(id, namespace, None, 0, "{}") for id in ids]


def test_revisions_are_the_numbers_of_the_journal(connection: sqlite3.Connection) -> None:
    start = last_number(connection)
    written = tables.write(connection, "specs", rows("a", "b"))
    assert [row.revision for row in written] == [start + 1, start + 2]
    assert last_number(connection) == start + 2


def test_numbers_begin_with_the_time(connection: sqlite3.Connection) -> None:
    """So a file that takes the place of another one has other revisions."""
    now = time.time_ns() // 1000
    assert now - 60_000_000 < last_number(connection) <= now


def test_changes_behind_a_number(connection: sqlite3.Connection) -> None:
    start = last_number(connection)
    assert changes_behind(connection, start) == Changes({}, start, False)
    tables.write(connection, "specs", rows("a", "b"))
    tables.write(connection, "values", rows("a", namespace="m"))
    tables.remove(connection, "specs", rows("b"))
    assert changes_behind(connection, start) == Changes(
        {("specs", "n"): {"a", "b"}, ("values", "m"): {"a"}}, start + 4, False
    )
    assert changes_behind(connection, start + 3) == Changes(
        {("specs", "n"): {"b"}}, start + 4, False
    )


def test_changes_come_in_pages(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "JOURNAL_PAGE", 2)
    start = number = last_number(connection)
    tables.write(connection, "specs", rows("a", "b", "c", "d", "e"))
    pages = []
    while (changes := changes_behind(connection, number)).last != number:
        number = changes.last
        pages.append(sorted(changes.ids["specs", "n"]))
    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    assert number == start + 5


def test_the_journal_is_trimmed_and_what_was_missed_is_a_gap(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "JOURNAL_KEPT", 3)
    start = last_number(connection)
    tables.write(connection, "specs", rows("a", "b", "c", "d", "e"))
    assert connection.execute("SELECT count(*) FROM journal").fetchall() == [(3,)]
    assert changes_behind(connection, start) == Changes({}, start + 5, True)
    assert changes_behind(connection, start + 1) == Changes({}, start + 5, True)
    assert changes_behind(connection, start + 2) == Changes(
        {("specs", "n"): {"c", "d", "e"}}, start + 5, False
    )
    assert changes_behind(connection, start + 5) == Changes({}, start + 5, False)


def test_an_empty_journal_behind_a_number_is_a_gap(connection: sqlite3.Connection) -> None:
    start = last_number(connection)
    tables.write(connection, "specs", rows("a"))
    connection.execute("DELETE FROM journal")
    assert changes_behind(connection, start) == Changes({}, start + 1, True)


def test_numbers_that_went_back_are_a_gap(connection: sqlite3.Connection) -> None:
    """As when a backup was copied into the file."""
    start = last_number(connection)
    assert changes_behind(connection, start + 100) == Changes({}, start, True)
