"""Nodes under test: what passes their ports is noted, and some are replaced.

Lives here: the scheme that makes such nodes, the record, and what takes the place of a node. A node
under test is of a sub-class of its kind that looks at its own doors; it handles packets as ever, in
the same order, and the packets of other runtimes pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, NamedTuple, cast

import msgspec
from gevent.event import Event

from greenflow.engine import trace
from greenflow.engine.node import Context, Node
from greenflow.engine.packet import Packet, Reply
from greenflow.engine.port import InPort, OutPort
from greenflow.engine.process import RUNNING, Process, Reader
from greenflow.engine.result import Answer, Send
from greenflow.engine.services import Services
from greenflow.nodes.listener.spec import ListenerSpec
from greenflow.payload.value import copy
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Spec
from greenflow.spec.ports import canonical
from greenflow.testing.outside import Outside, confined
from greenflow.testing.sources import Sources, label, waiting

LOOPBACK = "127.0.0.1"


class Passed(NamedTuple):
    """A packet that entered or left a node by one of its ports."""

    node: str
    port: str
    payload: Any
    process: int  # the number of the process, as the log has it


class sequence:
    """What a replaced node does with the first packet, the second, and so on: each a function, an
    error or an answer. The last one stays."""

    def __init__(self, *steps: Any) -> None:
        if not steps:
            raise ValueError("a sequence has at least one step")
        self.steps = steps


class FlowRecord:
    """What passed the nodes of one flow, in order. Nodes without a name go by their kind."""

    def __init__(self) -> None:
        self.passed: list[Passed] = []
        self.names: set[str] = set()  # of all nodes that were made
        self.ports: dict[OutPort, dict[tuple[Node[Any], str], None]] = {}
        self._more = Event()

    def forget(self) -> None:
        """Begin anew: what passed so far is of no interest."""
        self.passed.clear()

    def note(self, spec: Spec, port: str, payload: Any, process: Process) -> None:
        """Something passes a node; `assert` finds it in the trace of the process."""
        self.passed.append(Passed(label(spec), port, payload, process.id))
        if process.state == RUNNING:
            trace.begin(process).note(trace.Passage(spec.id, spec.name, port, payload))
        self._more.set()

    def left(self, port: OutPort, payload: Any, process: Process) -> None:
        """A payload leaves by a port, which a block and its last node may have in common."""
        for node, name in self.ports.get(port, ()):
            self.note(node.spec, name, payload, process)

    def of(self, node: str, port: str) -> list[Any]:
        """Copies of the payloads that passed a port so far. Raises LookupError for an unknown
        node."""
        if node not in self.names:
            raise LookupError(f"no node {node!r}; there are {', '.join(sorted(self.names))}")
        port = canonical(port)
        return [copy(p.payload) for p in self.passed if p.node == node and p.port == port]

    def wait(self, node: str, port: str, count: int, seconds: float) -> list[Any]:
        """`of`, when at least so many payloads have passed. Raises AssertionError after so many
        real seconds, with what has."""
        end = monotonic() + seconds
        while len(found := self.of(node, port)) < count and (left := end - monotonic()) > 0:
            self._more.clear()
            self._more.wait(left)
        if len(found) < count:
            raise AssertionError(
                f"{len(found)} of {count} packets passed {node!r} by {port!r} in {seconds:g} s: "
                f"{found!r}"
            )
        return found


class Observed(Node[Any]):
    """Mixed into the kind of a node under test."""

    record: FlowRecord

    def input(self, name: str) -> InPort | None:
        known = canonical(name) in self.in_ports
        port = super().input(name)
        if port is not None and not known:
            port.receive = self._entering(canonical(name), port.receive)
        return port

    def _entering(
        self, port: str, receive: Callable[[Reader, Packet], bool]
    ) -> Callable[[Reader, Packet], bool]:
        def enter(reader: Reader, packet: Packet) -> bool:
            self.record.note(self.spec, port, packet.payload, reader.process)
            return receive(reader, packet)

        return enter

    def output(self, name: str) -> OutPort:
        port = super().output(name)
        self.record.ports.setdefault(port, {})[self, canonical(name)] = None
        return port

    def send(self, packet: Packet, port: OutPort, value: Any) -> None:
        self.record.left(port, value, cast(Process, packet.process))
        super().send(packet, port, value)

    def send_all(self, packet: Packet, sends: list[Send]) -> None:
        if len(sends) != 1:  # one is sent by `send`
            for port, value in sends:
                self.record.left(port, value, cast(Process, packet.process))
        super().send_all(packet, sends)

    def write(self, process: Process, port: OutPort, values: tuple[Any, ...], hops: int) -> Reply:
        for value in values:
            self.record.left(port, value, process)
        return super().write(process, port, values, hops)

    def ask(self, process: Process, port: OutPort, payload: Any) -> Any:
        self.record.left(port, payload, process)
        return super().ask(process, port, payload)


class Replacement(Node[Any]):
    """Stands in for a node of any kind: it has its ports and links, and does what a test says."""

    steps: tuple[Any, ...] = ()

    def __init__(self, spec: Spec, services: Services) -> None:
        super().__init__(spec, services)
        self.done = 0

    def handle(self, ctx: Context, payload: Any) -> Any:
        step = self.steps[min(self.done, len(self.steps) - 1)]
        self.done += 1
        if isinstance(step, Exception) or (isinstance(step, type) and issubclass(step, Exception)):
            raise step
        result = step(payload) if callable(step) else step
        return result if self.out is not None else Answer(result)


class ObservingScheme(Scheme):
    """The kinds of another scheme, whose nodes are under test.

    `replace` maps the name of a node, also of one in a block, to a function of the payload, an
    error, an answer, or a `sequence` of them. Listeners open a free port of the loopback address.
    `sources` says which sources begin by themselves, and `outside` which nodes may reach outside;
    without them all do.
    """

    def __init__(
        self,
        scheme: Scheme,
        record: FlowRecord,
        replace: Mapping[str, Any],
        *,
        sources: Sources | None = None,
        outside: Outside | None = None,
    ) -> None:
        super().__init__(scheme._known, scheme.release)
        self._record, self._replace = record, dict(replace)
        self._sources, self._outside = sources, outside
        self._made: dict[object, type[Node[Any]]] = {}

    def class_for(self, spec: Spec) -> type[Node[Any]]:
        kind = super().class_for(spec)
        replaced = spec.name if spec.name in self._replace else None
        key = kind, replaced
        if key not in self._made:
            body: dict[str, Any] = {"record": self._record}
            made: type[Node[Any]]
            if replaced is not None:
                step = self._replace[replaced]
                made = Replacement
                body["steps"] = step.steps if isinstance(step, sequence) else (step,)
                body["ports"] = classmethod(lambda _, spec, compiler: kind.ports(spec, compiler))
            else:
                made = kind if self._outside is None else confined(kind, self._outside)
                made = made if self._sources is None else waiting(made, self._sources)
            body |= {"kind": kind.kind, "spec_type": kind.spec_type}
            self._made[key] = type(kind.__name__, (Observed, made), body)
        return self._made[key]

    def compile(self, spec: Spec, services: Services) -> Node[Any]:
        self._record.names.add(label(spec))
        if isinstance(spec, ListenerSpec):
            spec = msgspec.structs.replace(spec, host=LOOPBACK, port=0)
        return super().compile(spec, services)

    def missing(self) -> list[str]:
        """The nodes to be replaced that there are none of."""
        return [name for name in self._replace if name not in self._record.names]
