"""Events follow the commit (BEHAVIOUR 14.4): what a process publishes goes out when all its
resources have committed, in order, and not at all when it rolled back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from greenflow.broker.base import Parcel
from greenflow.broker.memory import MemoryBroker
from greenflow.config import BrokerSettings
from greenflow.errors import BrokerUnavailable, NotPublished, ProcessExited, messages
from tests.flows import Flow, flow
from tests.nodes.test_listener import served
from tests.waiting import until

# `a` opens a resource and publishes; then `b` is what the test makes of it.
FLOW = """
- kind: call
  name: a
  links: {'out[0]': {name: hold}, 'out[1]': {name: publish}, 'out[2]': {name: b}}
- {kind: probe, name: hold, resource: true, answer: event}
- {kind: trigger, name: publish, topic: orders}
- {kind: trigger, name: subscriber, topic: orders, links: {out: {name: heard}}}
- {kind: probe, name: heard}
"""
FINE = "- {kind: probe, name: b}\n"
FAILS = "- {kind: probe, name: b, raises: sold out}\n"


def idle(running: Flow) -> None:
    until(lambda: not running.runtime.services.processes)


def order(running: Flow) -> list[tuple[str, Any]]:
    return [seen for seen in running.probes.seen if seen[0] in ("hold", "heard")][1:]


def test_an_event_goes_out_after_the_commit() -> None:
    with flow(FLOW + FINE) as running:
        running.call("a")
        idle(running)
        assert order(running) == [("hold", "opened"), ("hold", "committed"), ("heard", "event")]


def test_what_was_rolled_back_publishes_nothing() -> None:
    with flow(FLOW + FAILS) as running:
        with pytest.raises(Exception, match="invalid argument"):
            running.call("a")
        idle(running)
        assert order(running) == [("hold", "opened"), ("hold", "rolled back")]


def test_now_does_not_wait() -> None:
    with flow(
        FLOW.replace("name: publish, topic: orders", "name: publish, topic: orders, when: now")
        + FAILS
    ) as running:
        with pytest.raises(Exception, match="invalid argument"):
            running.call("a")
        idle(running)
        assert running.probes.of("heard") == ["event"]


def test_an_event_waits_for_the_end_of_its_process() -> None:
    with flow(FLOW + FINE) as running:
        running.probes.gates["b"] = Event()
        running.probes.reached["b"] = Event()
        call = gevent.spawn(running.call, "a")
        running.probes.reached["b"].wait()
        assert running.probes.of("heard") == []
        running.probes.gates["b"].set()
        call.get()
        idle(running)
        assert running.probes.of("heard") == ["event"]


def test_a_process_that_exits_publishes_nothing() -> None:
    with flow(FLOW + FINE) as running:
        running.probes.gates["b"] = Event()
        running.probes.reached["b"] = Event()
        call = gevent.spawn(running.call, "a")
        running.probes.reached["b"].wait()
        running.probes.processes[-1].exit()
        with pytest.raises(ProcessExited):
            call.get()
        idle(running)
        assert order(running) == [("hold", "opened"), ("hold", "rolled back")]


@pytest.mark.parametrize(
    ("status", "heard"), [(200, ["event"]), (399, ["event"]), (400, []), (500, [])]
)
def test_the_status_that_is_sent_decides(status: int, heard: list[str]) -> None:
    answer = f"- {{kind: probe, name: b, answer: {{status: {status}}}}}\n"
    with served("\n" + FLOW + answer) as (running, client):
        assert client.ask().status == status
        idle(running)
        assert running.probes.of("heard") == heard


def test_an_error_link_that_answers_well_commits_and_publishes() -> None:
    text = "\n" + FLOW + FAILS + "- {kind: snippet, name: e, code: sorry}\n"
    with served(text, ", error: {name: e}") as (running, client):
        assert client.ask().text == "sorry"
        idle(running)
        assert running.probes.of("heard") == ["event"]


FORKS = """
- {kind: fork, name: a, links: {out: {name: child}}}
- {kind: call, name: child, links: {'out[0]': {name: publish}, 'out[1]': {name: b}}}
- kind: call
  name: parent
  links: {'out[0]': {name: a}, 'out[1]': {name: publish}, 'out[2]': {name: fail}}
