"""What a node kind is written against: Node, Context.

Lives here: what a node is to the engine, what a handler may do, and what its result means; no kind.
A kind is declared with declaring.py's @node, and what its handler may return is result.py's. One
that begins workflows is a Source (source.py). What nodes share with a runtime is services.py's.

A handler returns what leaves by `out`; `ctx.to` names another port; a generator sends several;
NOTHING answers nothing; raising goes to `error`, as a Fault of `ctx.call` does that is returned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import GeneratorType
from typing import Any, ClassVar, Generic, TypeVar, get_args

import msgspec

from greenflow.engine.foresight import Foresight
from greenflow.engine.origin import arose_here, blame, name_of
from greenflow.engine.packet import NOTHING, Fault, Packet, Reply, echo
from greenflow.engine.port import InPort, OutPort, Receive
from greenflow.engine.process import RUNNING, Process, Reader
from greenflow.engine.resolving import Referring
from greenflow.engine.result import AS_IT_IS, SPECIAL, Answer, Send
from greenflow.engine.services import Compiler, Services
from greenflow.engine.tally import Tally
from greenflow.engine.waiting import waiting
from greenflow.errors import SpecFault
from greenflow.hub.breathing import unhurried
from greenflow.log.secret import conceal, concealed
from greenflow.payload.value import adopt, copy
from greenflow.spec.fields import Spec
from greenflow.spec.ports import ERROR, canonical, has_output, has_port

S = TypeVar("S", bound=Spec)
T = TypeVar("T")
Handler = Callable[["Context", Any], Any]

_log = logging.getLogger("greenflow.node")


class Edge(Reply):
    """A place at which an error answer is sent to the `error` link of a node (BEHAVIOUR 5.3)."""

    __slots__ = ("hops", "node", "process")

    def __init__(self, node: Node[Any], packet: Packet) -> None:
        super().__init__(1)
        self.node, self.process, self.hops = node, packet.process, packet.hops
        packet.interpose(self)

    def passes(self, answer: Any) -> bool:
        node = self.node
        taken = (
            type(answer) is Fault
            and self.process.state == RUNNING
            and node.error.leads(self.process.generation)
            and node.takes(answer)
        )
        if taken:
            assert self.up is not None
            packet = Packet(answer.error, self.process, self.up, self.place, self.hops)
            node.send(packet, node.error, answer.error)
        node.guarded(-1)
        return not taken


class Node(Foresight[S], Referring[S], Generic[S]):
    """What handles packets at its in-ports. A kind is a sub-class, declared with `@node`.

    The ports are declared by name; `out[i]` stands for as many as are linked. A kind that never
    changes a payload says `reads_only = True` and is spared the copy (BEHAVIOUR 3.7).
    """

    kind: ClassVar[str] = ""
    spec_type: ClassVar[type[Spec]] = Spec
    inputs: ClassVar[tuple[str, ...]] = ("in",)
    outputs: ClassVar[tuple[str, ...]] = ("out",)
    reads_only: ClassVar[bool] = False
    waits: ClassVar[bool] = False  # its handlers may wait for others (waiting.py)
    reaches_outside: bool = False  # a test replaces or allows it; an `__init__` may say otherwise
    inner: Sequence[Node[Any]] = ()  # its sub-nodes, if it is a block
    budget: Any = None  # a Budget of processes that it begins, if it says so

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for base in cls.__dict__.get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, Spec):
                    cls.spec_type = argument

    def __init__(self, spec: S, services: Services) -> None:
        self.spec, self.services = spec, services
        self.within: Node[Any] | None = None  # the block it is a part of
        self.place_within, self.revision = 0, 0  # there; and of its document in the store
        self.retiring = False  # a change under way replaces or removes it
        self.in_ports, self.out_ports = dict[str, InPort](), dict[str, OutPort]()
        self.emptied: Callable[[], object] | None = None
        self.processes: set[Process] = set()  # unanswered ones, of a source
        self.under_guard, self.tally = 0, Tally()  # packets whose errors come back here; numbers
        self.error = self.output(ERROR)
        self.out = self.output("out") if has_port(self.port_names(spec)[1], "out") else None

    # -- to override ---------------------------------------------------------------------------

    @classmethod
    def check(cls, spec: S, compiler: Compiler) -> list[SpecFault]:
        """What is wrong in the spec beyond its types, without opening anything."""
        return []

    @classmethod
    def ports(cls, spec: S, compiler: Compiler) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the in and out ports, less `error` and those of the lifecycle."""
        return cls.inputs, cls.outputs

    def open(self) -> None:
        """Before the first packet. May raise; then the change that brought this node is refused."""

    def close(self) -> None:
        """After the last packet."""

    def parts(self, document: Mapping[str, Any]) -> Iterable[tuple[Node[Any], Mapping[str, Any]]]:
        """Its sub-nodes as they are loaded, then itself; each with its part of the document."""
        return ((self, document),)

    def handle(self, ctx: Context, payload: Any) -> Any:
        """Handle one packet."""
        return payload

    def handler(self, port: str) -> Handler:
        """What handles the packets of one in-port, given by its canonical name."""
        return self.handle

    # -- what the engine asks ------------------------------------------------------------------

    def port_names(self, spec: S) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.ports(spec, self.services.compiler)

    def has_input(self, name: str) -> bool:
        """Whether there is an in-port of that name. Unlike `input` it makes none."""
        return name in self.in_ports or has_port(self.port_names(self.spec)[0], canonical(name))

    def input(self, name: str) -> InPort | None:
        """The in-port of that name, made on first reference; None if the kind has none."""
        name = canonical(name)
        port = self.in_ports.get(name)
        if port is None and has_port(self.port_names(self.spec)[0], name):
            receive = self.receiver(self.handler(name))
            port = self.in_ports[name] = self.services.sampler.port(receive, self)
            port.emptied = self.emptied
        return port

    def output(self, name: str) -> OutPort:
        """The out-port of that name, made on first reference. Raises LookupError."""
        port = self.out_ports.get(name)
        if port is None:
            name = canonical(name)
            if name not in self.out_ports:
                if not has_output(self.port_names(self.spec)[1], name):
                    raise LookupError(f"kind {self.spec.kind!r} has no out port {name!r}")
                self.out_ports[name] = OutPort()
            port = self.out_ports[name]
        return port

    def link(
        self, port: str, entries: tuple[InPort, ...], counted: tuple[InPort, ...] | None = None
    ) -> None:
        """Let an out port lead to these in ports alone; all, or those `counted`, count it as a
        link. Processes of before the last change go on as before. Raises LookupError."""
        self.output(port).lead(entries, self.services.generations, counted)

    def entrances(self) -> Iterable[InPort]:
        """Every in port that a link may lead to."""
        return self.in_ports.values()

    def guard(self, packet: Packet) -> None:
        """See to it that an error answered to this packet goes to this node's `error` link."""
        self.guarded(1)
        Edge(self, packet)

    def guarded(self, packets: int) -> None:
        """So many more packets are guarded: they count as in flight."""
        self.under_guard += packets
        if self.emptied is not None and not self.in_flight:
            self.emptied()

    def takes(self, fault: Fault) -> bool:
        """Whether a guard of this node takes the error, or passes it on."""
        return True

    @property
    def in_flight(self) -> int:
        """Packets queued or in hand; of a source also its unanswered processes (BEHAVIOUR 4.12)."""
        queued = sum(port.in_flight for port in self.in_ports.values())
        return queued + len(self.processes) + self.under_guard

    def watch_emptied(self, callback: Callable[[], object] | None) -> None:
        """Have the callback called when a port or the source runs empty."""
        self.emptied = callback
        for port in self.in_ports.values():
            port.emptied = callback

    def holds(self, process: Process) -> bool:
        """Whether that process is unanswered here, or a packet of it in flight."""
        return process in self.processes or any(
            reader.held and reader.port.in_flight
            for port in self.in_ports.values()
            if (reader := process.readers.get(port)) is not None
        )

    def shown(self, error: Exception) -> Exception:
        """An error of it as others may see it: without values rendered into its spec (16.6)."""
        within: Node[Any] | None = self
        while within is not None:
            if within.spec.is_rendered:
                return concealed(error)
            within = within.within
        return error

    def fault(self, error: Exception, packet: Packet) -> Fault:
        """An error that left the handler of this node: it knows from now on where it arose."""
        self.tally.errors += 1
        shown, process_id = self.shown(error), packet.process.id
        if arose_here(shown, packet.payload, process_id):
            blame(shown, self, packet.payload, process_id)
        packet.process.meet(error)
        return Fault(shown, (self,))

    def fail(self, packet: Packet, fault: Fault) -> None:
        """Send an error to the `error` link; without one it is the answer (BEHAVIOUR 5.2, 5.3)."""
        if self.error.leads(packet.process.generation):
            self.send(packet, self.error, fault.error)
        else:
            packet.answer(fault)

    def send(self, packet: Packet, port: OutPort, value: Any) -> None:
        """Let the packet go on with a new payload: what answers it answers in its place."""
        links = port.links
        if len(links) != 1 and type(links) is not tuple:
            links = port.links_for(packet.process.generation)
        if len(links) == 1:
            packet.payload = value
            packet.hops += 1
            packet.process.deliver(links[0], packet)
        elif links:
            packet.hops += 1
            packet.process.fan_out([(link, value) for link in links], packet, self)
        else:
            packet.answer(echo(value, self))

    def write(self, process: Process, port: OutPort, values: tuple[Any, ...], hops: int) -> Reply:
        """Write values that the node will wait for."""
        return process.write(port, values, hops, self)

    def ask(self, process: Process, port: OutPort, payload: Any) -> Any:
        """Write a payload that begins a workflow, and wait for its answer."""
        return process.ask(port, payload)[0]

    def receiver(self, handle: Handler) -> Receive:
        """Turn a handler into what a port calls for each packet."""
        node, reads_only, send, out = self, self.reads_only, self.send, self.out
        sends_plainly = getattr(self.send, "__func__", None) is Node.send  # nobody watches it
        handle = waiting(self, handle) if self.waits else handle

        def receive(reader: Reader, packet: Packet) -> bool:
            ctx = Context(node, reader, packet)
            try:
                payload = packet.payload
                result = handle(ctx, payload if reads_only else copy(payload))
                kind = type(result)
                if kind is GeneratorType:
                    result = node.gather(result)
                elif not reads_only and kind not in AS_IT_IS:
                    result = adopt(result)
            except Exception as error:
                if packet.reply is not None:
                    node.fail(packet, node.fault(error, packet))
                return ctx.released
            if packet.reply is None:  # the process exited meanwhile
                return ctx.released
            if kind not in SPECIAL and out is not None:
                links = out.links
                if sends_plainly and len(links) == 1:  # as `send` does
                    packet.payload = result
                    packet.hops += 1
                    packet.process.deliver(links[0], packet)
                else:
                    send(packet, out, result)
            elif kind is Send:
                send(packet, result.port, result.value)
            elif result is NOTHING:
                packet.answer(NOTHING)
            elif kind is Fault:
                node.fail(packet, result)
            elif kind is Answer:
                packet.answer(echo(result.value, node))
            elif kind is GeneratorType:
                node.send_all(packet, result)
            else:
                reason = f"kind {node.spec.kind!r} returned a value and has no port 'out'"
                node.fail(packet, node.fault(LookupError(reason), packet))
            return ctx.released

        return receive

    def gather(self, results: Generator[Any, None, None]) -> list[Send]:
        """What a generator sends, all of it, so that an error in it sends nothing."""
        sends = []
        for result in unhurried(results):
            if result is NOTHING:
                continue
            if not isinstance(result, Send):
                if self.out is None:
                    raise LookupError(f"kind {self.spec.kind!r} has no out port 'out'")
                result = Send(self.out, result)
            sends.append(result if self.reads_only else Send(result.port, adopt(result.value)))
        return sends

    def send_all(self, packet: Packet, sends: list[Send]) -> None:
        """Send several values, answered as one flat list in this order (BEHAVIOUR 3.6)."""
        if len(sends) == 1:
            self.send(packet, *sends[0])
            return
        targets: list[tuple[InPort | None, Any]] = []
        for port, value in unhurried(sends):
            links = port.links_for(packet.process.generation)
            targets += [(link, value) for link in links] or [(None, value)]
        if targets:
            packet.hops += 1
            packet.process.fan_out(targets, packet, self)
        else:
            packet.answer(NOTHING)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec.namespace}/{self.spec.name or self.spec.id}>"


