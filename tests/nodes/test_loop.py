"""loop: elements side by side, as places become free (BEHAVIOUR 13.loop)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from greenflow.engine.node import Context, Node
from greenflow.engine.packet import NOTHING
from greenflow.engine.result import Answer
from greenflow.errors import InvalidArgument, ProcessExited, SpecInvalid
from greenflow.nodes.loop import AHEAD
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Spec
from greenflow.testing import flow as public_flow
from tests.flows import Flow, flow
from tests.waiting import until

LOOP = """
- {kind: loop, name: a, FIELDS, links: {out: {name: b}, "out[1]": {name: c}, error: {name: e}}}
- {kind: probe, name: b}
- {kind: probe, name: c}
- {kind: probe, name: e, answer: handled}
"""


def loop(fields: str) -> str:
    return LOOP.replace("FIELDS", fields)


def ended(running: Flow) -> None:
    until(lambda: not running.runtime.services.processes)


# -- side by side ----------------------------------------------------------------------------------


def test_so_many_elements_are_in_one_node_at_once() -> None:
    with flow(loop("concurrency: 3")) as running:
        gate = running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "a", list(range(7)))
        until(lambda: len(running.probes.of("b")) == 3)
        gevent.idle()
        assert running.probes.of("b") == [0, 1, 2]  # the others are made as places become free
        assert len(running.probes.processes[0].owner.children) == 3
        gate.set()
        assert call.get() == list(range(7))
        assert running.probes.of("c") == [list(range(7))]
        ended(running)


def test_without_it_a_node_handles_one_at_a_time() -> None:
    with flow(loop("concurrency: 1")) as running:
        gate = running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "a", [1, 2, 3])
        until(lambda: running.probes.of("b"))
        gevent.idle()
        assert running.probes.of("b") == [1]
        gate.set()
        assert call.get() == [1, 2, 3]
        assert {id(process) for process in running.probes.processes} == {
            id(running.probes.processes[0])
        }


def test_no_more_elements_are_under_way_than_a_process_can_use() -> None:
    with flow(loop("concurrency: 1")) as running:
        gate = running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "a", list(range(10 * AHEAD)))
        until(lambda: running.probes.of("b"))
        gevent.idle()
        assert len(running.probes.processes[0].open) == AHEAD + 1
        gate.set()
        assert call.get() == list(range(10 * AHEAD))


def test_answers_are_in_the_order_of_the_elements() -> None:
    class Backwards(Node[Spec]):
        """Answers each element when the one after it has been answered."""

        kind = "backwards"
        done = tuple(Event() for _ in range(6))

        def handle(self, ctx: Context, payload: Any) -> Any:
            self.done[payload + 1].wait()
            self.done[payload].set()
            return Answer(payload)

    Backwards.done[5].set()
    scheme = Scheme.installed()
    scheme.register(Backwards)
    specs = [
        {"kind": "loop", "name": "a", "concurrency": 5, "links": {"out": [{"name": "b"}]}},
        {"kind": "backwards", "name": "b"},
    ]
    with Runtime("memory://", specs=specs, scheme=scheme) as runtime:
        assert runtime.call("a", [0, 1, 2, 3, 4]) == [0, 1, 2, 3, 4]


def test_elements_share_the_transactions_of_the_process() -> None:
    """What they opened is committed when the process settles, or rolled back with it."""
    text = loop("concurrency: 2").replace("name: b}\n", "name: b, resource: true}\n", 1)
    text = text.replace("- {kind: probe, name: c}", "- {kind: probe, name: c C}")
    with flow(text.replace(" C", "")) as running:
        assert running.call("a", [1, 2, 3]) == [1, 2, 3]
        seen = [what for _, what in running.probes.seen if isinstance(what, str)]
        assert seen == ["opened"] * 3 + ["committed"] * 3
        assert running.probes.seen.index(("c", [1, 2, 3])) < running.probes.seen.index(
            ("b", "committed")
        )
    with flow(text.replace(" C", ", raises: broken")) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", [1, 2, 3])
        assert running.probes.seen.count(("b", "rolled back")) == 3


def test_elements_write_to_one_transaction_and_one_file(tmp_path: Path) -> None:
    specs = [
        {"kind": "loop", "name": "a", "concurrency": 8, "links": {"out": [{"name": "s"}]}},
        {"kind": "snippet", "name": "s", "language": "cel", "links": {"out": [{"name": "i"}]}},
        {
            "kind": "sql",
            "name": "i",
            "source": f"sqlite:///{tmp_path}/x.db",
            "links": {"out": [{"name": "w"}]},
        },
        {"kind": "write", "name": "w", "filename": str(tmp_path / "x.txt")},
        {"kind": "sql", "name": "q", "source": f"sqlite:///{tmp_path}/x.db"},
    ]
    specs[1]["code"] = "['insert into t values (?) returning n', [self]]"
    with public_flow(specs, allow=["i", "w", "q"]) as running:
        running.call("q", "create table t (n integer)")
        assert running.call("a", list(range(50))) == [len('[{"n":0}]\n')] * 10 + [11] * 40
        rows = running.call("q", "select n from t order by n")
        assert [row["n"] for row in rows] == list(range(50))
    assert len((tmp_path / "x.txt").read_text().splitlines()) == 50  # emptied once, by the first


def test_a_merge_joins_what_belongs_to_one_element() -> None:
    """Side by side elements overtake one another, and each has rounds of its own."""
    with flow("""
