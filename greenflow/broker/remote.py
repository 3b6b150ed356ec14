"""A broker with a server behind it, whichever that is.

Lives here: RemoteBroker: what is published, who subscribes, and whether the server is there. How
messages are handed out is in consuming.py, how they are published in publishing.py.

Each (namespace, topic, subscriber) has a queue at the server, which is made when the subscriber
first subscribes and outlives its runtimes for the time `broker.expires`. The topic of dead letters
has one queue, which is always there.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenflow.broker import wire
from greenflow.broker.base import LOCAL_TOPICS, Broker, Deliver, Subscription
from greenflow.broker.consuming import RemoteSubscription
from greenflow.broker.memory import MemoryBroker
from greenflow.broker.publishing import Outbox
from greenflow.broker.transport import Posting, Queue, Transport

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
        self._reason = ""  # why one was lost last

    def publish(self, topic: str, payload: Any) -> None:
        if topic in LOCAL_TOPICS:
            self._local.publish(topic, payload)
        else:
            queue = self._dead if topic == self._dead.topic else None
            body = wire.encode(payload)
            end = monotonic() + self.settings.timeout
            if queue is None:
                self._wait_for_queues(topic, end)
            self._outbox.publish(Posting(topic, body, wire.MESSAGEPACK, queue), end)

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

    def subscribe(self, topic: str, subscriber: str, deliver: Deliver) -> Subscription:
        if topic in LOCAL_TOPICS:
            return self._local.subscribe(topic, subscriber, deliver)
        queue = self._dead if topic == self._dead.topic else Queue(topic, subscriber)
        subscription = RemoteSubscription(self, queue, subscriber, deliver)
        self._subscriptions.add(subscription)
        if not self._away:  # what is published next should find it
            subscription.asked.wait()
        return subscription

    def forget(self, subscription: RemoteSubscription) -> None:
        """The subscription has ended."""
        self._subscriptions.discard(subscription)
        self._away.discard(subscription)

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
            name = self.transport.name
            _log.warning("the broker %s is away, workflows run on: %s", name, reason, extra=extra)
        elif was_away and not self._away:
            _log.info("the broker is back", extra=extra)

    def close(self) -> None:
        subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.stop()
        for subscription in subscriptions:
            subscription.close()
        self._outbox.close()
        self.transport.close()
        self._local.close()
