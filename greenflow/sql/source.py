"""`driver` and `source` of a spec: which database, and how it is spelled by whom.

Lives here: `parse`, which takes a URL of SQLAlchemy's as well as what Go's drivers take (BEHAVIOUR
1.10: the YAML of uniflow is accepted unchanged), and what it makes of them. Nothing is opened here.

    sqlite:///relative.db   sqlite:////absolute.db   sqlite://   file:users.db?mode=ro   users.db
    postgresql://user:password@host/name   host=... user=... dbname=...
    mysql://user:password@host/name        user:password@tcp(host:3306)/name

An error names no more of a source than its driver, for the rest may hold a password.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

# Drivers in Go's words, and the dialect of SQLAlchemy's that each is.
_DIALECTS = {
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "pgx": "postgresql",
    "pq": "postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "sqlserver": "mssql",
}

# What SQLAlchemy's dialects are driven by, the first that is installed, where the source does not
# say. Before its own default, for these wait cooperatively.
_DRIVERS = {
    "postgresql": ("psycopg", "pg8000", "psycopg2"),
    "mysql": ("pymysql",),
    "mariadb": ("pymysql",),
}

# Isolation levels by number, as database/sql of Go counts them, and by name.
ISOLATIONS: tuple[str | None, ...] = (
    None,
    "READ UNCOMMITTED",
    "READ COMMITTED",
    "WRITE COMMITTED",
    "REPEATABLE READ",
    "SNAPSHOT",
    "SERIALIZABLE",
    "LINEARIZABLE",
)

# Options of an SQLite source: our name, and those of Go's drivers (mattn/go-sqlite3).
_SQLITE_OPTIONS = {
    "mode": "mode",
    "cache": "cache",
    "journal_mode": "journal_mode",
    "_journal_mode": "journal_mode",
    "_journal": "journal_mode",
    "synchronous": "synchronous",
    "_synchronous": "synchronous",
    "_sync": "synchronous",
    "foreign_keys": "foreign_keys",
    "_foreign_keys": "foreign_keys",
    "_fk": "foreign_keys",
    "timeout": "timeout",
    "busy_timeout": "busy_timeout",
    "_busy_timeout": "busy_timeout",
    "_timeout": "busy_timeout",
}
# Those of Go's drivers that say what holds here anyway.
_WITHOUT_EFFECT = frozenset(("_txlock", "_loc", "_time_format", "uri", "_auto_vacuum", "_mutex"))
_ALLOWED = {
    "mode": ("ro", "rw", "rwc", "memory"),
    "cache": ("shared", "private"),
    "journal_mode": ("DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL", "OFF"),
    "synchronous": ("OFF", "NORMAL", "FULL", "EXTRA", "0", "1", "2", "3"),
    "foreign_keys": ("ON", "OFF", "TRUE", "FALSE", "YES", "NO", "1", "0"),
}
_PRAGMA = re.compile(r"(\w+)[(=](\w+)\)?")

_PAIR = re.compile(r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)")
_GO_MYSQL = re.compile(
    r"(?:(?P<user>[^:@/]*)(?::(?P<password>.*))?@)?(?:(?P<net>\w+)(?:\((?P<address>[^)]*)\))?)?"
    r"/(?P<name>[^/?]*)(?:\?(?P<query>.*))?"
)


class Key(tuple[Any, ...]):
    """What is the same for sources that are one database. It is not shown: a password is in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<the key of a source>"


class SqliteSource(NamedTuple):
    """An SQLite file; without a path it is in memory."""

    path: str
    mode: str = "rwc"
    journal_mode: str = ""  # empty: what the file has; WAL for a new one
    synchronous: str = ""  # empty: SQLite's own default, FULL
    foreign_keys: bool = False
    timeout: float | None = None  # seconds
    memory: str = ""  # which database in memory

    @property
    def key(self) -> Key:
        """What is the same for sources that are one database."""
        return Key(("sqlite", self.path, self.memory))

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"SQLite file {self.path}" if self.path else "SQLite in memory"


class ServerSource(NamedTuple):
    """A database that SQLAlchemy opens: its URL in parts."""

    dialect: str
    driver: str
    parts: dict[str, Any]  # for URL.create

    @property
    def key(self) -> Key:
        """What is the same for sources that are one database."""
        query = tuple(sorted(self.parts["query"].items()))
        names = ("username", "password", "host", "port", "database")
        return Key((self.dialect, self.driver, *map(self.parts.get, names), query))

    @property
    def name(self) -> str:
        """What messages call it; no secret is in it."""
        host, port = self.parts.get("host") or "localhost", self.parts.get("port")
        at = f"{host}:{port}" if port else host
        return f"{self.dialect} database {self.parts.get('database') or ''} at {at}"

    def __repr__(self) -> str:
        return f"<{self.name}>"


Source = SqliteSource | ServerSource


