"""block, step (BEHAVIOUR 5.4, 13)."""

from __future__ import annotations

import json
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import InvalidArgument, SpecInvalid
from greenflow.scheme.registry import DEEPEST, Scheme
from greenflow.spec.document import read
from greenflow.spec.fields import Spec
from greenflow.spec.ports import Ports, by_port
from tests.flows import flow

CHAIN = """
- kind: KIND
  name: a
  specs:
    - {kind: snippet, language: json, code: '[1, 2]'}
    - {kind: loop, name: each}
  links: {out: {name: nop}, "out[1]": {name: z}}
- {kind: nop, name: nop}
- {kind: probe, name: z}
"""


@pytest.mark.parametrize("kind", ["block", "step"])
def test_a_chain_has_the_in_ports_of_the_first_and_the_out_ports_of_the_last(kind: str) -> None:
    with flow(CHAIN.replace("KIND", kind)) as running:
        assert running.call("a", "x") == []
        assert running.probes.seen == [("z", [])]


def test_a_block_may_be_linked_by_its_own_links() -> None:
    with flow("""
- kind: block
  name: a
  inbounds: {in: {name: first, port: in}, other: {name: last, port: in}}
  outbounds: {out: [{name: last, port: out}]}
  specs:
    - {kind: probe, name: last}
    - {kind: probe, name: first, links: {out: {name: last}}}
  links: {out: {name: z}}
- {kind: probe, name: z}
- {kind: probe, name: b, links: {out: {name: a, port: other}}}
""") as running:
        assert running.call("a", 1) == 1
        assert [name for name, _ in running.probes.seen] == ["first", "last", "z"]
        assert running.call("b", 2) == 2
        assert [name for name, _ in running.probes.seen][3:] == ["b", "last", "z"]


def test_an_out_port_may_come_from_several_sub_nodes_and_names_are_local() -> None:
    block = """
- kind: block
  name: NAME
  inbounds: {in: [{name: one, port: in}, {name: two, port: in}]}
  outbounds: {done: [{name: one, port: out}, {name: two, port: "out[1]"}]}
  specs:
    - {kind: nop, name: z}
    - {kind: if, name: two, when: 'false'}
    - {kind: snippet, name: one, language: cel, code: 'self + 1', links: {error: {name: z}}}
  links: {done: {name: z}}
"""
    text = "- {kind: probe, name: z}" + block.replace("NAME", "a") + block.replace("NAME", "b")
    with flow(text) as running:
        assert running.call("a", 1) == [2, 1]
        assert running.call("b", 2) == [3, 2]
        assert running.probes.of("z") == [2, 1, 3, 2]
        assert running.call("a", "x") == "x"  # its own `z` had the error


def test_a_block_with_in_ports_alone_has_no_out_port() -> None:
    text = """
kind: block
name: a
inbounds: {in: {name: n, port: in}}
specs: [{kind: snippet, name: n, code: x}]
"""
    with flow(text) as running:
        assert running.call("a", 1) == "x"  # an open end
    (document,) = read(text + "links: {out: {name: z}}", "test")
    with pytest.raises(SpecInvalid, match=r"\$\.links\.out: kind 'block' has no out port 'out'"):
        Scheme.installed().decode(document.data, "default")


EDGE = """
- kind: block
  name: a
  specs:
    - {kind: probe, name: inside, INSIDE}
  links: {out: {name: beyond}, error: {name: e}}
- {kind: probe, name: beyond, BEYOND}
- {kind: probe, name: e, answer: handled}
"""


def test_the_edge_takes_errors_that_arose_inside() -> None:
    text = EDGE.replace("INSIDE", "raises: inner").replace("BEYOND", "times: 0")
    with flow(text) as running:
        assert running.call("a", 1) == "handled"


def test_the_edge_passes_on_errors_from_beyond_the_out_ports() -> None:
    text = EDGE.replace("INSIDE", "times: 0").replace("BEYOND", "raises: outer")
    with flow(text) as running:
        with pytest.raises(InvalidArgument) as raised:
            running.call("a", 1)
        assert str(raised.value.__cause__) == "outer"
        assert running.probes.of("e") == []


def test_a_group_with_one_error_from_inside_is_taken_whole() -> None:
    with flow("""
- kind: block
  name: a
  inbounds: {in: [{name: one, port: in}, {name: two, port: in}]}
  outbounds: {out: [{name: two, port: out}]}
  specs:
    - {kind: probe, name: one, raises: inner}
    - {kind: probe, name: two}
  links: {out: {name: beyond}, error: {name: e}}
- {kind: probe, name: beyond, raises: outer}
- {kind: probe, name: e, answer: handled}
""") as running:
        assert running.call("a", 1) == "handled"
        (group,) = running.probes.of("e")
        assert [str(error.__cause__) for error in group.exceptions] == ["inner", "outer"]


