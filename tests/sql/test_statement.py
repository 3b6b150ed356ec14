"""SQL taken apart: placeholders, and what only looks like one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument
from greenflow.sql.dialect import dialect_of
from greenflow.sql.statement import KEPT_CHARACTERS, first_word, read, statement

BOUND: list[tuple[str, Any, str, tuple[Any, ...]]] = [
    ("SELECT ?, ?", [1, 2], "SELECT %s, %s", (1, 2)),
    ("SELECT $2, $1, $2", [1, 2], "SELECT %s, %s, %s", (2, 1, 2)),
    ("SELECT ?2, ?1, ?", [1, 2, 3], "SELECT %s, %s, %s", (2, 1, 3)),
    ("SELECT :a, :b, :a", {"a": 1, "b": 2}, "SELECT %s, %s, %s", (1, 2, 1)),
    (
        "SELECT '?', \"?\", `?`, ? -- ?\n/* ? */",
        [1],
        "SELECT '?', \"?\", `?`, %s -- ?\n/* ? */",
        (1,),
    ),
    ("SELECT ':a it''s :a', :a", {"a": 1}, "SELECT ':a it''s :a', %s", (1,)),
    ("SELECT '12:30', :a::int, x[1:2]", {"a": 1}, "SELECT '12:30', %s::int, x[1:2]", (1,)),
    ("SELECT $$ :a $1 $$, $t$ ? $$ $t$, $1", [1], "SELECT $$ :a $1 $$, $t$ ? $$ $t$, %s", (1,)),
    ("SELECT data ? 'a' WHERE b = $1", [1], "SELECT data ? 'a' WHERE b = %s", (1,)),
    ("SELECT 5 % 3, 'a%' LIKE ?", [1], "SELECT 5 %% 3, 'a%%' LIKE %s", (1,)),
    ("SELECT '\\', ?, '?'", [1], "SELECT '\\', %s, '?'", (1,)),
    ("SELECT E'\\' ?', ?", [1], "SELECT E'\\' ?', %s", (1,)),
    ("SELECT 'unclosed ?", [], "SELECT 'unclosed ?", ()),
]


@pytest.mark.parametrize(("sql", "arguments", "written", "values"), BOUND)
def test_placeholders_are_those_of_the_driver(
    sql: str, arguments: Any, written: str, values: tuple[Any, ...]
) -> None:
    assert statement(sql).bind(arguments, "format") == (written, values or None)


def test_other_styles() -> None:
    assert statement("SELECT $2, $1").bind([1, 2], "qmark") == ("SELECT ?, ?", (2, 1))
    assert statement("SELECT :a, '%'").bind({"a": 1}, "numeric") == ("SELECT :1, '%'", (1,))
    assert statement("SELECT '%'").bind(None, "format") == ("SELECT '%'", None)
    mysql = statement("SELECT 'it\\'s ?', ?", dialect="mysql")
    assert mysql.bind([1], "format") == ("SELECT 'it\\'s ?', %s", (1,))


@given(st.text("ab'\"?:$1%-*/\\ \n", max_size=12), st.integers(0, 9))
def test_whatever_stands_in_a_string_stays_there(text: str, value: int) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    sql, values = statement(f"SELECT {quoted}, :value").bind({"value": value}, "qmark")
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute(sql, values or ()).fetchall() == [(text, value)]


PARTS = (
    "'",
    "''",
    "\\'",
    '"',
    "`",
    "--",
    "\n",
    " ",
    "/*",
    "*/",
    "$a$",
    "$1",
    "?2",
    "::",
    ":a",
    "%",
    "e'",
    "[",
    "]",
    "#",
    "/*!",
    ";",
)


@given(
    st.lists(st.sampled_from(PARTS), max_size=14).map("".join),
    st.sampled_from(["", "sqlite", "mssql", "postgresql", "mysql"]),
)
def test_where_a_stretch_ends_makes_no_difference(text: str, name: str) -> None:
    dialect = dialect_of(name)
    whole = list(dialect.tokens(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("greenflow.sql.dialect.STRETCH", 2)
        assert list(dialect.tokens(text)) == whole


def test_a_long_text_is_taken_apart_in_linear_time_and_not_kept() -> None:
    sql = "SELECT " + "'a''b' /* x */ \"c\" $$ " * KEPT_CHARACTERS
    assert statement(sql) is not statement(sql)
    assert statement("SELECT 1") is statement("SELECT 1")


@pytest.mark.parametrize(
    ("sql", "word"),
    [("select 1", "SELECT"), ("-- a\n/* b */ ( Values (1))", "VALUES"), ("", ""), ("--", "")],
)
def test_the_first_word(sql: str, word: str) -> None:
    assert first_word(sql) == word


@pytest.mark.parametrize("sql", ["BEGIN", "Start Transaction", "commit;", "END", "ROLLBACK"])
def test_transactions_are_not_of_workflows(sql: str) -> None:
    with pytest.raises(InvalidArgument):
        statement(sql)


@pytest.mark.parametrize("sql", ["SAVEPOINT a", "RELEASE a", "ROLLBACK TO a", "rollback work to a"])
def test_savepoints_are(sql: str) -> None:
    assert not statement(sql).reads


def test_a_payload_is_sql_and_its_runs() -> None:
    assert read("a") == read(["a"]) == read(["a", None]) == ("a", [None])
    assert read(["a", []]) == ("a", [[]])
    assert read(["a", [1, {"b": 2}]]) == ("a", [[1, {"b": 2}]])
    assert read(["a", {"b": 2}]) == read(["a", [{"b": 2}]]) == ("a", [{"b": 2}])
    assert "secret" not in repr(statement("SELECT 'secret'"))
