"""Sources in a flow that names those that begin: the others wait, and hold nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from greenflow.engine.declaring import node
from greenflow.engine.source import Run, Source
from greenflow.errors import WorkflowError
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Spec
from greenflow.testing import ManualClock, flow
from tests.waiting import until

YEARLY = """
- kind: schedule
  name: nightly
  cron: "0 6 * * *"
  links: {out: {name: seen}, error: {name: failed}}
- {kind: schedule, name: often, interval: 1m, links: {out: {name: seen}}}
- {kind: snippet, name: seen, language: cel, code: "self.due"}
- {kind: snippet, name: failed, language: cel, code: "'failed: ' + string(self)"}
- {kind: sleep, name: year, interval: 8784h}
"""


def test_a_jumped_year_runs_no_schedule() -> None:
    clock = ManualClock(jump=True)
    with flow(YEARLY, clock=clock, sources=[]) as running:
        assert running.call("year", "x") == "x"
        assert clock.monotonic() == 366 * 86400
        assert clock.sleepers == 0
        running.settle()
        assert running.passed("seen") == []


def test_a_schedule_that_is_named_runs() -> None:
    clock = ManualClock()
    with flow(YEARLY, clock=clock, sources=["nightly"]) as running:
        clock.wait_for_sleepers()
        clock.advance(86400)
        (payload,) = running.passed("seen", count=1)
        assert payload == {"name": "nightly", "due": datetime(2026, 1, 1, 6, tzinfo=UTC)}
        assert timedelta(seconds=clock.monotonic()).days == 1


def test_a_call_of_a_source_is_an_event_of_it() -> None:
    with flow(YEARLY, sources=[]) as running:
        assert running.call("nightly", {"due": "now"}) == "now"
        assert running.passed("nightly", "out") == [{"due": "now"}]
        # What the workflow fails with goes to the source's `error`, as it does with an event.
        assert running.call("nightly", {}).startswith("failed: ")
    refused = pytest.raises(WorkflowError, match="no")
    with flow(YEARLY, {"seen": WorkflowError("no")}, sources=[]) as running, refused:
        running.call("often")


def test_a_listener_listens_once_it_is_asked() -> None:
    specs = """
- {kind: listener, name: web, port: 8000, links: {out: {name: pong}}}
- {kind: listener, name: other, port: 8001, links: {out: {name: pong}}}
- {kind: snippet, name: pong, code: pong}
"""
    with flow(specs, sources=[]) as running:
        table = running.runtime.table
        listeners: list[Any] = [table.find(name).version.node for name in ("web", "other")]
        assert [each.lease for each in listeners] == [None, None]
        assert running.request("GET", "/", listener="web").body == "pong"
        assert running.request("GET", "/", listener="web").body == "pong"
        assert listeners[0].lease is not None
        assert listeners[1].lease is None


def test_a_watch_looks_at_nothing_unless_it_is_named(tmp_path: Path) -> None:
    specs: list[Any] = [
        {"kind": "watch", "name": "inbox", "path": str(tmp_path), "links": {"out": {"name": "n"}}},
        {"kind": "nop", "name": "n"},
    ]
    with flow(specs, sources=[]) as running:
        (tmp_path / "a").touch()
        running.settle()
        assert running.passed("n") == []
    with flow(specs, sources=["inbox"]) as running:
        (tmp_path / "b").touch()
        assert running.passed("n", count=1) == [{"path": f"{tmp_path}/b", "event": "created"}]


EVENTS = """
- {kind: trigger, name: tell, topic: t}
- {kind: trigger, name: hear, topic: t, links: {out: {name: heard}}}
- {kind: trigger, name: loads, topic: load, links: {out: {name: loaded}}}
- {kind: nop, name: heard}
- {kind: nop, name: loaded}
- {kind: syscall, name: create, opcode: nodes.create}
"""


def test_triggers_hear_what_the_test_says_and_not_that_it_was_loaded() -> None:
    with flow(EVENTS, sources=[]) as running:
        running.settle()
        assert running.passed("loaded") == []
        running.call("tell", 1)
        running.settle()
        assert running.passed("heard") == [1]
        running.call("create", [{"kind": "nop", "name": "new"}])
        assert [spec["name"] for spec in running.passed("loaded", count=1)] == ["new"]


def test_a_source_that_is_edited_goes_on_as_it_was() -> None:
    """Its new version begins if the old one had begun, and waits if it waited."""
    specs = "- {kind: listener, name: NAME, port: 8000, links: {out: {name: p}}}"
    pong = "\n- {kind: snippet, name: p, code: pong}"
    both = specs.replace("NAME", "a") + "\n" + specs.replace("NAME", "b") + pong
    with flow(both, sources=[]) as running:
        assert running.request("GET", "/", listener="a").body == "pong"
        edited = {"port": 8000, "limits": {"body": 5}, "links": {"out": {"name": "p"}}}
        for name in "ab":
            running.runtime.operations.apply([{"kind": "listener", "name": name, **edited}])
        table = running.runtime.table

        def nodes() -> list[Any]:
            return [table.find(name).version.node for name in "ab"]

        until(lambda: all(each.spec.limits.body == 5 for each in nodes()))
        assert nodes()[0].lease is not None
        assert nodes()[1].lease is None
        assert running.request("GET", "/", listener="a").body == "pong"


def test_a_source_that_is_not_there_is_no_silence() -> None:
    unknown = pytest.raises(LookupError, match="no source is called 'nigtly', 'seen'")
    with unknown, flow(YEARLY, sources=["nigtly", "nightly", "seen"]):
        pass


def test_each_begin_has_its_end() -> None:
    """A kind is prepared, begun, stopped and let go of in that order, or not touched."""
    done: list[str] = []

    @node("noted")
    class Noted(Source[Spec]):
        def note(self, what: str) -> None:
            done.append(f"{self.spec.name} {what}")

        def prepare(self) -> None:
            self.note("prepared")

        def abandon(self) -> None:
            self.note("abandoned")

        def start(self, run: Run) -> None:
            self.note("started")

        def stop(self) -> None:
            self.note("stopped")
            self.abandon()  # as a listener does

    scheme = Scheme.installed()
    scheme.register(Noted)
    with flow("- {kind: noted, name: a}\n- {kind: noted, name: b}", scheme=scheme, sources=["b"]):
        pass
    assert done == ["b prepared", "b started", "b stopped", "b abandoned"]
