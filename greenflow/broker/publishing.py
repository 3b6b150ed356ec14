"""Publishes to a server, and says of each message whether the server has it.

Lives here: Outbox. What waits is published together, and each of it is answered when the server has
confirmed it. A server that is away is tried again, until the time of a message is over.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

from gevent.event import AsyncResult

from greenflow.broker.transport import Posting, Producer, Transport
from greenflow.errors import BrokerUnavailable
from greenflow.hub.backoff import Backoff
from greenflow.hub.blocking.worker import TICK, Worker

TOGETHER = 500  # messages that are published before their confirmations are waited for
IDLE = 1.0  # seconds that a worker with nothing to do waits for something, in one go
BACKOFF_MOST = 1.0  # seconds between tries: somebody waits for each of them

_log = logging.getLogger("greenflow.broker")


class _Order:
    """A message, who waits for it, and until when."""

    def __init__(self, posting: Posting, end: float) -> None:
        self.posting, self.end = posting, end
        self.answer: AsyncResult[Exception | None] = AsyncResult()


class Outbox:
    """What is to be published by one broker. The worker starts with the first message.

    `told` is called on the hub with the reason when the server is away, with None when it is back.
    """

    def __init__(
        self, transport: Transport, seconds: float, told: Callable[[object, str | None], None]
    ) -> None:
        self._transport, self._seconds, self._told = transport, seconds, told
        self._worker: Worker | None = None
        self._is_closed = False
        # Messages that were put, and those that were answered: each number has one thread.
        self._put = self._done = 0

    @property
    def waiting(self) -> int:
        """How many messages wait to be published."""
        return self._put - self._done

    def put(self, posting: Posting, end: float) -> AsyncResult[Exception | None]:
        """Have it published after what was put before. Answers with None when the server has it,
        and with BrokerUnavailable when it has not at the end, by monotonic(), or does not take it.

        Raises BrokerUnavailable when this is closed.
        """
        if self._is_closed:
            raise BrokerUnavailable(f"{self._transport.name}: the broker is closed")
        if self._worker is None:
            self._worker = Worker()
            self._worker.start(self._work)
        order = _Order(posting, end)
        self._put += 1
        self._worker.inbox.put(order)
        return order.answer

    def close(self) -> None:
        """Publish what waits, and end."""
        self._is_closed = True
        if self._worker is not None:
            self._worker.inbox.put(None)
            self._worker.join()

    # -- in the worker -------------------------------------------------------------------------

    def _work(self) -> None:
        assert self._worker is not None
        worker, backoff = self._worker, Backoff(BACKOFF_MOST)
        orders: deque[_Order] = deque()
        producer: Producer | None = None
        ending, retry_at, reason = False, 0.0, ""
        while not (ending and not orders):
            can_try = monotonic() >= retry_at
            for order in worker.received(0.0 if orders and can_try else TICK if orders else IDLE):
                if order is None:
                    ending = True
                else:
                    orders.append(order)
            try:
                if orders and can_try:
                    producer = producer or self._transport.producer()
                    producer.publish([orders[i].posting for i in range(min(len(orders), TOGETHER))])
                    backoff.reset()
                    if reason:
                        reason = ""
                        worker.tell(self._told, self, None)
                elif producer is not None:
                    producer.tick()
            except Exception as error:
                if not isinstance(error, self._transport.errors):
                    _log.error("publishing failed: %s", error, exc_info=error)
                reason = str(error) or type(error).__name__
                worker.tell(self._told, self, reason)
                if producer is not None:
                    producer.drop()
                    producer = None
                retry_at = monotonic() + backoff.next()
            orders = self._answered(worker, orders, reason)
        if producer is not None:
            try:
                producer.close()
            except self._transport.errors:
                producer.drop()

    def _answered(self, worker: Worker, orders: deque[_Order], reason: str) -> deque[_Order]:
        """Answer whom there is something to say to; returns the others."""
        left: deque[_Order] = deque()
        now = monotonic()
        for order in orders:
            posting = order.posting
            if posting.done:
                worker.tell(order.answer.set, None)
            elif posting.refusal:
                worker.tell(order.answer.set, self.failed(posting.topic, posting.refusal))
            elif now >= order.end:
                worker.tell(order.answer.set, self.late(posting.topic, reason))
            else:
                left.append(order)
        self._done += len(orders) - len(left)
        return left

    def late(self, topic: str, reason: str) -> BrokerUnavailable:
        """What is said of an event that the server did not take in time."""
        why = f"not published within {self._seconds:g} s: {reason or 'no answer'}"
        return self.failed(topic, why)

    def failed(self, topic: str, reason: str) -> BrokerUnavailable:
        """What is said of an event that the server does not take."""
        return BrokerUnavailable(f"{self._transport.name}: topic {topic!r}: {reason}")
