"""Amazon SQS as a broker: a standard queue for each queue of ours.

Lives here: SqsTransport. Its rules are in the folder's __init__.py.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Iterator, Sequence, Set
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from greenflow.broker.sqs.bodies import BATCH, TYPE, Tag, batches, read, text, too_large
from greenflow.broker.sqs.names import full_name, parse, prefix_of
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
    visibility_of,
)
from greenflow.errors import BrokerMisconfigured
from greenflow.log.redactor import redact_url

if TYPE_CHECKING:
    from greenflow.config import BrokerSettings

# Seconds that a publisher relies on which queues a topic has. A request each time would double the
# time that publishing takes.
LIST_SECONDS = 2.0

# Seconds that a request for messages waits at the server while nothing is in hand. A trigger that
# is stopped waits for it, and each one costs: 86,400 a day for an idle trigger.
WAIT_SECONDS = 1

# Seconds between two requests that found nothing while something is in hand: those do not wait, for
# what is in hand has to be answered meanwhile.
LOOK_SECONDS = 0.5

CLAIMS = 3  # times in a visibility time-out that what is in hand is claimed: two may fail

# Seconds between two times that a queue in use is said to live on, and between two looks whether
# another one's time is over. An account may read and write 30 tags a second.
RENEW_SECONDS = 3600.0
SWEEP_SECONDS = 10.0

MOST_VISIBILITY = 43_200.0  # seconds, the server's limit (12 hours), from when it was received

RETENTION = 1_209_600  # seconds that the server keeps a message: its limit (14 days)

CONNECTIONS = 1000  # that are kept open: one for each trigger

UNTIL = "greenflow-until"  # our tag of a queue: seconds since 1970
FOR_EVER = "0"  # its value without an end

MISSING = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")

Item = TypeVar("Item")


class SqsTransport(Transport):
    """The queues of an account in a region: `sqs://[KEY:SECRET@]REGION[?endpoint=URL]`. Without a
    key the client finds one where its documentation says: variables, files, roles."""

    errors = (BotoCoreError, ClientError, OSError)
    keeps_hand = True
    delivers_again = True

    def __init__(self, url: str, namespace: str, settings: BrokerSettings) -> None:
        self.name = redact_url(url)
        self._place = parse(url)
        self.namespace, self.settings = namespace, settings
        seconds = visibility_of(settings)
        if seconds > MOST_VISIBILITY:
            raise BrokerMisconfigured(
                f"broker.visibility: {seconds:g} s is too long; SQS allows {MOST_VISIBILITY:g} s"
            )
        self.visibility = math.ceil(seconds)
        self._lock = threading.Lock()
        self._client: Any = None
        # The queues of topics, by the prefix of their names, and until when that is relied on.
        self._queues: dict[str, tuple[float, list[str]]] = {}
        # Queues that we made: the server may take a while to name them.
        self._own: dict[str, set[str]] = {}

    @property
    def client(self) -> Any:
        """All connections share it. The first one makes it: that may ask the network for keys."""
        with self._lock:
            if self._client is None:
                place = self._place
                self._client = botocore.session.Session().create_client(
                    "sqs",
                    region_name=place.region,
                    endpoint_url=place.endpoint,
                    aws_access_key_id=place.key,
                    aws_secret_access_key=place.secret,
                    config=Config(
                        connect_timeout=CONNECT_SECONDS,
                        read_timeout=ANSWER_SECONDS,
                        max_pool_connections=CONNECTIONS,
                        retries={"mode": "standard", "total_max_attempts": 2},
                    ),
                )
            return self._client

    def producer(self) -> Producer:
        return SqsProducer(self)

    def refusal(self, posting: Posting) -> str:
        return too_large(posting)

    def consumer(self, queue: Queue, prefetch: int, name: str) -> Consumer:
        return SqsConsumer(self, queue)

    def opened(self, queue: Queue) -> str:
        """The URL of a queue, which is made if it was not there."""
        name = full_name(self.namespace, queue)
        try:
            url = str(self.client.get_queue_url(QueueName=name)["QueueUrl"])
        except ClientError as error:
            if _code(error) not in MISSING:
                raise
            attributes = {"MessageRetentionPeriod": str(RETENTION)}
            made = self.client.create_queue(QueueName=name, Attributes=attributes)
            url = str(made["QueueUrl"])
        if not queue.kept:
            prefix = prefix_of(self.namespace, queue.topic)
            with self._lock:
                self._own.setdefault(prefix, set()).add(url)
        return url

    def queues(self, topic: str) -> list[str]:
        """The URLs of the queues of a topic."""
        prefix = prefix_of(self.namespace, topic)
        with self._lock:
            until, found = self._queues.get(prefix, (0.0, []))
        # That nobody has subscribed is asked each time.
        if not found or monotonic() >= until:
            pages = self.client.get_paginator("list_queues").paginate(
                QueueNamePrefix=prefix, PaginationConfig={"PageSize": 1000}
            )
            found = [url for page in pages for url in page.get("QueueUrls", ())]
            with self._lock:
                self._queues[prefix] = (monotonic() + LIST_SECONDS, found)
        with self._lock:
            # By their names: some servers have several URLs for one.
            named = {url.rpartition("/")[2]: url for url in (*self._own.get(prefix, ()), *found)}
        return list(named.values())

    def gone(self, topic: str, url: str) -> None:
        """A queue of a topic is not there any more."""
        prefix = prefix_of(self.namespace, topic)
        with self._lock:
            self._queues.pop(prefix, None)
            self._own.get(prefix, set()).discard(url)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


class SqsConnection(BrokerConnection):
    """The client has connections of its own."""

    def __init__(self, transport: SqsTransport) -> None:
        self.transport, self.client = transport, transport.client

    def tick(self) -> None:
        """Nothing has to be done."""

    def close(self) -> None:
        """The client is the transport's."""

    def drop(self) -> None:
        """The client connects again by itself."""


