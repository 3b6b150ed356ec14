"""Packets and answers: who owes an answer to whom.

Lives here: Packet, Reply, Fault, NOTHING and the merge of answers. Who runs what is process.py's.

A write makes one packet for each link, and one Reply with a numbered place for each packet. A
packet owns exactly one place. Answering fills the place; a full Reply passes its merged value to
the place above it (in a loop, so depth costs no stack) or wakes who waits. A handler that sends on
hands its place over: the packet itself goes on with the new payload, and its answer goes straight
to whoever waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from gevent import get_hub

from greenflow.engine.origin import blame
from greenflow.payload.origin import origin_of

if TYPE_CHECKING:
    from gevent.hub import Waiter

    from greenflow.engine.generation import Generation
    from greenflow.engine.port import InPort


class _Nothing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "NOTHING"

    def __reduce__(self) -> str:
        return "NOTHING"  # one object, also after a copy


NOTHING: Final = _Nothing()
"""The answer of a node that has nothing to say. It is not the payload null."""


class Fault:
    """An error as an answer. `origins` are the nodes it arose in; a block's edge asks (BEHAVIOUR
    5.4)."""

    __slots__ = ("error", "origins")

    def __init__(self, error: BaseException, origins: tuple[Any, ...] = ()) -> None:
        self.error, self.origins = error, origins
        if origins and origin_of(error) is None:  # one that no node raised: of a refusal, a result
            blame(error, origins[0])

    def __repr__(self) -> str:
        return f"Fault({self.error!r})"


def merge(answers: list[Any]) -> Any:
    """One answer out of several (BEHAVIOUR 3.3): the errors, else the values, else NOTHING."""
    faults = [answer for answer in answers if isinstance(answer, Fault)]
    if faults:
        if len(faults) == 1:
            return faults[0]
        errors = [fault.error for fault in faults]
        origins = dict.fromkeys(origin for fault in faults for origin in fault.origins)
        return Fault(BaseExceptionGroup("branches failed", errors), tuple(origins))
    values = [answer for answer in answers if answer is not NOTHING]
    return NOTHING if not values else values[0] if len(values) == 1 else values


def echo(payload: Any, origin: Any) -> Any:
    """What a payload sent to a port without links is answered: itself; an error is one again
    (5.7)."""
    return Fault(payload, (origin,)) if isinstance(payload, Exception) else payload


def unused(payload: Any, origin: Any) -> Any:
    """What a node answers that has no way for a payload: nothing; an error that nobody handled
    stays an error (5.11)."""
    return Fault(payload, (origin,)) if isinstance(payload, Exception) else NOTHING


class Reply:
    """Where the answers of one write meet, each in its own place."""

    __slots__ = ("missing", "place", "up", "values", "waiter")

    def __init__(self, places: int, up: Reply | None = None, place: int = 0) -> None:
        self.values: list[Any] = [NOTHING] * places
        self.missing = places
        self.up, self.place = up, place
        self.waiter: Waiter[None] | None = None

    def passes(self, answer: Any) -> bool:
        """Whether the answer may go on to the place above; an edge may take it instead."""
        return True


class Carrier(Protocol):
    """What a packet knows of the process that it belongs to (process.py)."""

    open: set[Packet]
    state: str
    generation: Generation | None

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def parent(self) -> Carrier | None:
        """The process that it is a child of."""

    def deliver(self, port: InPort, packet: Packet) -> None:
        """Queue the packet at the port."""

    def meet(self, error: BaseException) -> None:
        """A handler failed so."""

    def fan_out(
        self, targets: list[tuple[InPort | None, Any]], packet: Packet, origin: Any
    ) -> None:
        """Send several values in the packet's place."""


class Packet:
    """A payload under way, owner of one place in a Reply. `hops` counts the writes it descends
    from."""

    __slots__ = ("hops", "payload", "place", "process", "reply")

    def __init__(self, payload: Any, process: Carrier, reply: Reply, place: int, hops: int) -> None:
        self.payload, self.process, self.hops = payload, process, hops
        self.reply: Reply | None = reply
        self.place = place
        process.open.add(self)

    def take(self) -> tuple[Reply, int]:
        """Give up the place: to answer it, or to put a Reply of several between."""
        reply, self.reply = self.reply, None
        if reply is None:
            raise RuntimeError("a packet is answered once")
        self.process.open.remove(self)
        return reply, self.place

    def interpose(self, reply: Reply) -> None:
        """Put a Reply of one place, which was made without one above, between the packet and who
        waits for it: the answer passes by there."""
        above = self.reply
        if above is None:
            raise RuntimeError("a packet is answered once")
        reply.up, reply.place = above, self.place
        self.reply, self.place = reply, 0

    def answer(self, value: Any) -> None:
        """Fill the place, and every place above that is full by it."""
        reply, place = self.reply, self.place  # as `take` does
        if reply is None:
            raise RuntimeError("a packet is answered once")
        self.reply = None
        self.process.open.remove(self)
        while True:
            reply.values[place] = value
            reply.missing -= 1
            if reply.missing:
                return
            if reply.up is None:
                if reply.waiter is not None:
                    get_hub().loop.run_callback(reply.waiter.switch, None)
                return
            value = reply.values[0]
            if type(value) is not Fault or reply.values.count(value) < len(reply.values):
                value = merge(reply.values)  # else what ended one branch has ended all of them
            if not reply.passes(value):
                return
            reply, place = reply.up, reply.place
