"""MongoDB as a broker: a collection of messages, and one of the queues that they are for.

Lives here: MongoTransport. Not by kombu's transport, which deletes a message when it hands it over:
a runtime that is killed then loses it.

A message has a moment `free` from which somebody may take it. Who takes it moves that moment on by
the visibility time-out, again and again while it has the message in hand, and deletes the message
when it is done; so the messages of a runtime that died are free again when the time-out is over.
The moments are of the runtimes' clocks, which must agree much better than that. Consumers ask;
nobody tells them.
"""

from __future__ import annotations

import time
from collections.abc import Set
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

from bson import Binary
from pymongo import ASCENDING, MongoClient, ReturnDocument
from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

from greenflow.broker.transport import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    RENEW_SECONDS,
    BrokerConnection,
    Consumer,
    Message,
    Posting,
    Producer,
    Queue,
    Transport,
    short,
    visibility_of,
)
from greenflow.config import mongodb
from greenflow.errors import BrokerMisconfigured
from greenflow.log.redactor import redact, redact_url

if TYPE_CHECKING:
    from greenflow.config import BrokerSettings

MESSAGES, QUEUES = "broker_messages", "broker_queues"

# Bytes of a document at any server, and of one beside the body in it. A server says how many it
# takes when it is connected to.
MAX_DOCUMENT, AROUND_BODY = 16 * 1024 * 1024, 4096

CLAIMS = 3  # times in a visibility time-out that what is in hand is claimed: two may fail


class MongoTransport(Transport):
    """The database of a URL, `mongodb://` or `mongodb+srv://`, with the driver's options."""

    errors = (PyMongoError, OSError)
    keeps_hand = True
    largest = MAX_DOCUMENT - AROUND_BODY

    def __init__(self, url: str, namespace: str, settings: BrokerSettings) -> None:
        self.name = redact_url(url)
        self.settings, self.visibility = settings, timedelta(seconds=visibility_of(settings))
        self._prefix = f"{short(namespace)}."
        options: dict[str, Any] = {
            "appname": "greenflow",
            "connect": False,
            "tz_aware": True,
            "serverSelectionTimeoutMS": int(CONNECT_SECONDS * 1000),
            "socketTimeoutMS": int(ANSWER_SECONDS * 1000),
            "retryWrites": True,
            "w": "majority",
            "journal": True,
        }
        given = mongodb.options(url)
        options = {name: value for name, value in options.items() if name.lower() not in given}
        try:
            self._client: MongoClient[dict[str, Any]] = MongoClient(url, **options)
            database = self._client.get_default_database(mongodb.DEFAULT_DATABASE)
        except InvalidURI:
            raise BrokerMisconfigured(f"{self.name}: {mongodb.UNREADABLE}") from None
        except (ConfigurationError, ValueError, TypeError) as error:
            raise BrokerMisconfigured(f"{self.name}: {redact(str(error))}") from None
        self.messages, self.queues = database[MESSAGES], database[QUEUES]

    def topic(self, topic: str) -> str:
        """A topic of the namespace."""
        return self._prefix + short(topic)

    def queue(self, queue: Queue) -> str:
        """A queue of the namespace."""
        return self._prefix + queue.name

    def producer(self) -> Producer:
        self.prepare()
        return MongoProducer(self)

    def consumer(self, queue: Queue, prefetch: int, name: str) -> Consumer:
        self.prepare()
        return MongoConsumer(self, queue, name)

    def prepare(self) -> None:
        """See that the server is there, and finds messages without looking at all of them."""
        self.messages.create_index([("queue", ASCENDING), ("free", ASCENDING)])
        hello = self._client.admin.command("hello")
        self.largest = int(hello["maxBsonObjectSize"]) - AROUND_BODY

    def close(self) -> None:
        self._client.close()


class MongoConnection(BrokerConnection):
    """The driver has connections of its own."""

    def __init__(self, transport: MongoTransport) -> None:
        self.transport = transport

    def tick(self) -> None:
        """Nothing has to be done."""

    def close(self) -> None:
        """The client is the transport's."""

    def drop(self) -> None:
        """The client connects again by itself."""