class SqsProducer(SqsConnection, Producer):
    """Publishes: a message for each queue of the topic."""

    def __init__(self, transport: SqsTransport) -> None:
        super().__init__(transport)
        self._kept: dict[Queue, str] = {}

    def publish(self, postings: list[Posting]) -> None:
        orders: dict[str, list[Posting]] = {}
        for posting in postings:
            posting.refusal = too_large(posting)
            if not posting.refusal:
                for url in self._urls(posting):
                    orders.setdefault(url, []).append(posting)
        left = {id(posting): 0 for posting in postings}
        for group in orders.values():
            for posting in group:
                left[id(posting)] += 1
        for posting in postings:
            posting.done = not posting.refusal and not left[id(posting)]
        for url, group in orders.items():
            for batch in batches(group):
                for posting in self._send(url, batch):
                    left[id(posting)] -= 1
                    posting.done = not posting.refusal and not left[id(posting)]

    def _urls(self, posting: Posting) -> list[str]:
        queue = posting.queue
        if queue is None:
            return self.transport.queues(posting.topic)
        if queue not in self._kept:
            self._kept[queue] = self.transport.opened(queue)
        return [self._kept[queue]]

    def _send(self, url: str, batch: list[Posting]) -> list[Posting]:
        """Send these to a queue; returns those that were answered."""
        entries = [
            {
                "Id": str(number),
                "MessageBody": text(posting),
                "MessageAttributes": {
                    TYPE: {"DataType": "String", "StringValue": posting.content_type}
                },
            }
            for number, posting in enumerate(batch)
        ]
        try:
            answer = self.client.send_message_batch(QueueUrl=url, Entries=entries)
        except ClientError as error:
            if _code(error) not in MISSING or batch[0].queue is not None:
                raise  # a queue that is always there is made anew by the next connection
            for topic in {posting.topic for posting in batch}:
                self.transport.gone(topic, url)
            return batch  # its time was over
        for failed in answer.get("Failed", ()):
            if not failed.get("SenderFault"):
                raise ConnectionError(f"SQS: {failed['Code']}: {failed.get('Message', '')}")
            posting = batch[int(failed["Id"])]
            posting.refusal = f"{failed['Code']}: {failed.get('Message', '')}"
        return batch


