"""Blocks that hold sources or are no chain, and sub-nodes without names (BEHAVIOUR 13)."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow import testing
from greenflow.errors import SpecInvalid
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import read
from greenflow.table.picture import pictured
from greenflow.testing import ManualClock
from tests.flows import Flow, flow
from tests.waiting import until


def idle(running: Flow) -> None:
    until(lambda: not running.runtime.services.processes)


TRIGGER = """
- {kind: trigger, name: publish, topic: orders}
- kind: block
  name: BLOCK
  specs:
    - {kind: trigger, topic: orders}
    - {kind: snippet, language: cel, code: self + 1}
    - {kind: probe, name: p}
"""


def test_a_block_that_begins_with_a_source_starts_and_stops_it() -> None:
    with flow(TRIGGER) as running:
        running.call("publish", 1)
        idle(running)
        assert running.probes.of("p") == [2]
        running.runtime.operations.delete({"name": "BLOCK"})
        until(lambda: len(running.runtime.table.symbols) == 1)
        running.call("publish", 2)
        idle(running)
        assert running.probes.of("p") == [2]


def test_each_block_has_sources_of_its_own() -> None:
    one, other = TRIGGER.replace("BLOCK", "one"), TRIGGER.replace("BLOCK", "other")
    with flow(one + other.partition("orders}")[2].replace("name: p", "name: q")) as running:
        running.call("publish", 1)
        idle(running)
        assert running.probes.of("p") == running.probes.of("q") == [2]


def test_listeners_and_schedules_inside_of_blocks_in_blocks() -> None:
    text = """
- kind: block
  name: outer
  chain: false
  specs:
    - kind: block
      name: web
      specs:
        - {kind: listener, name: front, port: 0}
        - {kind: snippet, language: text, code: hello}
    - kind: block
      name: ticking
      specs:
        - {kind: schedule, interval: 10s}
        - {kind: nop, name: tick}
    - kind: block
      name: also
      specs:
        - {kind: schedule, interval: 20s}
        - {kind: nop, name: tock}
"""
    clock = ManualClock()
    with testing.flow(text, clock=clock) as running:
        assert running.request("GET", "/").body == "hello"
        clock.wait_for_sleepers(2)
        clock.advance(10)
        until(lambda: len(running.passed("tick")) == 1)
        clock.wait_for_sleepers(2)
        clock.advance(10)
        until(lambda: len(running.passed("tick")) == 2 and len(running.passed("tock")) == 1)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{kind: step, specs: [{kind: trigger, topic: a}, {kind: nop}]}", "$.specs[0]"),
        ("{kind: block, specs: [{kind: call}, {kind: listener, port: 1}]}", "$.specs[1]"),
        (
            "{kind: block, inbounds: {in: {name: $2, port: in}}, specs: [{kind: nop}]}",
            "$.inbounds.in",
        ),
        ("{kind: block, chain: false, specs: [{kind: nop, name: $1}, {kind: nop}]}", "$.specs[1]"),
    ],
)
def test_what_cannot_be_is_told(text: str, path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode(read(text, "a.yaml")[0].data, "default")
    assert [fault.path for fault in raised.value.faults] == [path]


UNNAMED = """
kind: block
name: a
specs:
  - {kind: snippet, language: cel, code: self * 2, links: {out: {name: $2}}}
  - {kind: snippet, name: middle, language: cel, code: self * 100}
  - {kind: snippet, language: cel, code: self + 1}
inbounds: {in: {name: $0, port: in}}
outbounds: {out: {name: $2, port: out}}
"""


def test_sub_nodes_without_a_name_are_called_by_their_place() -> None:
    with flow(UNNAMED) as running:
        assert running.call("a", 4) == 9
    document = {"id": "a", **read(UNNAMED, "a.yaml")[0].data}
    drawing = pictured([document], {})
    assert [edge[:2] for edge in drawing.edges] == [("a/0", "a/2")]


def test_a_block_may_say_that_it_is_no_chain() -> None:
    scheme = Scheme.installed()
    document: dict[str, Any] = {"kind": "block", "specs": [{"kind": "call"}, {"kind": "call"}]}
    assert scheme.ports(scheme.decode(document, "default")) == (("in",), ("out[i]",))
    assert scheme.ports(scheme.decode({**document, "chain": False}, "default")) == ((), ())
