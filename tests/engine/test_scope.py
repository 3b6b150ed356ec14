"""Time limits of parts of a workflow, and of what sources begin (BEHAVIOUR 4.14)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest

from greenflow import Runtime, Scheme
from greenflow.config import Settings
from greenflow.errors import TimedOut
from greenflow.payload.origin import shown
from greenflow.spec.document import read
from greenflow.testing.clock import ManualClock
from tests.flows import Flow, Probes, probe_kind
from tests.net.loopback import Client
from tests.waiting import until


@contextmanager
def timed(text: str, grace: float = 5.0) -> Iterator[tuple[Flow, ManualClock]]:
    """A flow by a clock that stands still, and that clock."""
    probes, clock = Probes(), ManualClock()
    scheme = Scheme.installed()
    scheme.register(probe_kind(probes))
    specs = [document.data for document in read(text, "test")]
    settings = Settings(grace=grace)
    with Runtime(
        "memory://", specs=specs, settings=settings, scheme=scheme, clock=clock
    ) as runtime:
        inactive = {s["name"]: s["reason"] for s in runtime.status() if not s["active"]}
        assert not inactive
        yield Flow(runtime, probes), clock


def begun(running: Flow, node: str, payload: Any = 1) -> gevent.Greenlet[..., Any]:
    """A call under way; it returns what it raises, for gevent would print that."""

    def call() -> Any:
        try:
            return running.call(node, payload)
        except Exception as error:
            return error

    return gevent.spawn(call)


def late(running: Flow, clock: ManualClock, node: str, payload: Any = 1) -> Exception:
    """The error of a call whose time is over while something sleeps in it."""
    call = begun(running, node, payload)
    clock.wait_for_sleepers()
    clock.advance(1)
    error = call.get(timeout=30)
    assert isinstance(error, TimedOut)
    assert str(error) == "timed out after 1s"
    return error


SLOW = """
- kind: block
  name: slow
  timeout: 1s
  specs:
    - {kind: probe, name: opens, resource: true}
    - {kind: sleep, interval: 1h}
"""


def test_what_runs_in_a_block_over_its_time_is_interrupted_and_rolled_back() -> None:
    with timed(SLOW) as (running, clock):
        error = late(running, clock, "slow", {"sku": "A1"})
        assert running.probes.of("opens") == [{"sku": "A1"}, "opened", "rolled back"]
        told = shown(error)
        assert (told["node"], told["kind"], told["input"]) == ("slow", "block", {"sku": "A1"})
        assert clock.sleepers == 0
        assert not running.runtime.services.processes


def test_the_error_is_an_ordinary_one() -> None:
    text = (
        SLOW
        + """
  links: {error: {name: sorry}}
- {kind: snippet, name: sorry, language: cel, code: "['sorry', self == 'timed out after 1s']"}
"""
    )
    with timed(text) as (running, clock):
        call = begun(running, "slow")
        clock.wait_for_sleepers()
        clock.advance(1)
        assert call.get(timeout=30) == ["sorry", True]


def test_in_time_what_leaves_goes_on_after_its_commit() -> None:
    text = """
- kind: block
  name: quick
  timeout: 1s
  specs:
    - {kind: probe, name: opens, resource: true}
    - {kind: switch, match: [{when: self == 1, port: out}, {when: self == 2, port: 'out[1]'}]}
  outbounds: {}
  links: {out: {name: first}, 'out[1]': {name: second}}
- {kind: probe, name: first, answer: one}
- {kind: probe, name: second, answer: two}
"""
    with timed(text) as (running, clock):
        assert running.call("quick", 1) == "one"
        assert [name for name, _ in running.probes.seen] == ["opens", "opens", "opens", "first"]
        assert running.probes.seen[2] == ("opens", "committed")
        assert running.call("quick", 2) == "two"
        assert running.call("quick", 3) is None
        clock.advance(5)
        assert not running.runtime.services.processes


def test_several_that_leave_are_answered_in_order_beside_what_stays() -> None:
    text = """