- {kind: throw, name: fail}
- {kind: snippet, name: why, code: parent fails, links: {out: {name: fail}}}
- {kind: trigger, name: publish, topic: orders}
- {kind: trigger, name: subscriber, topic: orders, links: {out: {name: heard}}}
- {kind: probe, name: heard}
"""


@pytest.mark.parametrize(("child", "heard"), [(FINE, [1]), (FAILS, [])])
def test_a_child_settles_for_itself(child: str, heard: list[int]) -> None:
    with flow(FORKS + child) as running:
        running.call("a", 1)
        idle(running)
        assert running.probes.of("heard") == heard


def test_what_the_parent_holds_is_not_its_childs() -> None:
    fails = FORKS.replace("'out[2]': {name: fail}", "'out[2]': {name: why}")
    with flow(fails + FINE) as running:
        with pytest.raises(Exception, match="parent fails"):
            running.call("parent", 1)
        idle(running)
        assert running.probes.of("heard") == [1]


def test_a_workflow_that_an_event_starts_publishes_in_turn() -> None:
    text = """
- {kind: trigger, name: first, topic: one}
- {kind: trigger, name: second, topic: one, links: {out: {name: third}}}
- {kind: trigger, name: third, topic: two}
- {kind: trigger, name: last, topic: two, links: {out: {name: heard}}}
- {kind: probe, name: heard}
"""
    with flow(text) as running:
        running.call("first", 1)
        idle(running)
        assert running.probes.of("heard") == [1]


def test_load_hooks_publish_when_they_have_ended_well() -> None:
    text = """
- {kind: nop, name: n, links: {init: {name: publish}}}
- {kind: trigger, name: publish, topic: orders}
- {kind: trigger, name: subscriber, topic: orders, links: {out: {name: heard}}}
- {kind: probe, name: heard}
"""
    with flow(text) as running:
        idle(running)
        assert [each["name"] for each in running.probes.of("heard")] == ["n"]


def test_a_streamed_answer_publishes_at_its_end() -> None:
    text = """
