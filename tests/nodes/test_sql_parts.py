"""What parts of a process do in a transaction that is open around them (BEHAVIOUR 4.14, 4.16)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import InvalidArgument, SqlFailed, SqlUnavailable, TimedOut
from greenflow.sql.server_connection import ServerConnection
from greenflow.testing.clock import ManualClock
from tests.engine.test_scope import timed
from tests.flows import Flow, flow
from tests.postgres import PostgresServer
from tests.waiting import DEADLINE, until


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    started = PostgresServer()
    yield started
    started.close()


@pytest.fixture(params=["sqlite", "postgres"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database on its own."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    return str(request.getfixturevalue("server").url)


def insert(value: str, source: str, then: str = "", **fields: Any) -> str:
    """A node of that name that inserts it, and goes on."""
    links = {"out": {"name": then}} if then else {}
    spec = {"kind": "sql", "name": f"db {value}", "source": source, "links": links, **fields}
    return f"""
- {{kind: snippet, name: {value}, code: INSERT INTO t VALUES ('{value}'),
    links: {{out: {{name: db {value}}}}}}}
- {json.dumps(spec)}
"""


@contextmanager
def running_in(source: str, text: str, grace: float = DEADLINE) -> Iterator[Flow]:
    """As `timed_in`, for what does not ask for its clock."""
    with timed_in(source, text, grace) as (running, _):
        yield running


@contextmanager
def timed_in(source: str, text: str, grace: float = DEADLINE) -> Iterator[tuple[Flow, ManualClock]]:
    """`start` inserts `first`, then sends to `part`, then inserts `last`, in one transaction."""
    text += insert("first", source, "one element") + insert("last", source)
    text += f"""
- {{kind: snippet, name: one element, language: json, code: '[1]'}}
- {{kind: call, name: start,
    links: {{out: {{name: first}}, 'out[1]': {{name: part}}, 'out[2]': {{name: last}}}}}}
- {{kind: sql, name: db, source: "{source}"}}
"""
    with timed(text, grace) as (running, clock):
        running.call("db", "DROP TABLE IF EXISTS t")
        running.call("db", "CREATE TABLE t (name TEXT)")
        yield running, clock
        until(lambda: not running.runtime.services.processes)


def names(running: Flow) -> list[str]:
    return [row["name"] for row in running.call("db", "SELECT name FROM t ORDER BY name")]


def begun(running: Flow, node: str = "start") -> gevent.Greenlet[..., Any]:
    """A call under way; it returns what it raises, for gevent would print that."""

    def call() -> Any:
        try:
            return running.call(node, 1)
        except Exception as error:
            return error

    return gevent.spawn(call)


def late(running: Flow, clock: ManualClock, probe: str) -> Any:
    """What `start` answers, whose part of 1 s is late when it has come to that probe."""
    call = begun(running)
    until(lambda: running.probes.of(probe))
    clock.advance(1)
    return call.get(timeout=DEADLINE)


FAILS = "- {kind: probe, name: fails, raises: broken}\n"


# -- races -----------------------------------------------------------------------------------------


def test_what_a_loser_did_in_the_transaction_of_the_whole_is_undone(source: str) -> None:
    text = insert("loser", source, "held") + insert("seen", source, "won")
    text += """
- {kind: race, name: part, links: {out: {name: loser}, 'out[1]': {name: wins}}}
- {kind: probe, name: held}
- {kind: probe, name: wins}
- {kind: nop, name: won}
"""
    with running_in(source, text) as running:
        running.probes.gates |= {"held": Event(), "wins": Event()}
        call = begun(running)
        until(lambda: running.probes.of("held") and running.probes.of("wins"))
        running.probes.gates["wins"].set()
        assert call.get(timeout=30) == []
        assert names(running) == ["first", "last"]


def test_what_the_winner_did_there_is_kept_and_what_failed_before_is_not(source: str) -> None:
    text = insert("one", source, "fails") + insert("two", source) + FAILS
    text += "- {kind: race, name: part, links: {out: {name: one}, 'out[1]': {name: two}}}\n"
    with running_in(source, text) as running:
        running.call("start", 1)
        assert names(running) == ["first", "last", "two"]


def test_a_winner_is_undone_with_the_whole(source: str) -> None:
    text = insert("one", source) + FAILS
    text += """
