"""Hands out the messages of one queue, and tells the server what came of them.

Lives here: RemoteSubscription. A message is acknowledged when its subscriber is done with it and
had no error. Else it is delivered again after a back-off, which doubles each time; until then it
takes one of the `prefetch` places, so a workflow that fails for everything slows its queue down
instead of burning through it. The delivery that reaches the limit is the last one: then the message
goes to the dead letters with the reason, and only when it is there it is acknowledged. So does, at
once, a message whose body is no payload, and one that was delivered DEATHS times as often because
the runtimes that had it died. Dead letters themselves are tried for ever.

The hub's half decides; the worker's half speaks with the server, and they talk through the inbox.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import gevent
from gevent.event import Event

from greenflow.broker import counting, wire
from greenflow.broker.base import TRACE, Deliver, Subscription
from greenflow.broker.transport import Consumer, Message, Queue, Transport
from greenflow.errors import BrokerUnavailable, InvalidArgument, messages
from greenflow.hub.backoff import Backoff
from greenflow.hub.blocking.worker import TICK, Worker

if TYPE_CHECKING:
    from greenflow.config import BrokerSettings
    from greenflow.hub.clock import Clock

# What the hub says to the worker: of the subscription, and of a message.
BEGIN, PAUSE, RESUME, END, CLOSE = "begin", "pause", "resume", "end", "close"
ACKNOWLEDGE, AGAIN, RELEASE = "acknowledge", "again", "release"

# A message that kills its runtime takes others with it that were in hand, too, and comes back
# beside them: they need more tries than those that only fail.
DEATHS = 4

# Bytes of a message from which on it is decoded in a greenlet of its own, beside all others. What
# is smaller takes 5 ms at most.
LARGE = 64 * 1024

# Characters of an error in a dead letter. In UTF-8 they are less than the 16 KiB that SQS leaves
# beside the largest event (sqs/bodies.py); who wants more reads the log.
ERROR = 4000

_log = logging.getLogger("greenflow.broker")


class SubscriptionHome(Protocol):
    """What a subscription needs of its broker."""

    transport: Transport
    namespace: str
    settings: BrokerSettings
    clock: Clock

    def bury(self, letter: dict[str, Any]) -> None:
        """Keep a dead letter."""

    def forget(self, subscription: RemoteSubscription) -> None:
        """The subscription has ended."""

    def told(self, who: object, reason: str | None) -> None:
        """A worker could not reach the server, for this reason, or can again."""


class RemoteSubscription(Subscription):
    """One subscriber of a topic, with a connection of its own."""

    def __init__(
        self,
        broker: SubscriptionHome,
        queue: Queue,
        subscriber: str,
        deliver: Deliver,
        most: int | None = None,
    ):
        self._broker, self._queue, self._deliver = broker, queue, deliver
        self._subscriber = subscriber
        self._prefetch = broker.settings.prefetch if most is None else most
        self._extra = {"namespace": broker.namespace, "node": subscriber}
        self._context = copy_context()
        self._retries: dict[Message, gevent.Greenlet[..., None]] = {}
        self._is_stopped = self._is_paused = False
        self.topic = queue.topic
        self.asked = Event()  # the server has answered, or it is away
        self.queued = Event()  # the server has a queue for it; or it has ended
        self._worker = Worker()
        self._worker.start(self._work)

    # -- on the hub ----------------------------------------------------------------------------

    def start(self) -> None:
        self._worker.inbox.put((BEGIN, None))

    def pause(self) -> None:
        self._is_paused = True
        self._worker.inbox.put((PAUSE, None))

    def resume(self) -> None:
        self._is_paused = False
        self._worker.inbox.put((RESUME, None))

    def stop(self) -> None:
        if not self._is_stopped:
            self._is_stopped = True
            self._worker.inbox.put((END, None))
            for message, retry in list(self._retries.items()):
                retry.kill(block=False)
                self._say(RELEASE, message)
            self._retries.clear()

    def close(self) -> None:
        """Give back what is in hand, and end."""
        self.stop()
        self._worker.inbox.put((CLOSE, None))
        self._worker.join()

    def _say(self, what: str, message: Message) -> None:
        self._worker.inbox.put((what, message))

    def _arrived(self, message: Message) -> None:
        """Hand it out. Called by the hub itself: it must not block."""
        if self._is_stopped or self._is_paused:  # nobody began with it: it does not count
            self._say(RELEASE, message._replace(deliveries=message.deliveries - 1))
            return
        if len(message.body) < LARGE:
            self._hand_out(message)
        else:
            self._retry(message, self._hand_out)

    def _hand_out(self, message: Message) -> None:
        """Decode it and hand it over. In a greenlet, where it is large, others run meanwhile."""
        limit = self._limit()
        try:
            try:
                payload = wire.decode(message.body, message.content_type)
            finally:
                if len(message.body) >= LARGE:
                    self._retries.pop(message, None)
        except InvalidArgument as error:
            if not self._queue.kept:
                self._retry(message, self._bury, ": ".join(messages(error)), message.body)
                return
            payload = letter("", "", ": ".join(messages(error)), message.deliveries, message.body)
        if limit and message.deliveries > limit * DEATHS:
            reason = f"delivered {message.deliveries - 1} times, and never answered"
            self._retry(message, self._bury, reason, payload)
            return
        done = partial(self._done, message, payload)
        context = self._context.copy()
        trace = wire.trace_of(message.content_type)
        if trace is not None:
            context.run(TRACE.set, trace)
        context.run(self._deliver, payload, done)

    def _limit(self) -> int:
        """How often a message is delivered at most; 0 for ever."""
        return 0 if self._queue.kept else self._broker.settings.deliveries

    def _done(self, message: Message, payload: Any, error: BaseException | None) -> None:
        limit = self._limit()
        if error is None:
            self._say(ACKNOWLEDGE, message)
        elif self._is_stopped:
            self._say(RELEASE, message)
        elif limit and message.deliveries >= limit:
            self._retry(message, self._bury, ": ".join(messages(error)), payload)
        else:
            self._retry(message, self._wait)

    def _retry(self, message: Message, function: Callable[..., None], *args: Any) -> None:
        """Do something about a message that nobody processes now, in a greenlet of its own."""
        self._retries[message] = gevent.spawn(function, message, *args)

    def _wait(self, message: Message) -> None:
        """Have it delivered again, after a while."""
        settings, limit = self._broker.settings, self._limit()
        most = settings.backoff_most
        backoff = Backoff(most, first=min(settings.backoff, most), jitter=0.0)
        backoff.skip(message.deliveries - 1)
        seconds = backoff.next()
        _log.warning(
            "topic %r: delivery %d%s failed: the next one is in %g s",
            self._queue.topic,
            message.deliveries,
            f" of {limit}" if limit else "",
            seconds,
            extra=self._extra,
        )
        counting.redelivered(self._broker.namespace, self._queue.topic, self._subscriber)
        self._broker.clock.sleep(seconds)
        del self._retries[message]
        self._say(AGAIN, message)

    def _bury(self, message: Message, reason: str, payload: Any) -> None:
        """Move it to the dead letters: there first, and only then away from here."""
        backoff = Backoff()
        dead = letter(self._queue.topic, self._subscriber, reason, message.deliveries, payload)
        while True:
            try:
                self._broker.bury(dead)
                break
            except BrokerUnavailable as error:
                _log.warning("a dead letter waits: %s", error, extra=self._extra)
                self._broker.clock.sleep(backoff.next())
        _log.error(
            "topic %r: a message goes to the dead letters after delivery %d: %s",
            self._queue.topic,
            message.deliveries,
            reason,
            extra=self._extra,
        )
        counting.dead(self._broker.namespace, self._queue.topic, self._subscriber)
        del self._retries[message]
        self._say(ACKNOWLEDGE, message)

    # -- in the worker -------------------------------------------------------------------------

    def _work(self) -> None:
        """Speak with the server until the subscription has ended."""
        link = _Link(self._worker, self._broker.transport, self._queue, self._prefetch)
        told, tell = self._broker.told, self._worker.tell
        backoff, retry_at, is_away = Backoff(), 0.0, False
        while link.listen(retry_at - monotonic()):
            if link.consumer is None and monotonic() < retry_at:
                continue
            try:
                if link.consumer is None:
                    link.connect()
                    tell(self.asked.set)
                    tell(self.queued.set)
                for message in link.step():
                    tell(self._arrived, message)
                backoff.reset()
                if is_away:
                    is_away = False
                    tell(told, self, None)
            except Exception as error:
                if not isinstance(error, self._broker.transport.errors):
                    _log.error("receiving failed: %s", error, exc_info=error, extra=self._extra)
                link.drop()
                is_away = True
                tell(told, self, str(error) or type(error).__name__)
                tell(self.asked.set)
                retry_at = monotonic() + backoff.next()
        link.close()
        tell(self._ended)

    def _ended(self) -> None:
        """The worker is done, also where nobody closed it: a trigger was edited or removed."""
        self._broker.forget(self)
        self.queued.set()
        gevent.spawn(self._worker.join)  # it may have a thread to end


class _Link:
    """The worker's half: the connection, and what is in hand."""

    def __init__(self, worker: Worker, transport: Transport, queue: Queue, prefetch: int) -> None:
        self._worker, self._transport = worker, transport
        self._queue, self._prefetch = queue, prefetch
        # For operators, who see it at the server: which OS process, and one name for each.
        self._name = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self.consumer: Consumer | None = None
        self._hand: dict[Any, Message] = {}
        self._todo: deque[tuple[str, Message]] = deque()  # what the server was not told yet
        self._found: list[Message] = []  # to be handed out again
        self._is_begun = self._is_ended = self._is_closing = self._receives = False
        self._is_paused = False

    def connect(self) -> None:
        self.consumer = self._transport.consumer(self._queue, self._prefetch, self._name)
        self._receives = False

    def drop(self) -> None:
        """The connection is lost."""
        if self.consumer is not None:
            self.consumer.drop()
            self.consumer = None
        if not self._transport.keeps_hand:
            self._hand.clear()
            self._todo.clear()

    def listen(self, pause: float) -> bool:
        """Hear what the hub says; waits for it if there is nothing else to do. False: the end."""
        is_busy = bool(self._todo or self._wants_more()) and self.consumer is not None
        seconds = 0.0 if is_busy or (self.consumer is None and pause <= 0) else TICK
        for what, message in self._worker.received(seconds):
            self._hear(what, message)
        if self._is_closing:
            return False
        return not self._is_ended or bool(self._hand or self._todo)

    def _hear(self, what: str, message: Message) -> None:
        if what == BEGIN:
            self._is_begun = True
        elif what in (PAUSE, RESUME):
            self._is_paused = what == PAUSE
        elif what in (END, CLOSE):
            self._is_ended = True
            self._is_closing = self._is_closing or what == CLOSE
        elif message.tag in self._hand:  # else it went with its connection
            transport = self._transport
            if what == AGAIN and transport.keeps_hand and not transport.delivers_again:
                message = message._replace(deliveries=message.deliveries + 1)
                self._hand[message.tag] = message
                self._found.append(message)
            else:
                del self._hand[message.tag]
            self._todo.append((what, message))

    def _wants_more(self) -> bool:
        return self._is_wanted and len(self._hand) < self._prefetch

    @property
    def _is_wanted(self) -> bool:
        """Whether messages are to be received."""
        return self._is_begun and not self._is_ended and not self._is_paused

    def step(self) -> list[Message]:
        """Tell the server what is to be told, and return what it hands over."""
        consumer = self.consumer
        assert consumer is not None
        if self._is_wanted and not self._receives:
            consumer.begin()
            self._receives = True
        elif self._receives and not self._is_wanted:
            consumer.end()
            self._receives = False
        self._tell(consumer)
        consumer.tick()
        found, self._found = self._found, []
        if self._wants_more():
            room = self._prefetch - len(self._hand)
            more = consumer.receive(0.0 if found else TICK, room, self._hand.keys())
            self._hand.update((message.tag, message) for message in more)
            found += more
        return found

    def _tell(self, consumer: Consumer) -> None:
        for what, message in self._todo:
            if what == ACKNOWLEDGE:
                consumer.acknowledge(message)
            elif what == AGAIN:
                consumer.again(message)
            else:
                consumer.release(message)
        consumer.flush(self._hand.keys())
        self._todo.clear()

    def close(self) -> None:
        """Give back what is in hand, and end the connection. Where that fails the server finds out
        by itself."""
        if self.consumer is None:
            return
        self._todo.extend((RELEASE, message) for message in self._hand.values())
        self._hand.clear()
        try:
            if self._receives:
                self.consumer.end()
            self._tell(self.consumer)
            self.consumer.close()
        except self._transport.errors:
            self.consumer.drop()
        self.consumer = None


def letter(topic: str, trigger: str, error: str, deliveries: int, payload: Any) -> dict[str, Any]:
    """A dead letter: the payload, and what became of it. The payload is bytes if it could not be
    decoded."""
    return {
        "topic": topic,
        "trigger": trigger,
        "error": wire.writable(error if len(error) <= ERROR else error[: ERROR - 3] + "..."),
        "deliveries": deliveries,
        "time": datetime.now(UTC),
        "payload": payload,
    }
