"""SQL as a database reads it: what is code in it, and what is text, a name or a comment.

Lives here: Dialect, in which they differ, and `lexed`. What a statement may leave behind is
session.py's, and its placeholders are statement.py's.

    |                       | SQLite | PostgreSQL | MySQL | SQL Server |
    | `[a name]`            | yes    |            |       | yes        |
    | `"..."`               | a name | a name     | text  | a name     |
    | a backslash in text   |        | in E'...'  | yes   |            |
    | `$tag$text$tag$`      |        | yes        |       |            |
    | comments in comments  |        | yes        |       | yes        |
    | `# a comment`         |        |            | yes   |            |
    | `--` without a space  | yes    | yes        |       | yes        |
    | `/*! code */`         |        |            | yes   |            |

A dialect that is not known has all of what means nothing else in any other.

SQL that is long is looked through in stretches, and others run between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from greenflow.hub.breathing import Breath

_STRING = r"'(?:[^']|'')*+(?:'|\Z)"
_ESCAPED = r"'(?:[^'\\]|''|\\.)*+(?:'|\Z)"
_E_STRING = rf"(?<![\w$])[eE]{_ESCAPED}"
_DOLLARS = r"(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)"
_NAME = r'"(?:[^"]|"")*+(?:"|\Z)'
_BACKTICKS = r"`[^`]*+(?:`|\Z)"
_BRACKETS = r"\[[^\]]*+(?:\]|\Z)"

_COMMENT = r"(?P<line>--[^\n]*+)"
_MYSQL_COMMENT = r"(?P<line>(?:--(?=[\s\x00-\x20]|\Z)|\#)[^\n]*+)"

_CODE = r"""
    | (?P<block>/\*)
    | ::                              # a cast
    | (?P<end>;)
    | (?P<mark>\?\d*)
    | (?<![\w$])\$(?P<number>\d+)
    | (?<![\w:]):(?P<name>[^\W\d]\w*)
    | (?P<percent>%)
"""
# Characters that are searched in one go, about: 3 ms.
STRETCH = 64 * 1024

_BLANK = re.compile(r"\s")
_MARGIN = re.compile(r"/\*|\*/")


class Token(NamedTuple):
    """A part of SQL that is more than words: `mark`, `number`, `name` or `percent` (placeholders,
    and what drivers take for one), `end` (a semicolon), `line` (a comment), else what is quoted."""

    kind: str
    start: int
    end: int
    text: str


class Dialect:
    """How one database reads SQL."""

    def __init__(
        self, *quotes: str, line: str = _COMMENT, nests: bool = False, runs_comments: bool = False
    ) -> None:
        self._tokens = re.compile(
            "|".join((*(f"(?:{quote})" for quote in quotes), line)) + _CODE, re.VERBOSE | re.DOTALL
        )
        self._nests, self._runs_comments = nests, runs_comments

    def tokens(self, sql: str) -> Iterator[Token]:
        """What there is in the SQL, in order."""
        at, breath = 0, Breath()
        while at < len(sql):
            breath.take()
            # Nothing that begins a token has a blank in it, so none is cut in its beginning.
            blank = _BLANK.search(sql, at + STRETCH)
            until = len(sql) if blank is None else blank.start()
            found = self._tokens.search(sql, at, until)
            if found is not None and found.end() == until:
                found = self._tokens.match(sql, found.start())  # it may go on
            if found is None:
                at = until
                continue
            start, at, kind = found.start(), found.end(), found.lastgroup
            if kind == "block":
                at = self._comment_end(sql, start)
                kind = "line"
            elif kind == "tag" or kind is None:
                kind = "cast" if found[0] == "::" else "quoted"
            yield Token(kind, start, at, found["name"] if kind == "name" else sql[start:at])

    def _comment_end(self, sql: str, start: int) -> int:
        if self._runs_comments and (head := _RUN.match(sql, start)) is not None:
            return head.end()  # what follows is code, and so is its end
        depth = 0
        for margin in _MARGIN.finditer(sql, start):
            depth += 1 if margin[0] == "/*" and (self._nests or not depth) else 0
            depth -= margin[0] == "*/"
            if not depth:
                return margin.end()
        return len(sql)


# What MySQL and MariaDB run though it stands in a comment: `/*!50003 ... */`.
_RUN = re.compile(r"/\*M?!\d*")

_ANY = Dialect(_E_STRING, _STRING, _NAME, _BACKTICKS, _DOLLARS)
_POSTGRES = Dialect(_E_STRING, _STRING, _NAME, _DOLLARS, nests=True)
_MYSQL = Dialect(
    _ESCAPED,
    r'"(?:[^"\\]|""|\\.)*+(?:"|\Z)',
    _BACKTICKS,
    line=_MYSQL_COMMENT,
    runs_comments=True,
)
_DIALECTS = {
    "sqlite": Dialect(_STRING, _NAME, _BACKTICKS, _BRACKETS),
    "mssql": Dialect(_STRING, _NAME, r"\[(?:[^\]]|\]\])*+(?:\]|\Z)", nests=True),
    "postgresql": _POSTGRES,
    "cockroachdb": _POSTGRES,
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}


def dialect_of(name: str) -> Dialect:
    """The dialect of SQLAlchemy's name."""
    return _DIALECTS.get(name, _ANY)
