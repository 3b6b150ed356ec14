"""A broker with a server behind it, whichever that is.

Lives here: RemoteBroker: what is published, who subscribes, and whether the server is there. How
messages are handed out is in consuming.py, how they are published in publishing.py.

Each (namespace, topic, subscriber) has a queue at the server, which is made when the subscriber
first subscribes and outlives its runtimes for the time `broker.expires`. The topic of dead letters
has one queue, which is always there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent.event import AsyncResult

from greenflow.broker import wire
from greenflow.broker.base import LOCAL_TOPICS, Broker, BrokerState, Deliver, Parcel, Subscription
from greenflow.broker.consuming import RemoteSubscription
from greenflow.broker.memory import MemoryBroker
from greenflow.broker.publishing import TOGETHER, Outbox
from greenflow.broker.transport import Posting, Queue, Transport
from greenflow.errors import BrokerUnavailable

if TYPE_CHECKING:
    from greenflow.config import BrokerSettings
    from greenflow.hub.clock import Clock

_log = logging.getLogger("greenflow.broker")


class RemoteBroker(Broker):
    """Publishes to a server, and subscribes there."""

    def __init__(
        self, transport: Transport, namespace: str, settings: BrokerSettings, clock: Clock
    ) -> None:
        self.transport, self.namespace = transport, namespace
        self.settings, self.clock = settings, clock
        self._local = MemoryBroker()
        self._dead = Queue(settings.dead_letters, "", kept=True)
        self._outbox = Outbox(transport, settings.timeout, self.told)
        self._subscriptions: set[RemoteSubscription] = set()
        self._away: set[object] = set()  # whose connection is lost
        self._reason, self._lost = "", 0  # why the server was lost last, and how often it was

    def publish(self, topic: str, payload: Any, trace: str | None = None) -> None:
        if topic in LOCAL_TOPICS:
            self._local.publish(topic, payload)  # which needs no copy
        else:
            super().publish(topic, payload, trace)

    def pack(self, topic: str, payload: Any, trace: str | None = None) -> Parcel:
        if topic in LOCAL_TOPICS:
            return self._local.pack(topic, payload)
        queue = self._dead if topic == self._dead.topic else None
        posting = Posting(topic, wire.encode(payload), wire.kind_of(trace), queue)
        refusal = self.transport.refusal(posting)
        if refusal:
            raise self._outbox.failed(topic, refusal)
        return Parcel(topic, posting, len(posting.body))

    def send(self, parcels: Sequence[Parcel]) -> list[Exception | None]:
        errors: list[Exception | None] = []
        while len(errors) < len(parcels):
            # So many have the time of one, for the server gets them together.
            some = parcels[len(errors) : len(errors) + TOGETHER]
            end = monotonic() + self.settings.timeout
            errors += self._send_together(some, end)
            if errors[-1] is not None and monotonic() >= end:  # nor would it have the others
                errors += [errors[-1]] * (len(parcels) - len(errors))
        return errors

    def _send_together(self, parcels: Sequence[Parcel], end: float) -> list[Exception | None]:
        answers: list[AsyncResult[Exception | None]] = []
        for parcel in parcels:
            try:
                if parcel.topic in LOCAL_TOPICS:
                    self._local.send([parcel])
                    answer = _answered(None)
                else:
                    if parcel.content.queue is None:
                        self._wait_for_queues(parcel.topic, end)
                    answer = self._outbox.put(parcel.content, end)
            except BrokerUnavailable as error:
                answer = _answered(error)
            answers.append(answer)
        return [answer.get() for answer in answers]

    def _wait_for_queues(self, topic: str, end: float) -> None:
        """Wait until whoever subscribes to the topic in this runtime has a queue: an event that the
        server took before would pass it by. Raises BrokerUnavailable when it comes to the end."""
        for subscription in tuple(self._subscriptions):
            left = max(0.0, end - monotonic())
            if subscription.topic == topic and not subscription.queued.wait(left):
                raise self._outbox.late(topic, self._reason)

    def bury(self, letter: dict[str, Any]) -> None:
        """Publish a dead letter. Raises BrokerUnavailable."""
        self.publish(self._dead.topic, letter)

    def subscribe(
        self, topic: str, subscriber: str, deliver: Deliver, most: int | None = None
    ) -> Subscription:
        if topic in LOCAL_TOPICS:
            return self._local.subscribe(topic, subscriber, deliver, most)
        queue = self._dead if topic == self._dead.topic else Queue(topic, subscriber)
        subscription = RemoteSubscription(self, queue, subscriber, deliver, most)
        self._subscriptions.add(subscription)
        if not self._away:  # what is published next should find it
            subscription.asked.wait()
        return subscription

    def forget(self, subscription: RemoteSubscription) -> None:
        """The subscription has ended."""
        self._subscriptions.discard(subscription)
        self._away.discard(subscription)

    def state(self) -> BrokerState:
        waiting = self._local.state().waiting
        return BrokerState(not self._away, self._lost, self._outbox.waiting, waiting)

    def told(self, who: object, reason: str | None) -> None:
        """A connection was lost for that reason, or with None is there again."""
        was_away = bool(self._away)
        if reason is not None:
            self._away.add(who)
            self._reason = reason
        else:
            self._away.discard(who)
        extra = {"namespace": self.namespace}
        if reason is not None and not was_away:
            self._lost += 1
            name = self.transport.name
            _log.warning("the broker %s is away, workflows run on: %s", name, reason, extra=extra)
        elif was_away and not self._away:
            _log.info("the broker is back", extra=extra)

    def wind_down(self) -> None:
        """What waits is kept by the server."""

    def close(self) -> None:
        subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.stop()
        for subscription in subscriptions:
            subscription.close()
        self._outbox.close()
        self.transport.close()
        self._local.close()


def _answered(error: Exception | None) -> AsyncResult[Exception | None]:
    answer: AsyncResult[Exception | None] = AsyncResult()
    answer.set(error)
    return answer
