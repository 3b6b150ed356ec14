"""Taps: what passes a node, sampled fairly; they end by themselves and leave nothing behind."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from greenflow.engine.node import Node
from greenflow.errors import CompileFailed
from greenflow.records import tap as tapping
from greenflow.records.tap import Tap, TapPassage, TooManyTaps
from greenflow.runtime import Runtime
from tests.records.recorded import FAILURES, calls, running
from tests.waiting import until

FLOW = """
- {kind: snippet, name: first, language: cel, code: 'self + 1', links: {out: {name: second}}}
- {kind: snippet, name: second, language: cel, code: '10 / self'}
- {kind: snippet, name: other, language: cel, code: self}
"""


class Reader:
    """Who reads a tap."""

    def __init__(self, takes: bool = True) -> None:
        self.seen: list[TapPassage] = []
        self.ends: list[str] = []
        self.takes = takes

    def put(self, passage: TapPassage) -> bool:
        self.seen.append(passage)
        return self.takes

    def on(self, runtime: Runtime, node: str, **asked: Any) -> Tap:
        return runtime.records.tap(node, self.put, self.ends.append, **asked)

    def ways(self) -> list[tuple[str, str, str]]:
        return [(each.way, each.port, each.payload.text) for each in self.seen]


def node_of(runtime: Runtime, name: str) -> Node[Any]:
    node = runtime.table.find(name).version.node
    assert node is not None
    return node


def test_it_tells_what_comes_and_what_leaves_and_nothing_of_other_nodes() -> None:
    with running(FLOW) as runtime:
        reader = Reader()
        tap = reader.on(runtime, "first")
        runtime.call("first", 1)
        runtime.call("other", 7)
        tap.tell()
        assert reader.ways() == [("in", "in", "1"), ("out", "out", "2")]
        assert {each.of for each in reader.seen} == {2}
        assert {each.node for each in reader.seen} == {"first"}
        assert calls(runtime, "first", "x") is not None
        tap.close()
        tap.close()
        assert reader.ends == ["closed"]


def test_what_goes_to_error_is_told_too() -> None:
    text = FLOW.replace("code: '10 / self'", "code: '10 / self', links: {error: {name: other}}")
    with running(text) as runtime:
        reader = Reader()
        tap = reader.on(runtime, "second")
        assert calls(runtime, "second", 0) is not None
        tap.tell()
        assert [each[:2] for each in reader.ways()] == [("in", "in"), ("out", "error")]
        tap.close()


def test_all_ways_of_sending_are_told() -> None:
    text = """
    - {kind: loop, name: each, links: {out: {name: other}}}
    - {kind: split, name: parts, links: {out: {name: other}}}
    - {kind: snippet, name: other, language: cel, code: self}
    """
    with running(text) as runtime:
        for name, payload, told in (
            ("each", [1, 2], ["1", "2", "[1, 2]"]),
            ("parts", [3, 4], ["3"]),
        ):
            reader = Reader()
            tap = reader.on(runtime, name)
            runtime.call(name, payload)
            tap.tell()
            assert [each[2] for each in reader.ways() if each[0] == "out"] == told
            tap.close()


def test_the_node_is_as_before_when_the_last_has_gone() -> None:
    with running(FLOW) as runtime:
        node = node_of(runtime, "first")
        runtime.call("first", 1)
        receive, own = node.in_ports["in"].receive, dict(vars(node))
        taps = [Reader().on(runtime, "first") for _ in range(2)]
        assert node.in_ports["in"].receive is not receive
        taps[0].close()
        assert node.in_ports["in"].receive is not receive
        taps[1].close()
        assert node.in_ports["in"].receive is receive
        assert vars(node) == own


def test_a_filter_chooses_and_what_it_cannot_be_asked_of_is_not_wanted() -> None:
    with running(FLOW) as runtime:
        reader = Reader()
        tap = reader.on(runtime, "other", filter="self.n > 1")
        for payload in ({"n": 1}, {"n": 2}, "text", None):
            runtime.call("other", payload)
        tap.tell()
        assert reader.ways() == [("in", "in", '{"n": 2}'), ("out", "out", '{"n": 2}')]
        tap.close()
        with pytest.raises(CompileFailed):
            reader.on(runtime, "other", filter="self +")


def test_beyond_the_rate_each_is_as_likely_as_any_other() -> None:
    seen: Counter[str] = Counter()
    with running(FLOW) as runtime:
        reader = Reader()
        tap = reader.on(runtime, "other", rate=5, total=10_000)
        tap._random.seed(7)
        rounds = 1500
        for _ in range(rounds):
            for number in range(50):
                tap.passes("in", node_of(runtime, "other").in_ports["in"], number, _Process())
            before = len(reader.seen)
            tap.tell()
            told = reader.seen[before:]
            assert len(told) == 5
            assert {each.of for each in told} == {50}
            seen.update(each.payload.text for each in told)
        tap.close()
    assert len(seen) == 50
    # 150 expected each; five standard deviations are 58.
    assert all(92 < count < 208 for count in seen.values())


class _Process:
    id = 1


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"total": 2}, "it has told all that it may"),
        ({"lease": 0.0}, "the lease is over"),
    ],
)
def test_it_ends_by_itself(asked: dict[str, Any], reason: str) -> None:
    with running(FLOW) as runtime:
        reader = Reader()
        tap = reader.on(runtime, "first", **asked)
        runtime.call("first", 1)
        tap.tell()
        assert reader.ends == [reason]
        assert not tap.is_open
        assert "send" not in vars(node_of(runtime, "first"))


def test_one_that_nobody_reads_ends() -> None:
    with running(FLOW) as runtime:
        reader = Reader(takes=False)
        tap = reader.on(runtime, "first")
        runtime.call("first", 1)
        tap.tell()
        assert reader.ends == ["nobody takes what it tells"]
        assert len(reader.seen) == 1


def test_a_new_version_is_followed_and_a_node_that_goes_ends_it() -> None:
    with running(FLOW) as runtime:
        reader = Reader()
        tap = reader.on(runtime, "other")
        old = node_of(runtime, "other")
        operations = runtime.operations
        [stored] = operations.read({"name": "other"})
        operations.update([{**stored.document, "code": "[self]"}])
        until(lambda: node_of(runtime, "other") is not old)
        tap.tell()
        runtime.call("other", 1)
        tap.tell()
        assert reader.ways() == [("in", "in", "1"), ("out", "out", "[1]")]
        operations.delete({"name": "other"})
        until(lambda: runtime.records._node_of("other") is None)
        tap.tell()
        assert reader.ends == ["the node has gone"]


def test_the_stop_of_the_runtime_ends_it() -> None:
    reader = Reader()
    with running(FLOW) as runtime:
        reader.on(runtime, "first")
    assert reader.ends == ["the runtime stops"]


def test_there_are_only_so_many() -> None:
    with running(FLOW, FAILURES) as runtime:
        for _ in range(tapping.TAPS):
            Reader().on(runtime, "first")
        with pytest.raises(TooManyTaps, match="taps are open"):
            Reader().on(runtime, "first")
        runtime.records.close()
        with pytest.raises(LookupError, match="no such node"):
            Reader().on(runtime, "missing")
