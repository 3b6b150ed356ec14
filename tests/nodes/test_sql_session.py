"""What a process leaves behind in a connection is not seen by the next one (BEHAVIOUR 14.8)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from greenflow.errors import GreenflowError, InvalidArgument, SqlFailed, messages
from tests.flows import Flow, flow
from tests.mariadb import MariadbServer
from tests.nodes.test_sql import sql
from tests.postgres import PostgresServer


class Way(NamedTuple):
    """A way to leave something behind: what is run, and what shows it."""

    leaves: tuple[str, ...]
    shows: str


def way(shows: str, *leaves: str) -> Way:
    return Way(leaves, shows)


SQLITE = [
    way("INSERT INTO t (v) VALUES (9)", "PRAGMA query_only=1"),
    way("INSERT INTO t (v) VALUES (9)", "PRAGMA query_only(1)"),
    way("INSERT INTO t (v) VALUES (9)", "EXPLAIN PRAGMA query_only=1"),
    way("INSERT INTO t (v) VALUES (9)", "PRAGMA 'query_only'=1"),
    way("INSERT INTO t (v) VALUES (9)", "PRAGMA [query_only](1)"),
    way("INSERT INTO t (v) VALUES (9)", "SELECT 1; PRAGMA query_only=1"),
    way("WITH x AS (SELECT 1) SELECT * FROM pragma_query_only", "PRAGMA main.query_only = ON"),
    way("SELECT * FROM seen", "CREATE TEMP TABLE seen (v)"),
    way("SELECT * FROM seen", "CREATE TEMPORARY VIEW seen AS SELECT 1"),
    way("SELECT * FROM seen", "CREATE TABLE temp.seen (v)"),
    way("SELECT * FROM temp.sqlite_schema", 'CREATE TABLE "temp".seen (v)'),
    way(
        "INSERT INTO t (v) VALUES (8) RETURNING (SELECT count(*) FROM t WHERE v = 77) AS c",
        "CREATE TEMP TRIGGER seen BEFORE INSERT ON t BEGIN UPDATE t SET v = 77; END",
    ),
    way("SELECT * FROM other.sqlite_schema", "ATTACH ':memory:' AS other"),
    way("PRAGMA foreign_keys", "PRAGMA foreign_keys=ON"),
    way("PRAGMA recursive_triggers", "PRAGMA recursive_triggers=1"),
    way("SELECT 'A' LIKE 'a' AS l", "PRAGMA case_sensitive_like=ON"),
    way("PRAGMA cache_size", "PRAGMA cache_size=7"),
    way("PRAGMA read_uncommitted", "PRAGMA read_uncommitted=1"),
    way("PRAGMA ignore_check_constraints", "PRAGMA ignore_check_constraints=1"),
    way("PRAGMA reverse_unordered_selects", "PRAGMA reverse_unordered_selects=1"),
    way("PRAGMA writable_schema", "PRAGMA writable_schema=1"),
    way("PRAGMA busy_timeout", "PRAGMA busy_timeout=1"),
    way("PRAGMA locking_mode", "PRAGMA locking_mode=EXCLUSIVE"),
    way("PRAGMA max_page_count", "PRAGMA max_page_count=100"),
    way("PRAGMA temp_store", "/* a */ pragma temp_store = 2"),
    way(
        "INSERT INTO t (v) VALUES (last_insert_rowid()) RETURNING v",
        "INSERT INTO t (id, v) VALUES (41, 1)",
        "DELETE FROM t WHERE id = 41",
    ),
]

LOCKS = "SELECT count(*) c FROM pg_locks WHERE locktype = 'advisory'"
POSTGRES = [
    way("SHOW search_path", "SET search_path TO pg_catalog"),
    way("SHOW search_path", "SELECT set_config('search_path', 'pg_catalog', false)"),
    way("SHOW search_path", "SELECT \"set_config\"('search_path', 'pg_catalog', false)"),
    way("SHOW search_path", "WITH x AS (SELECT 1) SELECT leave()"),
    way("SHOW search_path", "DO $$ BEGIN SET search_path TO pg_catalog; END $$"),
    way("SHOW TIME ZONE", "SET TIME ZONE 'Asia/Tokyo'"),
    way(
        "SELECT to_char(timestamptz '2026-01-01 00Z', 'HH24') AS h", "SET timezone TO 'Asia/Tokyo'"
    ),
    way("SHOW statement_timeout", "SET statement_timeout TO 12345"),
    way("SHOW default_transaction_isolation", "SET default_transaction_isolation TO serializable"),
    way(
        "SHOW transaction_isolation",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    ),
    way("SHOW default_transaction_read_only", "SET default_transaction_read_only TO on"),
    way("SELECT current_user::text", "SET ROLE clerk"),
    way("SELECT current_user::text", "SET SESSION AUTHORIZATION clerk"),
    way("SELECT * FROM seen", "CREATE TEMP TABLE seen (v int)"),
    way("SELECT * FROM seen", "SELECT 1 AS v INTO TEMPORARY seen"),
    way("SELECT * FROM seen", "CREATE TABLE pg_temp.seen (v int)"),
    way(LOCKS, "SELECT pg_advisory_lock(7)"),
    way(LOCKS, "SELECT pg_try_advisory_lock(8)"),
    way("SELECT pg_listening_channels()::text AS c", "LISTEN news"),
    way("EXECUTE seen", "PREPARE seen AS SELECT 1"),
    way("SELECT name FROM pg_prepared_statements WHERE from_sql", "SELECT prepared()"),
    way("FETCH seen", "DECLARE seen CURSOR WITH HOLD FOR SELECT 1"),
    way("SELECT lastval() > 0 AS l", "INSERT INTO t (v) VALUES (1)"),
    way("SELECT current_setting('my.tenant', true) AS t", "SET my.tenant TO 'anna'"),
    way("SELECT random()::text AS r", "SELECT setseed(0.5)"),
    way("SHOW bytea_output", "RESET ALL; SET bytea_output TO 'escape'"),
]

MYSQL = [
    way("SELECT @seen", "SET @seen = 1"),
    way("SELECT @seen", "SELECT @seen := 1"),
    way("SELECT @seen", "SELECT 1 INTO @seen"),
    way("SELECT @seen", "/*!50003 SET @seen = 1 */"),
    way("SELECT @seen", "CALL leave_it()"),
    way("SELECT @seen", "SELECT leave_by() AS l"),
    way("SELECT @@time_zone", "SET time_zone = '+09:00'"),
    way("SELECT @@sql_mode", "SET SESSION sql_mode = ''"),
    way("SELECT @@sql_mode", "SET @@session.sql_mode = 'ANSI_QUOTES'"),
    way("SELECT @@tx_isolation", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
    way("SELECT @@foreign_key_checks", "SET foreign_key_checks = 0"),
    way("SELECT @@lock_wait_timeout", "SET LOCAL lock_wait_timeout = 5"),
    way("SELECT @@character_set_client", "SET NAMES latin1"),
    way("SELECT DATABASE()", "USE other"),
    way("SELECT CURRENT_ROLE()", "SET ROLE clerk"),
    way("SELECT * FROM seen", "CREATE TEMPORARY TABLE seen (v int)"),
    way("SELECT IS_USED_LOCK('seen')", "SELECT GET_LOCK('seen', 1)"),
    way("SELECT IS_USED_LOCK('seen')", "SELECT `GET_LOCK`('seen', 1)"),
    way("EXECUTE seen", "PREPARE seen FROM 'SELECT 1'"),
    way("INSERT INTO u (v) VALUES (1)", "LOCK TABLES t READ"),
    way("HANDLER t READ FIRST", "HANDLER t OPEN"),
    way("SELECT LAST_INSERT_ID()", "INSERT INTO t (v) VALUES (1)"),
    way("SELECT LAST_INSERT_ID()", "SELECT LAST_INSERT_ID(41)"),
    way("SHOW WARNINGS", "SELECT 1 / 0 AS w"),
    way("SELECT PREVIOUS VALUE FOR s AS p", "SELECT NEXT VALUE FOR s AS n"),
    way("SELECT @a", "GET DIAGNOSTICS @a = NUMBER"),
    way("SELECT ROW_COUNT()", "UPDATE t SET v = v + 1"),
    way("SELECT IS_USED_LOCK('seen')", "DO GET_LOCK('seen', 1)"),
    way("SELECT * FROM seen", "CREATE /*!32302 TEMPORARY */ TABLE seen (v int)"),
    way("SELECT @@autocommit", "SET autocommit = 0"),
    way("SELECT @@tx_read_only", "SET SESSION TRANSACTION READ ONLY"),
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    with running(server.url, "postgres") as flow:
        for text in (
            "CREATE TABLE t (id serial PRIMARY KEY, v int)",
            "CREATE ROLE clerk",
            "CREATE FUNCTION leave() RETURNS text LANGUAGE sql AS"
            " $$ SELECT set_config('search_path', 'pg_catalog', false) $$",
            "CREATE FUNCTION prepared() RETURNS int LANGUAGE plpgsql AS"
            " $$ BEGIN EXECUTE 'PREPARE kept AS SELECT 1'; RETURN 1; END $$",
        ):
            flow.call("db", text)
    yield server
    server.close()


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariadbServer]:
    server = MariadbServer()
    with running(server.url, "mysql") as flow:
        for text in (
            "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v int)",
            "CREATE TABLE u (v int)",
            "CREATE SEQUENCE s",
            "CREATE PROCEDURE leave_it() BEGIN SET @seen = 1; SET @also = 2; END",
            "CREATE FUNCTION leave_by() RETURNS int BEGIN SET @seen = 1; RETURN 1; END",
        ):
            flow.call("db", text)
    yield server
    server.close()


@contextmanager
def running(source: str, driver: str, **fields: Any) -> Iterator[Flow]:
    with flow(sql("db", source, driver=driver, connections=1, **fields)) as started:
        yield started


def shown(started: Flow, text: str) -> Any:
    """What a process sees: rows, or what sort of failure."""
    try:
        return started.call("db", text)
    except GreenflowError as error:
        return list(messages(error))[-1]


def told(started: Flow, payload: Any) -> str:
    with pytest.raises(InvalidArgument) as failure:
        started.call("db", payload)
    return list(messages(failure.value))[-1]


def nothing_is_seen(started: Flow, each: Way) -> None:
    before = shown(started, each.shows)
    for text in each.leaves:
        shown(started, text)
    if "random()" in each.shows:  # seeded: two processes would see the same
        after = shown(started, each.shows)
        for text in each.leaves:
            shown(started, text)
        assert shown(started, each.shows) != after
        return
    assert shown(started, each.shows) == before


@pytest.mark.parametrize("place", ["file", "serializable", "memory"])
@pytest.mark.parametrize("each", SQLITE, ids=lambda each: each.leaves[0])
def test_sqlite(tmp_path: Path, place: str, each: Way) -> None:
    source = ":memory:" if place == "memory" else f"{tmp_path}/a.db"
    # A serializable process has the connection that writes for reading, too.
    isolation = "serializable" if place == "serializable" else ""
    with running(source, "sqlite", isolation=isolation) as started:
        started.call("db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        started.call("db", "INSERT INTO t (v) VALUES (1)")
        nothing_is_seen(started, each)
        started.call("db", "INSERT INTO t (v) VALUES (2)")
        assert {"v": 1} in started.call("db", "SELECT v FROM t")


@pytest.mark.parametrize("each", POSTGRES, ids=lambda each: each.leaves[0])
def test_postgres(postgres: PostgresServer, each: Way) -> None:
    with running(postgres.url, "postgres") as started:
        nothing_is_seen(started, each)


@pytest.mark.parametrize("driver", ["postgresql+pg8000"])
@pytest.mark.parametrize("each", POSTGRES[:3], ids=lambda each: each.leaves[0])
def test_drivers_that_cannot_begin_a_new_session_connect_anew(
    postgres: PostgresServer, driver: str, each: Way
) -> None:
    with running(postgres.url.replace("postgres", driver, 1), "") as started:
        nothing_is_seen(started, each)


@pytest.mark.parametrize("each", MYSQL, ids=lambda each: each.leaves[0])
def test_mysql(mariadb: MariadbServer, each: Way) -> None:
    with running(mariadb.url, "mysql") as started:
        nothing_is_seen(started, each)


def test_what_a_failed_process_left_is_not_seen_either(postgres: PostgresServer) -> None:
    with running(postgres.url, "postgres") as started:
        with pytest.raises(SqlFailed):
            started.call("db", "SELECT pg_advisory_lock(7), 1 / 0")
        with pytest.raises(SqlFailed):
            started.call("db", "SELECT pg_advisory_lock(7); SELECT 1 / 0")
        assert started.call("db", LOCKS) == [{"c": 0}]


def test_a_connection_is_kept_where_nothing_was_left(
    postgres: PostgresServer, mariadb: MariadbServer
) -> None:
    harmless = [
        "SELECT count(*), max(v) FROM t WHERE v IN (1, 2)",
        "INSERT INTO t (v) VALUES (3)",
        "UPDATE t SET v = coalesce(v, 1)",
        "DELETE FROM t WHERE v = 3",
    ]
    local = ["SET LOCAL search_path TO pg_catalog", "SELECT pg_advisory_xact_lock(1)"]
    upsert = "INSERT INTO t (id, v) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET v = 3"
    local.append("SELECT set_config('a.b', $$c$$, true)")
    reset = "SET search_path TO pg_catalog"  # undone on the same connection
    for server, driver, pid, texts in (
        (postgres, "postgres", "pg_backend_pid()", [*harmless, *local, upsert, reset]),
        (mariadb, "mysql", "connection_id()", harmless),
    ):
        with running(server.url, driver) as started:
            before = started.call("db", f"SELECT {pid} AS pid")
            for text in texts:
                started.call("db", text)
                assert started.call("db", f"SELECT {pid} AS pid") == before, text


def test_prepared_statements_of_the_driver_outlive_a_new_session(postgres: PostgresServer) -> None:
    with running(postgres.url, "postgres") as started:
        for at in range(12):  # psycopg prepares what it has sent five times
            assert started.call("db", ["SELECT $1::int + 1 AS n", [at]]) == [{"n": at + 1}]
            started.call("db", "SET search_path TO pg_catalog")


def test_pragmas_of_the_whole_os_process_are_refused() -> None:
    with running(":memory:", "sqlite") as started:
        for text in ("soft_heap_limit=9", "'soft_heap_limit' = 9", "main.[soft_heap_limit](9)"):
            assert "soft_heap_limit is not for workflows" in told(started, f"PRAGMA {text}")
        assert started.call("db", "PRAGMA soft_heap_limit") == [{"soft_heap_limit": 0}]


def test_every_statement_of_a_packet_is_answered(
    tmp_path: Path, postgres: PostgresServer, mariadb: MariadbServer
) -> None:
    for source, driver in (
        (f"{tmp_path}/a.db", "sqlite"),
        (postgres.url, "postgres"),
        (mariadb.url, "mysql"),
    ):
        with running(source, driver) as started:
            several = "SELECT 1 AS a; SELECT ';' AS b; -- no more\n"
            assert started.call("db", several) == [{"a": 1}, {"b": ";"}]
            two = ["SELECT ?; SELECT ?", [1, 2]]
            assert "is 2 statements; arguments are for one" in told(started, two)
            assert "COMMIT is not for workflows" in told(started, "SELECT 1; COMMIT")


def test_values_and_errors_of_mysql(mariadb: MariadbServer) -> None:
    with running(mariadb.url, "mysql") as started:
        call = started.call
        call("db", "DELETE FROM u")
        call("db", ["INSERT INTO u (v) VALUES (:v)", [{"v": 1}, {"v": 2}]])
        assert call("db", ["SELECT v, '\\'?' AS q FROM u WHERE v > ? # why?\n", [1]]) == [
            {"v": 2, "q": "'?"}
        ]
        assert call("db", ['SELECT "a\\"?" AS q, 5--1 AS m, ? AS v', [1]]) == [
            {"q": 'a"?', "m": 6, "v": 1}
        ]
        assert call("db", ["SELECT '100%' AS p, ? AS v", [1]]) == [{"p": "100%", "v": 1}]
        call("db", "INSERT INTO t (id, v) VALUES (900, 1)")
        with pytest.raises(SqlFailed) as failure:
            call("db", ["INSERT INTO t (id, v) VALUES (?, 1)", [900]])
        assert list(messages(failure.value))[-2:] == ["unique violation", "1062"]
        assert call("db", "DELETE FROM t WHERE id = 900") == []
        assert call("db", "CALL leave_it()") == []
