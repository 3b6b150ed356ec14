"""Workflows at `init`, `active`, `deactive` and `deinit` (BEHAVIOUR 2.8, 6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import example, given, settings
from hypothesis import strategies as st

from greenflow.engine.node import Context, Handler, Node
from greenflow.engine.packet import NOTHING
from greenflow.engine.result import Send
from greenflow.nodes.block import Block
from greenflow.nodes.joining import Merge
from greenflow.spec.fields import Spec
from greenflow.table.lifecycle import ACTIVE, DEACTIVE, DEINIT, INIT
from tests.tables import Bench, Probe, check, empty_table, feed, log, probe
from tests.waiting import until

PORTS = (INIT, ACTIVE, DEACTIVE, DEINIT)


class Ear(Node[Spec]):
    """Notes which port of whom was told; fails and waits as the test says."""

    kind = "ear"
    reads_only = True
    inputs = PORTS

    fails: set[str] = set()  # "init a"
    gates: dict[str, Event] = {}

    def handler(self, port: str) -> Handler:
        def handle(ctx: Context, payload: Any) -> Any:
            what = f"{port} {payload['say']}"
            log.append(what)
            if what in self.gates:
                self.gates[what].wait()
            if what in self.fails:
                raise ValueError("not today")
            return NOTHING

        return handle


EAR = {"kind": "ear", "id": "ear", "name": "ear"}


def tells(*ports: str, name: str = "ear") -> dict[str, Any]:
    return {port: [{"name": name, "port": port}] for port in ports or PORTS}


def teller(id: str, *ports: str, **fields: Any) -> dict[str, Any]:
    return probe(id, **{"links": tells(*ports), **fields})


@pytest.fixture
def bench() -> Iterator[Bench]:
    Ear.fails.clear()
    Ear.gates.clear()
    with empty_table() as bench:
        for kind in (Ear, Block, Merge):
            bench.scheme.register(kind)
        bench.change(EAR)
        log.clear()
        yield bench
        for gate in Ear.gates.values():
            gate.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenflow.table.opening.PATIENCE", 0.005)
    monkeypatch.setattr("greenflow.table.table.PATIENCE", 0.005)


def test_the_spec_is_told_before_and_after_the_hooks(bench: Bench) -> None:
    bench.change(feed("f", links=tells()))
    assert log == ["prepare f", "init f", "start f", "active f"]
    log.clear()
    bench.change(remove=("f",))
    assert log == ["deactive f", "stop f", "deinit f"]


def test_what_is_told_is_the_document_as_stored(bench: Bench) -> None:
    heard = []

    class Keeps(Node[Spec]):
        kind = "keeps"

        def handle(self, ctx: Context, payload: Any) -> Any:
            heard.append((payload, ctx.process.parent, len(bench.services.processes)))
            return NOTHING

    bench.scheme.register(Keeps)
    document = probe("a", links={"init[0]": [{"name": "k"}]}, annotations={"by": "me"})
    bench.change({"kind": "keeps", "id": "k", "name": "k"}, document)
    assert heard == [(document, None, 1)]
    assert bench.services.processes == set()


def test_nodes_are_told_inner_to_outer_and_at_the_end_outer_to_inner(bench: Bench) -> None:
    outer = teller("outer", links={**tells(), "out": [{"name": "inner"}]})
    bench.change(outer, teller("inner"))
    assert [line for line in log if "open" not in line] == [
        "init inner",
        "init outer",
        "active inner",
        "active outer",
    ]
    log.clear()
    bench.change(remove=("inner", "outer"))
    told = [line for line in log if "close" not in line]
    assert told == ["deactive outer", "deinit outer", "deactive inner", "deinit inner"]


def test_a_link_of_the_lifecycle_counts_for_activity(bench: Bench) -> None:
    bench.change(probe("a", links={"deinit": [{"name": "missing"}]}))
    assert "a" not in bench.active()
    assert bench.reason("a") == "links.deinit: no node 'missing' in namespace 'default'"


@pytest.mark.parametrize("port", ["init", "active"])
@pytest.mark.parametrize("make", [probe, feed])
def test_an_error_keeps_the_symbol_inactive_with_that_reason(
    bench: Bench, port: str, make: Any
) -> None:
    Ear.fails.add(f"{port} f")
    bench.change(make("f", links=tells()), feed("source", "f") if make is probe else probe("x"))
    assert "f" not in bench.active()
    assert "source" not in bench.active()
    assert bench.reason("f") == f"{port}: not today"
    assert "deactive f" not in log  # it never was active
    assert ("deinit f" in log) == (port == "active")
    assert log.count("start f") == log.count("stop f")
    Ear.fails.clear()
    bench.table.change({}, retry=True)
    assert "f" in bench.active()
    assert bench.reason("f") == ""


@pytest.mark.parametrize("port", ["init", "active"])
@pytest.mark.parametrize("make", [probe, feed])
def test_where_a_new_version_fails_the_old_one_runs_on(bench: Bench, port: str, make: Any) -> None:
    links = {**tells(), "out": [{"name": "b"}]}
    bench.change(make("f", links=links), probe("b"))
    old = bench.node("f")
    log.clear()
    Ear.fails.add(f"{port} F")
    bench.change(make("f", links=links, say="F"))
    assert bench.node("f") is old
    assert {"f", "b"} <= bench.active()
    assert bench.reason("f") == f"revision 4 does not run: {port}: not today"
    assert not {"deactive f", "stop f", "deinit f", "start f", "init f", "active f"} & set(log)
    assert ("deinit F" in log) == (port == "active")
    assert log.count("start F") == log.count("stop F")
    if make is probe:
        assert bench.call("f", ">") == ">fb"
    Ear.fails.clear()
    log.clear()
    bench.table.change({}, retry=True)
    assert bench.node("f").spec.say == "F"
    assert log.index("init F") < log.index("active F") < log.index("deactive f")
    assert log.index("deactive f") < log.index("deinit f")
    assert bench.reason("f") == ""


def test_a_failing_batch_brings_back_only_what_failed(bench: Bench) -> None:
    bench.change(teller("a", "active"), probe("b"), feed("f", "a"))
    Ear.fails.add("active A")
    bench.change(teller("a", "active", say="A"), probe("b", say="B"))
    assert bench.call("a") == "a"
    assert bench.call("b") == "B"
    assert {"a", "b", "f"} <= bench.active()


def test_an_old_version_whose_targets_are_gone_does_not_come_back(bench: Bench) -> None:
    links = {**tells(), "out": [{"name": "b"}]}
    bench.change(probe("a", links=links), probe("b"))
    log.clear()
    Ear.fails.add("active A")
    bench.change(teller("a", say="A"), remove=("b",))
    assert "a" not in bench.active()
    assert bench.reason("a") == "active: not today"
    assert [line for line in log if line.startswith("de")] == ["deinit A", "deactive a", "deinit a"]


@pytest.mark.parametrize("port", ["init", "active"])
@pytest.mark.parametrize("replaces", [False, True])
def test_what_failed_is_tried_at_once_when_what_it_leads_to_changes(
    bench: Bench, port: str, replaces: bool
) -> None:
    bench.change(probe("way", links={"out": [{"name": "ear", "port": port}]}), probe("x"))
    if replaces:
        bench.change(probe("a", say="old"))
    Ear.fails.add(f"{port} a")
    bench.change(teller("a", port))
    Ear.fails.clear()
    bench.change(probe("x", say="X"))
    assert f"{port}: not today" in bench.reason("a")  # that has nothing to do with it
    bench.change({**EAR, "annotations": {"mended": True}})
    assert bench.reason("a") == ""
    assert bench.call("a") == "a"


def test_what_fails_side_by_side_does_not_try_again_for_ever(bench: Bench) -> None:
    Ear.fails.update(["active a", "active b"])
    bench.change(
        teller("a", links={**tells(ACTIVE), "out": [{"name": "b"}]}),
        teller("b", links={**tells(ACTIVE), "out": [{"name": "a"}]}),
    )
    assert bench.active() == {"ear"}
    assert log.count("active a") == log.count("active b") == 1


def test_errors_at_the_end_are_logged_and_stop_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    Ear.fails.update(["deactive f", "deinit f"])
    bench.change(feed("f", links=tells()))
    log.clear()
    bench.change(remove=("f",))
    assert log == ["deactive f", "stop f", "deinit f"]
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["unload failed: deactive: not today", "unload failed: deinit: not today"]


def test_init_runs_through_new_nodes_before_they_are_in_use(bench: Bench) -> None:
    bench.change(probe("b", "c"), probe("c"))
    path = {"init": [{"name": "m"}]}
    marks = []

    class Mark(Node[Spec]):
        kind = "mark"
        reads_only = True

        def handle(self, ctx: Context, payload: Any) -> Any:
            marks.append(bench.call("b"))  # the others are served by the old versions meanwhile
            return "new "

    bench.scheme.register(Mark)
    mark = {"kind": "mark", "id": "m", "name": "m", "links": {"out": [{"name": "b"}]}}
    bench.change(mark, probe("a", links=path), probe("b", "c", say="B"))
    assert marks == ["bc"]
    assert bench.call("b") == "Bc"
    assert {"a", "m"} <= bench.active()


def test_init_may_lead_back_into_its_own_cycle(bench: Bench) -> None:
    bench.change(
        probe("a", links={"init": [{"name": "b"}], "out": [{"name": "c"}]}),
        probe("b", links={"out": [{"name": "c"}], "active": [{"name": "a"}]}),
        probe("c"),
    )
    assert {"a", "b", "c"} <= bench.active()
    bench.change(remove=("a",))
    assert "b" not in bench.active()
    assert "c" in bench.active()


def test_a_running_merge_does_not_wait_for_links_made_for_init(
    bench: Bench, impatient: None
) -> None:
    bench.change({"kind": "merge", "id": "m", "name": "m"}, probe("a", "m"))
    bench.change(probe("b"))
    Ear.gates["init b"] = Event()
    links = {"init": tells()["init"], "out": [{"name": "m", "port": "in[1]"}]}
    bench.change(probe("b", links=links))
    assert bench.call("a", "x") == "xa"  # else it would wait for in[1]
    bench.change({"kind": "merge", "id": "m", "name": "m", "annotations": {"changed": True}})
    assert bench.call("a", "x") == "xa"
    Ear.gates["init b"].set()
    bench.table.settle()
    assert bench.call("a", "x") is NOTHING


def test_an_init_that_hangs_holds_up_only_its_own_symbol(bench: Bench, impatient: None) -> None:
    bench.change(teller("a", say="old"), feed("f", "a"))
    old = bench.node("a")
    gate = Ear.gates["init a"] = Event()
    bench.change(teller("a"), probe("b"), teller("c"), feed("g", "c"))
    assert bench.node("a") is old
    assert bench.reason("a") == "revision 4 does not run: init: not answered yet"
    assert {"a", "b", "f"} <= bench.active()
    until(lambda: {"c", "g"} <= bench.active())
    bench.change(probe("b", say="B"))
    bench.table.change({}, retry=True)
    assert log.count("init a") == 1
    gate.set()
    bench.table.settle()
    assert bench.call("a") == "a"
    assert bench.reason("a") == ""


def test_what_depends_on_a_late_init_is_told_when_it_has_answered(
    bench: Bench, impatient: None
) -> None:
    gate = Ear.gates["init inner"] = Event()
    outer = teller("outer", links={**tells(), "out": [{"name": "inner"}]})
    bench.change(outer, teller("inner"))
    assert "init outer" not in log
    assert bench.reason("inner") == "init: not answered yet"
    assert bench.reason("outer") == "links.out: node 'inner' is inactive"
    gate.set()
    bench.table.settle()
    assert {"outer", "inner"} <= bench.active()
    assert log.index("init inner") < log.index("init outer") < log.index("active outer")


@pytest.mark.parametrize("port", ["init", "active"])
def test_a_late_error_is_an_error_too(bench: Bench, impatient: None, port: str) -> None:
    gate = Ear.gates[f"{port} a"] = Event()
    Ear.fails.add(f"{port} a")
    bench.change(teller("a"))
    assert ("a" in bench.active()) == (port == "active")
    gate.set()
    until(lambda: bench.reason("a") == f"{port}: not today")
    assert "a" not in bench.active()


def test_an_init_without_answer_fails_after_the_grace(impatient: None) -> None:
    with empty_table(grace=0.02) as bench:
        bench.scheme.register(Ear)
        Ear.gates["init a"] = Event()
        bench.change(EAR, teller("a"))
        until(lambda: bench.reason("a") == "init: no answer within 0.02 s")
        assert bench.services.processes == set()


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The hand of the clock that the table and its tellings read: it stands until a test moves it.
    A machine that stops for a while would let the grace pass before anybody was told. What drains
    has a clock that stands for ever: it would exit who is still told a moment before its time."""
    hand = [100.0]
    for module in ("lifecycle", "table"):
        monkeypatch.setattr(f"greenflow.table.{module}.monotonic", lambda: hand[0])
    monkeypatch.setattr("greenflow.table.draining.monotonic", lambda: 0.0)
    return hand


