"""AMQP 0-9-1 as a broker: an exchange for each namespace, a quorum queue for each subscriber.

Lives here: AmqpTransport, and what its URLs say. It speaks through py-amqp, and is made for
RabbitMQ from 3.10 on.

The exchange is direct, and a topic is a routing key. Messages are persistent and confirmed by the
server; what is not acknowledged goes back to its queue when its connection ends. Quorum queues
count how often they handed a message over, so that one that kills its runtimes is noticed, too.

A queue that is there is used as it is: the time that it outlives its subscribers was fixed when it
was made. A connection is used by one worker, and every wait in it has an end.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Set
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import amqp
from amqp.exceptions import AMQPError, NotFound, PreconditionFailed, RecoverableConnectionError

from greenflow.broker.transport import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    BrokerConnection,
    Consumer,
    Message,
    Posting,
    Producer,
    Queue,
    Transport,
    short,
)
from greenflow.broker.wire import MESSAGEPACK
from greenflow.errors import BrokerMisconfigured
from greenflow.log.redactor import redact, redact_url

if TYPE_CHECKING:
    from greenflow.config import BrokerSettings

# IANA's for AMQP, and for AMQP by TLS.
PORTS = {"amqp": 5672, "amqps": 5671}

HEARTBEAT_SECONDS = 10  # silence of twice that means that the other side is gone

# We limit deliveries ourselves. From RabbitMQ 4.0 on the server would drop a message after 20.
DELIVERY_LIMIT = 1_000_000_000

PERSISTENT = 2  # delivery mode

DRAINED = 1000  # frames that are read before something else is looked at

# Seconds in which more may follow. Not 0: where a frame has come in part, the library would spin
# until the rest is there, which may be never, and block the whole program.
MOMENT = 0.0005

# How RabbitMQ closes the channel on which a message came that is too large for it. Nothing says
# before how large one may be: 128 MiB up to 3.13, 16 MiB from 4.0 on, or what was configured.
_TOO_LARGE = re.compile(r"message size \d+ is larger than .*max size (\d+)")

_epochs = itertools.count(1)


class PatientConnection(amqp.Connection):  # type: ignore[misc]
    """Without notes from the server that it takes no messages for now: for these the library looks
    before each message that is published, as it must not (see MOMENT). Nor does it confirm any."""

    negotiate_capabilities: ClassVar[dict[str, bool]] = {
        **amqp.Connection.negotiate_capabilities,
        "connection.blocked": False,
    }


class ServerPlace(NamedTuple):
    """A server, and as whom to speak to it; `options` are py-amqp's."""

    host: str
    options: dict[str, Any]

    @classmethod
    def parse(cls, url: str) -> ServerPlace:
        """What a URL says, or leaves to the defaults of RabbitMQ. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS:
            raise ValueError("each of several servers is a whole URL, amqp:// or amqps://")
        options: dict[str, Any] = {
            "userid": unquote(parts.username or "") or "guest",
            "password": unquote(parts.password or "") or "guest",
            "virtual_host": unquote(parts.path[1:]) or "/",
            "login_method": "PLAIN",
            "heartbeat": HEARTBEAT_SECONDS,
        }
        name = unquote(parts.hostname or "") or "localhost"
        if parts.scheme == "amqps":
            options["ssl"] = {"server_hostname": name}  # it must be the one on the certificate
        for option, value in parse_qsl(parts.query, keep_blank_values=True):
            if option == "heartbeat":
                options[option] = float(value)
            elif option == "login_method":
                options[option] = value
            else:
                raise ValueError(f"unknown option {option}; known are heartbeat and login_method")
        address = f"[{name}]" if ":" in name else name
        return cls(f"{address}:{parts.port or PORTS[parts.scheme]}", options)


class AmqpTransport(Transport):
    """The server of a URL: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` for TLS; several,
    separated by semicolons, are tried in turn."""

    errors = (AMQPError, OSError)
    keeps_hand = False

    def __init__(self, url: str, namespace: str, settings: BrokerSettings) -> None:
        self.name = redact_url(url)
        self.settings = settings
        self.exchange = f"greenflow.{short(namespace)}"
        try:
            self._places = deque(ServerPlace.parse(each) for each in url.split(";"))
        except ValueError as error:
            raise BrokerMisconfigured(f"{self.name}: {redact(str(error))}") from None

    def connect(self) -> Any:
        """A connection of its own."""
        host, options = self._places[0]
        connection = PatientConnection(host, connect_timeout=CONNECT_SECONDS, **options)
        try:
            connection.connect()
        except self.errors:
            if self._places[0].host == host:  # another worker may have turned to the next already
                self._places.rotate(-1)
            raise
        # Without it the library waits for ever for what a server does not say.
        connection.transport.sock.settimeout(ANSWER_SECONDS)
        return connection

    def queue(self, queue: Queue) -> str:
        """The name of a queue at the server."""
        return f"{self.exchange}.{queue.name}"

    def producer(self) -> Producer:
        return AmqpProducer(self)

    def consumer(self, queue: Queue, prefetch: int, name: str) -> Consumer:
        return AmqpConsumer(self, queue, prefetch, name)


class AmqpConnection(BrokerConnection):
    """What producers and consumers have in common."""

    def __init__(self, transport: AmqpTransport) -> None:
        self.transport = transport
        self.connection = transport.connect()
        self._beat_at = 0.0
        try:
            self.channel = self.connection.channel()
            self.channel.exchange_declare(
                transport.exchange, "direct", durable=True, auto_delete=False
            )
        except BaseException:
            self.drop()
            raise

    def declare(self, queue: Queue) -> str:
        """See that a queue is there."""
        name = self.transport.queue(queue)
        probe = self.connection.channel()
        try:
            probe.queue_declare(name, passive=True)
            probe.close()
        except NotFound:  # the server has closed the channel
            arguments = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
            if self.transport.settings.expires and not queue.kept:
                arguments["x-expires"] = int(self.transport.settings.expires * 1000)
            self.channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        return name

    def drain(self, seconds: float) -> None:
        """Take in what the server says; waits for it at most so long."""
        try:
            self.connection.drain_events(timeout=max(seconds, MOMENT))
            for _ in range(DRAINED):
                self.connection.drain_events(timeout=MOMENT)
        except TimeoutError:
            return

    def tick(self) -> None:
        # Also takes in what came meanwhile: heartbeats are not asked for.
        if monotonic() >= self._beat_at:
            self._beat_at = monotonic() + HEARTBEAT_SECONDS / 10
            self.drain(0)
            self.connection.heartbeat_tick(rate=2)

    def close(self) -> None:
        self.connection.close()

    def drop(self) -> None:
        try:
            self.connection.collect()
        except AmqpTransport.errors:
            return  # it was broken before


class AmqpProducer(AmqpConnection, Producer):
    """Publishes."""

    def __init__(self, transport: AmqpTransport) -> None:
        super().__init__(transport)
        self._declared: dict[Queue, str] = {}
        self._prepare()

    def _prepare(self) -> None:
        """Have the channel confirm what is published on it."""
        self._unconfirmed: dict[int, Posting] = {}
        self._numbers = itertools.count(1)  # as the server counts
        self.channel.confirm_select()
        self.channel.events["basic_ack"].add(self._on_confirmed)
        self.channel.events["basic_nack"].add(self._on_refused)

    def publish(self, postings: list[Posting]) -> None:
        for posting in postings:
            posting.refusal = posting.refusal or self.transport.refusal(posting)
        try:
            self._publish([it for it in postings if not it.done and not it.refusal])
        except PreconditionFailed as error:
            found = _TOO_LARGE.search(str(error))
            if found is None or int(found[1]) == self.transport.largest:
                raise
            self.transport.largest = int(found[1])
            self.channel = self.connection.channel()  # the server has closed the other
            self._prepare()
            self.publish(postings)

    def _publish(self, postings: list[Posting]) -> None:
        for posting in postings:
            message = amqp.Message(
                posting.body, content_type=posting.content_type, delivery_mode=PERSISTENT
            )
            exchange, key = self.transport.exchange, short(posting.topic)
            if posting.queue is not None:
                if posting.queue not in self._declared:
                    self._declared[posting.queue] = self.declare(posting.queue)
                exchange, key = "", self._declared[posting.queue]
            self._unconfirmed[next(self._numbers)] = posting
            self.channel.basic_publish(message, exchange, key)
        end = monotonic() + ANSWER_SECONDS
        while self._unconfirmed:
            if monotonic() > end:
                raise RecoverableConnectionError("the server confirms nothing")
            self.drain(1.0)

    def _on_confirmed(self, number: int, multiple: bool) -> None:
        for posting in self._answered(number, multiple):
            posting.done = True

    def _on_refused(self, number: int, multiple: bool) -> None:
        for posting in self._answered(number, multiple):
            posting.refusal = "the server refused the message"

    def _answered(self, number: int, multiple: bool) -> list[Posting]:
        waiting = self._unconfirmed
        numbers = [each for each in waiting if each <= number] if multiple else [number]
        return [waiting.pop(each) for each in numbers if each in waiting]


class AmqpConsumer(AmqpConnection, Consumer):
    """Receives the messages of one queue."""

    def __init__(self, transport: AmqpTransport, queue: Queue, prefetch: int, name: str) -> None:
        super().__init__(transport)
        self._epoch = next(_epochs)  # tags of another connection mean nothing here
        self._consumer = name
        self._found: list[Message] = []
        self._is_cancelled = False
        try:
            self._queue = self.declare(queue)
            if not queue.kept:
                self.channel.queue_bind(self._queue, transport.exchange, short(queue.topic))
            self.channel.basic_qos(0, prefetch, False)
        except BaseException:
            self.drop()
            raise

    def begin(self) -> None:
        self.channel.basic_consume(
            self._queue,
            consumer_tag=self._consumer,
            callback=self._on_message,
            on_cancel=self._on_cancelled,
        )

    def receive(self, seconds: float, room: int, hand: Set[Any]) -> list[Message]:
        if not self._found:
            self.drain(seconds)
        if self._is_cancelled:
            raise RecoverableConnectionError("the queue was deleted")
        found, self._found = self._found, []
        return found

    def end(self) -> None:
        self.channel.basic_cancel(self._consumer)
        for message in self._found:  # they came meanwhile
            self.release(message)
        self._found = []

    def acknowledge(self, message: Message) -> None:
        self.channel.basic_ack(message.tag[1])

    def again(self, message: Message) -> None:
        self.channel.basic_reject(message.tag[1], requeue=True)

    def release(self, message: Message) -> None:
        self.channel.basic_reject(message.tag[1], requeue=True)

    def flush(self, hand: Set[Any]) -> None:
        """It is sent already."""

    def _on_message(self, message: Any) -> None:
        headers = message.properties.get("application_headers") or {}
        body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
        count = headers.get("x-delivery-count", 0)  # how often it came back
        kind = message.properties.get("content_type", MESSAGEPACK)
        tag = (self._epoch, message.delivery_info["delivery_tag"])
        self._found.append(Message(tag, body, kind, 1 + (count if isinstance(count, int) else 0)))

    def _on_cancelled(self, consumer: str) -> None:
        self._is_cancelled = True