- {kind: loop, name: a, concurrency: 10, links: {out: [{name: x}, {name: y}]}}
- {kind: probe, name: x, links: {out: {name: m, port: "in[0]"}}}
- kind: if
  name: y
  when: self % 2 == 0
  links: {out: {name: late}, "out[1]": {name: m, port: "in[1]"}}
- {kind: sleep, name: late, interval: 1ms, links: {out: {name: m, port: "in[1]"}}}
- {kind: merge, name: m}
""") as running:
        assert running.call("a", list(range(40))) == [[n, n] for n in range(40)]


def test_what_an_element_begins_goes_on() -> None:
    with flow("""
- {kind: loop, name: a, concurrency: 2, links: {out: {name: f}}}
- {kind: fork, name: f, links: {out: {name: b}}}
- {kind: probe, name: b}
""") as running:
        gate = running.probes.gates["b"] = Event()
        assert running.call("a", [1, 2, 3]) == []
        until(lambda: len(running.probes.of("b")) == 3)
        assert running.runtime.services.processes
        gate.set()
        ended(running)


def test_an_exit_ends_all_elements() -> None:
    with flow(
        loop("concurrency: 3").replace("name: b}\n", "name: b, resource: true}\n", 1)
    ) as running:
        running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "a", list(range(9)))
        until(lambda: running.probes.seen.count(("b", "opened")) == 3)
        process: Any = running.probes.processes[0]
        process.owner.exit(ValueError("its client left"))
        with pytest.raises(ProcessExited):
            call.get()
        assert running.probes.seen.count(("b", "rolled back")) == 3
        ended(running)
        node: Any = running.runtime.table.find("a").version.node
        assert node.in_flight == running.runtime.table.find("b").version.node.in_flight == 0


# -- errors ----------------------------------------------------------------------------------------

FAILING = """
- {kind: loop, name: a, FIELDS, links: {out: {name: b}, "out[1]": {name: c}}}
- {kind: probe, name: b, links: {out: {name: f}}}
- {kind: snippet, name: f, language: cel, code: "self < 0 ? 1 / 0 : self"}
- {kind: probe, name: c}
"""


@pytest.mark.parametrize("concurrency", [1, 4])
def test_finish_sees_all_through_and_then_fails(concurrency: int) -> None:
    with flow(FAILING.replace("FIELDS", f"concurrency: {concurrency}")) as running:
        with pytest.raises(Exception, match="branches failed"):
            running.call("a", [1, -1, 2, -2, 3])
        assert sorted(running.probes.of("b")) == [-2, -1, 1, 2, 3]
        assert running.probes.of("c") == []


def test_stop_begins_no_more() -> None:
    with flow(FAILING.replace("FIELDS", "on_error: stop")) as running:
        with pytest.raises(Exception, match="division by zero"):
            running.call("a", [1, 2, -3, 4, 5])
        assert running.probes.of("b") == [1, 2, -3]


def test_stop_interrupts_those_under_way() -> None:
    text = """