- {kind: race, name: part, links: {out: {name: one}}}
- {kind: call, name: all, links: {out: {name: start}, 'out[1]': {name: fails}}}
"""
    with running_in(source, text) as running:
        with pytest.raises(InvalidArgument):
            running.call("all", 1)
        assert names(running) == []


def test_a_way_that_waits_for_too_long_has_an_error(source: str) -> None:
    text = insert("one", source, "held") + insert("two", source)
    text += f"""
- {{kind: call, name: all, links: {{out: {{name: before}}, 'out[1]': {{name: race}}}}}}
- {{kind: race, name: race, links: {{out: {{name: one}}, 'out[1]': {{name: second}}}}}}
- {{kind: probe, name: second, links: {{out: {{name: tries}}}}}}
- {{kind: try, name: tries, links: {{out: {{name: two}}, error: {{name: said}}}}}}
- {{kind: probe, name: said, links: {{out: {{name: fails}}}}}}
- {{kind: probe, name: held}}
- {{kind: nop, name: part}}
- {{kind: snippet, name: before, code: INSERT INTO t VALUES ('before'),
    links: {{out: {{name: quick}}}}}}
- {{kind: sql, name: quick, source: "{source}", timeout: 0.05}}
{FAILS}"""
    with running_in(source, text) as running:
        running.probes.gates |= {"held": Event(), "second": Event()}
        call = begun(running, "all")
        until(lambda: running.probes.of("held"))
        running.probes.gates["second"].set()
        until(lambda: running.probes.of("said"))
        (error,) = running.probes.of("said")
        assert isinstance(error, SqlUnavailable)
        assert "another part of the process has been using its transaction" in str(error)
        running.probes.gates["held"].set()
        assert call.get(timeout=30) == []
        assert names(running) == ["before", "one"]


def test_races_in_races(source: str) -> None:
    """The inner winner is undone when the outer way that it is in loses."""
    text = insert("a", source, "fails") + insert("b", source) + insert("c", source) + FAILS
    text += insert("d", source, "fails")
    text += """
- {kind: race, name: part, links: {out: {name: way}, 'out[1]': {name: inner}}}
- {kind: call, name: way, links: {out: {name: lost}, 'out[1]': {name: fails}}}
- {kind: race, name: lost, links: {out: {name: a}, 'out[1]': {name: b}}}
- {kind: race, name: inner, links: {out: {name: c}, 'out[1]': {name: d}}}
"""
    with running_in(source, text) as running:
        running.call("start", 1)
        assert names(running) == ["c", "first", "last"]


def test_a_race_in_each_element_of_a_loop(source: str) -> None:
    text = insert("one", source, "fails") + insert("two", source) + FAILS
    text += """
- {kind: snippet, name: part, language: json, code: '[1, 2, 3]', links: {out: {name: each}}}
- {kind: loop, name: each, concurrency: 2, links: {out: {name: race}}}
- {kind: race, name: race, links: {out: {name: one}, 'out[1]': {name: two}}}
"""
    with running_in(source, text) as running:
        running.call("start", 1)
        assert names(running) == ["first", "last", "two", "two", "two"]


def test_a_loop_in_a_way_of_a_race(source: str) -> None:
    text = insert("one", source) + insert("two", source) + FAILS
    text += """
- {kind: race, name: part, links: {out: {name: way}, 'out[1]': {name: two}}}
- {kind: call, name: way, links: {out: {name: list}, 'out[1]': {name: fails}}}
- {kind: snippet, name: list, language: json, code: '[1, 2, 3]', links: {out: {name: each}}}
- {kind: loop, name: each, concurrency: 2, links: {out: {name: one}}}
"""
    with running_in(source, text) as running:
        running.call("start", 1)
        assert names(running) == ["first", "last", "two"]


def test_a_fork_has_nothing_to_do_with_it(server: PostgresServer) -> None:
    text = insert("forked", server.url, "held") + insert("two", server.url)
    text += """
