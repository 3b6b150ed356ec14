"""The contract of a broker: what is published on a topic reaches every subscriber of the topic.

Lives here: Broker and Subscription. How events travel is in the other modules of this folder.

A broker belongs to the hub that opened it. A subscriber is known by its name: with a server behind
the broker, the runtimes of a namespace that subscribe to a topic under one name share its events,
and each event is handed to one of them; subscribers with different names each get it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

#: Topics of what happens inside a runtime: their events never leave it.
LOCAL_TOPICS = frozenset(("load", "unload"))

#: For a subscriber to call once, when it is done with an event: with the error if that failed, with
#: None if not. On the hub; never blocks.
Done = Callable[[BaseException | None], None]

#: Which trace an event belongs to that is being handed out: the `traceparent` of who published it.
#: Variables, for few subscribers ask.
TRACE: ContextVar[str | None] = ContextVar("greenflow.broker.trace", default=None)

#: What a subscriber is handed each event with. On the hub; must not block.
Deliver = Callable[[Any, Done], None]


class Parcel(NamedTuple):
    """An event that is ready to go: what is done to its payload from now on does not show in it.
    `content` is the broker's own, `size` about how many bytes of memory it takes; `trace` is the
    one that it is of."""

    topic: str
    content: Any
    size: int
    trace: str | None = None


class BrokerState(NamedTuple):
    """What a broker is like now: whether its server is there, how often that was lost, how many
    messages wait to be published, and how many events wait for a subscriber here."""

    is_connected: bool = True
    lost: int = 0
    unpublished: int = 0
    waiting: int = 0


class Subscription(ABC):
    """A subscriber's hold on a topic. Whatever is published from the beginning on is kept for it;
    it is handed out from `start` on."""

    @abstractmethod
    def start(self) -> None:
        """Hand out events, also those that came before."""

    @abstractmethod
    def pause(self) -> None:
        """Hand out nothing until `resume`, before `start` too: what is published waits, and others
        of its name may have it. What was handed out may still be done."""

    @abstractmethod
    def resume(self) -> None:
        """Hand out again."""

    @abstractmethod
    def stop(self) -> None:
        """Hand out no more. What was handed out may still be done."""


class Broker(ABC):
    """Carries events. Payloads are those of greenflow.payload.value."""

    def publish(self, topic: str, payload: Any, trace: str | None = None) -> None:
        """Hand an event over. On return the broker has it, and it is not lost any more than the
        broker says.

        Raises InvalidArgument for a payload that cannot travel, BrokerUnavailable when the broker
        does not take it.
        """
        (error,) = self.send([self.pack(topic, payload, trace)])
        if error is not None:
            raise error

    @abstractmethod
    def pack(self, topic: str, payload: Any, trace: str | None = None) -> Parcel:
        """Make an event ready, to be sent later or not at all. `trace` says which trace it is of,
        as a `traceparent`.

        Raises InvalidArgument for a payload that cannot travel, BrokerUnavailable for one that the
        broker would never take.
        """

    @abstractmethod
    def send(self, parcels: Sequence[Parcel]) -> list[Exception | None]:
        """Hand events over, in this order. Returns for each why the broker has not got it, a
        BrokerUnavailable; with None it has."""

    @abstractmethod
    def subscribe(
        self, topic: str, subscriber: str, deliver: Deliver, most: int | None = None
    ) -> Subscription:
        """Keep what is published on a topic from now on for a subscriber. At most so many events
        are handed out at a time; the others wait. Never raises because a server is away: the
        subscription begins when it is back."""

    def state(self) -> BrokerState:
        """What it is like now."""
        return BrokerState()

    @abstractmethod
    def wind_down(self) -> None:
        """The runtime ends, and soon nobody will subscribe any more: what nobody else keeps may go
        at once. Does not switch greenlets."""

    @abstractmethod
    def close(self) -> None:
        """Tell the server what is done, give back what is not, release everything. Idempotent."""