class Late(Event):
    """Who waits here has begun in time, and then the time is over."""

    def __init__(self, hand: list[float], seconds: float) -> None:
        super().__init__()
        self.hand, self.seconds = hand, seconds

    def wait(self, timeout: float | None = None) -> Any:
        self.hand[0] += self.seconds
        return super().wait(timeout)


def test_a_deinit_without_answer_is_logged_after_the_grace(
    impatient: None, hand: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with empty_table(grace=0.02) as bench:
        bench.scheme.register(Ear)
        Ear.gates["deactive f"] = Late(hand, 0.02)
        bench.change(EAR, feed("f", links=tells()), probe("b"))
        bench.change(remove=("f",))
        bench.change(probe("b", say="B"))
        assert "stop f" not in log
        until(lambda: "stop f" in log)
        assert "unload failed: deactive: no answer within 0.02 s" in caplog.text
        until(lambda: "deinit: not told, for the grace was over" in caplog.text)


def test_what_is_still_being_unloaded_loads_again_afterwards(bench: Bench, impatient: None) -> None:
    bench.change(feed("f", links={**tells(), "out": [{"name": "b"}]}), probe("b"))
    gate = Ear.gates["deactive f"] = Event()
    log.clear()
    bench.change(remove=("b",))
    bench.change(probe("b"))
    assert bench.reason("f") == "its deactive and deinit are not answered yet"
    gate.set()
    until(lambda: "f" in bench.active())
    told = [line for line in log if line.endswith(" f") and "prepare" not in line]
    assert told == ["deactive f", "stop f", "deinit f", "init f", "start f", "active f"]


def test_what_is_still_being_unloaded_can_be_removed(bench: Bench, impatient: None) -> None:
    bench.change(teller("a", links={**tells(), "out": [{"name": "b"}]}), probe("b"))
    gate = Ear.gates["deactive a"] = Event()
    log.clear()
    bench.change(remove=("b",))
    bench.change(remove=("a",))
    assert "close a" not in log
    gate.set()
    bench.drained()
    assert [line for line in log if line.endswith(" a")] == ["deactive a", "deinit a", "close a"]


def test_a_version_replaced_in_its_init_is_interrupted(bench: Bench, impatient: None) -> None:
    Ear.gates["init a"] = Event()
    bench.change(teller("a"))
    bench.change(teller("a", say="b"))
    assert "a" in bench.active()
    until(lambda: not bench.services.processes)
    assert not {"deinit a", "active a"} & set(log)


def test_a_removed_node_is_interrupted_in_its_init(bench: Bench, impatient: None) -> None:
    Ear.gates["init a"] = Event()
    bench.change(teller("a"))
    bench.change(remove=("a",))
    until(lambda: not bench.services.processes)
    bench.drained()
    assert "close a" in log
    assert "deinit a" not in log


def refused(bench: Bench) -> None:
    """A new version of `a` whose `init` is through, and whose target went meanwhile."""
    bench.change(probe("a", say="old"), probe("x"))
    Ear.gates["init a"] = Event()
    bench.change(teller("a", links={**tells(), "out": [{"name": "x"}]}))
    bench.change(remove=("x",))
    Ear.gates["init a"].set()
    bench.table.settle()
    assert bench.call("a") == "old"
    assert bench.reason("a").endswith("links.out: no node 'x' in namespace 'default'")


def test_what_was_told_init_and_has_to_wait_is_not_told_again(
    bench: Bench, impatient: None
) -> None:
    refused(bench)
    bench.table.change({}, retry=True)
    bench.change(probe("x"))
    assert bench.call("a") == "ax"
    assert log.count("init a") == log.count("active a") == log.count("open a") == 1
    assert "close a" not in log


def test_what_was_told_init_in_vain_is_told_deinit(bench: Bench, impatient: None) -> None:
    refused(bench)
    bench.change(probe("a", say="new"))
    bench.drained()
    assert bench.call("a") == "new"
    assert bench.table.failed() == []
    told = [line for line in log if line.endswith(" a")]
    assert told == ["open a", "init a", "deinit a", "close a"]


def test_what_came_in_with_a_failing_cycle_is_told_deinit(bench: Bench) -> None:
    Ear.fails.add("init b")
    bench.change(
        teller("a", links={**tells(), "out": [{"name": "b"}]}),
        teller("b", links={**tells(), "out": [{"name": "a"}, {"name": "c"}]}),
        teller("c"),
    )
    assert bench.active() == {"ear", "c"}
    assert log.count("init a") == log.count("deinit a")
    assert "active a" not in log


def test_an_answer_that_a_change_saw_first_is_no_news(bench: Bench, impatient: None) -> None:
    Ear.gates["init a"] = Event()
    bench.change(teller("a", INIT, DEACTIVE))
    telling = bench.table.symbols["a"].version.telling
    with bench.table._lock:
        Ear.gates["init a"].set()
        until(lambda: telling is not None and telling.answered)
        bench.change({**EAR, "annotations": {"by": "me"}})
        assert "a" in bench.active()
    bench.table.settle()
    bench.change(remove=("a",))
    assert log.count("init a") == log.count("deactive a") == 1


def test_an_old_node_is_not_closed_before_it_was_told(bench: Bench, impatient: None) -> None:
    gate = Ear.gates["deactive a"] = Event()
    bench.change(teller("a"), probe("b"))
    bench.change(remove=("a",))
    bench.change(remove=("b",))
    assert "close a" not in log
    assert "close b" not in log  # what is told may still come there
    gate.set()
    bench.drained()
    assert log.index("deinit a") < log.index("close a")


def test_a_late_init_is_no_reason_to_close_the_table_late(bench: Bench, impatient: None) -> None:
    Ear.gates["init a"] = Event()
    bench.change(teller("a"), feed("f", links=tells("init")))
    bench.table.close()
    assert bench.services.processes == set()
    assert bench.table.symbols == {}


def test_a_request_that_deletes_everything_is_answered_and_all_is_told(bench: Bench) -> None:
    Probe.gates["b"] = Event()
    bench.change(teller("a", links={**tells(), "out": [{"name": "b"}]}), teller("b"))
    under_way = gevent.spawn(bench.call, "a")
    gevent.sleep(0)
    log.clear()
    bench.change(remove=("a", "b", "ear"))
    assert log[:4] == ["deactive a", "deinit a", "deactive b", "deinit b"]
    Probe.gates["b"].set()
    assert under_way.get() == "ab"


def test_a_node_that_becomes_active_again_is_told_again(bench: Bench) -> None:
    bench.change(teller("a", links={**tells(), "out": [{"name": "b"}]}), probe("b"))
    log.clear()
    bench.change(remove=("b",))
    bench.change(probe("b"))
    told = [line for line in log if line.endswith(" a")]
    assert told == ["deactive a", "deinit a", "init a", "active a"]


def test_a_spec_that_did_not_change_is_told_nothing(bench: Bench) -> None:
    bench.change(teller("a"))
    log.clear()
    bench.change(teller("a"))
    bench.change(probe("b"))
    assert log == ["open b"]


def test_sub_nodes_of_a_block_are_told_last_to_first(bench: Bench) -> None:
    inside = [
        {**EAR, "id": "hear", "name": "hear"},
        teller("one", links=tells(name="hear")),
        teller("two", links=tells(name="hear")),
    ]
    block = {
        "kind": "block",
        "id": "box",
        "name": "box",
        "specs": inside,
        "outbounds": {"out": [{"name": "two", "port": "out"}]},
    }
    bench.change(block)
    assert "box" in bench.active()
    assert log == ["open two", "open one", "init two", "init one", "active two", "active one"]
    log.clear()
    bench.change(remove=("box",))
    bench.drained()
    assert log[:4] == ["deactive one", "deactive two", "deinit one", "deinit two"]


def test_the_process_of_a_telling_commits_or_rolls_back(bench: Bench) -> None:
    ends = []

    class Resource:
        def __enter__(self) -> None: ...

        def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
            ends.append(kind)
            if kind is None and len(ends) == 3:
                raise OSError("disk full")

    class Holds(Node[Spec]):
        kind = "holds"

        def handle(self, ctx: Context, payload: Any) -> Send | Any:
            ctx.enter(Resource())
            if payload["say"] == "bad":
                raise ValueError("bad")
            return payload

    bench.scheme.register(Holds)
    links = {"init": [{"name": "h"}]}
    bench.change({"kind": "holds", "id": "h", "name": "h"}, probe("good", links=links))
    bench.change(probe("bad", links=links))
    bench.change(probe("full", links=links))
    assert [kind is None for kind in ends] == [True, False, True]
    assert {"good"} == bench.active() & {"good", "bad", "full"}
    assert bench.reason("full") == "init: disk full"


PROBES, FEEDS = "abc", "yz"
changes = st.lists(
    st.dictionaries(
        st.sampled_from(PROBES + FEEDS),
        st.none()
        | st.tuples(
            st.lists(st.sampled_from(PROBES), max_size=2),
            st.lists(st.sampled_from(PORTS), unique=True),
            st.sampled_from(["", "", INIT, ACTIVE, DEINIT, "open"]),
        ),
        min_size=1,
        max_size=3,
    ),
    max_size=6,
)


@settings(max_examples=150)
@example(  # told `init` in the place of another, never ran, and removed with whom it tells
    [
        {"b": ([], [], "")},
        {"b": (["a"], [INIT, ACTIVE, DEACTIVE, DEINIT], "")},
        {"a": (["b"], [INIT], INIT)},
    ]
)
@given(changes)
def test_any_history_is_told_in_pairs(history: list[dict[str, Any]]) -> None:
    Ear.fails.clear()
    Ear.gates.clear()
    newest: dict[str, dict[str, Any]] = {}
    linked: dict[str, list[str]] = {}
    with empty_table() as bench:
        bench.scheme.register(Ear)
        bench.change(EAR)
        for number, step in enumerate(history):
            before = dict(newest)
            for id, entry in step.items():
                newest.pop(id, None)
                if entry is not None:
                    targets, ports, fail = entry
                    make, say = feed if id in FEEDS else probe, f"{id}{number}"
                    out = [{"name": target} for target in targets]
                    linked[say] = ports
                    told = tells(*ports) if ports else {}
                    newest[id] = make(id, say=say, links={**told, "out": out})
                    if fail == "open":
                        newest[id]["fail"] = fail
                    else:
                        Ear.fails.add(f"{fail} {say}")
            changed = [d for id, d in newest.items() if before.get(id) != d]
            bench.change(*changed, remove=tuple(before.keys() - newest.keys()))
            check(bench, {**newest, "ear": EAR})
    for say, ports in linked.items():
        told = [line.split()[0] for line in log if line.endswith(f" {say}")]
        told = [port for port in told if f"{port} {say}" not in Ear.fails or port == DEINIT]
        for first, last in ((INIT, DEINIT), (ACTIVE, DEACTIVE)):
            if first in ports and last in ports:
                assert told.count(first) == told.count(last)
        assert told.count("start") == told.count("stop")
        assert told.count("open") == told.count("close")
    assert log.count("prepare") == log.count("start") + log.count("abandon")