- {kind: step, name: part, timeout: 1m, specs: [{kind: nop}]}
- {kind: race, name: race, links: {out: [{name: fork}, {name: two}]}}
- {kind: fork, name: fork, links: {out: {name: forked}}}
- {kind: probe, name: held}
- {kind: call, name: all, links: {out: {name: start}, 'out[1]': {name: race}}}
"""
    with running_in(server.url, text) as running:
        running.call("all", 1)
        until(lambda: running.probes.of("held"))
        until(lambda: not running.runtime.services.processes)
        assert names(running) == ["first", "forked", "last", "two"]


# -- time limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        "{kind: try, name: part, links: {out: {name: slow}, error: {name: handled}}}",
        "{kind: retry, name: part, timeout: 1m, links: {out: {name: slow}, "
        "error: {name: handled}}}",
        "{kind: loop, name: part, concurrency: 2, links: {out: {name: slow}, "
        "error: {name: handled}}}",
    ],
    ids=["try", "retry", "loop"],
)
def test_what_is_late_is_undone_alone(source: str, part: str) -> None:
    text = insert("late", source, "held") + insert("handled", source)
    text += f"""
- {part}
- {{kind: call, name: slow, timeout: 1s, links: {{out: {{name: late}}}}}}
- {{kind: probe, name: held}}
"""
    with timed_in(source, text) as (running, clock):
        running.probes.gates["held"] = Event()
        assert late(running, clock, "held") == []
        assert names(running) == ["first", "handled", "last"]


def test_in_time_it_is_kept_with_the_whole(source: str) -> None:
    text = insert("one", source)
    text += """
- {kind: loop, name: part, concurrency: 2, links: {out: {name: quick}}}
- {kind: call, name: quick, timeout: 1m, links: {out: {name: one}}}
"""
    with running_in(source, text) as running:
        running.call("start", 1)
        assert names(running) == ["first", "last", "one"]


def test_limits_in_limits(source: str) -> None:
    text = insert("outer", source) + insert("inner", source) + insert("late", source, "held")
    text += """
- {kind: try, name: part, links: {out: {name: limited}}}
- {kind: call, name: limited, timeout: 1m,
   links: {out: {name: outer}, 'out[1]': {name: tries}, 'out[2]': {name: inner}}}
- {kind: try, name: tries, links: {out: {name: slow}, error: {name: said}}}
- {kind: call, name: slow, timeout: 1s, links: {out: {name: late}}}
- {kind: nop, name: said}
- {kind: probe, name: held}
"""
    with timed_in(source, text) as (running, clock):
        running.probes.gates["held"] = Event()
        assert late(running, clock, "held") == []
        assert names(running) == ["first", "inner", "last", "outer"]


def test_a_part_that_begins_a_transaction_has_it_for_itself(source: str) -> None:
    text = insert("one", source) + FAILS
    text += """
- {kind: nop, name: part}
- {kind: call, name: limited, timeout: 1m, links: {out: {name: race}}}
- {kind: race, name: race, links: {out: {name: one}}}
- {kind: call, name: all, links: {out: {name: limited}, 'out[1]': {name: fails}}}
"""
    with running_in(source, text) as running:
        with pytest.raises(InvalidArgument):
            running.call("all", 1)
        assert names(running) == ["one"]


# -- statements under way --------------------------------------------------------------------------

# Some seconds of work, in which a part is given up in each database.
READS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    " WHERE i < 0",
    "postgres": "SELECT pg_sleep(3600)",
}
ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n {}) "
WRITES = ROWS.format("WHERE i < 200000") + "INSERT INTO t SELECT 'row' FROM n"
SLOW = """
- {kind: try, name: part, links: {out: {name: slow}, error: {name: said}}}
- {kind: call, name: slow, timeout: 1s, links: {out: {name: noted}}}
- {kind: probe, name: noted, links: {out: {name: stuck}}}
- {kind: probe, name: said, links: {out: {name: nothing}}}
- {kind: nop, name: nothing}
"""


def stuck(statement: str, source: str, more: str = "") -> str:
    statement = json.dumps(statement)
    return f"""