def describe(node: Node[Any], process: Process | None = None) -> dict[str, object]:
    """The fields of a log record: which node, and which process."""
    which = {} if process is None else {"process_id": process.id}
    return {"namespace": node.spec.namespace, "node": name_of(node), **which}


class Context(msgspec.Struct, eq=False):
    """What a handler may do besides returning what it sends. Not to be kept after it returned."""

    node: Node[Any]
    reader: Reader
    packet: Packet
    released: bool = False

    @property
    def process(self) -> Process:
        """The process that the packet belongs to."""
        return self.reader.process

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records name the namespace, the node and the process."""
        return logging.LoggerAdapter(_log, describe(self.node, self.process))

    def log_line(self, text: str) -> None:
        """Log what the code of a snippet prints."""
        self.log.info("%s", conceal(text))

    def to(self, port: str, value: Any) -> Send:
        """For a handler to return or yield: this value leaves by that port. Raises LookupError."""
        if not self.node.reads_only:
            value = adopt(value)
        return Send(self.node.output(port), value)

    def call(self, port: str, *values: Any) -> list[Any]:
        """Write all values to the port, and wait for one answer each, in order (BEHAVIOUR 3.9): a
        value, a Fault, or NOTHING. Meanwhile the in-port handles other packets."""
        node, process = self.node, self.reader.process
        self.step_aside()
        sent = values if node.reads_only else tuple(map(adopt, values))
        reply = node.write(process, node.output(port), sent, self.packet.hops + 1)
        process.wait_in_turn(reply)
        return reply.values if node.reads_only else [copy(answer) for answer in reply.values]

    def step_aside(self) -> None:
        """The handler will wait: its in-port handles other packets meanwhile."""
        if not self.released:
            self.released = True
            self.reader.release()

    def enter(self, resource: AbstractContextManager[T]) -> T:
        """Open a resource that the process commits or rolls back when it settles (4.5)."""
        return self.process.enter(resource, self.node)

    def shield(self) -> AbstractContextManager[None]:
        """Around a library call that must not be interrupted when the process exits."""
        return self.process.shield()
