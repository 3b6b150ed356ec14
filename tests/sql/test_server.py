"""What a database needs to be reached, without a server."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from greenflow.errors import CompileFailed, SqlUnavailable
from greenflow.runtime import Runtime
from greenflow.sql.server import ServerDatabase
from greenflow.sql.source import ServerSource, parse
from tests.flows import flow
from tests.ports import free_port


def database(url: str) -> ServerDatabase:
    source = parse("", url)
    assert isinstance(source, ServerSource)
    return ServerDatabase(source, None, 1, 1.0)


@pytest.mark.parametrize(
    ("missing", "url", "told"),
    [
        ("sqlalchemy", "postgres://h/n", "pip install 'greenflow[sql]'"),
        ("psycopg", "postgresql+psycopg://h/n", "pip install 'psycopg[binary]'"),
        ("pymysql", "mysql+pymysql://h/n", "pip install 'pymysql'"),
        ("", "nosuch://h/n", "no dialect 'nosuch'"),
    ],
)
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: str, url: str, told: str
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(CompileFailed) as raised:
        database(url)
    assert told in str(raised.value)


def test_the_reason_of_a_node_that_cannot_be_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    spec = {"kind": "sql", "driver": "postgres", "source": "postgres://anna:canary@h/n"}
    with Runtime("memory://", specs=[spec]) as running:
        (status,) = running.status()
    assert status["reason"].endswith("pip install 'greenflow[sql]'")


def test_a_server_that_is_away_is_an_error_of_the_packet(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"postgres://anna:canary@127.0.0.1:{free_port()}/shop"
    with flow(f"- {{kind: sql, name: db, source: '{url}'}}") as running:
        for _ in range(2):
            with pytest.raises(
                SqlUnavailable, match=r"127\.0\.0\.1:\d+ cannot be reached"
            ) as raised:
                running.call("db", ["SELECT $1", ["canary"]])
            assert "canary" not in str(raised.value)
    assert "canary" not in caplog.text


def test_a_pool_of_one_source_is_shared_by_its_nodes() -> None:
    specs: list[dict[str, Any]] = [
        {"kind": "sql", "name": "a", "driver": "postgres", "source": "postgres://anna@h/n"},
        {"kind": "rdb", "name": "b", "driver": "pgx", "source": "host=h user=anna dbname=n"},
        {"kind": "sql", "name": "c", "source": "postgres://anna@h/n", "isolation": 6},
    ]
    with Runtime("memory://", specs=specs) as running:
        found = [running.table.find(name).version.node.database for name in "abc"]  # type: ignore[union-attr]
    assert found[0] is found[1] is not None
    assert found[2] is not found[0]