class SqsConsumer(SqsConnection, Consumer):
    """Receives the messages of one queue."""

    def __init__(self, transport: SqsTransport, queue: Queue) -> None:
        super().__init__(transport)
        self._queue, self._url = queue, transport.opened(queue)
        self._acknowledged: list[Tag] = []
        self._visible: list[Tag] = []
        self._claim_at = self._look_at = self._sweep_at = 0.0
        self._others: list[str] = []  # to be looked at, whether their time is over
        self._renew()

    def _renew(self) -> None:
        """Say that the queue is in use, and look at the others of its topic, one by one."""
        expires, now = self.transport.settings.expires, monotonic()
        self._renew_at = now + min(RENEW_SECONDS, expires / 2 or RENEW_SECONDS)
        if self._queue.kept:
            return
        until = str(int(time.time() + expires)) if expires else FOR_EVER
        try:
            self.client.tag_queue(QueueUrl=self._url, Tags={UNTIL: until})
        except ClientError as error:
            if not _is_throttled(error):
                raise
            self._renew_at = now + random.uniform(1.0, 2.0) * SWEEP_SECONDS
        self._others = [url for url in self.transport.queues(self._queue.topic) if url != self._url]

    def _sweep(self, url: str) -> None:
        """Delete a queue that nobody used for too long."""
        self._sweep_at = monotonic() + SWEEP_SECONDS
        try:
            tags = self.client.list_queue_tags(QueueUrl=url).get("Tags", {})
            until = tags.get(UNTIL, FOR_EVER)  # one that was just made has none yet
            if until.isdecimal() and 0 < int(until) < time.time():
                self.client.delete_queue(QueueUrl=url)
                self.transport.gone(self._queue.topic, url)
        except ClientError as error:
            if _code(error) in MISSING:
                self.transport.gone(self._queue.topic, url)
            elif not _is_throttled(error):  # else it is looked at with the next renewal
                raise

    def begin(self) -> None:
        """Who asks receives."""

    def end(self) -> None:
        """Who does not ask receives nothing."""

    def tick(self) -> None:
        if monotonic() >= self._renew_at:
            self._renew()
        if self._others and monotonic() >= self._sweep_at:
            self._sweep(self._others.pop())

    def receive(self, seconds: float, room: int, hand: Set[Any]) -> list[Message]:
        if hand and monotonic() < self._look_at:
            time.sleep(seconds)
            return []
        wait = 0 if hand or not seconds else WAIT_SECONDS
        answer = self.client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(room, BATCH),
            WaitTimeSeconds=wait,
            VisibilityTimeout=self.transport.visibility,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
            MessageAttributeNames=[TYPE],
        )
        received = answer.get("Messages", ())
        found = {each.tag: each for each in map(read, received)}
        for tag in [tag for tag in hand if tag in found]:  # we were silent for too long
            tag.receipt = found.pop(tag).tag.receipt
        if found and not hand:
            self._claim_at = monotonic() + self.transport.visibility / CLAIMS
        if not received:
            self._look_at = monotonic() + LOOK_SECONDS
            if not wait:
                time.sleep(seconds)
        return list(found.values())

    def acknowledge(self, message: Message) -> None:
        self._acknowledged.append(message.tag)

    def again(self, message: Message) -> None:
        self._visible.append(message.tag)
        self._look_at = 0.0

    def release(self, message: Message) -> None:
        self._visible.append(message.tag)

    def flush(self, hand: Set[Any]) -> None:
        for tags in _chunks(self._acknowledged):
            entries = [{"Id": str(n), "ReceiptHandle": tag.receipt} for n, tag in enumerate(tags)]
            _check(self.client.delete_message_batch(QueueUrl=self._url, Entries=entries))
        self._change(self._visible, 0)
        self._acknowledged, self._visible = [], []
        if hand and monotonic() >= self._claim_at:
            self._claim_at = monotonic() + self.transport.visibility / CLAIMS
            self._change(list(hand), self.transport.visibility)

    def _change(self, tags: Sequence[Tag], seconds: int) -> None:
        """Have messages be invisible for so long from now on."""
        for some in _chunks(tags):
            entries = [
                {"Id": str(n), "ReceiptHandle": tag.receipt, "VisibilityTimeout": seconds}
                for n, tag in enumerate(some)
            ]
            _check(self.client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries))


def _check(answer: dict[str, Any]) -> None:
    """Raises ConnectionError if the server failed. What is our fault is a message that somebody
    else has by now, or that was in hand for longer than the server allows."""
    for failed in answer.get("Failed", ()):
        if not failed.get("SenderFault"):
            raise ConnectionError(f"SQS: {failed['Code']}: {failed.get('Message', '')}")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _is_throttled(error: ClientError) -> bool:
    return "Throttl" in _code(error)


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
