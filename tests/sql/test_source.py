"""Drivers and sources, as SQLAlchemy's URLs and as Go's drivers have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenflow.sql.source import ServerSource, SqliteSource, isolation_of, parse


@pytest.mark.parametrize(
    ("driver", "source", "path"),
    [
        ("sqlite", "a.db", "a.db"),
        ("sqlite3", "file:a.db", "a.db"),
        ("sqlite3", "/tmp/a.db", "/tmp/a.db"),
        ("", "sqlite:///a%20b.db", "a b.db"),
        ("sqlite", "sqlite:////tmp/a.db", "/tmp/a.db"),
        ("", "sqlite+pysqlite:///a.db", "a.db"),
    ],
)
def test_files_of_sqlite(driver: str, source: str, path: str) -> None:
    found = parse(driver, source)
    assert isinstance(found, SqliteSource)
    assert found.path == str(Path(path).absolute())
    assert found.key == parse("sqlite", path).key


@pytest.mark.parametrize(
    ("source", "memory"),
    [
        (":memory:", ""),
        ("", ""),
        ("sqlite://", ""),
        ("sqlite:///:memory:", ""),
        ("file::memory:?cache=shared", ""),
        ("file:one?mode=memory&cache=shared", "one"),
    ],
)
def test_databases_in_memory(source: str, memory: str) -> None:
    found = parse("sqlite3", source)
    assert isinstance(found, SqliteSource)
    assert (found.path, found.memory) == ("", memory)


def test_options_of_sqlite() -> None:
    go = parse("sqlite3", "a.db?_journal=wal&_sync=1&_fk=true&_busy_timeout=250&_txlock=immediate")
    modernc = parse(
        "sqlite",
        "a.db?_pragma=journal_mode(WAL)&_pragma=synchronous(1)&_pragma=foreign_keys(1)"
        "&_pragma=busy_timeout(250)",
    )
    ours = parse("", "sqlite:///a.db?journal_mode=WAL&synchronous=1&foreign_keys=ON&timeout=0.25")
    assert go == modernc == ours
    assert isinstance(ours, SqliteSource)
    assert ours[1:6] == ("rwc", "WAL", "1", True, 0.25)


SERVERS: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "postgres",
        "postgres://anna:p%40ss@db.example:6432/shop?sslmode=disable",
        "postgresql",
        {"username": "anna", "password": "p@ss", "host": "db.example", "port": 6432},
    ),
    (
        "pgx/v5",
        "host=h user=anna password='p a\\'s' dbname=shop",
        "postgresql",
        {"password": "p a's"},
    ),
    ("", "postgresql+pg8000://anna@[::1]/shop", "postgresql", {"host": "::1", "port": None}),
    (
        "mysql",
        "anna:p:@ss@tcp(h:3307)/shop?parseTime=true",
        "mysql",
        {"password": "p:@ss", "port": 3307},
    ),
    ("mysql", "anna@unix(/tmp/m.sock)/shop", "mysql", {"query": {"unix_socket": "/tmp/m.sock"}}),
    ("mysql", "anna@/shop", "mysql", {"username": "anna"}),
    ("", "mssql+pyodbc://anna@h/shop?driver=x", "mssql", {"query": {"driver": "x"}}),
]


@pytest.mark.parametrize(("driver", "source", "dialect", "parts"), SERVERS)
def test_servers(driver: str, source: str, dialect: str, parts: dict[str, Any]) -> None:
    found = parse(driver, source)
    assert isinstance(found, ServerSource)
    assert found.dialect == dialect
    assert parts.items() <= found.parts.items()
    assert (found.parts["username"], found.parts["database"]) == ("anna", "shop")
    assert found.key == parse(driver, source).key
    for secret in ("p@ss", "p a's", "p:@ss"):
        assert secret not in found.name + repr(found)


@pytest.mark.parametrize(
    ("driver", "source"),
    [
        ("", "a.db"),
        ("postgres", "secret"),
        ("mysql", "secret@x"),
        ("oracle", "secret"),
        ("postgres", "host=h port=secret"),
        ("", "postgresql://h:secret:secret/n"),
        ("sqlite", "a.db?timeout=secret"),
        ("sqlite", "a.db?_pragma=secret"),
    ],
)
def test_faults_of_a_source_do_not_show_it(driver: str, source: str) -> None:
    with pytest.raises(ValueError, match=r"source|driver") as raised:
        parse(driver, source)
    assert "secret" not in str(raised.value)


def test_isolation() -> None:
    assert (
        isolation_of(None)
        is isolation_of(0)
        is isolation_of("0")
        is isolation_of("default")
        is None
    )
    assert isolation_of(6) == isolation_of("6") == isolation_of("Serializable") == "SERIALIZABLE"
    assert isolation_of("repeatable_read") == isolation_of("REPEATABLE  READ") == "REPEATABLE READ"
    for wrong in (-1, 8, "none"):
        with pytest.raises(ValueError, match="known are read uncommitted"):
            isolation_of(wrong)
