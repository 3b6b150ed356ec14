"""sql on SQLite: one transaction for each process and source, errors, exits (BEHAVIOUR 14)."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import (
    InvalidArgument,
    ProcessExited,
    SpecInvalid,
    SqlFailed,
    SqlUnavailable,
    messages,
)
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from tests.flows import Flow, flow
from tests.net.loopback import Client
from tests.waiting import until

# Some hundred million steps of SQLite's machine: it does not end by itself in any test.
ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n "
    "WHERE i < 0"
)
TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"
CANARY = "canary-7f3a"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(TABLE)
    return path


def sql(name: str, source: object, links: str = "{}", **fields: Any) -> str:
    spec = {"kind": "sql", "name": name, "driver": "sqlite3", "source": str(source), **fields}
    return f'- {json.dumps(spec)[:-1]}, "links": {links}}}\n'


@contextmanager
def database(source: object, **fields: Any) -> Iterator[Flow]:
    with flow(sql("db", source, **fields)) as running:
        yield running


def names(file: Path) -> list[str]:
    """What another program finds in the table."""
    with closing(sqlite3.connect(file)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM t ORDER BY id")]


def insert(name: str) -> list[Any]:
    return ["INSERT INTO t (name) VALUES (?)", [name]]


# -- statements and rows ---------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["file", ":memory:", "sqlite://"])
def test_rows_are_a_list_of_maps(tmp_path: Path, source: str) -> None:
    driver = {} if source != "sqlite://" else {"driver": ""}
    with database(tmp_path / "new.db" if source == "file" else source, **driver) as running:
        call = running.call
        assert call("db", f"{TABLE}; CREATE TABLE b (x) -- two at once") == []
        assert call("db", insert("anna")) == []
        runs = [{"name": "ben", "more": 1}, {"name": "cleo"}]
        assert call("db", ["INSERT INTO t (name) VALUES (:name) RETURNING id", runs]) == [
            {"id": 2},
            {"id": 3},
        ]
        assert call("db", "SELECT id, name FROM t WHERE id < 3 ORDER BY id") == [
            {"id": 1, "name": "anna"},
            {"id": 2, "name": "ben"},
        ]
        assert call("db", ["SELECT name FROM t WHERE id = $1", [3]]) == [{"name": "cleo"}]
        assert call("db", ["SELECT name FROM t WHERE id > :id", {"id": 3}]) == []
        assert call("db", ["SELECT 1 AS a"]) == [{"a": 1}]


def test_more_rows_than_a_packet_has_are_an_error(file: Path) -> None:
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) "
    with database(file, rows=2) as running:
        with pytest.raises(SqlFailed, match="more than 2 rows: use LIMIT"):
            running.call("db", f"{many} SELECT i FROM n")
        with pytest.raises(SqlFailed, match="more than 2 rows"):
            running.call("db", f"{many} INSERT INTO t (name) SELECT i FROM n RETURNING *")
        assert names(file) == []
        assert running.call("db", f"{many} SELECT i FROM n LIMIT 2") == [{"i": 1}, {"i": 2}]


def test_a_script_may_hold_a_trigger(file: Path) -> None:
    trigger = (
        "CREATE TABLE log (name); CREATE TRIGGER logged AFTER INSERT ON t BEGIN "
        "INSERT INTO log VALUES (new.name || ';'); END; INSERT INTO t (name) VALUES ('a;b');"
    )
    with database(file) as running:
        running.call("db", trigger)
        assert running.call("db", "SELECT name FROM log") == [{"name": "a;b;"}]


def test_values_go_in_and_come_out() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    values = [
        None,
        True,
        -(2**63),
        1.5,
        "é",
        b"\x00\xff",
        moment,
        [1, {"a": None}],
        {"b": [moment]},
    ]
    with database(":memory:") as running:
        sent = [f"SELECT {', '.join(f'? AS c{i}' for i in range(len(values)))}", values]
        (row,) = running.call("db", sent)
    text = "2026-01-02T03:04:05Z"
    found = [
        None,
        1,
        -(2**63),
        1.5,
        "é",
        b"\x00\xff",
        text,
        '[1,{"a":null}]',
        f'{{"b":["{text}"]}}',
    ]
    assert list(row.values()) == found


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (None, "the input is SQL"),
        (7, "the input is SQL"),
        ([], "the input is SQL"),
        ({"sql": "SELECT 1"}, "the input is SQL"),
        ([["SELECT 1"]], "the input is SQL"),
        ("", "the SQL is empty"),
        (" -- nothing", "the SQL is empty"),
        (["SELECT ?", 1], "a list by position, or a map by name"),
        (["SELECT ?", 1, 2], "the input has 3 elements"),
        (["SELECT ?", [1, 2]], "placeholders for 1 arguments by position; 2 were given"),
        (["SELECT :a", {"b": 1}], "no argument for :a"),
        (["SELECT :a", {}], "no argument for :a"),
        (["SELECT :a", [1]], "but 1 by name"),
        (["SELECT ?", {"a": 1}], "a map of arguments is for placeholders such as :name"),
        (["SELECT ?", [2**63]], "an integer that SQLite cannot hold"),
        (["SELECT ?", [ValueError("x")]], "an argument is ValueError"),
        (["SELECT ?", [[ValueError("x")]]], "cannot be JSON"),
        ("COMMIT", "COMMIT is not for workflows"),
        ("  begin immediate", "BEGIN is not for workflows"),
        ("ROLLBACK", "ROLLBACK is not for workflows"),
    ],
)
def test_what_cannot_be_used_is_an_invalid_argument(payload: Any, told: str) -> None:
    with database(":memory:") as running:
        with pytest.raises(InvalidArgument) as raised:
            running.call("db", payload)
        assert told in str(raised.value.__cause__)
        assert running.call("db", "SELECT 1 AS a") == [{"a": 1}]


@pytest.mark.parametrize(
    ("statement", "chain"),
    [
        (
            insert("anna"),
            ["UNIQUE constraint failed: t.name", "unique violation", "SQLITE_CONSTRAINT_UNIQUE"],
        ),
        ("SELEC 1", ['near "SELEC": syntax error', "SQLITE_ERROR"]),
        ("SELECT ?", None),
    ],
)
def test_what_the_database_refuses_is_an_error(
    file: Path, statement: Any, chain: list[str] | None
) -> None:
    with database(file) as running:
        running.call("db", insert("anna"))
        with pytest.raises(SqlFailed) as raised:
            running.call("db", statement)
        assert chain is None or list(messages(raised.value)) == chain
        assert running.call("db", "SELECT count(*) AS n FROM t") == [{"n": 1}]


def test_an_error_goes_to_the_error_link_and_equals_its_sort(file: Path) -> None:
    text = sql("db", file, '{"error": {"name": "which"}}')
    text += "- {kind: snippet, name: which, language: cel, code: self == 'unique violation'}"
    with flow(text) as running:
        running.call("db", insert("anna"))
        assert running.call("db", insert("anna")) is True
        assert running.call("db", None) is False
        assert names(file) == ["anna"]


# -- transactions ----------------------------------------------------------------------------------

CHAIN = """
- kind: call
  name: start
  links: {"out[0]": {name: first}, "out[1]": {name: middle}, "out[2]": {name: then}}
