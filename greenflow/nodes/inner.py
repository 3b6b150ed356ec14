"""What the specs of `block` and `step` say of the specs inside of them.

Lives here: the specs, and what can be read of their links. What becomes of them is block.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from greenflow.spec.fields import Spec, TimeLimit


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A port of a sub-node."""

    name: Annotated[str, Meta(description="the sub-node's name")]
    port: Annotated[str, Meta(description="its port")]


class StepSpec(Spec):
    specs: Annotated[
        list[Spec],
        Meta(min_length=1, description="the specs of the sub-nodes", extra={"alias": "nodes"}),
    ]
    timeout: Annotated[
        TimeLimit | None,
        Meta(description="all inside runs so long at most, in a child process that commits then"),
    ] = None


class BlockSpec(StepSpec):
    inbounds: Annotated[
        dict[str, list[Inner]], Meta(description="in ports, and where inside they lead")
    ] = {}
    outbounds: Annotated[
        dict[str, list[Inner]], Meta(description="out ports, and where inside they come from")
    ] = {}
    chain: Annotated[
        bool, Meta(description="without inbounds and outbounds: link what is inside in its order")
    ] = True


def is_chain(spec: Spec) -> bool:
    """Whether its sub-nodes are a chain, or linked by their own links."""
    return getattr(spec, "chain", True) and not any(bounds(spec))


def bounds(spec: Spec) -> tuple[dict[str, list[Inner]], dict[str, list[Inner]]]:
    """Where the in ports lead inside, and where the out ports come from."""
    return getattr(spec, "inbounds", {}), getattr(spec, "outbounds", {})


def called(inner: Spec, place: int) -> str:
    """What a sub-node is called inside: one without a name `$0`, `$1` and so on, by its place."""
    return inner.name or f"${place}"


def linked(spec: StepSpec) -> Iterator[Spec]:
    """The sub-nodes, each with links, to nowhere, at the ports that the block leads on from."""
    outbounds = bounds(spec)[1]
    bound: list[tuple[Spec, set[str]]] = [(inner, set()) for inner in spec.specs]
    if not is_chain(spec):
        by_name = {called(inner, place): ports for place, (inner, ports) in enumerate(bound)}
        for several in outbounds.values():
            for each in several:
                by_name[each.name].add(each.port)
    else:
        for _, ports in bound[:-1]:
            ports.add("out")
        bound[-1][1].update(spec.links)
    for inner, ports in bound:
        links = {**{port: [] for port in ports}, **inner.links}
        yield msgspec.structs.replace(inner, links=links)
