"""Which in ports lie on a cycle of the graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenflow.engine.cycle import Cycles
from tests.flows import flow

COUNT = 6
NODES = range(COUNT)


def reached(links: set[tuple[int, int]], first: int) -> set[int]:
    """Where links lead to from there, by any number of steps from one on."""
    found: set[int] = set()
    new = {first}
    while new:
        new = {there for here, there in links if here in new} - found
        found |= new
    return found


@given(st.sets(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES))))
def test_a_port_is_on_a_cycle_that_can_be_reached_from_itself(links: set[tuple[int, int]]) -> None:
    lines = []
    for node in NODES:
        targets = ", ".join(f"{{name: n{there}}}" for here, there in sorted(links) if here == node)
        lines.append(f"- {{kind: probe, name: n{node}, links: {{'out[0]': [{targets}]}}}}")
    with flow("\n".join(lines)) as running:
        cycles = Cycles()
        for node in NODES:
            version = running.runtime.table.find(f"n{node}").version
            assert version.node is not None
            port = version.node.input("in")
            assert port is not None
            assert cycles.has(port, None) == (node in reached(links, node))


def of(text: str, name: str) -> bool:
    with flow(text) as running:
        version = running.runtime.table.find(name).version
        assert version.node is not None
        port = version.node.input("in")
        assert port is not None
        return Cycles().has(port, None)


BLOCK = """
- kind: block
  name: a
  timeout: 1s
  specs: [{kind: sleep, name: inner, interval: 1us}]
  inbounds: {in: [{name: inner, port: in}]}
  outbounds: {out: [{name: inner, port: out}]}
  links: {out: {name: b}, error: {name: c}}
- {kind: probe, name: c}
"""


def test_a_cycle_through_a_block_is_one() -> None:
    assert of(BLOCK + "- {kind: probe, name: b, links: {'out[0]': {name: a}}}", "a")


def test_a_block_is_none_by_itself() -> None:
    assert not of(BLOCK + "- {kind: probe, name: b}", "a")


def test_a_deep_chain_needs_no_recursion() -> None:
    lines = [
        f"- {{kind: probe, name: n{i}, links: {{'out[0]': {{name: n{i + 1}}}}}}}"
        for i in range(3_000)
    ]
    assert not of("\n".join([*lines, "- {kind: probe, name: n3000}"]), "n0")
