"""`cache`: answers that are kept for payloads that come again (BEHAVIOUR 13.cache).

Payloads are equal if they are so in depth and by type: 1, 1.0 and true are three, text is not
bytes, and maps are equal whatever the order of their keys. What is kept of a payload is a digest.
A payload that holds a stream or an error is equal to none: it is sent on, and its answer not kept;
nor is an answer that holds a stream, for that can be read only once. With `key` payloads are equal
if what it makes of them is. An answer that failed or says that it is not to be kept is not kept.

The answer is looked at where it passes by, so nobody waits here and an error travels on as if the
cache were not there (BEHAVIOUR 5.3, 5.6). With a link from `out[1]` it leaves there instead, kept
or not (5.13). What is forgotten while it is under way is not kept when it comes. Equal payloads
that are under way at the same time are sent once: the others get the answer of the first. If that
is not kept, each of them is sent after all, for a fault in one process is none of the others'; if
its process exits, one of them takes its place. A packet that may descend from the first, for it is
of the same family of processes and more writes deep, is not held back: the first would wait for it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from gevent import get_hub
from msgspec import Meta

from greenflow import lang
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Handler, Node, describe
from greenflow.engine.onward import goes_on, left, send_on
from greenflow.engine.packet import NOTHING, Carrier, Fault, Packet, Reply, unused
from greenflow.engine.port import Receive
from greenflow.engine.process import RUNNING, Process, Reader
from greenflow.engine.services import Compiler, Services
from greenflow.errors import SpecFault, noted
from greenflow.nodes import interval
from greenflow.nodes.envelope import no_response
from greenflow.nodes.interval import TimeSpan
from greenflow.payload.batches import is_large, packed
from greenflow.payload.stream import Stream
from greenflow.spec import fields
from greenflow.spec.fields import Code, Spec

CAPACITY = 1000  # answers; a few MiB of those that most workflows give

# Bytes of a digest: with BLAKE2b so many that nobody finds two payloads that share one (RFC 7693).
DIGEST = 32

# From here on a status says that a request failed (RFC 9110, section 15.5).
FAILED = 400

_log = logging.getLogger("greenflow.nodes.cache")
_encoder = msgspec.msgpack.Encoder(order="deterministic")


class CacheSpec(Spec):
    capacity: Annotated[
        int, Meta(ge=1, description="how many answers are kept; least recently used go first")
    ] = CAPACITY
    interval: Annotated[
        fields.Interval | None,
        Meta(
            description="how long an answer is kept, which is `self` in CEL (null: not at all); "
            "default: until it must go"
        ),
    ] = None
    key: Annotated[
        Code | None,
        Meta(description="CEL: what payloads are told apart by; default: all that is in them"),
    ] = None
    keep: Annotated[
        list[Annotated[int, Meta(ge=FAILED, le=599)]],
        Meta(description="statuses of 400 and above whose answers are kept all the same"),
    ] = []


class Kept:
    """An answer, and until when it is one, by the clock of the runtime."""

    __slots__ = ("answer", "end")

    def __init__(self, answer: Any, end: float) -> None:
        self.answer, self.end = answer, end


class Flight(Reply):
    """A payload that was sent on; its answer passes by here. Those that came meanwhile and are
    equal to it wait."""

    __slots__ = ("cache", "forgotten", "hops", "key", "process", "scoped", "waiting")

    def __init__(self, cache: Cache, key: bytes, packet: Packet) -> None:
        super().__init__(1)
        self.forgotten = False  # while it was under way
        self.scoped = cache.after.leads(packet.process.generation)
        if self.scoped:
            cache.guarded(1)
        self.cache, self.key, self.process = cache, key, packet.process
        self.hops = packet.hops
        self.waiting: list[Packet] = []
        packet.interpose(self)

    def may_lead_to(self, packet: Packet) -> bool:
        """Whether the packet may descend from the one that was sent on."""
        return packet.hops > self.hops and _root(packet.process) is _root(self.process)

    def passes(self, answer: Any) -> bool:
        cache = self.cache
        cache.landed(self, answer)
        if not self.scoped:
            return True
        on = goes_on(cache.after, self.process, answer)
        if on:
            send_on(self, cache, self.process, self.hops, cache.after, answer)
        cache.guarded(-1)
        return not on


@node("cache", inputs=("in", "in[1]"), outputs=("out", "out[1]"), reads_only=True)
class Cache(Node[CacheSpec]):
    """Answers a payload that came before from what was answered then, else sends it to `out`.

    The answer leaves by `out[1]`; without a link there it is the answer. Answers are kept for
    `interval`, at most `capacity` of them. Not kept are errors, responses with a status of 400 and
    above, unless `keep` names it, and those that say `no-store`. Equal payloads that are under way
    at the same time are sent once. A payload on `in[1]` is forgotten; null: all are.
    """

    def __init__(self, spec: CacheSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.kept: OrderedDict[bytes, Kept] = OrderedDict()  # least recently used first
        self.flights: dict[bytes, Flight] = {}
        self.sent: set[Flight] = set()  # also those that nobody waits for
        self.after = self.output("out[1]")
        self.key = None if spec.key is None else lang.compile("cel", spec.key)
        self.interval = None if spec.interval is None else TimeSpan(spec.interval)

    @classmethod
    def check(cls, spec: CacheSpec, compiler: Compiler) -> list[SpecFault]:
        if spec.interval == 0:
            reason = "in 0 seconds nothing comes again; leave it out to keep answers until they go"
            return [SpecFault("$.interval", reason)]
        found = interval.faults("$.interval", spec.interval)
        return found if spec.key is None else found + lang.faults("cel", spec.key, "$.key")

    def handler(self, port: str) -> Handler:
        return self.forget if port == "in[1]" else self.handle

    def receiver(self, handle: Handler) -> Receive:
        if handle == self.forget:
            return super().receiver(handle)

        def receive(reader: Reader, packet: Packet) -> bool:
            assert self.out is not None
            try:
                key = self.key_of(packet.payload)
            except Exception as error:
                self.fail(packet, self.fault(error, packet))
                return False
            if key is None:
                self.send(packet, self.out, packet.payload)
            else:
                self.arrive(key, packet)
            return False

        return receive

    def key_of(self, payload: Any) -> bytes | None:
        """By what a payload is known; None for one that is equal to none. Raises what `key`
        raises."""
        if self.key is None or isinstance(payload, Exception):
            return key_of(payload)
        return key_of(self.key(payload))

    def forget(self, ctx: Context, payload: Any) -> Any:
        """Keep what was answered to such a payload no longer, and not what is under way either."""
        if isinstance(payload, Exception):
            return unused(payload, self)
        key = None if payload is None else self.key_of(payload)
        if payload is None:
            self.kept.clear()
        elif key is not None:
            self.kept.pop(key, None)
        for flight in self.sent:
            if payload is None or flight.key == key:
                flight.forgotten = True
                if self.flights.get(flight.key) is flight:
                    del self.flights[flight.key]
        return NOTHING

    def arrive(self, key: bytes, packet: Packet) -> None:
        """Answer the packet, send it on, or let it wait for one that was."""
        kept = self.find(key)
        if kept is not None:
            self.answer(packet, kept.answer)
            return
        flight = self.flights.get(key)
        if flight is None or flight.may_lead_to(packet):
            self.begin(key, packet)
        else:
            self.guarded(1)  # in flight here until it is answered
            flight.waiting.append(packet)

    def answer(self, packet: Packet, answer: Any) -> None:
        """Give a packet an answer that is kept."""
        if self.after.leads(packet.process.generation):
            self.send(packet, self.after, left(answer))
        else:
            packet.answer(answer)

    def holds(self, process: Process) -> bool:
        waiting = (packet for flight in self.sent for packet in flight.waiting)
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
        self.sent.add(flight)
        self.send(packet, self.out, packet.payload)

    def landed(self, flight: Flight, answer: Any) -> None:
        """The answer is there."""
        if self.flights.get(flight.key) is flight:
            del self.flights[flight.key]
        self.sent.discard(flight)
        end = None if flight.forgotten else self.end_of(answer)
        keeps = end is not None
        if end is not None:
            self.kept[flight.key] = Kept(answer, end)
            self.kept.move_to_end(flight.key)
            if len(self.kept) > self.spec.capacity:
                self.kept.popitem(last=False)
        if flight.waiting:
            # Not here: one answer would lead to the next, as deep as there are processes.
            has_exited = flight.process.state != RUNNING
            get_hub().loop.run_callback(self._release, flight, keeps, has_exited, answer)

    def end_of(self, answer: Any) -> float | None:
        """Until when an answer is kept, by the clock; None: not at all."""
        if type(answer) is Fault or _holds_stream(answer) or self.must_go(answer):
            return None
        if self.interval is None:
            return float("inf")
        try:
            seconds = self.interval.of(left(answer), self.services.clock)
        except Exception as error:  # the answer is none the worse for it
            text = "an answer is not kept, its interval cannot be worked out: %s"
            _log.warning(text, noted(self.shown(error)), extra=describe(self))
            return None
        return self.services.clock.monotonic() + seconds if seconds else None

    def must_go(self, answer: Any) -> bool:
        """Whether an answer is a response that failed, or says that it is not to be stored (RFC
        9111, section 5.2.2.5)."""
        if no_response(answer):
            return False
        status = answer.get("status") or 0
        if status >= FAILED and status not in self.spec.keep:
            return True
        return any(
            directive.strip().lower() == "no-store"
            for name, values in (answer.get("header") or {}).items()
            if name.lower() == "cache-control"
            for value in (values if isinstance(values, list) else [values])
            for directive in str(value).split(",")
        )

    def _release(self, flight: Flight, keeps: bool, has_exited: bool, answer: Any) -> None:
        """What becomes of those that waited."""
        for packet in flight.waiting:
            if packet.reply is None:
                pass  # its process has exited
            elif keeps:
                self.answer(packet, answer)
            elif has_exited:
                self.arrive(flight.key, packet)  # one takes its place
            else:
                self.begin(flight.key, packet)
            self.guarded(-1)


def key_of(payload: Any) -> bytes | None:
    """What equal payloads, and no others, have in common; None for what is equal to nothing."""
    try:
        encode = _encoder.encode
        encoded = packed(payload, encode, ordered=True) if is_large(payload) else encode(payload)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    # A short one stands for itself, and is no digest: that is longer.
    return encoded if len(encoded) < DIGEST else blake2b(encoded, digest_size=DIGEST).digest()


def _root(process: Carrier) -> Carrier:
    while process.parent is not None:
        process = process.parent
    return process


class _Streaming(Exception):
    """There is a stream."""


def _unless_stream(item: Any) -> None:
    if isinstance(item, Stream):
        raise _Streaming


#: Goes through an answer at the speed of C; what comes of it is not wanted.
_search = msgspec.msgpack.Encoder(enc_hook=_unless_stream).encode


def _holds_stream(answer: Any) -> bool:
    if is_large(answer):
        try:
            _search(answer)
        except _Streaming:
            return True
        except (TypeError, ValueError, OverflowError, RecursionError):
            pass  # it holds what MessagePack has not: slowly, then
        else:
            return False
    if isinstance(answer, dict):
        return any(map(_holds_stream, answer.values()))
    if isinstance(answer, list):
        return any(map(_holds_stream, answer))
    return isinstance(answer, Stream)