- {{kind: snippet, name: stuck, code: {statement}, links: {{out: {{name: db stuck}}}}}}
- {{kind: sql, name: db stuck, source: "{source}"}}
{more}"""


@pytest.mark.parametrize("writes", [False, True])
def test_a_statement_that_is_broken_off_costs_the_whole_nothing(source: str, writes: bool) -> None:
    statement = READS["sqlite" if "sqlite" in source else "postgres"]
    text = stuck(WRITES if writes else statement, source, SLOW)
    with timed_in(source, text) as (running, clock):
        assert late(running, clock, "noted") == []
        assert isinstance(running.probes.of("said")[0], TimedOut)
        assert names(running) == ["first", "last"]


def test_a_server_that_had_not_had_it_yet_is_told_again_to_cancel_it(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel, times = ServerConnection.cancel, itertools.count()

    def late_once(connection: ServerConnection) -> None:
        if next(times):
            cancel(connection)

    monkeypatch.setattr(ServerConnection, "cancel", late_once)
    text = stuck(READS["postgres"], server.url, SLOW)
    with timed_in(server.url, text, grace=DEADLINE) as (running, clock):
        assert late(running, clock, "noted") == []
        assert names(running) == ["first", "last"]
    assert next(times) > 1


def test_one_that_does_not_end_costs_the_whole_transaction(tmp_path: Path) -> None:
    """SQLite rolls all back where a statement that writes is broken off, so that is the last."""
    source = f"sqlite:///{tmp_path}/a.db"
    endless = ROWS.format("") + "INSERT INTO t SELECT 'row' FROM n WHERE i < 0"
    with timed_in(source, stuck(endless, source, SLOW), grace=0.2) as (running, clock):
        error = late(running, clock, "noted")
        assert isinstance(error, SqlFailed)
        assert "did not end: nothing of the transaction is kept" in str(error)
        assert names(running) == []


def test_an_exit_of_the_whole_breaks_it_off_at_once(tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path}/a.db"
    endless = ROWS.format("") + "INSERT INTO t SELECT 'row' FROM n WHERE i < 0"
    with running_in(source, stuck(endless, source, SLOW), grace=3600) as running:
        call = begun(running)
        until(lambda: running.probes.of("noted"))
        (info, _) = running.runtime.processes()
        running.runtime.cancel(info.id)
        assert isinstance(call.get(timeout=30), Exception)
        assert names(running) == []


def test_a_loser_with_a_statement_under_way_when_the_whole_commits(source: str) -> None:
    statement = READS["sqlite" if "sqlite" in source else "postgres"]
    text = insert("loser", source, "stuck") + stuck(statement, source)
    text += """
- {kind: nop, name: part}
- {kind: call, name: all, links: {out: {name: first}, 'out[1]': {name: race}}}
- {kind: race, name: race, links: {out: {name: noted}, 'out[1]': {name: wins}}}
- {kind: probe, name: noted, links: {out: {name: loser}}}
- {kind: probe, name: wins}
"""
    text = text.replace("links: {out: {name: db stuck}}", "links: {out: {name: reached}}")
    text += "- {kind: probe, name: reached, links: {out: {name: db stuck}}}\n"
    with running_in(source, text) as running:
        running.probes.gates["wins"] = Event()
        call = begun(running, "all")
        until(lambda: running.probes.of("reached"))
        running.probes.gates["wins"].set()
        assert call.get(timeout=30) == [1]
        assert names(running) == ["first"]


def test_a_strand_that_is_broken_off_in_a_statement_is_no_silent_loss(
    server: PostgresServer,
) -> None:
    """PostgreSQL would undo all, and report its commit as done."""
    text = stuck(READS["postgres"], server.url)
    text += """
- {kind: snippet, name: part, language: json, code: '[1, 2]', links: {out: {name: each}}}
- {kind: loop, name: each, concurrency: 2, on_error: stop,
   links: {out: {name: way}, error: {name: said}}}