- {kind: call, name: a, links: {'out[0]': {name: publish}, 'out[1]': {name: b}}}
- {kind: trigger, name: publish, topic: orders}
- {kind: trigger, name: subscriber, topic: orders, links: {out: {name: heard}}}
- {kind: probe, name: heard}
- {kind: probe, name: b}
"""
    with served("\n" + text) as (running, client):
        from greenflow.payload.stream import Stream

        more = Event()

        def pieces() -> Any:
            yield b"one"
            more.wait()
            yield b"two"

        probe: Any = running.runtime.table.find("b").version.node
        probe.input("in").receive = probe.receiver(lambda ctx, payload: Stream(pieces()))
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: bool(running.runtime.services.processes))
        assert running.probes.of("heard") == []
        more.set()
        assert client.answer().body == b"onetwo"
        idle(running)
        assert len(running.probes.of("heard")) == 1


def test_the_payload_is_that_of_the_moment_it_was_published() -> None:
    with flow(FLOW + FINE) as running:
        event = {"items": [1]}

        def changes(ctx: Any, payload: Any) -> Any:
            event["items"].append(2)
            event["more"] = [True]
            return None

        for name, handle in (("hold", lambda ctx, payload: event), ("b", changes)):
            probe: Any = running.runtime.table.find(name).version.node
            probe.reads_only = True
            probe.input("in").receive = probe.receiver(handle)
        running.call("a")
        idle(running)
        assert running.probes.of("heard") == [{"items": [1]}]
        assert event == {"items": [1, 2], "more": [True]}


# -- limits ------------------------------------------------------------------------------------

LOOP = """
- {kind: loop, name: a, links: {out: {name: publish}}}
- {kind: trigger, name: publish, topic: orders}
- {kind: trigger, name: subscriber, topic: orders, links: {out: {name: heard}}}
- {kind: probe, name: heard}
"""


def test_a_process_publishes_in_order() -> None:
    with flow(LOOP) as running:
        running.call("a", list(range(2_000)))
        idle(running)
        assert running.probes.of("heard") == list(range(2_000))


@pytest.mark.parametrize("event", ["x" * 300, {"a": ["x" * 300]}, {"x" * 300: None}, [1] * 8])
def test_what_is_held_has_a_limit_and_the_error_says_which(event: Any) -> None:
    with flow(LOOP, broker=BrokerSettings(held=1_000)) as running:
        running.call("a", [event])
        idle(running)
        assert running.probes.of("heard") == [event]
        with pytest.raises(ExceptionGroup) as raised:
            running.call("a", [event] * 5)
        text = "; ".join(messages(raised.value))
        assert "over 1,000 bytes" in text
        assert "set broker.held" in text
        assert "when: now" in text
        idle(running)
        assert running.probes.of("heard") == [event]


# -- what does not go out ----------------------------------------------------------------------


class Away(MemoryBroker):
    """A broker whose server does not take what `refuses` says."""

    def __init__(self, refuses: Callable[[Parcel], bool] = lambda parcel: True) -> None:
        super().__init__()
        self.refuses = refuses
        self.sending: Event | None = None
        self.block: Event | None = None

    def send(self, parcels: Any) -> list[Exception | None]:
        if self.sending is not None and self.block is not None:
            self.sending.set()
            self.block.wait()
        answers: list[Exception | None] = []
        for parcel in parcels:
            if self.refuses(parcel):
                answers.append(BrokerUnavailable("the server is away"))
            else:
                answers += super().send([parcel])
        return answers


@contextmanager
def away(running: Flow, broker: MemoryBroker) -> Any:
    services = running.runtime.services
    before: Any = services.broker
    broker._topics = before._topics
    services.broker = broker
    try:
        yield broker
    finally:
        services.broker = before


def unhandled(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def test_an_event_that_did_not_go_out_is_an_error_and_the_commit_stands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with served("\n" + FLOW + FINE) as (running, client), away(running, Away()):
        assert client.ask().status == 500
        idle(running)
        assert order(running) == [("hold", "opened"), ("hold", "committed")]
        with pytest.raises(
            NotPublished, match="1 of 1 events of publish did not go out: the server is away"
        ):
            running.call("a")
    first, *others = unhandled(caplog)
    assert "NotPublished: the work is committed" in first
    assert "publish" in first
    assert not others


def test_the_others_go_out() -> None:
    with flow(LOOP) as running, away(running, Away(lambda parcel: parcel.content == 1)):
        with pytest.raises(NotPublished, match="1 of 3 events"):
            running.call("a", [0, 1, 2])
        idle(running)
        assert running.probes.of("heard") == [0, 2]


def test_it_is_told_though_the_client_has_left(caplog: pytest.LogCaptureFixture) -> None:
    broker = Away()
    broker.sending, broker.block = Event(), Event()
    with served("\n" + FLOW + FINE) as (running, client), away(running, broker):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        broker.sending.wait()
        client.reset()
        processes = running.runtime.services.processes
        until(lambda: all(process.state != "running" for process in processes))
        broker.block.set()
        idle(running)
        assert order(running)[-1] == ("hold", "committed")
    assert ["NotPublished" in line for line in unhandled(caplog)] == [True]


def test_who_stops_waiting_is_told_and_so_is_the_log(caplog: pytest.LogCaptureFixture) -> None:
    broker = Away(lambda parcel: False)
    broker.sending, broker.block = Event(), Event()
    with flow(FLOW + FINE) as running, away(running, broker):
        with pytest.raises(TimeoutError):
            running.call("a", timeout=0.05)
        assert order(running)[-1] == ("hold", "committed")
        broker.block.set()
        idle(running)
    (line,) = unhandled(caplog)
    assert "1 events of committed work" in line


# -- commits that fail -------------------------------------------------------------------------

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER
    REFERENCES customers (id) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO customers VALUES (1);
"""

