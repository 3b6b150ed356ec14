"""The trail of a process: bounded, in order, with the last payloads and the first one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from greenflow.engine.process import Process
from greenflow.engine.trail import (
    FORGOTTEN,
    LARGE,
    LOOKED_AT,
    PACKETS,
    PARTS,
    PAYLOADS,
    TRAILS,
    TRIM,
    Trail,
    is_large,
)
from tests.graphs import FunctionNode, entry, link


class Watcher:
    """What a recorder sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[Process, Trail | None, BaseException | None]] = []

    def ended(self, process: Process) -> None:
        self.seen.append((process, process.trail, process.failure))


def watched() -> tuple[Process, Watcher]:
    process, watcher = Process(), Watcher()
    process.recorder = watcher
    return process, watcher


def chain(*handlers: Any) -> list[FunctionNode]:
    nodes = [FunctionNode(handler) for handler in handlers]
    for a, b in itertools.pairwise(nodes):
        link(a, b)
    return nodes


def ask(process: Process, node: FunctionNode, payload: Any) -> Any:
    return process.ask(entry(node), payload)[0]


def test_it_has_the_ports_times_and_payloads_of_a_process() -> None:
    nodes = chain(lambda ctx, v: v + 1, lambda ctx, v: v * 10)
    process, watcher = watched()
    ask(process, nodes[0], 1)
    process.exit()
    assert process.trail is None  # it holds nothing any more
    [(_, trail, failure)] = watcher.seen
    assert trail is not None
    assert failure is None
    passed = list(trail)
    assert [each.port for each in passed] == [nodes[0].in_ports["in"], nodes[1].in_ports["in"]]
    assert [each.payload for each in passed] == [1, 2]
    assert passed[0].time <= passed[0].end == passed[1].time <= passed[1].end == trail.end
    assert trail.began == passed[0].time


def test_what_it_failed_with_is_known_with_its_trail() -> None:
    def fail(ctx: Any, v: Any) -> Any:
        raise ValueError("no")

    [node] = chain(fail)
    process, watcher = watched()
    process.settle(ask(process, node, 1).error)
    process.exit()
    [(_, trail, failure)] = watcher.seen
    assert isinstance(failure, ValueError)
    assert trail is not None
    assert len(list(trail)) == 1
    assert process.failure is None  # nothing of it is held


def test_a_second_greenlet_has_a_trail_of_its_own() -> None:
    gate = Event()
    start = FunctionNode(lambda ctx, v: v)
    waits = FunctionNode(lambda ctx, v: gate.wait() and v)
    opens = FunctionNode(lambda ctx, v: gate.set() or v)
    link(start, waits)
    link(start, opens)
    process, watcher = watched()
    ask(process, start, "x")
    process.exit()
    [(_, trail, _)] = watcher.seen
    assert trail is not None
    assert trail.before is not None
    assert trail.before.before is None
    assert [each.port.node for each in trail.before] == [start, waits]
    assert [each.port.node for each in trail] == [opens]
    assert trail.began == trail.before.began > 0


@given(st.integers(0, 3 * PACKETS), st.integers(1, 3 * TRIM))
def test_it_is_bounded_and_keeps_the_last_and_what_it_began_with(packets: int, step: int) -> None:
    trail = Trail([])
    for number in range(packets):
        trail.passed += (None, float(number + 1), number)
        if number % step == step - 1:
            trail.trim()
    trail.trim()
    passed = list(trail)
    assert len(passed) <= PACKETS
    assert trail.forgotten + len(passed) == packets
    kept = [each.payload for each in passed if each.payload is not FORGOTTEN]
    newest = list(range(max(packets - PAYLOADS, 0), packets))
    assert kept[-len(newest) :] == newest if newest else kept == []
    assert len(kept) <= PAYLOADS + 1
    if packets:
        first = trail.entry or passed[0]
        assert first.payload == 0
        assert trail.began == 1.0