- kind: block
  name: quick
  timeout: 1s
  specs:
    - kind: split
      name: split
      links: {out: [{name: a}], 'out[1]': [{name: b}], 'out[2]': [{name: a}]}
    - {kind: try, name: a}
    - {kind: try, name: b}
  inbounds: {in: [{name: split, port: in}]}
  outbounds: {out: [{name: a, port: out}]}
  links: {out: [{name: first}]}
- {kind: snippet, name: first, language: cel, code: self + 10}
"""
    with timed(text) as (running, _):
        assert running.call("quick", [1, 2, 3]) == [11, 2, 13]


def test_an_error_inside_is_rolled_back_and_goes_to_the_error_link() -> None:
    text = """
- kind: step
  name: quick
  timeout: 1s
  specs: [{kind: probe, name: opens, resource: true}, {kind: probe, name: fails, raises: no}]
  links: {error: {name: sorry}}
- {kind: snippet, name: sorry, language: cel, code: self.node}
"""
    with timed(text) as (running, _):
        assert running.call("quick", 1) == "quick > fails"
        assert running.probes.of("opens")[-1] == "rolled back"


def test_an_error_beyond_the_block_is_none_of_it() -> None:
    text = """
- {kind: step, name: quick, timeout: 1s, specs: [{kind: probe, name: opens, resource: true}],
   links: {out: {name: beyond}, error: {name: sorry}}}
- {kind: probe, name: beyond, raises: no}
- {kind: snippet, name: sorry, language: cel, code: self.node}
"""
    with timed(text) as (running, _), pytest.raises(Exception, match="invalid argument"):
        running.call("quick", 1)
    assert running.probes.of("opens")[-1] == "committed"


def test_blocks_with_a_limit_in_blocks_with_one() -> None:
    text = """
- kind: block
  name: outer
  timeout: 10s
  specs:
    - {kind: step, name: inner, timeout: 1s, specs: [{kind: sleep, interval: 1h}]}
    - {kind: try}
"""
    with timed(text) as (running, clock):
        assert shown(late(running, clock, "outer"))["node"] == "outer > inner"


def test_a_call_is_limited_as_a_whole() -> None:
    text = """
- {kind: call, name: slow, timeout: 1s, links: {out: {name: opens}, 'out[1]': {name: sleeps}}}
- {kind: probe, name: opens, resource: true}
- {kind: sleep, name: sleeps, interval: 1h}
"""
    with timed(text) as (running, clock):
        late(running, clock, "slow")
        assert running.probes.of("opens")[-1] == "rolled back"


@pytest.mark.parametrize("fields", ["", "concurrency: 2, ", "on_error: stop, ", "batch: 2, "])
def test_a_loop_is_limited_as_a_whole(fields: str) -> None:
    text = f"""
- {{kind: loop, name: slow, timeout: 1s, {fields}links: {{out: {{name: opens}}}}}}
- {{kind: probe, name: opens, resource: true, links: {{out: {{name: sleeps}}}}}}
- {{kind: sleep, name: sleeps, interval: 1h}}
"""
    with timed(text) as (running, clock):
        late(running, clock, "slow", [1, 2, 3])
        ends = [each for each in running.probes.of("opens") if isinstance(each, str)]
        assert ends.count("rolled back") == ends.count("opened") > 0
        assert "committed" not in ends
        assert not running.runtime.services.processes


def test_a_loop_in_time_gives_its_answers() -> None:
    text = """
- {kind: loop, name: quick, timeout: 1s, links: {out: {name: opens}, 'out[1]': {name: end}}}
- {kind: probe, name: opens, resource: true}
- {kind: try, name: end}
"""
    with timed(text) as (running, _):
        assert running.call("quick", [1, 2]) == [1, 2]
        assert running.call("quick", 3) == 3
        assert running.probes.seen[-1] == ("opens", "committed")


def test_the_rest_of_the_process_goes_on_meanwhile() -> None:
    text = (
        SLOW
        + """