- {kind: loop, name: a, concurrency: 3, on_error: stop, links: {out: {name: i}, error: {name: e}}}
- {kind: if, name: i, when: self < 0, links: {out: {name: bad}, "out[1]": {name: b}}}
- {kind: probe, name: bad, raises: broken}
- {kind: probe, name: b}
- {kind: probe, name: e, answer: handled}
"""
    with flow(text) as running:
        running.probes.gates["b"] = Event()
        running.probes.gates["bad"] = Event()
        call = gevent.spawn(running.call, "a", [1, 2, -3, 4, 5])
        until(lambda: running.probes.of("b") == [1, 2] and running.probes.of("bad") == [-3])
        running.probes.gates["bad"].set()
        assert call.get() == "handled"
        assert running.probes.of("b") == [1, 2]
        ended(running)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_collect_keeps_errors_in_their_places(concurrency: int) -> None:
    text = FAILING.replace("FIELDS", f"on_error: collect, concurrency: {concurrency}")
    with flow(text) as running:
        first, error, last = running.call("a", [1, -1, 2])
        assert (first, last) == (1, 2)
        assert isinstance(error, Exception)
        assert "division by zero" in str(error)
        with pytest.raises(Exception, match="division by zero"):
            running.call("a", -1)  # bare, at an open end it is an error again


# -- batches ---------------------------------------------------------------------------------------


def test_a_batch_is_a_list_of_elements() -> None:
    with flow(loop("batch: 3")) as running:
        assert running.call("a", list(range(7))) == [[0, 1, 2], [3, 4, 5], [6]]
        assert running.call("a", []) == []
        assert running.call("a", "bare") == "bare"
        assert running.probes.of("b") == [[0, 1, 2], [3, 4, 5], [6], "bare"]


ITEMS = st.lists(st.sampled_from(["value", "nothing", "error"]), max_size=30)


@given(
    ITEMS,
    st.integers(1, 5),
    st.sampled_from(["finish", "stop", "collect"]),
    st.none() | st.integers(1, 4),
)
def test_it_is_a_map_whatever_the_width(
    items: list[str], concurrency: int, on_error: str, batch: int | None
) -> None:
    """The same as a model that handles one after the other."""

    class Says(Node[Spec]):
        kind = "says"

        def handle(self, ctx: Context, payload: Any) -> Any:
            given = payload if isinstance(payload, list) else [payload]
            if "error" in given:
                raise InvalidArgument("broken")
            return NOTHING if given == ["nothing"] else Answer(payload)

    scheme = Scheme.installed()
    scheme.register(Says)
    fields = {"concurrency": concurrency, "on_error": on_error, "batch": batch}
    specs = [
        {"kind": "loop", "name": "a", **fields, "links": {"out": [{"name": "b"}]}},
        {"kind": "says", "name": "b"},
    ]
    sent: list[Any] = list(items)
    if batch is not None:
        sent = [items[at : at + batch] for at in range(0, len(items), batch)]
    fails = ["error" in (one if batch else [one]) for one in sent]
    with Runtime("memory://", specs=specs, scheme=scheme) as runtime:
        if any(fails) and on_error != "collect":
            with pytest.raises((InvalidArgument, ExceptionGroup)):
                runtime.call("a", items)
            return
        answers = runtime.call("a", items)
    left = [one for one in sent if one not in ("nothing", ["nothing"])]
    assert [answer if not isinstance(answer, Exception) else "failed" for answer in answers] == [
        "failed" if "error" in (one if batch else [one]) else one for one in left
    ]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"concurrency": 0}, "$.concurrency"),
        ({"concurrency": 20_000}, "$.concurrency"),
        ({"on_error": "ignore"}, "$.on_error"),
        ({"batch": 0}, "$.batch"),
    ],
)
def test_faulty_fields_are_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode({"kind": "loop", **fields}, "default")
    assert [fault.path for fault in raised.value.faults] == [path]
