"""What changes something: cancel, pause and resume, run, call, drain, levels of the log."""

from __future__ import annotations

import http.client
import logging
from typing import Any

import gevent
import gevent.event
import pytest

from greenflow import Runtime
from greenflow.engine.process import EXITED, Process
from tests.admin.asking import HOST, JSON, engine
from tests.waiting import until

SLOW: list[dict[str, Any]] = [
    {"kind": "listener", "name": "web", "port": 0, "links": {"out": [{"name": "slow"}]}},
    {"kind": "sleep", "name": "slow", "interval": "1h"},
]
PING: list[dict[str, Any]] = [
    {"kind": "listener", "name": "web", "port": 0, "links": {"out": [{"name": "pong"}]}},
    {"kind": "snippet", "name": "pong", "language": "text", "code": "pong"},
]
NIGHTLY: list[dict[str, Any]] = [
    {
        "kind": "schedule",
        "name": "nightly",
        "interval": "1h",
        "links": {"out": [{"name": "slow"}]},
    },
    SLOW[1],
]


def port_of(runtime: Runtime) -> int:
    node: Any = runtime.table.find("web").version.node
    return int(node.lease.address[1])


def fetch(runtime: Runtime) -> tuple[int, str | None]:
    """The status of a request, and its Retry-After."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(runtime), timeout=60)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        return response.status, response.headers["Retry-After"]
    finally:
        connection.close()


def asked(runtime: Runtime) -> gevent.Greenlet[..., tuple[int, str | None]]:
    """`fetch` in an OS thread, as nothing is patched here."""
    return gevent.get_hub().threadpool.spawn(fetch, runtime)


def begin(runtime: Runtime, count: int) -> list[Process]:
    """So many processes that wait at `slow`."""
    for _ in range(count):
        gevent.spawn(_call_slow, runtime)
    until(lambda: len(runtime.services.processes) == count)
    return list(runtime.services.processes)


def _call_slow(runtime: Runtime) -> None:
    with pytest.raises(Exception, match=r"cancelled|process exited"):
        runtime.call("slow", 1)


def test_what_changes_something_must_be_json() -> None:
    plain = (HOST, ("Content-Type", "text/plain"))
    form = (HOST, ("Content-Type", "application/x-www-form-urlencoded"))
    with engine(SLOW) as (runtime, ask):
        for headers in ((HOST,), plain, form):
            answer = ask("POST", "/api/v1/nodes/web/pause", {}, headers)
            assert answer.status == 415
        evil = (HOST, JSON, ("Origin", "http://evil.example"))
        assert ask("POST", "/api/v1/nodes/web/pause", {}, evil).status == 403
        for body in ([], {"odd": 1}, None):
            assert ask("POST", "/api/v1/nodes/web/pause", body).status == 400
        assert ask("GET", "/api/v1/nodes/web/pause").status == 405
        assert runtime.services.paused == set()


def test_a_process_is_cancelled() -> None:
    with engine(SLOW) as (runtime, ask):
        (process,) = begin(runtime, 1)
        (listed,) = ask.get("/api/v1/processes")["items"]
        assert listed["id"] == process.id
        told = ask.post(f"/api/v1/processes/{process.id}/cancel")
        assert told == {"id": process.id, "outcome": "ended", "left": 0}
        assert process.state == EXITED
        assert ask("POST", f"/api/v1/processes/{process.id}/cancel", {}).status == 404
        assert ask.get("/api/v1/processes")["items"] == []


def test_many_are_cancelled_side_by_side() -> None:
    with engine(SLOW) as (runtime, ask):
        ids = [process.id for process in begin(runtime, 200)]
        told = ask.post("/api/v1/processes/cancel", {"ids": [*ids, 0], "grace": 1})
        assert [each["outcome"] for each in told["items"]] == ["ended"] * 200
        assert told["unknown"] == [0]
        assert runtime.services.processes == set()


def test_a_call_that_does_not_end_is_given_up_and_said_so(caplog: Any) -> None:
    held = gevent.event.Event()
    with engine(SLOW) as (runtime, ask):
        process = runtime.services.begin()

        def shielded() -> None:
            with process.shield():
                held.wait()

        process.spawn(shielded)
        until(lambda: process.runners)
        told = ask.post(f"/api/v1/processes/{process.id}/cancel", {"grace": 0})
        assert told == {"id": process.id, "outcome": "given_up", "left": 1}
        assert process.state == EXITED
        assert "given up: 1 calls did not end" in caplog.text
        held.set()
        until(lambda: not process.runners)


def test_what_does_not_let_go_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenflow.admin.cancelling.RELEASE_SECONDS", 0.01)
    held = gevent.event.Event()
    with engine(SLOW) as (runtime, ask):
        process = runtime.services.begin()
        process.on_exit(held.wait)
        told = ask.post(f"/api/v1/processes/{process.id}/cancel", {"grace": 0})
        assert told["outcome"] == "given_up"
        held.set()
        until(lambda: process.state == EXITED)


def test_a_paused_listener_answers_503_and_goes_on() -> None:
    with engine(PING) as (runtime, ask):
        assert asked(runtime).get() == (200, None)
        assert ask.post("/api/v1/nodes/web/pause")["state"] == "paused"
        assert ask.post("/api/v1/nodes/web/pause")["state"] == "paused"
        status, again = asked(runtime).get()
        assert (status, bool(again)) == (503, True)
        assert ask("GET", "/readyz").status == 200
        assert ask("GET", "/readyz/web").status == 503
        assert ask.get("/api/v1/status")["nodes"] == {"active": 1, "paused": 1}
        assert ask.post("/api/v1/nodes/web/resume")["state"] == "active"
        assert asked(runtime).get() == (200, None)


def test_an_edit_leaves_it_paused() -> None:
    with engine(PING) as (runtime, ask):
        ask.post("/api/v1/nodes/web/pause")
        id, before = runtime.table.find("web").id, runtime.table.find("web").version.node
        runtime.operations.apply([{**PING[0], "id": id, "limits": {"in_flight": 5}}])
        until(lambda: runtime.table.find("web").version.node is not before)
        assert asked(runtime).get()[0] == 503
        ask.post("/api/v1/nodes/web/resume")
        assert asked(runtime).get()[0] == 200


def test_a_paused_schedule_holds_and_can_be_run_by_hand() -> None:
    with engine(NIGHTLY) as (runtime, ask):
        ask.post("/api/v1/nodes/nightly/pause")
        assert ask("POST", "/api/v1/nodes/nightly/run", {}).status == 202
        until(lambda: len(runtime.services.processes) == 1)
        refused = ask("POST", "/api/v1/nodes/nightly/run", {})
        assert refused.status == 409
        assert "the run before is under way" in refused.detail
        ask.post("/api/v1/processes/cancel", {"source": "nightly"})
        assert runtime.services.processes == set()


def test_a_paused_trigger_keeps_its_events() -> None:
    specs = [
        {"kind": "trigger", "name": "events", "topic": "t", "links": {"out": [{"name": "slow"}]}},
        SLOW[1],
    ]
    with engine(specs) as (runtime, ask):
        ask.post("/api/v1/nodes/events/pause")
        broker = runtime.services.broker
        broker.publish("t", 1)
        broker.publish("t", 2)
        assert runtime.services.processes == set()
        ask.post("/api/v1/nodes/events/resume")
        until(lambda: len(runtime.services.processes) == 2)
        ask.post("/api/v1/processes/cancel", {"source": "events"})


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("nodes/slow/pause", 409),
        ("nodes/slow/run", 409),
        ("nodes/web/run", 409),
        ("nodes/none/pause", 404),
        ("nodes/none/call", 404),
        ("processes/99999/cancel", 404),
        ("processes/x/cancel", 404),
    ],
)
def test_what_cannot_be_done_is_said(target: str, status: int) -> None:
    with engine(SLOW) as (_, ask):
        assert ask("POST", f"/api/v1/{target}", {}).status == status


def test_a_node_is_called() -> None:
    specs = [
        {"kind": "snippet", "name": "sum", "language": "cel", "code": "self.a + self.b"},
        SLOW[1],
    ]
    with engine(specs) as (_, ask):
        called = ask.post("/api/v1/nodes/sum/call", {"payload": {"a": 1, "b": 2}})
        assert called["outcome"] == "answered"
        assert called["answer"] == 3
        told = ask.get("/api/v1/nodes/sum")
        assert (told["packets"], told["errors"]) == (1, 0)
        assert 0 < told["p50"] <= told["p99"]
        failed = ask.post("/api/v1/nodes/sum/call", {"payload": {}})
        assert (failed["outcome"], failed["node"]) == ("failed", "sum")
        assert ask.get("/api/v1/nodes/sum")["errors"] == 1
        late = ask.post("/api/v1/nodes/slow/call", {"timeout": 0.01})
        assert late["outcome"] == "timed_out"
        assert ask("POST", "/api/v1/nodes/sum/call", {"port": "odd"}).status == 409


def test_draining_is_said_and_begins_nothing_more() -> None:
    with engine(PING) as (runtime, ask):
        assert ask("POST", "/api/v1/drain", {}).status == 202
        until(lambda: ask("GET", "/readyz").status == 503)
        assert ask("POST", "/api/v1/drain", {}).status == 202
        assert ask("POST", "/api/v1/nodes/pong/call", {}).status == 409
        until(lambda: "web" not in runtime.table.names)


def test_the_level_of_a_logger_is_set() -> None:
    logger = logging.getLogger("greenflow.node")
    with engine() as (_, ask):
        set_to = ask.post("/api/v1/loggers/greenflow.node", {"level": "debug"})
        try:
            assert set_to == {"name": "greenflow.node", "level": "debug", "effective": "debug"}
            assert logger.level == logging.DEBUG
        finally:
            ask.post("/api/v1/loggers/greenflow.node", {"level": None})
        assert logger.level == logging.NOTSET
        names = [each["name"] for each in ask.get("/api/v1/loggers?limit=1000")["items"]]
        assert "greenflow.node" in names
        assert all(name == "root" or name.startswith("greenflow") for name in names)
        for name, status in (("urllib3", 404), ("greenflow.lost", 404), ("root", 409)):
            assert ask("POST", f"/api/v1/loggers/{name}", {"level": None}).status == status


def test_the_hands_of_another_are_kept_off() -> None:
    """A page of another site can send a form, and nothing else without being asked (CORS)."""
    with engine(SLOW) as (runtime, ask):
        (process,) = begin(runtime, 1)
        for headers in (
            (("Host", "evil.example"), JSON),
            (HOST, JSON, ("Origin", "null")),
            (HOST, JSON, ("Sec-Fetch-Site", "cross-site")),
            (HOST, ("Content-Type", "text/plain")),
        ):
            answer = ask("POST", f"/api/v1/processes/{process.id}/cancel", {}, headers)
            assert answer.status in (403, 415)
        assert process.state != EXITED
        ask.post(f"/api/v1/processes/{process.id}/cancel")
