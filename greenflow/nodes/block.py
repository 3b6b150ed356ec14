"""`block` and `step`: nodes made of nodes (BEHAVIOUR 13, 5.4).

The sub-nodes of a chain are linked `out` to `in`; the block's in ports are the first's, its out
ports the last's, the very same objects, so a block costs nothing on the way. Only a block with an
`error` link puts an edge under the packets that enter: it takes the errors that arise inside.

A block with a `timeout` is a call instead: what is inside runs as a part of the process
(engine/scope.py); what leaves it is caught at its edge, and goes on when all has ended in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.packet import Fault, Packet
from greenflow.engine.port import InPort, OutPort, Receive
from greenflow.engine.process import Process, Reader
from greenflow.engine.result import Answer, Send
from greenflow.engine.scope import within
from greenflow.engine.services import Compiler, Services
from greenflow.engine.source import Source
from greenflow.errors import SpecFault
from greenflow.hub.breathing import unhurried
from greenflow.nodes.inner import BlockSpec, StepSpec, bounds, called, is_chain, linked
from greenflow.spec.ports import (
    ERROR,
    Ports,
    by_port,
    canonical,
    each_once,
    has_output,
    has_port,
    misspelt,
)


class _Leaves:
    """What left a block with a `timeout`, and by which port: the answer inside."""

    __slots__ = ("port", "value")

    def __init__(self, port: str, value: Any) -> None:
        self.port, self.value = port, value


class Composed(Node[StepSpec]):
    """Sub-nodes as one node. A spec that has `inbounds` or `outbounds` links them by itself."""

    reads_only = True
    holds_sources: ClassVar[bool] = True

    def __init__(self, spec: StepSpec, services: Services) -> None:
        self.inner = [services.compiler.compile(each, services) for each in spec.specs]
        self.bounds = [by_port(side) for side in bounds(spec)]
        self.by_name = {called(each.spec, place): each for place, each in enumerate(self.inner)}
        self.local: dict[OutPort, tuple[InPort, ...]] = {}
        self.caught: set[str] = set()  # out ports whose values are caught at the edge
        for place, inner in enumerate(self.inner):
            inner.within, inner.place_within = self, place
        super().__init__(spec, services)
        self.guards = any(canonical(port) == ERROR for port in spec.links)
        for inner in unhurried(self.inner):
            for port, links in unhurried(inner.spec.links.items()):
                out = inner.output(port)
                self.local[out] = tuple(
                    entry
                    for link in links
                    if (entry := self.by_name[link.name or ""].input(link.port)) is not None
                )
                inner.link(port, self.local[out])
        if self.chained:
            for here, there in pairwise(self.inner):
                entry = there.input("in")
                assert entry is not None
                here.link("out", (entry,))

    @property
    def chained(self) -> bool:
        """Whether the sub-nodes are a chain, or linked by their own links."""
        return is_chain(self.spec)

    # -- checking ------------------------------------------------------------------------------

    @classmethod
    def check(cls, spec: StepSpec, compiler: Compiler) -> list[SpecFault]:
        specs, faults = spec.specs, []
        inbounds, outbounds = bounds(spec)
        chained = is_chain(spec)
        of_each = [each_once(compiler.ports(inner)) for inner in unhurried(specs)]
        named: dict[str, tuple[frozenset[str], ...]] = {}
        for i, inner in unhurried(enumerate(specs)):
            name = called(inner, i)
            if name in named:
                where = f"$.specs[{i}]" if inner.name is None else f"$.specs[{i}].name"
                faults.append(SpecFault(where, f"{name!r} is there already"))
            named[name] = of_each[i]
        for i, inner in unhurried(enumerate(specs)):
            inputs, outputs = of_each[i]
            path = f"$.specs[{i}]"
            kind = compiler.node_type(inner.kind)
            if issubclass(kind, Source) and (kind.stands_alone or not cls.holds_sources):
                reason = f"a source ({inner.kind!r}) cannot be part of a {spec.kind}"
                faults.append(SpecFault(path, reason))
                continue
            if chained and i and not has_port(inputs, "in"):
                faults.append(SpecFault(path, f"kind {inner.kind!r} has no in port to chain to"))
            if chained and i + 1 < len(specs) and not has_port(outputs, "out"):
                faults.append(SpecFault(path, f"kind {inner.kind!r} has no out port to chain"))
            if chained and any(canonical(port) == "out" for port in inner.links):
                faults.append(SpecFault(f"{path}.links.out", "in a chain the order links `out`"))
            for port, links in inner.links.items():
                for link in links:
                    target = named.get(link.name or "")
                    where = f"{path}.links.{port}"
                    if target is None or link.name is None:
                        reason = f"no sub-node is called {link.name or link.id!r}"
                        faults.append(SpecFault(where, reason))
                    elif not has_port(target[0], canonical(link.port)):
                        reason = f"sub-node {link.name!r} has no in port {link.port!r}"
                        faults.append(SpecFault(where, reason))
        for field, several, side in (("inbounds", inbounds, 0), ("outbounds", outbounds, 1)):
            for port, inners in unhurried(several.items()):
                if (wrong := misspelt(port)) is not None:
                    faults.append(SpecFault(f"$.{field}.{port}", wrong))
                for bound in inners:
                    target = named.get(bound.name)
                    where = f"$.{field}.{port}"
                    if target is None:
                        faults.append(SpecFault(where, f"no sub-node is called {bound.name!r}"))
                        continue
                    ports = target[side]
                    if (wrong := misspelt(bound.port)) is not None:
                        faults.append(SpecFault(where, wrong))
                        continue
                    known = has_output(ports, canonical(bound.port)) if side else False
                    if not known and not has_port(ports, canonical(bound.port)):
                        what = "out" if side else "in"
                        reason = f"sub-node {bound.name!r} has no {what} port {bound.port!r}"
                        faults.append(SpecFault(where, reason))
        return faults

    @classmethod
    def ports(cls, spec: StepSpec, compiler: Compiler) -> Ports:
        inbounds, outbounds = bounds(spec)
        if not is_chain(spec):
            return tuple(map(canonical, inbounds)), tuple(map(canonical, outbounds))
        first, *others = spec.specs  # one alone is asked once, or each level would double the work
        ports = compiler.ports(first)
        return ports[0], (compiler.ports(others[-1]) if others else ports)[1]

    @classmethod
    def lacks(cls, spec: StepSpec, compiler: Compiler) -> list[SpecFault]:
        return [
            fault._replace(path=f"$.specs[{i}]{fault.path[1:]}")
            for i, inner in enumerate(spec.specs)
            for fault in compiler.node_type(inner.kind).lacks(inner, compiler)
        ]

    @classmethod
    def doubts(cls, spec: StepSpec, compiler: Compiler) -> list[SpecFault]:
        return [
            fault._replace(path=f"$.specs[{i}]{fault.path[1:]}")
            for i, inner in enumerate(linked(spec))
            for fault in compiler.node_type(inner.kind).doubts(inner, compiler)
        ]

    # -- ports ---------------------------------------------------------------------------------

    def _within(self, name: str) -> list[tuple[Node[Any], str]]:
        """The sub-nodes that an in port of the block leads to, each with the port there."""
        return [(self.inner[0], name)] if self.chained else self._bound(0, name)

    def _bound(self, side: int, name: str) -> list[tuple[Node[Any], str]]:
        """What `inbounds` or `outbounds` say of a port."""
        return [(self.by_name[inner.name], inner.port) for inner in self.bounds[side].get(name, ())]

    def has_input(self, name: str) -> bool:
        return any(node.has_input(port) for node, port in self._within(canonical(name)))

    def input(self, name: str) -> InPort | None:
        name = canonical(name)
        if name not in self.in_ports:
            ports = (node.input(port) for node, port in self._within(name))
            entries = [port for port in ports if port is not None]
            if not entries:
                return None
            if self.spec.timeout is not None:
                way = OutPort()
                way.links = tuple(entries)
                self.in_ports[name] = InPort(self.receiver(partial(self._in_time, way)), self)
                self.in_ports[name].emptied = self.emptied
            elif len(entries) == 1 and not self.guards:
                self.in_ports[name] = entries[0]
            else:
                self.in_ports[name] = InPort(self._receive(tuple(entries)), self)
                self.in_ports[name].emptied = self.emptied
        return self.in_ports[name]

    def _receive(self, entries: tuple[InPort, ...]) -> Callable[[Reader, Packet], bool]:
        def receive(reader: Reader, packet: Packet) -> bool:
            if self.guards:
                self.guard(packet)
            if len(entries) == 1:
                packet.process.deliver(entries[0], packet)
            else:
                packet.process.fan_out([(e, packet.payload) for e in entries], packet, self)
            return False

        return receive

    def _in_time(self, way: OutPort, ctx: Context, payload: Any) -> Any:
        """Handle a packet of a block with a `timeout`."""
        assert self.spec.timeout is not None
        answer = within(ctx, self.spec.timeout, lambda part: part.ask(way, payload)[0])
        if type(answer) is _Leaves:
            return Send(self.output(answer.port), answer.value)
        if _has_left(answer):
            return self._several(answer)
        return answer if type(answer) is Fault else Answer(answer)

    def _several(self, answers: list[Any]) -> Iterator[Send]:
        """What left, and beside it what was answered inside, in order."""
        for answer in answers:
            if type(answer) is _Leaves:
                yield Send(self.output(answer.port), answer.value)
            elif _has_left(answer):
                yield from self._several(answer)
            else:
                yield Send(OutPort(), answer)  # where nothing is linked it is the answer

    def _leave(self, name: str) -> list[tuple[Node[Any], str]]:
        """The out ports of sub-nodes that an out port of the block is made of."""
        if self.chained:
            inner = self.inner[-1]
            return [(inner, name)] if has_output(inner.port_names(inner.spec)[1], name) else []
        return self._bound(1, name)

    def output(self, name: str) -> OutPort:
        name = canonical(name)
        if name not in self.out_ports and has_output((), name):
            self.out_ports[name] = OutPort()  # `error` and the lifecycle are the block's own
        if name not in self.out_ports:
            leaving = self._leave(name)
            if not leaving:
                raise LookupError(f"kind {self.spec.kind!r} has no out port {name!r}")
            if self.spec.timeout is not None:
                self.out_ports[name] = OutPort()
            else:
                self.out_ports[name] = leaving[0][0].output(leaving[0][1])
        return self.out_ports[name]

    def link(
        self, port: str, entries: tuple[InPort, ...], counted: tuple[InPort, ...] | None = None
    ) -> None:
        port = canonical(port)
        if has_output((), port):
            super().link(port, entries, counted)
            return
        if self.spec.timeout is not None:
            super().link(port, entries, counted)
            if port in self.caught:
                return
            self.caught.add(port)
            entries, counted = (InPort(_catch(port), self),), None
        for inner, name in self._leave(port):
            local = self.local.get(inner.output(name), ())
            inner.link(name, local + entries, None if counted is None else local + counted)

    # -- what the engine asks ------------------------------------------------------------------

    def takes(self, fault: Fault) -> bool:
        """An error that arose inside, not one answered from beyond the out ports."""
        return any(_inside(origin, self) for origin in fault.origins)

    def entrances(self) -> Iterable[InPort]:
        return (*self.in_ports.values(), *(e for inner in self.inner for e in inner.entrances()))

    @property
    def in_flight(self) -> int:
        inside = sum(inner.in_flight for inner in self.inner)
        return inside + self.under_guard + sum(port.in_flight for port in self._own_ports())

    def _own_ports(self) -> Iterator[InPort]:
        theirs = {entry for inner in self.inner for entry in inner.entrances()}
        return (port for port in self.in_ports.values() if port not in theirs)

    def watch_emptied(self, callback: Callable[[], object] | None) -> None:
        super().watch_emptied(callback)
        for inner in self.inner:
            inner.watch_emptied(callback)

    def holds(self, process: Process) -> bool:
        return super().holds(process) or any(inner.holds(process) for inner in self.inner)

    def parts(self, document: Mapping[str, Any]) -> Iterator[tuple[Node[Any], Mapping[str, Any]]]:
        specs = document.get("specs", document.get("nodes"))
        inside = specs if isinstance(specs, list) else [specs]  # one alone stands without a list
        for inner, its in reversed(list(zip(self.inner, inside, strict=True))):
            yield from inner.parts(its)
        yield self, document

    def open(self) -> None:
        opened: list[Node[Any]] = []
        try:
            for inner in reversed(self.inner):
                inner.open()
                opened.append(inner)
        except BaseException:
            for inner in reversed(opened):
                inner.close()
            raise

    def close(self) -> None:
        for inner in self.inner:
            inner.close()


@node("step")
class Step(Composed):
    """Sub-nodes in a chain, `out` to `in`; its ports are the first's in and the last's out
    ports."""

    holds_sources = False


@node("block")
class Block(Composed):
    """Sub-nodes as one node: a chain, or with `inbounds` or `outbounds` linked by their own links.

    Names are local to the block; a sub-node without one is called `$0`, `$1` by its place. Sources
    inside start and stop with it. An error that arises inside goes to the block's `error` link.
    """

    spec_type = BlockSpec


def _inside(origin: Node[Any], block: Node[Any]) -> bool:
    within = origin.within
    while within is not None and within is not block:
        within = within.within
    return within is block


def _catch(port: str) -> Receive:
    """What is an in port at the edge of a block with a `timeout`."""

    def receive(reader: Reader, packet: Packet) -> bool:
        packet.answer(_Leaves(port, packet.payload))
        return False

    return receive


def _has_left(answer: Any) -> bool:
    """Whether the answer is one of several branches, of which some have left the block."""
    return type(answer) is list and any(type(x) is _Leaves or _has_left(x) for x in answer)