- {kind: probe, name: middle}
- kind: snippet
  name: first
  code: INSERT INTO t (name) VALUES ('anna')
  links: {out: {name: db}}
- {kind: snippet, name: then, code: SELECT name FROM t, links: {out: {name: other}}}
"""


def chain(file: Path, **fields: Any) -> str:
    return CHAIN + sql("db", file) + sql("other", f"file:{file}", **fields)


def test_a_later_statement_sees_earlier_ones_and_nobody_else_does(file: Path) -> None:
    with flow(chain(file)) as running:
        running.probes.gates["middle"] = gate = Event()
        running.probes.reached["middle"] = reached = Event()
        call = gevent.spawn(running.call, "start")
        assert reached.wait(10)
        assert names(file) == []
        assert running.call("db", "SELECT * FROM t") == []
        gate.set()
        assert call.get() == [{"name": "anna"}]
        assert names(file) == ["anna"]


def test_an_error_of_the_process_rolls_back(file: Path) -> None:
    text = chain(file).replace('"out[2]": {name: then}', '"out[2]": {name: fail}')
    text += "- {kind: throw, name: fail}"
    with flow(text.replace("probe, name: middle", "probe, name: middle, answer: no")) as running:
        with pytest.raises(Exception, match="no"):
            running.call("start")
        assert names(file) == []
        assert running.call("db", insert("ben")) == []
        assert names(file) == ["ben"]


def test_another_isolation_is_another_transaction(file: Path) -> None:
    with flow(chain(file, isolation="serializable", timeout="10ms")) as running:
        with pytest.raises(SqlUnavailable, match=r"locked by another program for 0\.01 s"):
            running.call("start")
        assert names(file) == []


def test_a_child_has_a_transaction_of_its_own(file: Path) -> None:
    text = chain(file).replace("probe, name: middle", "fork, name: middle")
    text = text.replace("middle}\n", "middle, links: {out: {name: look}}}\n")
    text += "- {kind: snippet, name: look, code: SELECT name FROM t, links: {out: {name: rows}}}\n"
    text += sql("rows", file, '{"out": {"name": "seen"}}') + "- {kind: probe, name: seen}"
    with flow(text.replace("{name: then}", "{name: hold}") + "\n- {kind: probe, name: hold}") as (
        running
    ):
        running.probes.gates["hold"] = gate = Event()
        call = gevent.spawn(running.call, "start")
        until(lambda: running.probes.of("seen"))
        assert running.probes.of("seen") == [[]]
        gate.set()
        call.get()
        assert names(file) == ["anna"]


def test_writers_queue_and_none_fails(file: Path) -> None:
    """Each reads before it writes, which SQLite alone would refuse to all but one."""
    text = """
