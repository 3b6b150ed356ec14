"""Redis as a broker: a stream for each queue, its consumer group for who has which message.

Lives here: RedisTransport. Redis 6.2 or later, through redis-py.

Not by kombu's transport, which takes a message from its list before it notes who has it: a runtime
killed in between loses it. In a stream the server itself keeps what was handed out and to whom, and
for how long they said nothing; a message is removed when it is acknowledged.

What a runtime has in hand it claims again and again, so the visibility time-out is over for the
messages of a runtime that died and for no others; the others look for those now and then. All keys
of a namespace have one hash tag, `{greenflow:NAMESPACE}`: the set `topic.TOPIC` names the queues of
a topic, and `queue.TOPIC.SUBSCRIBER` is the stream of one. A stream whose time is over is gone, and
leaves the set when something is published next.
"""

from __future__ import annotations

from collections.abc import Set
from time import monotonic
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from greenflow.broker.transport import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    RENEW_SECONDS,
    Consumer,
    Message,
    Posting,
    Producer,
    Queue,
    Transport,
    short,
    visibility_of,
)
from greenflow.broker.wire import MESSAGEPACK
from greenflow.errors import BrokerMisconfigured
from greenflow.log.redactor import redact, redact_url

if TYPE_CHECKING:
    from greenflow.config import BrokerSettings

GROUP = "greenflow"

CLAIMS = 3  # times in a visibility time-out that what is in hand is claimed: two may fail

LOOK_SECONDS = 1.0  # between two looks for what others gave back or left behind

# A consumer that has nothing in hand is forgotten when it said nothing for so many times the time
# in which it has to.
FORGOTTEN = 10

# Messages that the server may count for us beyond those in hand: others may have been given back.
MORE = 100

# KEYS: the set of queues. ARGV: what the key of a stream begins with, content type, body.
_PUBLISH = """
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local stream = ARGV[1] .. name
  if redis.call('EXISTS', stream) == 1 then
    redis.call('XADD', stream, '*', 'type', ARGV[2], 'body', ARGV[3])
  else
    redis.call('SREM', KEYS[1], name)
  end
end
return 1
"""

# KEYS: the stream. ARGV: the group, for how many milliseconds a consumer may be silent, and one
# that leaves. A consumer that has messages in hand would take them with it.
_FORGET = """
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local name, pending, silent = consumer[2], consumer[4], consumer[6]
  if pending == 0 and (name == ARGV[3] or silent > tonumber(ARGV[2])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], name)
  end
end
return 1
"""


# What a server calls the bytes that one word of a command may have, and how many these are unless
# it was set. What is longer ends the connection, whatever else is on it.
LARGEST, MAX_BULK = "proto-max-bulk-len", 512 * 1024 * 1024