def test_many_greenlets_of_one_process_are_bounded_too() -> None:
    trail = Trail([None, 1.0, "first"])
    for number in range(10 * TRAILS):
        trail = trail.follow()
        trail.passed += (None, float(number + 2), number)
    trails, each = [], trail
    while each is not None:
        trails.append(each)
        each = each.before  # type: ignore[assignment]
    assert TRAILS <= len(trails) <= 2 * TRAILS
    assert trail.began == 1.0
    assert trail.number == 10 * TRAILS + 1


def test_what_takes_long_to_make_and_is_large_lets_go_of_those_before() -> None:
    trail = Trail([])
    for number in range(5):
        trail.passed += (None, float(number + 1), number)
    trail.weigh()
    assert [each.payload for each in trail] == [0, 1, 2, 3, 4]  # it is small
    trail.passed += (None, 6.0, {"rows": ["x"] * 1000})
    trail.weigh()
    kept = [each.payload for each in trail if each.payload is not FORGOTTEN]
    assert kept == [0, {"rows": ["x"] * 1000}]  # with what it began, too


@pytest.mark.parametrize(
    ("payload", "large"),
    [
        ("x" * (LARGE + 1), True),
        (b"x" * (LARGE + 1), True),
        ({"body": b"x" * (LARGE + 1)}, True),
        (["x" * 1000] * 100, True),
        ([0] * (LOOKED_AT + 1), True),
        ({"rows": [[0] * 100] * 10}, True),
        ("x" * LARGE, False),
        ({"body": b"x", "header": {"Host": ["a"]}}, False),
        ([0] * LOOKED_AT, False),
        (None, False),
    ],
)
def test_a_short_look_says_what_is_large(payload: Any, large: bool) -> None:
    assert is_large(payload) == large


def test_a_node_that_makes_large_payloads_is_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenflow.engine.process.LONG", -1.0)  # each takes long
    nodes = chain(*[lambda ctx, v: [*v, "x" * LARGE] for _ in range(5)])
    process, watcher = watched()
    ask(process, nodes[0], [])
    process.exit()
    [(_, trail, _)] = watcher.seen
    assert trail is not None
    kept = [len(each.payload) for each in trail if each.payload is not FORGOTTEN]
    assert kept == [0, 4]


class Child:
    def __init__(self, id: int, failure: BaseException | None) -> None:
        self.id, self.failure, self.error, self.trail = id, failure, None, Trail([])


def test_children_are_kept_the_first_ones_and_those_that_failed() -> None:
    trail = Trail([])
    for number in range(3 * PARTS):
        trail.keep(Child(number, None))
    assert trail.parts is not None
    assert [part.id for part in trail.parts] == list(range(PARTS))
    trail.keep(Child(99, ValueError()))
    assert len(trail.parts) == PARTS
    assert trail.parts[-1].id == 99
    for number in range(100, 100 + 2 * PARTS):
        trail.keep(Child(number, ValueError()))
    assert [part.id for part in trail.parts] == list(range(100 + PARTS, 100 + 2 * PARTS))


def test_a_child_is_known_to_its_parent() -> None:
    [node] = chain(lambda ctx, v: v)
    parent, watcher = watched()
    ask(parent, node, "parent")
    child = Process(parent)
    ask(child, node, "child")
    child.exit()
    parent.exit()
    (first, _, _), (_, trail, _) = watcher.seen
    assert first is child
    assert trail is not None
    assert trail.parts is not None
    assert [part.id for part in trail.parts] == [child.id]


@pytest.mark.parametrize("packets", [1, 2, 5])
def test_packets_of_one_port_are_handled_in_their_order(packets: int) -> None:
    seen: list[int] = []
    node = FunctionNode(lambda ctx, v: seen.append(v) or v)
    process = Process()
    assert process.ask(entry(node), *range(packets)) == list(range(packets))
    assert seen == list(range(packets))
    assert node.in_flight == 0
    process.exit()