- {kind: call, name: start, links: {"out[0]": {name: count}, "out[1]": {name: add}}}
- {kind: snippet, name: count, code: SELECT count(*) FROM t, links: {out: {name: db}}}
- {kind: snippet, name: add, code: INSERT INTO t (name) VALUES (NULL), links: {out: {name: db}}}
"""
    with flow(text + sql("db", file, connections=2)) as running:
        calls = [gevent.spawn(running.call, "start") for _ in range(100)]
        gevent.joinall(calls, raise_error=True)
        assert len(names(file)) == 100


def test_serializable_processes_do_not_lose_updates(file: Path) -> None:
    text = """
- {kind: call, name: start, links: {"out[0]": {name: read}, "out[1]": {name: set}}}
- {kind: snippet, name: read, code: SELECT max(id) AS n FROM t, links: {out: {name: db}}}
- {kind: snippet, name: set, language: cel,
   code: '["UPDATE t SET id = ?", [self[0].n + 1]]', links: {out: {name: db}}}
"""
    with flow(text + sql("db", file, isolation=6)) as running:
        running.call("db", "INSERT INTO t VALUES (1, 'a')")
        gevent.joinall([gevent.spawn(running.call, "start") for _ in range(50)], raise_error=True)
        assert running.call("db", "SELECT id FROM t") == [{"id": 51}]


def test_with_may_write(file: Path) -> None:
    with database(file) as running:
        running.call("db", "WITH a(n) AS (SELECT 'x') INSERT INTO t (name) SELECT n FROM a")
        assert names(file) == ["x"]


def test_a_transaction_that_sqlite_gave_up_is_not_reported_as_done(file: Path) -> None:
    text = """
- kind: call
  name: start
  links: {"out[0]": {name: first}, "out[1]": {name: again}, "out[2]": {name: more}}
- {kind: snippet, name: first, code: "INSERT INTO t VALUES (1, 'a')", links: {out: {name: db}}}
- {kind: try, name: again, links: {out: {name: clash}, error: {name: ignore}}}
- kind: snippet
  name: clash
  code: INSERT OR ROLLBACK INTO t VALUES (1, 'b')
  links: {out: {name: db}}
