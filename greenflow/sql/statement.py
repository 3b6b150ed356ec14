"""A payload as statements: the SQL, its placeholders, and the arguments for each run.

Lives here: `read`, which takes a payload apart, and Statement. How a value is bound is values.py's.

Placeholders are `?` or `$1` for a list and `:name` for a map, whatever the driver wants; they are
rewritten to its own. Those in strings, quoted names, comments and PostgreSQL's dollar quotes are
none, nor are `::` of casts and, where `$1` stands in the same SQL, the operator `?` of PostgreSQL.
Without arguments SQL passes as it is.

No text of an error holds an argument, and nothing here has a repr that shows one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from greenflow.errors import InvalidArgument
from greenflow.hub.breathing import Breath

# SQL texts that are kept taken apart. Workflows have few, which they send again and again; one made
# of its arguments is new each time, so large ones are not kept.
KEPT = 1024
KEPT_CHARACTERS = 10_000

# Characters that are searched in one go, about: 3 ms.
STRETCH = 64 * 1024

_TOKEN = re.compile(
    r"""
      '(?:[^'\\]|''|\\.)*+(?:'|\Z)    # a string; a backslash escapes in some dialects only: below
    | "(?:[^"]|"")*+(?:"|\Z)          # a quoted name
    | `[^`]*+(?:`|\Z)                 # a quoted name of MySQL
    | --[^\n]*+                       # comments
    | /\*.*?(?:\*/|\Z)
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)   # a string of PostgreSQL
    | ::                              # a cast
    | (?P<mark>\?\d*)
    | (?<![\w$])\$(?P<number>\d+)
    | (?<![\w:]):(?P<name>[^\W\d]\w*)
    | (?P<percent>%)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK, _PERCENT = re.compile(r"\s"), re.compile("%")
_ESCAPING = re.compile(r"(?<!\w)[eE]\Z")  # before the quote of a string of PostgreSQL
_PLAIN_STRING = re.compile(r"'(?:[^']|'')*+(?:'|\Z)")
_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\()*+(\w*)", re.DOTALL)
_READING = frozenset(("SELECT", "VALUES", "WITH", "EXPLAIN"))
_TRANSACTION = frozenset(("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"))
_TO_SAVEPOINT = re.compile(r"\s*ROLLBACK\s+(?:TRANSACTION\s+|WORK\s+)?TO\b", re.IGNORECASE)


class Statement:
    """SQL that was taken apart: texts, and between them its placeholders."""

    __slots__ = ("marks", "names", "positions", "reads", "sql")

    def __init__(self, sql: str, backslashes: bool) -> None:
        word = first_word(sql)
        if not word:
            raise InvalidArgument("the SQL is empty")
        if word in _TRANSACTION and not _TO_SAVEPOINT.match(sql):
            raise InvalidArgument(
                f"{word} is not for workflows: a transaction begins and ends with its process; an "
                "error, or an answer with a status from 400 on, rolls it back"
            )
        self.sql = sql
        self.reads = word in _READING  # as far as its first word tells
        self.marks = list(_marks(sql, backslashes))
        numbered = any(kind == "number" for kind, *_ in self.marks)
        self.positions = [m for m in self.marks if m[0] == ("number" if numbered else "mark")]
        self.names = [m for m in self.marks if m[0] == "name"]

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
        if style == "qmark" and all(mark[3] == "?" for mark in used):
            return self.sql, values
        return self._written(used, style), values

    def _by_name(self, arguments: dict[str, Any]) -> tuple[Any, ...]:
        missing = [f":{name}" for *_, name in self.names if name not in arguments]
        if missing:
            raise InvalidArgument(f"there is no argument for {', '.join(dict.fromkeys(missing))}")
        if not self.names and self.positions:
            raise InvalidArgument("a map of arguments is for placeholders such as :name")
        return tuple(arguments[name] for *_, name in self.names)

    def _by_position(self, arguments: list[Any]) -> tuple[Any, ...]:
        numbers: list[int] = []
        for _, _, _, text in self.positions:
            number = text.lstrip("?$")
            numbers.append(int(number) if number else max(numbers, default=0) + 1)
        if max(numbers, default=0) != len(arguments) or 0 in numbers:
            named = f", but {len(self.names)} by name" if self.names and not numbers else ""
            raise InvalidArgument(
                f"the SQL has placeholders for {max(numbers, default=0)} arguments by position"
                f"{named}; {len(arguments)} were given"
            )
        return tuple(arguments[number - 1] for number in numbers)

    def _written(self, used: list[tuple[str, int, int, str]], style: str) -> str:
        percents = [m for m in self.marks if m[0] == "percent"] if style == "format" else []
        pieces, done, number = [], 0, 0
        for kind, start, end, _ in sorted((*used, *percents), key=lambda mark: mark[1]):
            pieces.append(self.sql[done:start])
            if kind == "percent":
                pieces.append("%%")
            else:
                number += 1
                pieces.append({"qmark": "?", "format": "%s"}.get(style) or f":{number}")
            done = end
        return "".join((*pieces, self.sql[done:]))


def _marks(sql: str, backslashes: bool) -> Any:
    """Each placeholder as (kind, start, end, text), and each percent sign."""
    at, breath = 0, Breath()
    while at < len(sql):
        breath.take()
        # Nothing that begins a token has a blank in it, so none is cut in its beginning.
        blank = _BLANK.search(sql, at + STRETCH)
        until = len(sql) if blank is None else blank.start()
        found = _TOKEN.search(sql, at, until)
        if found is not None and found.end() == until:
            found = _TOKEN.match(sql, found.start())  # it may go on
        if found is None:
            at = until
            continue
        at = found.end()
        kind, start = found.lastgroup, found.start()
        if (
            sql[start] == "'"
            and not backslashes
            and not _ESCAPING.search(sql[max(start - 2, 0) : start])
        ):
            plain = _PLAIN_STRING.match(sql, start)
            assert plain is not None
            at = plain.end()
        if kind in ("mark", "number", "name", "percent"):
            text = found[0] if kind != "name" else found["name"]
            yield kind, start, at, text
        else:
            percents = _PERCENT.finditer(sql, start, at)
            yield from (("percent", *percent.span(), "%") for percent in percents)


def first_word(sql: str) -> str:
    """Its first word in capitals, behind comments and brackets; nothing if there is none."""
    found = _WORD.match(sql)
    return found[1].upper() if found else ""


def statement(sql: str, backslashes: bool = False) -> Statement:
    """The SQL taken apart. `backslashes`: they escape in strings, as in MySQL. Raises
    InvalidArgument for what is no statement of a workflow."""
    make = _kept if len(sql) <= KEPT_CHARACTERS else Statement
    return make(sql, backslashes)


_kept = lru_cache(KEPT)(Statement)


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
