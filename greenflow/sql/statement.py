"""A payload as statements: the SQL, its placeholders, and the arguments for each run.

Lives here: `read`, which takes a payload apart, `several`, and Statement. How a value is bound is
values.py's, what a statement leaves behind is session.py's.

Placeholders are `?` or `$1` for a list and `:name` for a map, whatever the driver wants; they are
rewritten to its own. Those in what the database takes for a text, a quoted name or a comment
(dialect.py) are none, nor are `::` of casts and, where `$1` stands in the same SQL, the operator
`?` of PostgreSQL. Without arguments SQL passes as it is.

Several statements in one packet are run one after the other, and their rows are the answer, one
after the other, too. Arguments are for one statement alone.

No text of an error holds an argument, and nothing here has a repr that shows one.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from greenflow.errors import InvalidArgument
from greenflow.hub.breathing import unhurried
from greenflow.sql.dialect import Token, dialect_of
from greenflow.sql.session import Remains, judge, pragma_of_all

# SQL texts that are kept taken apart. Workflows have few, which they send again and again; one made
# of its arguments is new each time, so large ones are not kept.
KEPT = 1024
KEPT_CHARACTERS = 10_000

_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\()*+(\w*)", re.DOTALL)
_PERCENT = re.compile("%")
_PRAGMAS = frozenset(("PRAGMA", "EXPLAIN"))
# Characters of a call, a pragma or a setting up to where it is known to be one, at most.
OVERLAP = 1000
# Characters that are judged in one go, about: 2 ms.
JUDGED = 16 * 1024
# Databases in which `"` is of a text.
_QUOTING = frozenset(("mysql", "mariadb"))
# Those whose statements are told apart here. A routine has semicolons of its own.
_SPLIT = frozenset(("postgresql", "cockroachdb", "mysql", "mariadb"))
_PROGRAM = re.compile(r"\s*CREATE\b(?=.*\bBEGIN\b)", re.IGNORECASE | re.DOTALL)
_READING = frozenset(("SELECT", "VALUES", "WITH", "EXPLAIN"))
_WRITING = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE|MERGE)\b", re.IGNORECASE)
_TRANSACTION = frozenset(("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"))
_TO_SAVEPOINT = re.compile(r"\s*ROLLBACK\s+(?:TRANSACTION\s+|WORK\s+)?TO\b", re.IGNORECASE)


class Statement:
    """SQL that was taken apart: texts, and between them its placeholders."""

    __slots__ = ("looks_back", "names", "only_reads", "positions", "reads", "remains", "sql")

    def __init__(self, sql: str, dialect: str) -> None:
        tokens = list(dialect_of(dialect).tokens(sql))
        code = _code(sql, tokens, dialect)
        word = first_word(code)
        if not word:
            raise InvalidArgument("the SQL is empty")
        if word in _TRANSACTION and not _TO_SAVEPOINT.match(code):
            raise InvalidArgument(
                f"{word} is not for workflows: a transaction begins and ends with its process; an "
                "error, or an answer with a status from 400 on, rolls it back"
            )
        self.sql = sql
        self.reads = word in _READING  # as far as its first word tells
        # Unless a function that it calls writes.
        self.only_reads = self.reads and (word != "WITH" or not _WRITING.search(code))
        numbered = any(token.kind == "number" for token in tokens)
        kind = "number" if numbered else "mark"
        self.positions = [token for token in tokens if token.kind == kind]
        self.names = [token for token in tokens if token.kind == "name"]
        self.remains, self.looks_back = Remains.NOTHING, False
        for stretch in _stretches(code):
            use = judge(stretch, word, dialect)
            self.remains = max(self.remains, use.remains)
            self.looks_back = self.looks_back or use.looks_back
        if dialect == "sqlite" and word in _PRAGMAS and (pragma := pragma_of_all(sql)):
            raise InvalidArgument(
                f"PRAGMA {pragma} is not for workflows: it is of the whole OS process"
            )

    def __repr__(self) -> str:
        return "<Statement>"  # SQL may be made of secrets

    def bind(self, arguments: Any, style: str) -> tuple[str, tuple[Any, ...] | None]:
        """The SQL with placeholders of the style (`qmark`, `format`, `numeric`), and its arguments
        in their order; None: it takes none. Raises InvalidArgument."""
        if arguments is None or (not arguments and not isinstance(arguments, dict)):
            return self.sql, None
        if isinstance(arguments, dict):
            used, values = self.names, self._by_name(arguments)
        else:
            used, values = self.positions, self._by_position(arguments)
        if not values:
            return self.sql, None
        if style == "qmark" and all(token.text == "?" for token in used):
            return self.sql, values
        return self._written(used, style), values

    def _by_name(self, arguments: dict[str, Any]) -> tuple[Any, ...]:
        missing = [f":{token.text}" for token in self.names if token.text not in arguments]
        if missing:
            raise InvalidArgument(f"there is no argument for {', '.join(dict.fromkeys(missing))}")
        if not self.names and self.positions:
            raise InvalidArgument("a map of arguments is for placeholders such as :name")
        return tuple(arguments[token.text] for token in self.names)

    def _by_position(self, arguments: list[Any]) -> tuple[Any, ...]:
        numbers: list[int] = []
        for token in self.positions:
            number = token.text.lstrip("?$")
            numbers.append(int(number) if number else max(numbers, default=0) + 1)
        if max(numbers, default=0) != len(arguments) or 0 in numbers:
            named = f", but {len(self.names)} by name" if self.names and not numbers else ""
            raise InvalidArgument(
                f"the SQL has placeholders for {max(numbers, default=0)} arguments by position"
                f"{named}; {len(arguments)} were given"
            )
        return tuple(arguments[number - 1] for number in numbers)

    def _written(self, used: list[Token], style: str) -> str:
        changes = [(token.start, token.end, "") for token in used]
        if style == "format":  # every percent sign is one of the driver's, also in texts
            changes += [(*found.span(), "%%") for found in unhurried(_PERCENT.finditer(self.sql))]
        pieces, done, number = [], 0, 0
        for start, end, text in sorted(changes):
            pieces.append(self.sql[done:start])
            if not text:
                number += 1
                text = {"qmark": "?", "format": "%s"}.get(style) or f":{number}"
            pieces.append(text)
            done = end
        return "".join((*pieces, self.sql[done:]))


def _code(sql: str, tokens: list[Token], dialect: str) -> str:
    """The SQL without its texts and comments. A quoted name stays if it could be written without
    quotes, and is `_` if not."""
    pieces, done = [], 0
    for token in unhurried(tokens):
        if token.kind not in ("line", "quoted"):
            continue
        pieces.append(sql[done : token.start])
        done = token.end
        first, inside = sql[token.start], sql[token.start + 1 : token.end - 1]
        is_text = token.kind == "line" or first in "'$eE" or (first == '"' and dialect in _QUOTING)
        pieces.append(" " if token.kind == "line" else "''" if is_text else _plain(inside))
    return "".join((*pieces, sql[done:]))


def _stretches(code: str) -> Iterator[str]:
    """The code in pieces that overlap, so that what stands in it stands in one of them."""
    for at in unhurried(range(0, len(code), JUDGED)):
        yield code[at : at + JUDGED + OVERLAP]


def _plain(name: str) -> str:
    return name if name.isidentifier() else "_"


def first_word(code: str) -> str:
    """Its first word in capitals, behind comments and brackets; nothing if there is none."""
    found = _WORD.match(code)
    return found[1].upper() if found else ""


def statement(sql: str, dialect: str = "") -> Statement:
    """The SQL taken apart as the database of that name reads it. Raises InvalidArgument for what
    is no statement of a workflow."""
    make = _kept if len(sql) <= KEPT_CHARACTERS else Statement
    return make(sql, dialect)


_kept = lru_cache(KEPT)(Statement)


def several(sql: str, dialect: str, runs: list[Any]) -> list[str]:
    """The statements of SQL, one by one. Raises InvalidArgument for several with arguments."""
    if ";" not in sql.rstrip().rstrip(";"):
        return [sql]
    split = _kept_apart if len(sql) <= KEPT_CHARACTERS else _apart
    parts = split(sql, dialect)
    if len(parts) > 1 and runs != [None]:
        raise InvalidArgument(
            f"the SQL is {len(parts)} statements; arguments are for one: send a packet for each"
        )
    return parts or [sql]


def _apart(sql: str, dialect: str) -> list[str]:
    split = _scripted if dialect == "sqlite" else _parts
    return [part for part in split(sql, dialect) if first_word(_bare(part, dialect))]


_kept_apart = lru_cache(KEPT)(_apart)


def _bare(sql: str, dialect: str) -> str:
    return _code(sql, list(dialect_of(dialect).tokens(sql)), dialect)


def _parts(sql: str, dialect: str) -> list[str]:
    if dialect not in _SPLIT:
        return [sql]
    parts, done = [], 0
    for token in dialect_of(dialect).tokens(sql):
        if token.kind == "end":
            if _PROGRAM.match(_bare(sql[done : token.start], dialect)):
                break  # its semicolons are its own
            parts.append(sql[done : token.start])
            done = token.end
    return [*parts, sql[done:]]


def _scripted(sql: str, dialect: str) -> list[str]:
    """By SQLite itself, which knows the bodies of triggers."""
    parts, begun = [], ""
    for piece in sql.split(";"):
        begun += piece
        if sqlite3.complete_statement(f"{begun};"):
            parts.append(begun)
            begun = ""
        else:
            begun += ";"
    return [*parts, begun]


def read(payload: Any) -> tuple[str, list[Any]]:
    """The SQL of a payload, and the arguments of each of its runs: None, a list or a map.

    A list of maps is a run for each; any other list is the arguments by position. Raises
    InvalidArgument.
    """
    if isinstance(payload, str):
        return payload, [None]
    if not isinstance(payload, list) or not payload or not isinstance(payload[0], str):
        raise InvalidArgument("the input is SQL, or a list of SQL and its arguments")
    if len(payload) > 2:
        raise InvalidArgument(
            f"the input has {len(payload)} elements: SQL, and one list or map of all its arguments"
        )
    sql, arguments = payload[0], payload[1] if len(payload) == 2 else None
    if isinstance(arguments, list) and arguments and all(isinstance(i, dict) for i in arguments):
        return sql, arguments
    if arguments is not None and not isinstance(arguments, list | dict):
        raise InvalidArgument("the arguments are a list by position, or a map by name")
    return sql, [arguments]