- {kind: switch, name: way, match: [{when: self == 1, port: out}, {when: 'true', port: 'out[1]'}],
   links: {out: {name: gate}, 'out[1]': {name: reached}}}
- {kind: probe, name: gate, raises: broken}
- {kind: probe, name: reached, links: {out: {name: stuck}}}
- {kind: nop, name: said}
- {kind: call, name: all, links: {out: {name: first}, 'out[1]': {name: part}}}
"""
    with running_in(server.url, text) as running:
        running.probes.gates["gate"] = Event()
        call = begun(running, "all")
        asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        until(lambda: running.call("db", asleep))  # the statement has begun
        running.probes.gates["gate"].set()
        error = call.get(timeout=30)
        assert isinstance(error, SqlFailed)
        assert "PostgreSQL has undone all others" in str(error)
        assert names(running) == []


def test_a_statement_that_fails_in_a_part_costs_the_whole_nothing(source: str) -> None:
    text = stuck("INSERT INTO nowhere VALUES (1)", source, SLOW)
    with running_in(source, text) as running:
        running.call("start", 1)
        assert names(running) == ["first", "last"]


def test_one_whose_error_the_part_handles_is_an_error_of_its_end(server: PostgresServer) -> None:
    text = stuck("INSERT INTO nowhere VALUES (1)", server.url)
    text += """
- {kind: try, name: part, links: {out: {name: limited}, error: {name: said}}}
- {kind: call, name: limited, timeout: 1m, links: {out: {name: tries}}}
- {kind: try, name: tries, links: {out: {name: stuck}, error: {name: handled}}}
- {kind: nop, name: handled}
- {kind: probe, name: said, links: {out: {name: handled}}}
"""
    with running_in(server.url, text) as running:
        running.call("start", 1)
        (error,) = running.probes.of("said")
        assert "PostgreSQL has undone all others" in str(error)
        assert names(running) == ["first", "last"]


def test_what_failed_in_the_whole_before_is_no_silent_loss(server: PostgresServer) -> None:
    """The savepoint of the part cannot be made, so that there is none to go back to."""
    text = stuck("INSERT INTO nowhere VALUES (1)", server.url) + insert("inside", server.url)
    text += """
- {kind: call, name: all,
   links: {out: {name: first}, 'out[1]': {name: tries}, 'out[2]': {name: part}}}
- {kind: try, name: tries, links: {out: {name: stuck}, error: {name: handled}}}
- {kind: nop, name: handled}
- {kind: try, name: part, links: {out: {name: limited}, error: {name: handled}}}
- {kind: call, name: limited, timeout: 1m, links: {out: {name: inside}}}
"""
    with running_in(server.url, text) as running:
        with pytest.raises(SqlFailed, match="PostgreSQL has undone all others"):
            running.call("all", 1)
        assert names(running) == []


# -- events ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["race", "limited"])
def test_what_a_part_in_a_strand_publishes_goes_out_with_the_whole(node: str) -> None:
    text = f"""
- {{kind: loop, name: each, concurrency: 2, links: {{out: {{name: {node}}}}}}}
- {{kind: race, name: race, links: {{out: {{name: both}}}}}}
- {{kind: call, name: limited, timeout: 1m, links: {{out: {{name: both}}}}}}
- {{kind: probe, name: both, links: {{out: {{name: publish}}, 'out[1]': {{name: x}}}}}}
- {{kind: trigger, name: publish, topic: news}}
- {{kind: nop, name: x}}
- {{kind: trigger, name: hear, topic: news, links: {{out: {{name: heard}}}}}}
- {{kind: probe, name: heard}}
- {{kind: call, name: all, links: {{out: {{name: each}}, 'out[1]': {{name: end}}}}}}
- {{kind: probe, name: end, raises: broken, times: 1}}
"""
    with flow(text) as running:
        with pytest.raises(InvalidArgument):
            running.call("all", [1])
        running.call("all", [2])
        until(lambda: running.probes.of("heard"))
        until(lambda: not running.runtime.services.processes)
        assert running.probes.of("heard") == [2]
