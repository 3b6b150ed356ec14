"""Events inside one runtime: each is handed to its subscribers at once, and to no one later.

Lives here: MemoryBroker. An event without subscribers is lost, and so is one whose workflow fails
or whose runtime ends (BEHAVIOUR 14): who wants more names a server in the setting `broker.url`.

A subscriber has so many events at a time; the others wait in their order, up to so many bytes. One
more is not taken: who publishes has the error.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar, copy_context
from typing import Any

from greenflow.broker.base import (
    LOCAL_TOPICS,
    TRACE,
    Broker,
    BrokerState,
    Deliver,
    Parcel,
    Subscription,
)
from greenflow.config import BrokerSettings
from greenflow.errors import BrokerUnavailable
from greenflow.payload.value import measured

#: Events that a subscriber has at a time if it does not say: nobody waits for answers, so more
#: than a listener has requests; 10,000 small processes are 60 MiB.
MOST = 10_000

#: The same of events that come of the work of its own events, at whatever remove: they may go on
#: for ever, and those under way must end soon after the runtime is asked to (1,000 take 0.15 s).
MOST_OF_OWN = 1_000

#: Whose events the work that runs here comes from.
_descent: ContextVar[frozenset[Queued]] = ContextVar("greenflow.broker.descent")
_NOBODY: frozenset[Queued] = frozenset()

#: Bytes that an event counts for besides its payload: its place among the others.
EVENT_BYTES = 200

_log = logging.getLogger("greenflow.broker")


class MemoryBroker(Broker):
    """The subscribers of a runtime, by topic. `waiting` is how many bytes of events may wait for
    each."""

    def __init__(self, waiting: int = BrokerSettings().waiting) -> None:
        self._waiting = waiting
        self._topics: dict[str, dict[str, Queued]] = {}  # in order of subscription

    def publish(self, topic: str, payload: Any, trace: str | None = None) -> None:
        error = self._take(topic, payload, None, trace)
        if error is not None:
            raise error

    def pack(self, topic: str, payload: Any, trace: str | None = None) -> Parcel:
        return Parcel(topic, *measured(payload), trace)

    def send(self, parcels: Sequence[Parcel]) -> list[Exception | None]:
        return [self._take(*parcel) for parcel in parcels]

    def _take(
        self, topic: str, payload: Any, size: int | None, trace: str | None
    ) -> Exception | None:
        """Hand an event to all of its subscribers, or to none and say why. Raises InvalidArgument
        for a payload that is measured only now and cannot travel."""
        lines = list(self._topics.get(topic, {}).values())
        descent = _descent.get(_NOBODY)
        if topic in LOCAL_TOPICS:  # of this runtime's own nodes, which are not that many
            size = 0
        elif any(line.waits(descent) for line in lines):
            if size is None:
                payload, size = measured(payload)
            for line in lines:
                if line.waits(descent) and line.size + size + EVENT_BYTES > self._waiting:
                    return BrokerUnavailable(
                        f"{len(line.waiting):,} events of {topic!r} wait for {line.subscriber!r}, "
                        f"and with one more they would be over {self._waiting:,} bytes: publish "
                        "less, raise its limits.in_flight or broker.waiting, or name a server in "
                        "broker.url"
                    )
        for line in lines:
            line.take(payload, (size or 0) + EVENT_BYTES, trace, descent)
        return None

    def subscribe(
        self, topic: str, subscriber: str, deliver: Deliver, most: int | None = None
    ) -> Subscription:
        lines = self._topics.setdefault(topic, {})
        line = lines.setdefault(subscriber, Queued(subscriber))
        return MemorySubscription(self, topic, line, deliver, most)

    def forget(self, topic: str, line: Queued) -> None:
        """Nobody subscribes there any more."""
        if topic in LOCAL_TOPICS:
            line.waiting.clear()
        else:
            line.lose(topic)
        lines = self._topics.get(topic, {})
        if lines.get(line.subscriber) is line:
            del lines[line.subscriber]
        if not lines:
            self._topics.pop(topic, None)

    def state(self) -> BrokerState:
        lines = [line for topic in self._topics.values() for line in topic.values()]
        return BrokerState(waiting=sum(len(line.waiting) for line in lines))

    def wind_down(self) -> None:
        for topic, lines in self._topics.items():
            if topic not in LOCAL_TOPICS:
                for line in lines.values():
                    line.end(topic)

    def close(self) -> None:
        self._topics.clear()


class Queued:
    """What one subscriber of a topic has, and what waits for it."""

    def __init__(self, subscriber: str) -> None:
        self.subscriber = subscriber
        # While a subscriber is replaced there are two: one of them takes an event.
        self.subscriptions: list[MemorySubscription] = []
        self.waiting: deque[tuple[Any, int, str | None, frozenset[Queued]]] = deque()
        self.size = self.under_way = 0
        self._hands_out = False
        self.is_over = False  # the runtime ends

    def waits(self, descent: frozenset[Queued]) -> bool:
        """Whether one event more, of such a descent, has to wait."""
        return bool(self.waiting) or self._has_room(self.taker(), descent) is None

    def _has_room(
        self, taker: MemorySubscription | None, descent: frozenset[Queued]
    ) -> MemorySubscription | None:
        """Who takes an event of such a descent now."""
        if taker is not None and self.under_way < (
            taker.most_of_own if self in descent else taker.most
        ):
            return taker
        return None

    def taker(self) -> MemorySubscription | None:
        """Who takes events now."""
        for subscription in reversed(self.subscriptions):
            if subscription.is_started:
                return subscription
        return None

    def take(self, payload: Any, size: int, trace: str | None, descent: frozenset[Queued]) -> None:
        """Hand the event out, or keep it."""
        if self.is_over:
            return
        self.waiting.append((payload, size, trace, descent))
        self.size += size
        self.hand_out()

    def end(self, topic: str) -> None:
        """From now on none is taken: the runtime ends."""
        self.is_over = True
        self.lose(topic)

    def lose(self, topic: str) -> None:
        """What waits is lost."""
        if self.waiting:
            reason = "%d events of %s that waited are lost: nobody subscribes to them any more"
            _log.warning(reason, len(self.waiting), topic, extra={"node": self.subscriber})
        self.waiting.clear()
        self.size = 0

    def hand_out(self) -> None:
        """Hand out what may be now."""
        if self._hands_out:  # one was done at once: the loop below goes on
            return
        self._hands_out = True
        try:
            while self.waiting and (taker := self._has_room(self.taker(), self.waiting[0][3])):
                payload, size, trace, descent = self.waiting.popleft()
                self.size -= size
                self.under_way += 1
                taker.deliver(payload, trace, descent if self in descent else descent | {self})
        finally:
            self._hands_out = False

    def done(self, error: BaseException | None) -> None:
        """One is done. An event in memory is delivered once: its failure was logged with its
        process."""
        self.under_way -= 1
        self.hand_out()


class MemorySubscription(Subscription):
    """One subscriber's hold on a topic."""

    def __init__(
        self, broker: MemoryBroker, topic: str, line: Queued, deliver: Deliver, most: int | None
    ) -> None:
        self.most = self._most = MOST if most is None else most  # 0 while it is paused
        self._of_own = MOST_OF_OWN if most is None else most
        self.is_started = False
        self._broker, self._topic, self._line, self._deliver = broker, topic, line, deliver
        # An event begins something of its own: it does not see the publisher's variables.
        self._context = copy_context()
        line.subscriptions.append(self)

    @property
    def most_of_own(self) -> int:
        """Events at a time that come of its own."""
        return min(self.most, self._of_own)

    def deliver(self, payload: Any, trace: str | None, descent: frozenset[Queued]) -> None:
        """Hand an event out, to work that comes of events of all these."""
        self._context.copy().run(self._begin, payload, trace, descent)

    def _begin(self, payload: Any, trace: str | None, descent: frozenset[Queued]) -> None:
        if trace is not None:
            TRACE.set(trace)
        _descent.set(descent)
        self._deliver(payload, self._line.done)

    def start(self) -> None:
        self.is_started = True
        self._line.hand_out()

    def pause(self) -> None:
        self.most = 0

    def resume(self) -> None:
        self.most = self._most
        self._line.hand_out()

    def stop(self) -> None:
        subscriptions = self._line.subscriptions
        if self in subscriptions:
            subscriptions.remove(self)
            if not subscriptions:
                self._broker.forget(self._topic, self._line)
            else:
                self._line.hand_out()
