"""What a server is spoken to through: the contract of its library's code.

Lives here: Transport, Consumer, Producer, Message, Posting, Queue, and which message is too large.
What is done with a message is remote.py's.

All of it blocks, and is called by one worker (hub/blocking/worker.py): a connection is never
shared. Errors of the library that mean that the connection is of no use any more are in
`Transport.errors`; after one the connection is closed and another one made.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Set
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import quote

from greenflow.errors import BrokerMisconfigured

if TYPE_CHECKING:
    from greenflow.config import BrokerSettings

# Bytes of a name that is made of a topic and a subscriber. AMQP has 255 for the name of a queue.
MAX_NAME = 200

CONNECT_SECONDS = 5.0  # a server that does not take a connection for so long is away
ANSWER_SECONDS = 10.0  # a server that is asked and says nothing for so long is away

# Bytes that a dead letter may say beside the event in it: the largest event fits into one.
LETTER_BYTES = 16_384

RENEW_SECONDS = 60.0  # between two times that a queue in use is said to live on

# Seconds. What is in hand is claimed three times as often, and a pause of Python's must not matter.
LEAST_VISIBILITY = 1.0


class Queue(NamedTuple):
    """Where the messages of a topic wait for a subscriber. The letters that nobody could deliver
    wait for all subscribers together, and also without any: that queue is `kept`."""

    topic: str
    subscriber: str
    kept: bool = False

    @property
    def name(self) -> str:
        """A name that no other topic and subscriber have."""
        return short(self.topic) + ("" if self.kept else f".{short(self.subscriber)}")


def short(text: str) -> str:
    """The text without dots, and not too long, one-to-one but for chance."""
    name = quote(text, safe="").replace(".", "%2E")
    if len(name) > MAX_NAME // 2:
        name = f"{name[: MAX_NAME // 4]}~{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    return name


def visibility_of(settings: BrokerSettings) -> float:
    """The visibility time-out in seconds. Raises BrokerMisconfigured if it is too short."""
    if settings.visibility < LEAST_VISIBILITY:
        raise BrokerMisconfigured(
            f"broker.visibility: {settings.visibility:g} s is too short; at least "
            f"{LEAST_VISIBILITY:g} s, and longer than a node may block all others"
        )
    return settings.visibility


class Message(NamedTuple):
    """A message that a server handed over. `deliveries` counts this one, too: 1 is the first."""

    tag: Any
    body: bytes
    content_type: str
    deliveries: int


class Posting:
    """A message to be published: on a topic, or into one queue. `done` once the server has it;
    `refusal` if it said that it does not take it."""

    def __init__(self, topic: str, body: bytes, content_type: str, queue: Queue | None) -> None:
        self.topic, self.body, self.content_type, self.queue = topic, body, content_type, queue
        self.done = False
        self.refusal = ""


def too_large(size: int, most: int, server: str) -> str:
    """Why a server does not take a message."""
    return (
        f"the event is too large: {size} bytes, {server} takes {most}; "
        "store it, and publish where it is"
    )


class BrokerConnection(ABC):
    """A connection to the server."""

    @abstractmethod
    def tick(self) -> None:
        """What has to be done now and then, ten times a second or so."""

    @abstractmethod
    def close(self) -> None:
        """End it in order. May raise what Transport.errors names."""

    @abstractmethod
    def drop(self) -> None:
        """End it without asking the server, which may be away. Never raises."""


class Producer(BrokerConnection):
    """Publishes."""

    @abstractmethod
    def publish(self, postings: list[Posting]) -> None:
        """Returns when the server has answered for all of them: each is done or refused."""


class Consumer(BrokerConnection):
    """Receives the messages of one queue, which it has made if it was not there."""

    @abstractmethod
    def begin(self) -> None:
        """Receive from now on, at most `prefetch` at a time."""

    @abstractmethod
    def receive(self, seconds: float, room: int, hand: Set[Any]) -> list[Message]:
        """What came; waits for it at most so long. `room` is how many more may be in hand, `hand`
        the tags of those that are."""

    @abstractmethod
    def end(self) -> None:
        """Receive no more; what is in hand stays there."""

    @abstractmethod
    def acknowledge(self, message: Message) -> None:
        """It is done: the server forgets it."""

    @abstractmethod
    def again(self, message: Message) -> None:
        """It is delivered again: by the server, or with `keeps_hand` and without `delivers_again`
        it is already, and this says for which time."""

    @abstractmethod
    def release(self, message: Message) -> None:
        """Give it back for somebody else, with the deliveries that it has had."""

    @abstractmethod
    def flush(self, hand: Set[Any]) -> None:
        """Have the server know what was said; `hand` is what is still in hand."""


class Transport(ABC):
    """A server. Nothing is opened by making one. `name` is its URL without secrets."""

    #: What a lost connection raises.
    errors: ClassVar[tuple[type[Exception], ...]]

    #: Whether what is in hand stays so when its connection is lost. Then a message is delivered
    #: again where it is; else the server hands it out once more, here or elsewhere.
    keeps_hand: ClassVar[bool]

    #: Whether the server hands a failed message out once more also with `keeps_hand`: it counts the
    #: deliveries by itself, and takes no other number.
    delivers_again: ClassVar[bool] = False

    #: Bytes of the largest body that the server takes, as far as that is known; 0 if it is not.
    #: What the server says when it is connected to counts.
    largest: int = 0

    name: str

    @abstractmethod
    def producer(self) -> Producer:
        """Connect, for publishing."""

    def refusal(self, posting: Posting) -> str:
        """Why the server will never take the message, as far as that is known. A dead letter has
        more room than the event in it."""
        most = self.largest - (LETTER_BYTES if posting.queue is None else 0)
        if not self.largest or len(posting.body) <= most:
            return ""
        return too_large(len(posting.body), most, "the broker")

    @abstractmethod
    def consumer(self, queue: Queue, prefetch: int, name: str) -> Consumer:
        """Connect, and see that the queue is there and gets what is published on its topic. `name`
        is that of the subscription, before and after a lost connection."""

    def close(self) -> None:  # noqa: B027 - most connections share nothing
        """Release what all connections shared."""