- {kind: snippet, name: ignore, code: fine}
- {kind: snippet, name: more, code: MORE, links: {out: {name: MORE}}}
"""
    for more in ("nop", "db"):
        chosen = text.replace("code: MORE", "code: SELECT 1").replace("MORE", more)
        with flow(chosen + "- {kind: nop, name: nop}\n" + sql("db", file)) as running:
            with pytest.raises(SqlFailed, match="rolled the transaction back"):
                running.call("start")
            assert names(file) == []
            running.call("db", "SELECT 1")


FAILING = """
- {kind: listener, name: http, port: 0, links: {out: {name: add}}}
- {kind: snippet, name: add, code: INSERT INTO b VALUES (1), links: {out: {name: db}}}
"""


def test_a_commit_that_fails_is_never_answered_2xx(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE b (a REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    with flow(FAILING + sql("db", f"{file}?_foreign_keys=on")) as running:
        client = Client(running.runtime.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
        statuses = [client.ask("/").status for _ in range(50)]
        running.call("db", "INSERT INTO t (id) VALUES (1)")
        statuses.append(client.ask("/").status)
        client.socket.close()
        assert running.call("db", "SELECT count(*) AS n FROM b") == [{"n": 1}]
    assert statuses == [500] * 50 + [200]


def test_an_answer_with_an_error_status_rolls_back(file: Path) -> None:
    text = """
- {kind: listener, name: http, port: 0, links: {out: {name: add}}}
- {kind: snippet, name: add, code: "INSERT INTO t VALUES (1, 'a')", links: {out: {name: db}}}
- {kind: snippet, name: refuse, language: json, code: '{"status": 409}'}
"""
    with flow(text + sql("db", file, '{"out": {"name": "refuse"}}')) as running:
        client = Client(running.runtime.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
        assert client.ask("/").status == 409
        client.socket.close()
        assert names(file) == []


# -- exits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["", "write"])
def test_an_exit_breaks_the_statement_off(file: Path, before: str) -> None:
    text = sql("db", file) + f"- {{kind: snippet, name: endless, code: {ENDLESS}, LINK}}\n"
    text += "- {kind: snippet, name: write, code: INSERT INTO t VALUES (1, 'a'), LINK}\n"
    text += (
        '- {kind: call, name: both, links: {"out[0]": {name: write}, "out[1]": {name: endless}}}'
    )
    text = text.replace("LINK", "links: {out: {name: db}}").replace("'a'", "''a''")
    text = text.replace(
        "code: INSERT INTO t VALUES (1, ''a'')", "code: \"INSERT INTO t VALUES (1, 'a')\""
    )
    with flow(text) as running:
        threads = threading.active_count()
        call = gevent.spawn(running.call, "both" if before else "endless")
        until(lambda: running.runtime.table.find("db").version.node.in_flight == 1 + 0)  # type: ignore[union-attr]
        gevent.sleep(0)
        call.kill()
        assert not running.runtime.services.processes  # type: ignore[attr-defined]
        assert names(file) == []
        running.call("db", insert("ben"))
        assert names(file) == ["ben"]
        assert threading.active_count() == threads


def test_an_exit_while_waiting_for_the_turn_leaves_it_to_others(file: Path) -> None:
    with flow(chain(file)) as running:
        running.probes.gates["middle"] = gate = Event()
        running.probes.reached["middle"] = reached = Event()
        holding = gevent.spawn(running.call, "start")
        assert reached.wait(10)
        waiting = gevent.spawn(running.call, "db", insert("ben"))
        node = running.runtime.table.find("db").version.node
        until(lambda: node.in_flight)  # type: ignore[union-attr]
        waiting.kill()
        gate.set()
        holding.get()
        running.call("db", insert("cleo"))
        assert names(file) == ["anna", "cleo"]


def test_endless_statements_block_nobody(file: Path) -> None:
    with database(file, connections=2) as running:
        calls = [gevent.spawn(running.call, "db", ENDLESS) for _ in range(1)]
        gevent.sleep(0)
        for i in range(20):
            running.call("db", insert(str(i)))
            assert running.call("db", "SELECT count(*) AS n FROM t") == [{"n": i + 1}]
        gevent.killall(calls)


def test_all_connections_in_use_is_an_error_after_the_timeout(file: Path) -> None:
    with database(file, connections=1, timeout="1ms") as running:
        call = gevent.spawn(running.call, "db", ENDLESS)
        gevent.sleep(0)
        with pytest.raises(SqlUnavailable, match=r"all 1 connections that read .* for 0\.001 s"):
            running.call("db", "SELECT 1")
        call.kill()


def test_a_writer_that_takes_too_long_is_named(file: Path) -> None:
    with flow(
        chain(file, timeout="1ms").replace('"name": "db"', '"timeout": "1ms", "name": "db"')
    ) as (running):
        running.probes.gates["middle"] = gate = Event()
        running.probes.reached["middle"] = reached = Event()
        call = gevent.spawn(running.call, "start")
        assert reached.wait(10)
        with pytest.raises(SqlUnavailable, match=r"has been writing for 0\.001 s"):
            running.call("db", insert("ben"))
        gate.set()
        call.get()


def test_another_program_that_writes_is_waited_for(file: Path) -> None:
    with (
        database(file, timeout="1ms") as running,
        closing(sqlite3.connect(file, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            SqlUnavailable, match=r"has been locked by another program for 0\.001 s"
        ):
            running.call("db", insert("ben"))
        assert running.call("db", "SELECT * FROM t") == []
        other.execute("ROLLBACK")
        running.call("db", insert("ben"))
        assert names(file) == ["ben"]


def test_a_client_that_leaves_ends_its_statement(file: Path) -> None:
    text = f"""
