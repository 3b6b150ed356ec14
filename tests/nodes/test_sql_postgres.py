"""sql on PostgreSQL by psycopg: in native threads, and in greenlets where Python is patched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import InvalidArgument, SqlFailed, SqlUnavailable, messages
from greenflow.testing.leaks import Held
from tests.flows import Flow, flow
from tests.nodes.test_sql import sql
from tests.postgres import PostgresServer
from tests.waiting import until

TABLE = "CREATE TABLE t (id serial PRIMARY KEY, name text UNIQUE, data jsonb, price numeric)"
CHAIN = """
- kind: call
  name: start
  links: {"out[0]": {name: first}, "out[1]": {name: middle}, "out[2]": {name: then}}
- {kind: probe, name: middle}
- {kind: snippet, name: first, code: INSERT INTO t (name) VALUES ('anna'), links: {out: {name: db}}}
- {kind: snippet, name: then, code: SELECT name FROM t, links: {out: {name: db}}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    started = PostgresServer()
    yield started
    started.close()


@contextmanager
def database(server: PostgresServer, more: str = "", **fields: Any) -> Iterator[Flow]:
    with flow(more + sql("db", server.url, driver="postgres", **fields)) as running:
        running.call("db", f"DROP TABLE IF EXISTS t; {TABLE}")
        yield running


def test_statements_rows_and_values(server: PostgresServer) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with database(server) as running:
        call = running.call
        rows = [
            {"name": "anna", "data": {"a": [1]}, "price": 9.9},
            {"name": "100%", "data": None, "price": None},
        ]
        sent = "INSERT INTO t (name, data, price) VALUES (:name, :data, :price) RETURNING *"
        assert call("db", [sent, rows]) == [{"id": i + 1, **row} for i, row in enumerate(rows)]
        found = call(
            "db", ["SELECT name FROM t WHERE name LIKE '%0\\%' AND id = ANY($1)", [[2, 3]]]
        )
        assert found == [{"name": "100%"}]
        assert call("db", ["SELECT data ? 'a' AS found FROM t WHERE id = $1", [1]]) == [
            {"found": True}
        ]
        uuid = "00000000-0000-0000-0000-000000000001"
        given = "SELECT $1::timestamptz t, $2::bytea b, $3::uuid u, date '2026-01-02' + $4::int d"
        assert call("db", [given, [moment, b"\x00", uuid, 1]]) == [
            {"t": moment, "b": b"\x00", "u": uuid, "d": "2026-01-03"}
        ]
        assert call("db", "SELECT 1 AS a WHERE '%' = '%s'") == []


def test_a_transaction_of_the_process(server: PostgresServer) -> None:
    with database(server, CHAIN) as running:
        running.probes.gates["middle"] = gate = Event()
        running.probes.reached["middle"] = reached = Event()
        call = gevent.spawn(running.call, "start")
        assert reached.wait(10)
        assert running.call("db", "SELECT name FROM t") == []
        gate.set()
        assert call.get() == [{"name": "anna"}]
        assert running.call("db", "SELECT name FROM t") == [{"name": "anna"}]
        running.probes.gates.clear()
        with pytest.raises(SqlFailed) as raised:
            running.call("start")
        assert list(messages(raised.value))[1:] == ["unique violation", "23505"]


def test_an_error_shows_no_argument(server: PostgresServer) -> None:
    with database(server) as running:
        statements = [
            ["INSERT INTO t (id) VALUES (CAST($1 AS text)::int)", ["canary"]],
            ["INSERT INTO t (name) VALUES (?), (?)", ["canary", "canary"]],
            ["SELECT $1::timestamptz", ["canary"]],
        ]
        for statement in statements:
            with pytest.raises(SqlFailed) as raised:
                running.call("db", statement)
            assert "canary" not in str(list(messages(raised.value)))
        with pytest.raises(InvalidArgument):
            running.call("db", ["SELECT $1", [ValueError("canary")]])


def test_a_commit_that_undoes_all_is_an_error(server: PostgresServer) -> None:
    """PostgreSQL itself reports the commit of a failed transaction as done."""
    text = (
        CHAIN.replace("probe, name: middle", "try, name: middle")
        .replace(
            "try, name: middle",
            "try, name: middle, links: {out: {name: first}, error: {name: fine}}",
        )
        .replace("code: SELECT name FROM t, links: {out: {name: db}}", "code: done")
    )
    with database(server, text + "- {kind: snippet, name: fine, code: fine}\n") as running:
        with pytest.raises(SqlFailed, match="has undone all others"):
            running.call("start")
        assert running.call("db", "SELECT * FROM t") == []


def test_a_lost_connection_is_an_error_once(server: PostgresServer) -> None:
    with database(server, CHAIN, connections=2) as running:
        running.probes.gates["middle"] = gate = Event()
        running.probes.reached["middle"] = reached = Event()
        call = gevent.spawn(running.call, "start")
        assert reached.wait(10)
        server.stop()
        gate.set()
        with pytest.raises(SqlFailed):
            call.get()
        with pytest.raises(
            SqlUnavailable, match=r"postgres at 127\.0\.0\.1.* cannot be reached"
        ) as (raised):
            running.call("db", "SELECT 1")
        assert "secret" not in str(raised.value)
        server.start()
        for _ in range(3):
            assert running.call("db", "SELECT count(*) AS n FROM t") == [{"n": 0}]


def test_all_connections_in_use(server: PostgresServer) -> None:
    with database(server, CHAIN, connections=1, timeout="10ms") as running:
        running.probes.gates["middle"] = gate = Event()
        running.probes.reached["middle"] = reached = Event()
        call = gevent.spawn(running.call, "start")
        assert reached.wait(10)
        with pytest.raises(SqlUnavailable, match=r"all 1 connections .* in use for 0\.01 s"):
            running.call("db", "SELECT 1")
        gate.set()
        call.get()


def test_isolation_is_that_of_the_spec(server: PostgresServer) -> None:
    with database(server, isolation="serializable") as running:
        (row,) = running.call("db", "SHOW transaction_isolation")
        assert row == {"transaction_isolation": "serializable"}


def test_an_exit_cancels_the_statement_and_rolls_back(server: PostgresServer) -> None:
    asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with database(server) as running:
        insert = "INSERT INTO t (name) SELECT 'x' FROM pg_sleep(3600)"
        call = gevent.spawn(running.call, "db", insert)
        until(lambda: running.call("db", asleep))
        call.kill()
        assert running.call("db", "SELECT * FROM t") == []
        assert running.call("db", asleep) == []


PATCHED = """
import gevent.monkey; gevent.monkey.patch_all()
import gc, sys, gevent
from greenflow import Runtime
from greenflow.hub.blocking.lane import ThreadLane
from greenflow.testing.leaks import Held

specs = [{"kind": "sql", "name": "db", "driver": "pgx", "source": sys.argv[1], "connections": 3}]
before = Held.now()
with Runtime("memory://", specs=specs) as flow:
    flow.call("db", "DROP TABLE IF EXISTS p")
    flow.call("db", "CREATE TABLE p (n int)")
    sleeping = [gevent.spawn(flow.call, "db", "SELECT pg_sleep(0.3)") for _ in range(2)]
    ticks = 0
    while not all(each.ready() for each in sleeping):
        flow.call("db", ["INSERT INTO p VALUES (?)", [ticks]])
        ticks += 1
    assert ticks > 10, ticks
    for _ in range(20):
        killed = [
            gevent.spawn(flow.call, "db", "INSERT INTO p SELECT -1 FROM pg_sleep(0.02)")
            for _ in range(5)
        ]
        gevent.sleep(0.001)
        gevent.killall(killed)
    (row,) = flow.call("db", "SELECT count(*) AS n, min(n) AS least FROM p")
    assert row == {"n": ticks, "least": 0}, row
    assert not any(isinstance(thing, ThreadLane) for thing in gc.get_objects())
assert before.left() is None
"""


def test_greenlets_wait_for_it_in_a_program_that_is_patched(server: PostgresServer) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PATCHED, server.url],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_left(server: PostgresServer) -> None:
    threads = Held.now().threads
    with database(server) as running:
        gevent.joinall([gevent.spawn(running.call, "db", "SELECT 1") for _ in range(20)])
    assert Held.now().threads == threads
