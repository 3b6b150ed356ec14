"""Events inside one runtime: each is handed to its subscribers at once, and to no one later.

Lives here: MemoryBroker. An event without subscribers is lost, and so is one whose workflow fails
or whose runtime ends (BEHAVIOUR 14): who wants more names a server in the setting `broker.url`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from greenflow.broker.base import Broker, Deliver, Parcel, Subscription
from greenflow.payload.value import measured


class MemoryBroker(Broker):
    """The subscriptions of a runtime, by topic."""

    def __init__(self) -> None:
        self._topics: dict[str, dict[MemorySubscription, None]] = {}  # in order of subscription

    def publish(self, topic: str, payload: Any) -> None:
        takers: dict[str, MemorySubscription] = {}
        for subscription in self._topics.get(topic, ()):
            # While a subscriber is replaced there are two: one of them takes the event.
            other = takers.get(subscription.subscriber)
            if other is None or subscription.started or not other.started:
                takers[subscription.subscriber] = subscription
        for subscription in takers.values():
            subscription.take(payload)

    def pack(self, topic: str, payload: Any) -> Parcel:
        return Parcel(topic, *measured(payload))

    def send(self, parcels: Sequence[Parcel]) -> list[Exception | None]:
        for parcel in parcels:
            self.publish(parcel.topic, parcel.content)
        return [None] * len(parcels)

    def subscribe(self, topic: str, subscriber: str, deliver: Deliver) -> Subscription:
        subscription = MemorySubscription(self, topic, subscriber, deliver)
        self._topics.setdefault(topic, {})[subscription] = None
        return subscription

    def forget(self, subscription: MemorySubscription) -> None:
        """The subscription has ended."""
        subscriptions = self._topics.get(subscription.topic, {})
        subscriptions.pop(subscription, None)
        if not subscriptions:
            self._topics.pop(subscription.topic, None)

    def close(self) -> None:
        self._topics.clear()


class MemorySubscription(Subscription):
    """One subscriber of a topic, and what came before it started."""

    def __init__(self, broker: MemoryBroker, topic: str, subscriber: str, deliver: Deliver) -> None:
        self.topic, self.subscriber = topic, subscriber
        self._broker, self._deliver = broker, deliver
        self._early: list[Any] | None = []
        # An event begins something of its own: it does not see the publisher's variables.
        self._context = copy_context()

    @property
    def started(self) -> bool:
        """Whether it hands events out."""
        return self._early is None

    def take(self, payload: Any) -> None:
        """Hand the event out, or keep it for the start."""
        if self._early is not None:
            self._early.append(payload)
        else:
            self._context.copy().run(self._deliver, payload, _nobody_waits)

    def start(self) -> None:
        early, self._early = self._early or [], None
        for payload in early:
            self.take(payload)

    def stop(self) -> None:
        self._broker.forget(self)


def _nobody_waits(error: BaseException | None) -> None:
    """An event in memory is delivered once: its failure was logged with its process."""
