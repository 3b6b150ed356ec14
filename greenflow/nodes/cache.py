"""`cache`: answers that are kept for payloads that come again (BEHAVIOUR 13.cache).

Payloads are equal if they are so in depth and by type: 1, 1.0 and true are three, text is not
bytes, and maps are equal whatever the order of their keys. What is kept of a payload is a digest.
A payload that holds a stream or an error is equal to none: it is sent on, and its answer not kept;
nor is an answer that holds a stream, for that can be read only once.

The answer is looked at where it passes by, so nobody waits here and an error travels on as if the
cache were not there (BEHAVIOUR 5.3, 5.6). Equal payloads that are under way at the same time are
sent once: the others get the answer of the first. If that is an error, each of them is sent after
all, for a fault in one process is none of the others'; if its process exits, one of them takes its
place. A packet that may descend from the first, for it is of the same family of processes and more
writes deep, is not held back: the first would wait for it.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from gevent import get_hub
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Handler, Node
from greenflow.engine.packet import Carrier, Fault, Packet, Reply
from greenflow.engine.port import Receive
from greenflow.engine.process import RUNNING, Process, Reader
from greenflow.engine.services import Compiler, Services
from greenflow.errors import SpecFault
from greenflow.payload.stream import Stream
from greenflow.spec.fields import Duration, Spec

CAPACITY = 1000  # answers; a few MiB of those that most workflows give

# Bytes of a digest: with BLAKE2b so many that nobody finds two payloads that share one (RFC 7693).
DIGEST = 32

_encoder = msgspec.msgpack.Encoder(order="deterministic")


class CacheSpec(Spec):
    capacity: Annotated[
        int, Meta(ge=1, description="how many answers are kept; least recently used go first")
    ] = CAPACITY
    interval: Annotated[
        Duration | None, Meta(description="how long an answer is kept; default: until it must go")
    ] = None


class Kept:
    """An answer, and until when it is one, by the clock of the runtime."""

    __slots__ = ("answer", "end")

    def __init__(self, answer: Any, end: float) -> None:
        self.answer, self.end = answer, end


class Flight(Reply):
    """A payload that was sent on; its answer passes by here. Those that came meanwhile and are
    equal to it wait."""

    __slots__ = ("cache", "hops", "key", "process", "waiting")

    def __init__(self, cache: Cache, key: bytes, packet: Packet) -> None:
        super().__init__(1)
        self.cache, self.key, self.process = cache, key, packet.process
        self.hops = packet.hops
        self.waiting: list[Packet] = []
        packet.interpose(self)

    def may_lead_to(self, packet: Packet) -> bool:
        """Whether the packet may descend from the one that was sent on."""
        return packet.hops > self.hops and _root(packet.process) is _root(self.process)

    def passes(self, answer: Any) -> bool:
        self.cache.landed(self, answer)
        return True


@node("cache", reads_only=True)
class Cache(Node[CacheSpec]):
    """Answers a payload that came before from what was answered then, else sends it to `out`.

    Answers are kept for `interval`, at most `capacity` of them, and errors not at all. Equal
    payloads that are under way at the same time are sent once.
    """

    def __init__(self, spec: CacheSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.kept: OrderedDict[bytes, Kept] = OrderedDict()  # least recently used first
        self.flights: dict[bytes, Flight] = {}

    @classmethod
    def check(cls, spec: CacheSpec, compiler: Compiler) -> list[SpecFault]:
        if spec.interval == 0:
            reason = "in 0 seconds nothing comes again; leave it out to keep answers until they go"
            return [SpecFault("$.interval", reason)]
        return []

    def receiver(self, handle: Handler) -> Receive:
        def receive(reader: Reader, packet: Packet) -> bool:
            assert self.out is not None
            key = key_of(packet.payload)
            if key is None:
                self.send(packet, self.out, packet.payload)
            else:
                self.arrive(key, packet)
            return False

        return receive

    def arrive(self, key: bytes, packet: Packet) -> None:
        """Answer the packet, send it on, or let it wait for one that was."""
        kept = self.find(key)
        if kept is not None:
            packet.answer(kept.answer)
            return
        flight = self.flights.get(key)
        if flight is None or flight.may_lead_to(packet):
            self.begin(key, packet)
        else:
            self.guarded(1)  # in flight here until it is answered
            flight.waiting.append(packet)

    def holds(self, process: Process) -> bool:
        waiting = (packet for flight in self.flights.values() for packet in flight.waiting)
        return super().holds(process) or any(packet.process is process for packet in waiting)

    def find(self, key: bytes) -> Kept | None:
        """The answer that is kept, if its time is not over."""
        kept = self.kept.get(key)
        if kept is None:
            return None
        if self.services.clock.monotonic() >= kept.end:
            del self.kept[key]
            return None
        self.kept.move_to_end(key)
        return kept

    def begin(self, key: bytes, packet: Packet) -> None:
        """Send the payload on, and look at its answer."""
        assert self.out is not None
        flight = Flight(self, key, packet)
        self.flights.setdefault(key, flight)
        self.send(packet, self.out, packet.payload)

    def landed(self, flight: Flight, answer: Any) -> None:
        """The answer is there."""
        if self.flights.get(flight.key) is flight:
            del self.flights[flight.key]
        keeps = type(answer) is not Fault and not _holds_stream(answer)
        if keeps:
            interval = self.spec.interval
            now = self.services.clock.monotonic()
            end = float("inf") if interval is None else now + interval
            self.kept[flight.key] = Kept(answer, end)
            self.kept.move_to_end(flight.key)
            if len(self.kept) > self.spec.capacity:
                self.kept.popitem(last=False)
        if flight.waiting:
            # Not here: one answer would lead to the next, as deep as there are processes.
            has_exited = flight.process.state != RUNNING
            get_hub().loop.run_callback(self._release, flight, keeps, has_exited, answer)

    def _release(self, flight: Flight, keeps: bool, has_exited: bool, answer: Any) -> None:
        """What becomes of those that waited."""
        for packet in flight.waiting:
            if packet.reply is None:
                pass  # its process has exited
            elif keeps:
                packet.answer(answer)
            elif has_exited:
                self.arrive(flight.key, packet)  # one takes its place
            else:
                self.begin(flight.key, packet)
            self.guarded(-1)


def key_of(payload: Any) -> bytes | None:
    """What equal payloads, and no others, have in common; None for what is equal to nothing."""
    try:
        encoded = _encoder.encode(payload)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    # A short one stands for itself, and is no digest: that is longer.
    return encoded if len(encoded) < DIGEST else blake2b(encoded, digest_size=DIGEST).digest()


def _root(process: Carrier) -> Carrier:
    while process.parent is not None:
        process = process.parent
    return process


def _holds_stream(answer: Any) -> bool:
    if isinstance(answer, dict):
        return any(map(_holds_stream, answer.values()))
    if isinstance(answer, list):
        return any(map(_holds_stream, answer))
    return isinstance(answer, Stream)
