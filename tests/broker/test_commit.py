"""Events follow the commit (BEHAVIOUR 14.4), over real servers: in order, together, and what is
lost when the server is away or the OS process is killed between the two."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from greenflow.broker.publishing import TOGETHER, Outbox
from greenflow.broker.remote import RemoteBroker
from greenflow.config import BrokerSettings
from greenflow.errors import BrokerUnavailable, InvalidArgument, NotPublished, messages
from greenflow.payload.stream import Stream
from tests import brokers
from tests.broker.test_remote import PUBLISH, RECEIVE, Bench, both
from tests.flows import flow
from tests.ports import free_port
from tests.waiting import until

LOOP = """
- {kind: loop, name: each, links: {out: {name: publish}}}
"""


@pytest.fixture
def bench(kind: str) -> Bench:
    return Bench(brokers.server(kind))


@both
def test_what_was_rolled_back_is_not_at_the_server(bench: Bench) -> None:
    text = """
- {kind: call, name: fails, links: {'out[0]': {name: publish}, 'out[1]': {name: throw}}}
- {kind: snippet, name: throw, code: it ends badly, links: {out: {name: thrown}}}
- {kind: throw, name: thrown}
"""
    with bench.flow(PUBLISH + RECEIVE + text) as running:
        for number in range(100):
            with pytest.raises(Exception, match="it ends badly"):
                running.call("fails", number)
        running.call("publish", "last")
        until(lambda: bool(running.probes.of("a")))
        assert running.probes.of("a") == ["last"]


@both
def test_many_events_of_one_process_go_out_in_order(bench: Bench) -> None:
    numbers = list(range(2 * TOGETHER + 1))
    with bench.flow(PUBLISH + RECEIVE + LOOP, prefetch=1) as running:
        running.call("each", numbers)
        until(lambda: len(running.probes.of("a")) == len(numbers))
        assert running.probes.of("a") == numbers


def test_what_cannot_travel_is_an_error_of_its_packet() -> None:
    broker = BrokerSettings(url=f"redis://127.0.0.1:{free_port()}/")
    linked = "- {kind: trigger, name: linked, topic: t, links: {error: {name: e}}}\n"
    with flow(linked + "- {kind: probe, name: e, answer: sorry}\n", broker=broker) as running:
        assert running.call("linked", Stream(())) == "sorry"
        (error,) = running.probes.of("e")
        assert isinstance(error, InvalidArgument)
        assert "a body stream is read once" in "; ".join(messages(error))


def test_a_server_that_is_away_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    put, postings = Outbox.put, []

    def counted(self: Outbox, posting: Any, end: float) -> Any:
        postings.append(posting)
        return put(self, posting, end)

    monkeypatch.setattr(Outbox, "put", counted)
    url = f"redis://127.0.0.1:{free_port()}/"
    with flow(PUBLISH + LOOP, broker=BrokerSettings(url=url, timeout=0.05)) as running:
        with pytest.raises(NotPublished) as raised:
            running.call("each", list(range(10 * TOGETHER)))
        assert f"{10 * TOGETHER} of {10 * TOGETHER} events of publish" in str(raised.value)
    assert len(postings) == TOGETHER


@pytest.mark.parametrize("kind", [pytest.param("redis", id="broker-redis")])
def test_an_event_that_made_another_which_did_not_go_out_comes_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
- {kind: trigger, name: publish, topic: orders}
- {kind: trigger, name: orders, topic: orders, links: {out: {name: work}}}
- {kind: probe, name: work, resource: true, links: {'out[0]': {name: done}}}
- {kind: trigger, name: done, topic: done}
- {kind: trigger, name: all_done, topic: done, links: {out: {name: heard}}}
- {kind: probe, name: heard}
"""
    send, failures = RemoteBroker.send, ["once"]

    def sometimes(self: RemoteBroker, parcels: Any) -> Any:
        if parcels[0].topic == "done" and failures:
            failures.clear()
            return [BrokerUnavailable("not now")] * len(parcels)
        return send(self, parcels)

    monkeypatch.setattr(RemoteBroker, "send", sometimes)
    with bench.flow(text) as running:
        running.call("publish", 1)
        until(lambda: bool(running.probes.of("heard")))
        assert running.probes.of("heard") == [1]
        assert running.probes.of("work") == [1, "opened", "committed"] * 2


# -- kill -9 -----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from greenflow import Runtime, Settings
from greenflow.broker.remote import RemoteBroker
from greenflow.config import BrokerSettings

url, namespace, path, moment = sys.argv[1:]
insert = "INSERT INTO orders VALUES (1)"
specs = [
    {"kind": "call", "name": "order", "links": {"out": {"name": "i"}, "out[1]": {"name": "p"}}},
    {"kind": "snippet", "name": "i", "code": insert, "links": {"out": {"name": "shop"}}},
    {"kind": "sql", "name": "shop", "driver": "sqlite", "source": path},
    {"kind": "trigger", "name": "p", "topic": "orders"},
]
send = RemoteBroker.send

def killed(self, parcels):
    if moment == "after":
        send(self, parcels)
    os.kill(os.getpid(), signal.SIGKILL)

RemoteBroker.send = killed
settings = Settings(broker=BrokerSettings(url=url))
with Runtime(specs=specs, namespace=namespace, settings=settings) as flow:
    flow.call("order")
"""


@pytest.mark.parametrize(("moment", "heard"), [("before", []), ("after", [None])])
@pytest.mark.parametrize("kind", [pytest.param("redis", id="broker-redis")])
def test_killed_between_commit_and_publish(
    bench: Bench, tmp_path: Path, moment: str, heard: list[Any]
) -> None:
    """The row is there; the event, which only the dead process had, is not. Documented so."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as shop:
        shop.execute("CREATE TABLE orders (id INTEGER)")
    with bench.flow(PUBLISH + RECEIVE):
        pass  # the queue is there
    arguments = (bench.server.url, bench.namespace, str(path), moment)
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], timeout=60, check=False)
    assert killed.returncode == -9
    with closing(sqlite3.connect(path)) as shop:
        assert shop.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    with bench.flow(PUBLISH + RECEIVE) as running:
        running.call("publish", "last")
        until(lambda: "last" in running.probes.of("a"))
        events = [event for event in running.probes.of("a") if event != "last"]
    assert len(events) == len(heard)