- {kind: try, name: both, links: {out: [{name: slow}, {name: quick}]}}
- {kind: probe, name: quick}
"""
    )
    with timed(text) as (running, clock):
        call = begun(running, "both")
        until(lambda: running.probes.of("quick") == [1])
        clock.wait_for_sleepers()
        clock.advance(1)
        assert isinstance(call.get(timeout=30), TimedOut)


def test_a_process_that_ends_ends_its_parts() -> None:
    with timed(SLOW) as (running, clock):
        with pytest.raises(TimeoutError):
            running.runtime.call("slow", 1, timeout=0.01)
        assert running.probes.of("opens")[-1] == "rolled back"
        assert clock.sleepers == 0
        clock.advance(2)
        assert not running.runtime.services.processes


def test_events_of_a_part_go_out_with_its_whole() -> None:
    text = """
- {kind: call, name: part, timeout: 1s, links: {out: {name: tell}}}
- {kind: trigger, name: tell, topic: t}
- {kind: call, name: well, links: {out: {name: part}, 'out[1]': {name: end}}}
- {kind: snippet, name: end, language: text, code: done}
- {kind: fork, name: badly, links: {out: [{name: part}, {name: fails}]}}
- {kind: probe, name: fails, raises: lost}
- {kind: trigger, name: hear, topic: t, links: {out: {name: heard}}}
- {kind: probe, name: heard}
"""
    with timed(text) as (running, _):
        running.call("badly", "lost")
        assert running.call("well", "sent") == "done"
        until(lambda: running.probes.of("heard") == ["sent"])


def test_a_part_goes_on_with_the_transaction_of_its_whole(tmp_path: Path) -> None:
    text = f"""
- {{kind: call, name: shop, links: {{out: {{name: create}}, 'out[1]': {{name: part}}}}}}
- {{kind: snippet, name: create, code: CREATE TABLE t (x), links: {{out: {{name: db}}}}}}
- {{kind: call, name: part, timeout: 1s, links: {{out: {{name: insert}}}}}}
- {{kind: snippet, name: insert, code: INSERT INTO t VALUES (1), links: {{out: {{name: db}}}}}}
- {{kind: sql, name: db, driver: sqlite, source: {tmp_path}/t.db}}
"""
    with timed(text) as (running, _):
        running.call("shop")
        assert running.call("db", "SELECT x FROM t") == [{"x": 1}]


@pytest.mark.parametrize(
    "inside",
    [
        "{kind: sql, driver: sqlite, source: PATH}, {kind: sleep, interval: 1h}",
        "{kind: write, filename: PATH}, {kind: sleep, interval: 1h}",
        "{kind: probe, name: opens, resource: true}, {kind: sleep, interval: 1h}",
    ],
    ids=["connection", "file", "resource"],
)
def test_a_thousand_that_are_late_leave_nothing(inside: str, tmp_path: Path) -> None:
    path = tmp_path / "held"
    text = (
        f"- {{kind: step, name: slow, timeout: 1s, specs: [{inside.replace('PATH', str(path))}]}}"
    )
    with timed(text) as (running, clock):
        statement = "CREATE TABLE IF NOT EXISTS t (x)"
        for _ in range(1000):
            late(running, clock, "slow", statement)
        assert not running.runtime.services.processes
        if "probe" in inside:
            assert running.probes.of("opens")[2::3] == ["rolled back"] * 1000
        if "sql" in inside:
            import sqlite3

            with sqlite3.connect(path) as connection:
                assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []
            connection.close()


@pytest.mark.parametrize(
    "inside",
    [
        "{kind: snippet, language: javascript, code: 'export default () => new Promise(() => 0)'}",
        f"{{kind: python, call: '{__name__}:waits'}}",
        f"{{kind: python, call: '{__name__}:hangs', isolation: process}}",
    ],
    ids=["javascript", "greenlet", "process"],
)
def test_calls_that_are_late_leave_nothing(inside: str) -> None:
    text = f"- {{kind: step, name: slow, timeout: 20ms, specs: [{inside}]}}"
    probes = Probes()
    with Runtime("memory://", specs=[d.data for d in read(text, "test")]) as runtime:
        for _ in range(20):
            with pytest.raises(TimedOut):
                runtime.call("slow", 1)
        assert not runtime.services.processes
    assert probes.seen == []


def waits(payload: Any) -> None:
    """Blocks its greenlet."""
    gevent.sleep(3600)


def hangs(payload: Any) -> None:
    """Blocks its OS process."""
    import time

    time.sleep(3600)


# -- sources ---------------------------------------------------------------------------------------

WEB = """
- {kind: listener, name: web, port: 0, deadline: 1s, links: {out: {name: slow}LINKS}}
- {kind: call, name: slow, links: {out: {name: opens}, 'out[1]': {name: sleeps}}}
- {kind: probe, name: opens, resource: true}
- {kind: sleep, name: sleeps, interval: 1h}
"""


def web(running: Flow) -> Client:
    return Client(running.runtime.table.find("web").version.node.lease.address)  # type: ignore[union-attr]


def test_a_request_over_its_deadline_is_a_504(caplog: pytest.LogCaptureFixture) -> None:
    with timed(WEB.replace("LINKS", "")) as (running, clock):
        client = web(running)
        client.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        clock.wait_for_sleepers()
        clock.advance(1)
        assert client.answer("GET").status == 504
        assert running.probes.of("opens")[-1] == "rolled back"
        client.socket.close()
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "timed out after 1s" in record.getMessage()
    assert record.__dict__["status"] == 504
    assert record.__dict__["path"] == "/late"


def test_in_time_it_is_not(caplog: pytest.LogCaptureFixture) -> None:
    with timed(WEB.replace("LINKS", "").replace("1h", "500ms")) as (running, clock):
        client = web(running)
        for _ in range(3):
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            clock.wait_for_sleepers()
            clock.advance(0.5)
            assert client.answer("GET").status == 200
            clock.advance(10)
        client.socket.close()
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


@pytest.mark.parametrize(
    "source", ["kind: trigger, topic: t", "kind: schedule, interval: 100s, overlap: true"]
)
def test_what_an_event_or_a_clock_begins_is_limited(
    source: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"""