def isolation_of(value: int | str | None) -> str | None:
    """An isolation level by its name in SQL; None: the database's default. Raises ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and not value.isdecimal():
        name = re.sub(r"[\s_-]+", " ", value.strip()).upper()
        if name == "DEFAULT":
            return None
        if name in ISOLATIONS:
            return name
    elif 0 <= int(value) < len(ISOLATIONS):
        return ISOLATIONS[int(value)]
    names = ", ".join(name.lower() for name in ISOLATIONS if name)
    raise ValueError(f"no such isolation; known are {names}, or 0 to {len(ISOLATIONS) - 1}")


def parse(driver: str, source: str) -> Source:
    """The database that a spec names. Raises ValueError."""
    scheme, separator, rest = source.partition("://")
    scheme = scheme.lower()
    if source.startswith("file:") or not separator:
        scheme = ""
    dialect, _, library = (scheme or driver.lower()).partition("+")
    dialect = _DIALECTS.get(dialect.partition("/")[0], dialect)
    if driver and scheme:
        named = driver.lower().partition("+")[0].partition("/")[0]
        if _DIALECTS.get(named, named) != dialect:
            raise ValueError(f"the driver is {driver!r}, but the source that of {dialect!r}")
    if dialect == "sqlite" and library in ("", "pysqlite"):
        return _sqlite(source if not scheme else "/" + rest.partition("/")[2], bool(scheme))
    if not dialect:
        raise ValueError(
            "name a `driver`, such as sqlite, postgres or mysql, or write the source as a URL"
        )
    if scheme:
        parts = _url(rest)
    elif dialect == "postgresql":
        parts = _pairs(source)
    elif dialect in ("mysql", "mariadb"):
        parts = _go_mysql(source)
    else:
        raise ValueError(
            f"for the driver {driver!r} write the source as a URL: {dialect}://USER:PASSWORD@HOST/"
            "NAME"
        )
    if not library:
        candidates = _DRIVERS.get(dialect, ())
        library = next((name for name in candidates if find_spec(name)), (*candidates, "")[0])
    return ServerSource(dialect, library, parts)


# -- SQLite ----------------------------------------------------------------------------------------


def _sqlite(text: str, is_url: bool) -> SqliteSource:
    """`text` is a path, `file:PATH`, or the path of a URL, each with options."""
    text, _, query = text.removeprefix("file:").partition("?")
    path = unquote(text.removeprefix("/")) if is_url else text
    options = _sqlite_options(query)
    mode = options.get("mode", "rwc")
    memory = ""
    if path in ("", ":memory:") or mode == "memory":
        memory, path = "" if path == ":memory:" else path, ""
    timeout = options.get("timeout")
    try:
        seconds = float(timeout) if timeout is not None else None
        if "busy_timeout" in options:
            seconds = float(options["busy_timeout"]) / 1000
    except ValueError:
        raise ValueError("a time-out of an SQLite source is a number") from None
    return SqliteSource(
        os.path.abspath(path) if path else "",
        mode,
        options.get("journal_mode", ""),
        options.get("synchronous", ""),
        options.get("foreign_keys", "OFF") in ("ON", "TRUE", "YES", "1"),
        seconds,
        memory,
    )


def _sqlite_options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "_pragma":  # modernc.org/sqlite
            found = _PRAGMA.fullmatch(value)
            if found is None:
                raise ValueError("the option _pragma of an SQLite source is NAME(VALUE)")
            key, value = found.groups()
        if key in _WITHOUT_EFFECT:
            continue
        name = _SQLITE_OPTIONS.get(key)
        if name is None:
            known = ", ".join(sorted(set(_SQLITE_OPTIONS.values())))
            raise ValueError(f"unknown option {key!r} of an SQLite source; known are {known}")
        allowed = _ALLOWED.get(name)
        if allowed is not None and name not in ("mode", "cache"):
            value = value.upper()
        if allowed is not None and value not in allowed:
            raise ValueError(f"the option {key!r} of an SQLite source is {' or '.join(allowed)}")
        options[name] = value
    return options


# -- the others ------------------------------------------------------------------------------------


def _url(rest: str) -> dict[str, Any]:
    """What follows `://`."""
    authority, slash, path = rest.partition("/")
    path, _, query = path.partition("?") if slash else ("", "", "")
    if not slash:
        authority, _, query = authority.partition("?")
    user, _, address = authority.rpartition("@")
    name, colon, password = user.partition(":")
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?", address)
    if found is None:
        raise ValueError("the host of the source is not HOST or HOST:PORT")
    return {
        "username": unquote(name) or None,
        "password": unquote(password) if colon else None,
        "host": found[1].strip("[]") or None,
        "port": int(found[2]) if found[2] else None,
        "database": unquote(path) or None,
        "query": dict(parse_qsl(query, keep_blank_values=True)),
    }


def _pairs(text: str) -> dict[str, Any]:
    """`host=... user=... dbname=...`, as libpq and Go's drivers take it."""
    found = {
        key: re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith("'") else value
        for key, value in _PAIR.findall(text)
    }
    if not found or _PAIR.sub("", text).strip():
        raise ValueError("the source is neither a URL nor of the form `host=... dbname=...`")
    names = {"user": "username", "dbname": "database"}
    parts: dict[str, Any] = {"query": {}}
    for key, value in found.items():
        name = names.get(key, key)
        if name in ("username", "password", "host", "port", "database"):
            parts[name] = value
        else:
            parts["query"][key] = value
    if "port" in parts:
        parts["port"] = _port(parts["port"])
    return parts


def _go_mysql(text: str) -> dict[str, Any]:
    """`user:password@tcp(host:port)/name?options`, of github.com/go-sql-driver/mysql."""
    found = _GO_MYSQL.fullmatch(text)
    if found is None:
        raise ValueError("the source is neither a URL nor `user:password@tcp(host:port)/name`")
    parts: dict[str, Any] = {
        "username": found["user"] or None,
        "password": found["password"] or None,
        "database": found["name"] or None,
        "query": {},
    }
    address = found["address"] or ""
    if found["net"] == "unix":
        parts["query"]["unix_socket"] = address
    elif address:
        host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
        parts |= {"host": host.strip("[]"), "port": _port(port) if port else None}
    for key, value in parse_qsl(found["query"] or ""):
        if key == "charset":
            parts["query"][key] = value.partition(",")[0]
        # The others, such as parseTime and loc, concern how Go reads what comes.
    return parts


def _port(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("the port of the source is no number")
    return int(text)
