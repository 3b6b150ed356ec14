"""Runtime: starting, calling, stopping, and two of them on one store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow import Runtime
from greenflow.config import Settings
from greenflow.engine.declaring import node
from greenflow.engine.node import Context
from greenflow.errors import (
    GreenflowError,
    Inactive,
    InvalidArgument,
    SpecInvalid,
    StoreUnavailable,
)
from greenflow.scheme.registry import Scheme
from greenflow.store.memory import MemoryStore
from greenflow.testing.clock import ManualClock
from tests.waiting import until


def snippet(name: str, code: str = "x", **fields: Any) -> dict[str, Any]:
    return {"kind": "snippet", "name": name, "code": code, **fields}


def test_a_call_is_answered_raised_or_none() -> None:
    specs = [
        snippet("text"),
        {"kind": "nop", "name": "nop"},
        {"kind": "throw", "name": "throw"},
    ]
    with Runtime("memory://", specs=specs) as flow:
        assert flow.call("text") == "x"
        assert flow.call("nop", 1) is None
        with pytest.raises(GreenflowError, match="boom"):
            flow.call("throw", "boom")
        with pytest.raises(InvalidArgument):
            flow.call("text", object())
        with pytest.raises(Inactive, match="no node has the name or id 'nobody'"):
            flow.call("nobody")
        with pytest.raises(Inactive, match="no in port 'side'"):
            flow.call("text", port="side")


def test_a_call_of_a_source_without_in_ports_is_an_event_of_it() -> None:
    specs = [
        {
            "kind": "schedule",
            "name": "nightly",
            "cron": "0 6 * * *",
            "links": {"out": {"name": "boom"}, "error": {"name": "text"}},
        },
        {"kind": "schedule", "name": "alone", "cron": "0 6 * * *"},
        {
            "kind": "schedule",
            "name": "fails",
            "cron": "0 6 * * *",
            "links": {"out": {"name": "boom"}},
        },
        {"kind": "throw", "name": "boom"},
        snippet("text"),
    ]
    with Runtime("memory://", specs=specs) as flow:
        assert flow.call("nightly", "no") == "x"
        assert flow.call("alone", "no") is None
        with pytest.raises(GreenflowError, match="no"):
            flow.call("fails", "no")
        with pytest.raises(Inactive, match="no in port 'io'"):
            flow.call("nightly", port="io")
        assert not flow.services.processes


def test_an_inactive_node_says_why() -> None:
    specs = snippet("a", links={"out": {"name": "missing"}})
    with Runtime("memory://", specs=specs) as flow:
        with pytest.raises(Inactive, match="no node 'missing'"):
            flow.call("a")
        (status,) = flow.status()
        assert not status["active"]
        assert "missing" in status["reason"]


def test_what_a_caller_gets_is_its_own() -> None:
    with Runtime("memory://", specs=snippet("a", '{"x": [1]}', language="json")) as flow:
        flow.call("a")["x"].append(2)
        assert flow.call("a") == {"x": [1]}


def test_before_the_start_and_after_the_stop_it_says_so() -> None:
    flow = Runtime("memory://", specs=snippet("a"))
    flow.stop()
    with pytest.raises(Inactive, match="not started"):
        flow.status()
    assert flow.call("a") == "x"
    flow.start()
    flow.stop()
    flow.stop()
    with pytest.raises(Inactive, match=r"stopped; start it again with start\(\)"):
        flow.call("a")
    flow.start()
    assert flow.call("a") == "x"
    flow.stop()
    with pytest.raises(Inactive, match="not started"):
        flow.status()


def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid):
        Runtime("memory://", specs={"kind": "snipet"}).start()
    with pytest.raises(StoreUnavailable, match="no such store"):
        Runtime("nosql://x").start()
    with pytest.raises(StoreUnavailable, match="does not exist"):
        Runtime(f"sqlite:///{tmp_path}/no/folder.db").start()


def test_a_runtime_runs_one_namespace() -> None:
    with MemoryStore("memory://") as store:
        store.specs.insert(
            [
                {**snippet("a", "theirs"), "id": "1", "namespace": "other"},
                {**snippet("b", links={"out": {"id": "1"}}), "namespace": "default"},
            ]
        )
        with Runtime(store) as flow:
            (status,) = flow.status()
            assert status["name"] == "b"
            assert "no node '1' in namespace 'default'" in status["reason"]
        with Runtime(store, namespace="other") as flow:
            assert flow.call("a") == "theirs"


def test_two_runtimes_follow_one_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    with Runtime(url, specs=snippet("a", "one")) as first, Runtime(url) as second:
        assert second.call("a") == "one"
        second.operations.update({"name": "a", "code": "two"})
        until(lambda: first.call("a") == "two")
        first.operations.delete({"name": "a"})
        until(lambda: not second.status())


def test_a_timeout_of_the_caller_is_the_callers() -> None:
    specs = {"kind": "sleep", "name": "a", "interval": "1h"}
    with Runtime("memory://", specs=specs) as flow:
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.001):
            flow.call("a")
        assert not flow.services.processes


def blocking(gate: Event, started: Event) -> Scheme:
    @node("block")
    def block(ctx: Context, payload: Any) -> Any:
        started.set()
        gate.wait()
        return payload

    scheme = Scheme.installed()
    scheme.register(block)
    return scheme


def test_stop_gives_what_is_under_way_the_grace() -> None:
    gate, started = Event(), Event()
    scheme = blocking(gate, started)
    flow = Runtime("memory://", specs={"kind": "block", "name": "a"}, scheme=scheme)
    flow.start()
    under_way = gevent.spawn(flow.call, "a", 7)
    started.wait()
    stopping = gevent.spawn(flow.stop)
    gevent.sleep(0)
    gate.set()
    stopping.join()
    assert under_way.get() == 7


def test_after_the_grace_what_is_left_is_exited() -> None:
    gate, started = Event(), Event()
    scheme = blocking(gate, started)
    settings = Settings(grace=0.01)
    specs = {"kind": "block", "name": "a"}
    flow = Runtime("memory://", specs=specs, scheme=scheme, settings=settings)
    flow.start()
    under_way = gevent.spawn(flow.call, "a", 7)
    started.wait()
    flow.stop()
    under_way.join()
    assert str(under_way.exception) == "process exited"


def test_a_resource_of_a_call_commits_before_it_returns() -> None:
    log: list[str] = []

    class Resource:
        def __enter__(self) -> None:
            log.append("opened")

        def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
            log.append("committed" if kind is None else "rolled back")

    @node("use")
    def use(ctx: Context, payload: Any) -> Any:
        ctx.enter(Resource())
        if payload == "fail":
            raise ValueError(payload)
        return payload

    scheme = Scheme.installed()
    scheme.register(use)
    with Runtime("memory://", specs={"kind": "use", "name": "a"}, scheme=scheme) as flow:
        flow.call("a", "fine")
        with pytest.raises(ValueError, match="fail"):
            flow.call("a", "fail")
    assert log == ["opened", "committed", "opened", "rolled back"]


SLOW = [
    {"kind": "snippet", "name": "a", "code": "ready", "links": {"init": [{"name": "s"}]}},
    {"kind": "sleep", "name": "s", "interval": 3600},
]


def test_a_start_waits_for_what_init_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenflow.table.opening.PATIENCE", 0.001)
    clock = ManualClock()
    runtime = Runtime(specs=SLOW, clock=clock)
    starting = gevent.spawn(runtime.start)
    until(lambda: clock.sleepers)
    assert not starting.ready()
    clock.advance(3600)
    starting.get()
    assert runtime.call("a") == "ready"
    runtime.stop()


def test_a_runtime_can_be_stopped_while_init_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenflow.table.opening.PATIENCE", 0.001)
    runtime = Runtime(specs=SLOW)
    starting = gevent.spawn(runtime.start)
    until(lambda: runtime._loader is not None)
    runtime.stop()
    starting.get()
    runtime.start(wait=False)
    assert [symbol["active"] for symbol in runtime.status()].count(True) == 1
    runtime.stop()