def test_an_inner_error_link_takes_the_error_first() -> None:
    with flow("""
- kind: block
  name: a
  specs:
    - kind: block
      name: deep
      specs: [{kind: probe, name: bad, raises: inner}]
    - {kind: probe, name: after}
  links: {error: {name: e}}
- {kind: probe, name: e, answer: handled}
""") as running:
        assert running.call("a", 1) == "handled"
        assert running.probes.of("after") == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{kind: block, specs: []}", "$.specs"),
        ("{kind: step, specs: [{kind: snippet, cod: x}]}", "$.specs[0].cod"),
        ("{kind: step, specs: [{kind: nop}, {kind: snippet}]}", "$.specs[0]"),
        ("{kind: step, specs: [{kind: listener, port: 1}]}", "$.specs[0]"),
        ("{kind: step, specs: [{kind: snippet, links: {out: {name: x}}}]}", "$.specs[0].links.out"),
        (
            "{kind: block, inbounds: {in: {name: x, port: in}}, specs: [{kind: nop}]}",
            "$.inbounds.in",
        ),
        (
            "{kind: block, outbounds: {out: {name: x, port: no}}, specs: [{kind: nop, name: x}]}",
            "$.outbounds.out",
        ),
        ("{kind: step, specs: [{kind: nop}], links: {out: {name: x}}}", "$.links.out"),
    ],
)
def test_what_cannot_be_a_block_is_a_validation_error(text: str, path: str) -> None:
    (document,) = read(text, "test")
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode(document.data, "default")
    assert raised.value.faults[0].path == path


def test_a_block_that_is_replaced_finishes_what_it_holds() -> None:
    text = """
- kind: block
  name: a
  specs: [{kind: probe, name: b}, {kind: probe, name: c, answer: old}]
  links: {error: {name: e}}
- {kind: probe, name: e}
"""
    with flow(text) as running:
        running.probes.gates["b"] = Event()
        running.probes.reached["b"] = Event()
        under_way = gevent.spawn(running.call, "a", 1)
        running.probes.reached["b"].wait()
        (record,) = running.runtime.operations.read({"name": "a"})
        specs = [{"kind": "probe", "name": "n", "answer": "new"}]
        (record,) = running.runtime.operations.apply({**record.document, "specs": specs})
        running.followed(record.revision)
        assert running.call("a", 1) == "new"
        running.probes.gates["b"].set()
        assert under_way.get() == "old"


def test_what_a_block_hardly_means_stands_in_its_sub_specs() -> None:
    scheme = Scheme.installed()
    inner = {"kind": "syscall", "name": "s", "opcode": "specs.create2"}
    block = scheme.decode({"kind": "block", "specs": [{"kind": "snippet"}, inner]}, "default")
    (fault,) = scheme.node_type("block").doubts(block, scheme)
    assert fault.path == "$.specs[1].opcode"
    database = {"kind": "sql", "name": "s", "source": "oracle://h/d", "driver": "oracle"}
    block = scheme.decode({"kind": "block", "specs": [{"kind": "snippet"}, database]}, "default")
    (fault,) = scheme.node_type("block").lacks(block, scheme)
    assert fault.path == "$.specs[1].source"


def nested(depth: int, kind: str, **fields: Any) -> dict[str, Any]:
    """So many specs inside one another, the outermost and the innermost among them."""
    spec: dict[str, Any] = {"kind": "snippet", "language": "cel", "code": "self + 1"}
    for level in range(depth - 1):
        spec = {"kind": kind, "name": f"level{level}", "specs": [spec], **fields}
    return {**spec, "name": "outer"}


@pytest.mark.parametrize("kind", ["step", "block"])
@pytest.mark.parametrize("width", [1, 2])
def test_each_level_asks_for_the_ports_of_what_is_below_once(
    kind: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ports = Scheme.ports

    def counted(self: Scheme, spec: Spec) -> Ports:
        asked.append(spec.kind)
        return ports(self, spec)

    monkeypatch.setattr(Scheme, "ports", counted)
    spec: dict[str, Any] = {"kind": "pipe"}
    for _ in range(DEEPEST - 1):
        others = [{"kind": "snippet", "language": "text", "code": ""}] * (width - 1)
        spec = {"kind": kind, "specs": [*others, spec]}
    Scheme.installed().validate(spec, "default")
    assert len(asked) <= 2 * width * DEEPEST**2


@pytest.mark.parametrize("kind", ["step", "block"])
@pytest.mark.parametrize("fields", [{}, {"timeout": 60}])
def test_blocks_as_deep_as_they_may_be_run(kind: str, fields: dict[str, Any]) -> None:
    with flow(json.dumps([nested(DEEPEST, kind, **fields)])) as workflow:
        assert workflow.call("outer", 1) == 2


def test_deeper_blocks_are_refused_at_their_place() -> None:
    with pytest.raises(SpecInvalid, match=f"nested deeper than {DEEPEST}") as told:
        Scheme.installed().validate(nested(DEEPEST + 1, "step"), "default")
    assert [fault.path for fault in told.value.faults] == ["$" + ".specs[0]" * DEEPEST]


def test_a_misspelt_port_of_a_sub_node_is_told_at_its_place() -> None:
    spec = {
        "kind": "block",
        "inbounds": {"in": [{"name": "a", "port": "in["}]},
        "specs": [{"kind": "nop", "name": "a"}],
    }
    with pytest.raises(SpecInvalid, match="'in\\[' is no port name") as told:
        Scheme.installed().validate(spec, "default")
    assert [fault.path for fault in told.value.faults] == ["$.inbounds.in"]


def test_of_two_names_for_one_port_the_first_counts() -> None:
    assert by_port({"out": 1, "out[0]": 2, "out[1]": 3}) == {"out": 1, "out[1]": 3}