class RedisTransport(Transport):
    """The server of a URL: `redis://`, or `rediss://` for TLS; redis-py's options may follow."""

    errors = (redis.RedisError, OSError)
    keeps_hand = True

    def __init__(self, url: str, namespace: str, settings: BrokerSettings) -> None:
        self.name = redact_url(url)
        self._url, self.settings = url, settings
        self.visibility = visibility_of(settings)
        self._prefix = f"{{greenflow:{short(namespace)}}}:"
        try:
            redis.ConnectionPool.from_url(url)  # opens nothing
        except (ValueError, TypeError) as error:
            raise BrokerMisconfigured(f"{self.name}: {redact(str(error))}") from None

    def connect(self) -> Any:
        """A client with one connection. A command is never sent twice by the library itself."""
        return redis.Redis.from_url(
            self._url,
            single_connection_client=True,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    def producer(self) -> Producer:
        return RedisProducer(self)

    def consumer(self, queue: Queue, prefetch: int, name: str) -> Consumer:
        return RedisConsumer(self, queue, name)

    def topic(self, topic: str) -> str:
        """The key of the set of a topic's queues."""
        return f"{self._prefix}topic.{short(topic)}"

    @property
    def streams(self) -> str:
        """What the keys of streams begin with."""
        return f"{self._prefix}queue."


class RedisConnection:
    """What producers and consumers have in common."""

    def __init__(self, transport: RedisTransport) -> None:
        self.transport = transport
        self.client = transport.connect()

    def tick(self) -> None:
        """Nothing has to be done."""

    def close(self) -> None:
        self.client.close()
        self.client.connection_pool.disconnect()

    def drop(self) -> None:
        try:
            RedisConnection.close(self)
        except RedisTransport.errors:
            return  # it was broken before


class RedisProducer(RedisConnection, Producer):
    """Publishes."""

    def __init__(self, transport: RedisTransport) -> None:
        super().__init__(transport)
        self._script = self.client.script_load(_PUBLISH)
        try:
            (most,) = self.client.config_get(LARGEST).values()
        except (redis.ResponseError, ValueError):  # many services do not tell
            most = MAX_BULK
        transport.largest = int(most)

    def publish(self, postings: list[Posting]) -> None:
        streams = self.transport.streams
        pipe = self.client.pipeline(transaction=False)
        for posting in postings:
            posting.refusal = self.transport.refusal(posting)
        postings = [posting for posting in postings if not posting.refusal]
        for posting in postings:
            kind, body = posting.content_type, posting.body
            if posting.queue is not None:
                pipe.xadd(streams + posting.queue.name, {"type": kind, "body": body})
            else:
                topic = self.transport.topic(posting.topic)
                pipe.evalsha(self._script, 1, topic, streams, kind, body)
        answers = pipe.execute(raise_on_error=False)
        for posting, answer in zip(postings, answers, strict=True):
            if isinstance(answer, redis.exceptions.NoScriptError):
                raise answer  # somebody had the server forget it: connect again
            if isinstance(answer, Exception):
                posting.refusal = str(answer)
            else:
                posting.done = True


class RedisConsumer(RedisConnection, Consumer):
    """One of the consumers of a stream's group, by its name."""

    def __init__(self, transport: RedisTransport, queue: Queue, name: str) -> None:
        super().__init__(transport)
        self._queue, self._name = queue, name
        self._stream = transport.streams + queue.name
        self._visibility = transport.visibility
        self._visibility_ms = int(self._visibility * 1000)
        self._acknowledged: list[Any] = []
        self._others: list[tuple[Any, dict[str, int]]] = []  # tags, and what a claim says of them
        self._claim_at = self._look_at = 0.0
        self._cursor = "0-0"
        try:
            # From the beginning: dead letters may have come before anybody asked for them.
            self.client.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._renew()

    def begin(self) -> None:
        """Who asks receives."""

    def end(self) -> None:
        """Who does not ask receives nothing."""

    def tick(self) -> None:
        if monotonic() >= self._renew_at:
            self._renew()

    def _renew(self) -> None:
        """Say that the queue is in use, and forget consumers that are gone."""
        settings = self.transport.settings
        self._renew_at = monotonic() + RENEW_SECONDS
        if not self._queue.kept:
            if settings.expires:
                self.client.pexpire(self._stream, int(settings.expires * 1000))
            else:
                self.client.persist(self._stream)
            self.client.sadd(self.transport.topic(self._queue.topic), self._queue.name)
        self._forget(FORGOTTEN * int(max(self._visibility, RENEW_SECONDS) * 1000), "")

    def _forget(self, silent_ms: int, leaving: str) -> None:
        self.client.eval(_FORGET, 1, self._stream, GROUP, silent_ms, leaving)

    def receive(self, seconds: float, room: int, hand: Set[Any]) -> list[Message]:
        found = self._left_behind(room, hand) if monotonic() >= self._look_at else []
        if len(found) < room:
            answer = self.client.xreadgroup(
                GROUP,
                self._name,
                {self._stream: ">"},
                count=room - len(found),
                block=int(seconds * 1000) if seconds and not found else None,  # 0 is for ever
            )
            for _, entries in answer or ():
                found += [_message(tag, fields, 1) for tag, fields in entries]
        return found

    def _left_behind(self, room: int, hand: Set[Any]) -> list[Message]:
        """Messages of runtimes that said nothing for the visibility time-out."""
        self._cursor, entries, *_ = self.client.xautoclaim(
            self._stream, GROUP, self._name, self._visibility_ms, self._cursor, count=room
        )
        if self._cursor in (b"0-0", "0-0"):
            self._look_at = monotonic() + LOOK_SECONDS
        pipe = self.client.pipeline(transaction=False)
        # Redis 6 also names those that were deleted, without their fields.
        claimed = [(tag, fields) for tag, fields in entries if fields and tag not in hand]
        for tag, _ in claimed:
            pipe.xpending_range(self._stream, GROUP, tag, tag, 1)
        counts = [pending[0]["times_delivered"] if pending else 1 for pending in pipe.execute()]
        return [
            _message(tag, fields, count)
            for (tag, fields), count in zip(claimed, counts, strict=True)
        ]

    def acknowledge(self, message: Message) -> None:
        self._acknowledged.append(message.tag)

    def again(self, message: Message) -> None:
        self._others.append((message.tag, {"retrycount": message.deliveries}))

    def release(self, message: Message) -> None:
        how = {"idle": self._visibility_ms, "retrycount": message.deliveries}
        self._others.append((message.tag, how))

    def flush(self, hand: Set[Any]) -> None:
        if self._acknowledged or self._others:
            pipe = self.client.pipeline(transaction=True)
            if self._acknowledged:
                pipe.xack(self._stream, GROUP, *self._acknowledged)
                pipe.xdel(self._stream, *self._acknowledged)
            for tag, how in self._others:
                pipe.xclaim(self._stream, GROUP, self._name, 0, [tag], justid=True, **how)
            pipe.execute()
            self._acknowledged, self._others = [], []
        if hand and monotonic() >= self._claim_at:
            self._claim_at = monotonic() + self._visibility / CLAIMS
            self._claim(hand)

    def _claim(self, hand: Set[Any]) -> None:
        """Say that what is in hand is being worked on. What somebody else has by now is his."""
        pending = self.client.xpending_range(
            self._stream, GROUP, "-", "+", len(hand) + MORE, consumername=self._name
        )
        mine = [entry["message_id"] for entry in pending if entry["message_id"] in hand]
        if mine:
            self.client.xclaim(self._stream, GROUP, self._name, 0, mine, justid=True)

    def close(self) -> None:
        self._forget(FORGOTTEN * 1000 * int(RENEW_SECONDS), self._name)
        super().close()


def _message(tag: Any, fields: dict[bytes, bytes], deliveries: int) -> Message:
    kind = fields.get(b"type", MESSAGEPACK.encode()).decode("utf-8", "replace")
    return Message(tag, fields.get(b"body", b""), kind, deliveries)
