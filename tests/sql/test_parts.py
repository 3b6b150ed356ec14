"""Parts of a transaction, as many and as deep as one likes, against what a person works out."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import SqlFailed
from greenflow.sql.source import SqliteSource
from greenflow.sql.sqlite import SqliteDatabase

# What a part does, in order: insert a row, or have a part inside; and how it ends.
WORK = st.recursive(
    st.just("insert"),
    lambda inside: st.tuples(
        st.lists(inside, max_size=4), st.sampled_from(["kept", "undone", "never ended"])
    ),
    max_leaves=12,
)
LOST = SqlFailed("lost")


class Rows:
    """Does the work, and counts the rows that are to be there at the end."""

    def __init__(self) -> None:
        self.number = 0

    def do(self, place: Any, work: Any) -> list[int]:
        """The numbers of the rows that are kept, if that around it is."""
        if work == "insert":
            self.number += 1
            place.run("INSERT INTO t VALUES (?)", [[self.number]], 10)
            return [self.number]
        inside, end = work
        part = place.part()
        part.__enter__()
        rows = [row for each in inside for row in self.do(part, each)]
        if end == "never ended":
            # Nobody else gets to the transaction meanwhile: that around it ends it, next.
            return []
        part.__exit__(None if end == "kept" else SqlFailed, LOST if end == "undone" else None, None)
        return rows if end == "kept" else []


def without_later(work: Any) -> Any:
    """That work, in which what is never ended comes last in what is around it."""
    if work == "insert":
        return work
    inside, end = work
    kept = []
    for each in map(without_later, inside):
        kept.append(each)
        if each != "insert" and each[1] == "never ended":
            break
    return kept, end


@given(WORK.map(without_later).filter(lambda work: work != "insert"))
def test_what_is_kept_is_what_ended_well_all_the_way_out(work: Any) -> None:
    database = SqliteDatabase(SqliteSource(""), None, 1, 5.0)
    with closing(database):
        with database.transaction(5.0) as transaction:
            transaction.run("CREATE TABLE t (n)", [None], 10)
            rows = Rows()
            expected = [row for each in work[0] for row in rows.do(transaction, each)]
        with database.transaction(5.0) as transaction:
            found = transaction.run("SELECT n FROM t ORDER BY n", [None], 100)
        assert [row["n"] for row in found] == expected


def test_a_part_that_has_ended_runs_nothing_more() -> None:
    database = SqliteDatabase(SqliteSource(""), None, 1, 5.0)
    with closing(database), database.transaction(5.0) as transaction:
        outer = transaction.part()
        inner = outer.part()
        inner.run("CREATE TABLE t (n)", [None], 10)
        with outer:
            assert not inner.ended
        for part in (outer, inner):
            assert part.ended
            with pytest.raises(SqlFailed, match="the transaction has ended"):
                part.run("SELECT 1", [None], 10)
        assert transaction.run("SELECT name FROM sqlite_schema", [None], 10) == []