- kind: listener
  name: http
  port: 0
  on_disconnect: {{exit_after: 1ms}}
  links: {{out: {{name: endless}}}}
- {{kind: snippet, name: endless, code: {ENDLESS}, links: {{out: {{name: db}}}}}}
"""
    with flow(text + sql("db", file, connections=1)) as running:
        node = running.runtime.table.find("db").version.node
        client = Client(running.runtime.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
        client.socket.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: node.in_flight)  # type: ignore[union-attr]
        client.reset()
        until(lambda: not node.in_flight)  # type: ignore[union-attr]
        assert running.call("db", "SELECT 1 AS a") == [{"a": 1}]


# -- sources ---------------------------------------------------------------------------------------


def test_data_in_memory_is_shared_and_stays_through_an_edit() -> None:
    one = {"kind": "sql", "name": "one", "driver": "sqlite3", "source": ":memory:"}
    with Runtime("memory://", specs=[one, {**one, "name": "two"}]) as running:
        running.call("one", TABLE)
        running.call("two", insert("anna"))
        running.operations.apply({**one, "timeout": "3s"})
        until(lambda: running.table.find("one").version.node.spec.timeout == 3)  # type: ignore[union-attr]
        assert running.call("one", "SELECT name FROM t") == [{"name": "anna"}]


def test_a_file_that_was_put_in_the_place_is_opened(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute(TABLE)
        connection.execute("INSERT INTO t VALUES (1, 'other')")
        connection.commit()
    with database(file) as running:
        running.call("db", insert("anna"))
        for suffix in ("", "-wal", "-shm"):
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        other.rename(file)
        assert running.call("db", "SELECT name FROM t") == [{"name": "other"}]
        running.call("db", insert("ben"))
        assert names(file) == ["other", "ben"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("/nowhere/at/all.db", "the folder /nowhere/at does not exist; create it"),
        ("{folder}", "is a folder; name a file"),
        ("{folder}/text.db", "is not an SQLite database"),
        ("file:{folder}/none.db?mode=rw", "does not exist, and its `mode`"),
    ],
)
def test_a_file_that_cannot_be_opened_is_told_as_the_reason(
    tmp_path: Path, source: str, told: str
) -> None:
    (tmp_path / "text.db").write_text("no database" * 100)
    spec = {"kind": "sql", "driver": "sqlite", "source": source.format(folder=tmp_path)}
    with Runtime("memory://", specs=[spec]) as running:
        (status,) = running.status()
        assert told in status["reason"]


def test_a_file_opened_for_reading_is_not_written(file: Path) -> None:
    with database(f"file:{file}?mode=ro") as running:
        assert running.call("db", "SELECT * FROM t") == []
        with pytest.raises(SqlFailed, match="attempt to write a readonly database"):
            running.call("db", insert("anna"))


def test_pragmas_of_the_source_hold(tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path}/a.db?journal_mode=TRUNCATE&synchronous=NORMAL&timeout=2"
    found = {}
    for each, fields in ((source, {"driver": ""}), (tmp_path / "new.db", {})):
        with database(each, **fields) as running:
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys"):
                (row,) = running.call("db", f"PRAGMA {name}")
                found.setdefault(name, []).extend(row.values())
    assert found == {
        "journal_mode": ["truncate", "wal"],
        "synchronous": [1, 2],
        "busy_timeout": [2000, 10000],
        "foreign_keys": [0, 0],
    }


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"driver": "sqlite"}, "$.source: missing"),
        ({"source": "a.db"}, "$.source: name a `driver`"),
        ({"source": "a.db?mode=x", "driver": "sqlite"}, "$.source: the option 'mode'"),
        ({"source": "a.db?jornal_mode=WAL", "driver": "sqlite"}, "unknown option 'jornal_mode'"),
        ({"source": "postgres://h/n", "driver": "sqlite"}, "but the source that of 'postgresql'"),
        ({"source": "a.db", "driver": "sqlite", "isolation": "none"}, "$.isolation: no such"),
        ({"source": "a.db", "driver": "sqlite", "isolation": 8}, "$.isolation: no such"),
        ({"source": "a.db", "driver": "sqlite", "connections": 0}, "$.connections"),
    ],
)
def test_faults_of_the_spec(fields: dict[str, Any], told: str) -> None:
    with (
        pytest.raises(SpecInvalid) as raised,
        Runtime("memory://", specs=[{"kind": "rdb", **fields}]),
    ):
        pass
    assert told in str(raised.value)


def test_no_argument_is_in_a_log_or_an_error(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    statements = [
        ["INSERT INTO t (name) VALUES (?)", [CANARY]],
        ["INSERT INTO t (name) VALUES (:a) RETURNING missing", {"a": CANARY}],
        ["SELECT json_extract('{}', ?)", [CANARY]],
        ["SELECT ?", [CANARY, CANARY]],
        ["SELECT abs(?)", [[CANARY, ValueError(CANARY)]]],
        [f"SELECT '{CANARY}", [CANARY]],
    ]
    with database(file) as running:
        running.call("db", statements[0])
        for statement in statements:
            with pytest.raises((SqlFailed, InvalidArgument)) as raised:
                running.call("db", statement)
            shown = "".join(traceback.format_exception(raised.value))
            assert CANARY not in shown + repr(raised.value) + str(list(messages(raised.value)))
    assert CANARY not in caplog.text


def test_a_process_that_has_ended_runs_no_statement(file: Path) -> None:
    text = sql("db", file, '{"out": {"name": "p"}}') + "- {kind: probe, name: p}"
    with flow(text) as running:
        running.probes.gates["p"] = Event()
        running.probes.reached["p"] = reached = Event()
        call = gevent.spawn(running.call, "db", insert("anna"))
        assert reached.wait(10)
        process = running.probes.processes[0]
        process.exit()
        with pytest.raises(ProcessExited):
            call.get()
        assert names(file) == []


def test_the_window_of_uniflow_on_itself_is_no_database() -> None:
    with pytest.raises(SpecInvalid, match=r"\$\.driver: 'internal' is the window .*\(specs\.read"):
        Scheme.installed().decode({"kind": "sql", "driver": "internal"}, "default")