- {{{source}, name: source, timeout: 1s, links: {{out: {{name: opens}}}}}}
- {{kind: probe, name: opens, resource: true, links: {{out: {{name: sleeps}}}}}}
- {{kind: sleep, name: sleeps, interval: 1h}}
"""
    with timed(text) as (running, clock):
        if "trigger" in source:
            running.runtime.services.broker.publish("t", 1)
            clock.wait_for_sleepers(1)
        else:
            clock.wait_for_sleepers(1)
            clock.advance(100)
            clock.wait_for_sleepers(2)
        clock.advance(1)
        until(lambda: running.probes.of("opens")[-1:] == ["rolled back"])
        until(lambda: not running.runtime.services.processes)
    assert any("timed out after 1s" in each.getMessage() for each in caplog.records)


# -- processes -------------------------------------------------------------------------------------


def test_processes_are_listed_and_cancelled_by_their_number() -> None:
    with timed(WEB.replace("LINKS", "").replace("deadline: 1s, ", "")) as (running, clock):
        client = web(running)
        client.send("GET /orders HTTP/1.1\r\nHost: a\r\n\r\n")
        clock.wait_for_sleepers()
        (info,) = running.runtime.processes()
        assert (info.source, info.parent) == ("web", None)
        assert info.request == ("GET", "/orders", None)
        assert info.packets >= 1
        assert running.runtime.cancel(info.id)
        assert client.answer("GET").status == 503
        assert running.probes.of("opens")[-1] == "rolled back"
        assert not running.runtime.cancel(info.id)
        assert running.runtime.processes() == []
        client.socket.close()


def test_parts_stand_behind_their_whole() -> None:
    with timed(SLOW) as (running, clock):
        call = begun(running, "slow")
        clock.wait_for_sleepers()
        whole, part = running.runtime.processes()
        assert part.parent == whole.id
        running.runtime.cancel(whole.id)
        assert str(call.get(timeout=30)) == "process exited"