ORDERS = """
- kind: call
  name: order
  links: {{'out[0]': {{name: insert}}, 'out[1]': {{name: publish}}}}
- kind: snippet
  name: insert
  language: cel
  code: '["INSERT INTO orders (customer) VALUES (?)", [self]]'
  links: {{out: {{name: shop}}}}
- {{kind: sql, name: shop, driver: sqlite, source: '{path}?foreign_keys=ON&synchronous=OFF'}}
- {{kind: trigger, name: publish, topic: orders}}
- {{kind: trigger, name: subscriber, topic: orders, links: {{out: {{name: heard}}}}}}
- {{kind: probe, name: heard}}
"""


def test_of_a_thousand_commits_that_fail_no_event_goes_out(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as shop:
        shop.executescript(SHOP)
    with flow(ORDERS.format(path=path)) as running:
        for number in range(1_000):
            with pytest.raises(Exception, match="FOREIGN KEY"):
                running.call("order", 2)
            if number % 100 == 0:
                running.call("order", 1)
        idle(running)
        assert len(running.probes.of("heard")) == 10
    with closing(sqlite3.connect(path)) as shop:
        assert shop.execute("SELECT count(*) FROM orders").fetchone() == (10,)


# -- whatever a process does -------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 2)),
        st.tuples(st.just("open"), st.booleans()),  # and whether it will commit
        st.tuples(st.just("child"), st.booleans()),  # which publishes, and whether it ends well
        st.tuples(st.just("now"), st.none()),
    ),
    max_size=12,
)


class Opened:
    def __init__(self, commits: bool) -> None:
        self.commits = commits

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if not self.commits and error is None:
            raise OSError("the commit failed")


ANY = """
- {kind: probe, name: a, links: {'out[0]': {name: publish0}, 'out[1]': {name: publish1},
   'out[2]': {name: publish2}, 'out[3]': {name: now}, 'out[4]': {name: child}}}
- {kind: fork, name: child, links: {out: [{name: publish0}, {name: ends}]}}
- kind: if
  name: ends
  when: self == 'fails'
  links: {out: {name: throw}, 'out[1]': {name: nop}}
- {kind: throw, name: throw}
- {kind: nop, name: nop}
- {kind: trigger, name: publish0, topic: t0}
- {kind: trigger, name: publish1, topic: t1}
- {kind: trigger, name: publish2, topic: t2}
- {kind: trigger, name: now, topic: t0, when: now}
- {kind: trigger, name: s0, topic: t0, links: {out: {name: heard}}}
- {kind: trigger, name: s1, topic: t1, links: {out: {name: heard}}}
- {kind: trigger, name: s2, topic: t2, links: {out: {name: heard}}}
- {kind: probe, name: heard}
"""


def test_exactly_what_was_committed_goes_out_in_order() -> None:
    with flow(ANY) as running:

        @given(STEPS, st.booleans())
        def holds(steps: list[tuple[str, Any]], ends_well: bool) -> None:
            running.probes.seen.clear()
            held: list[Any] = []
            others: list[Any] = []  # published by children, or at once

            def handle(ctx: Any, payload: Any) -> Any:
                for number, (step, chosen) in enumerate(steps):
                    if step == "open":
                        ctx.enter(Opened(chosen))
                    elif step == "publish":
                        held.append(number)
                        ctx.call(f"out[{chosen}]", number)
                    elif step == "now":
                        others.append(f"now {number}")
                        ctx.call("out[3]", f"now {number}")
                    else:
                        event = f"child {number}" if chosen else "fails"
                        others.extend([event] if chosen else [])
                        ctx.call("out[4]", event)
                if not ends_well:
                    raise ValueError("it ends badly")

            probe: Any = running.runtime.table.find("a").version.node
            probe.input("in").receive = probe.receiver(handle)
            commits = ends_well and all(chosen for step, chosen in steps if step == "open")
            try:
                running.call("a")
            except Exception:
                assert not commits
            else:
                assert commits
            idle(running)
            heard = running.probes.of("heard")
            assert [each for each in heard if type(each) is int] == (held if commits else [])
            assert sorted(each for each in heard if type(each) is str) == sorted(others)

        holds()