class MongoProducer(MongoConnection, Producer):
    """Publishes: a message for each queue of the topic."""

    def publish(self, postings: list[Posting]) -> None:
        transport, queues, documents = self.transport, dict[str, list[str]](), []
        for posting in postings:
            posting.refusal = transport.refusal(posting)
            if posting.refusal:
                continue
            if posting.queue is not None:
                names = [transport.queue(posting.queue)]
            else:
                topic = transport.topic(posting.topic)
                if topic not in queues:
                    alive = {"$or": [{"until": None}, {"until": {"$gt": now()}}]}
                    found = transport.queues.find({"topic": topic, **alive})
                    queues[topic] = [each["_id"] for each in found]
                names = queues[topic]
            documents += [
                {
                    "queue": name,
                    "type": posting.content_type,
                    "body": Binary(posting.body),
                    "free": now(),
                    "owner": None,
                    "deliveries": 0,
                }
                for name in names
            ]
        if documents:
            transport.messages.insert_many(documents)
        for posting in postings:
            posting.done = not posting.refusal


class MongoConsumer(MongoConnection, Consumer):
    """Takes the messages of one queue, by the name of its subscription."""

    def __init__(self, transport: MongoTransport, queue: Queue, name: str) -> None:
        super().__init__(transport)
        self._queue, self._full, self._name = queue, transport.queue(queue), name
        self._acknowledged: list[Any] = []
        self._others: list[tuple[Any, dict[str, Any]]] = []  # tags, and what to change
        self._claim_at = 0.0
        self._renew()

    def _renew(self) -> None:
        """Say that the queue is in use, and delete those that nobody used for too long."""
        transport, expires = self.transport, self.transport.settings.expires
        self._renew_at = monotonic() + RENEW_SECONDS
        if not self._queue.kept:
            until = now() + timedelta(seconds=expires) if expires else None
            change = {"$set": {"topic": transport.topic(self._queue.topic), "until": until}}
            transport.queues.update_one({"_id": self._full}, change, upsert=True)
        for over in list(transport.queues.find({"until": {"$lt": now()}})):
            gone = transport.queues.delete_one({"_id": over["_id"], "until": over["until"]})
            if gone.deleted_count:  # nobody has come back to it meanwhile
                transport.messages.delete_many({"queue": over["_id"]})

    def begin(self) -> None:
        """Who asks receives."""

    def end(self) -> None:
        """Who does not ask receives nothing."""

    def tick(self) -> None:
        if monotonic() >= self._renew_at:
            self._renew()

    def receive(self, seconds: float, room: int, hand: Set[Any]) -> list[Message]:
        found: list[Message] = []
        for _ in range(room):
            # In the order of the index, which is that of `free`, without asking for it.
            document = self.transport.messages.find_one_and_update(
                {"queue": self._full, "free": {"$lte": now()}},
                {
                    "$set": {"free": now() + self.transport.visibility, "owner": self._name},
                    "$inc": {"deliveries": 1},
                },
                return_document=ReturnDocument.AFTER,
            )
            if document is None:
                break
            if document["_id"] not in hand:  # else we were silent for too long, and it is ours
                body, kind = bytes(document["body"]), str(document["type"])
                found.append(Message(document["_id"], body, kind, document["deliveries"]))
        if not found and seconds:
            time.sleep(seconds)
        return found

    def acknowledge(self, message: Message) -> None:
        self._acknowledged.append(message.tag)

    def again(self, message: Message) -> None:
        self._others.append((message.tag, {"deliveries": message.deliveries}))

    def release(self, message: Message) -> None:
        change = {"free": now(), "owner": None, "deliveries": message.deliveries}
        self._others.append((message.tag, change))

    def flush(self, hand: Set[Any]) -> None:
        messages = self.transport.messages
        if self._acknowledged:
            messages.delete_many({"_id": {"$in": self._acknowledged}})
        for tag, change in self._others:
            messages.update_one({"_id": tag, "owner": self._name}, {"$set": change})
        self._acknowledged, self._others = [], []
        if hand and monotonic() >= self._claim_at:
            self._claim_at = monotonic() + self.transport.visibility.total_seconds() / CLAIMS
            claim = {"$set": {"free": now() + self.transport.visibility}}
            messages.update_many({"_id": {"$in": list(hand)}, "owner": self._name}, claim)


def now() -> datetime:
    """This moment, by our clock."""
    return datetime.now(UTC)
