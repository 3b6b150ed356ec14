"""Each database reads SQL in its own way: what is code in it, and what is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, messages
from greenflow.sql.statement import several, statement

BOUND: list[tuple[str, str, int]] = [
    ("sqlite", "SELECT [what?], v FROM t WHERE v = ?", 1),
    ("sqlite", "SELECT [it''s ?], `a?`, \"b?\" WHERE v = ?", 1),
    ("sqlite", "SELECT '\\', ?", 1),
    ("sqlite", "SELECT [unclosed ?", 0),
    ("mssql", "SELECT [what?], [a]]?] /* /* */ ? */ WHERE v = ?", 1),
    ("postgresql", "SELECT 1 /* /* */ ? */ WHERE v = ?", 1),
    ("postgresql", "SELECT 1 /* /* ? /* */ */ ? */, ?", 1),
    ("postgresql", "SELECT a[?], x[1:2]", 1),
    ("postgresql", "SELECT $$ ? $$, $t$ ? $$ ? $t$, E'\\' ?', e'\\\\', ?", 1),
    ("postgresql", "SELECT U&'\\', ?, name'?', B'1'", 1),
    ("postgresql", 'SELECT "a""?", ? -- ?', 1),
    ("postgresql", "SELECT 1 /* unclosed ?", 0),
    ("mysql", "SELECT 1 # ?\n, ?", 1),
    ("mysql", "SELECT 1 -- ?\n, 5--?", 1),
    ("mysql", "SELECT 1 --\t?\n, 5--1, ?", 1),
    ("mysql", "SELECT 'it\\'s ?', \"a\\\"?\", 'b''?', `c\\`, ?", 1),
    ("mysql", "SELECT /* ? */ /*! ?, */ /*!50003 ?, */ /*M!100400 ?, */ ?", 4),
    ("mysql", "SELECT 1 /* /* ? */, ?", 1),
    ("oracle", "SELECT '?', \"?\" /* ? */, ?", 1),
]


@pytest.mark.parametrize(("dialect", "sql", "count"), BOUND)
def test_placeholders_as_the_database_sees_them(dialect: str, sql: str, count: int) -> None:
    assert len(statement(sql, dialect).positions) == count


@given(st.lists(st.sampled_from(["/*", "*/", "?", "a", "--", "\n", "'", "[", "]", "#", "$$"])))
def test_no_text_is_too_odd(pieces: list[str]) -> None:
    """Everything is taken apart, and SQLite's reading of placeholders is ours."""
    sql = f"SELECT 1 {' '.join(pieces)}"
    for dialect in ("sqlite", "postgresql", "mysql", "mssql", ""):
        assert statement(sql, dialect).sql == sql
        assert "".join(several(sql, dialect, [None])) == sql
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(f"EXPLAIN {sql}", [None] * len(statement(sql, "sqlite").positions))
        except sqlite3.ProgrammingError as error:  # of the number of arguments
            pytest.fail(str(error))
        except sqlite3.Error:
            pass  # it is no SQL, and that is told before the arguments are counted


SEVERAL: list[tuple[str, str, int]] = [
    ("sqlite", "SELECT 1; SELECT 2", 2),
    ("sqlite", "SELECT [a;b]; -- x; y\n", 1),
    ("sqlite", "CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3", 2),
    ("postgresql", "SELECT 1; SELECT $$;$$; ; /* ; /* ; */ ; */", 2),
    ("postgresql", "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT 2; END", 1),
    ("mysql", "SELECT 1; # ;\nSELECT ';'; SELECT `;`", 3),
    ("mysql", "SELECT 1; CREATE PROCEDURE p() BEGIN SET @a = 1; SET @b = 2; END", 2),
    ("oracle", "BEGIN f(); g(); END;", 1),
]


@pytest.mark.parametrize(("dialect", "sql", "count"), SEVERAL)
def test_statements_of_one_packet(dialect: str, sql: str, count: int) -> None:
    parts = several(sql, dialect, [None])
    assert len(parts) == count
    if count > 1:
        arguments: Any = [[1]]
        with pytest.raises(InvalidArgument) as failure:
            several(sql, dialect, arguments)
        assert f"the SQL is {count} statements" in list(messages(failure.value))[-1]
