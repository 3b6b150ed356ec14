"""Streams of the admin interface: events as they come (text/event-stream), bounded in every way.

Lives here: EventStream. Whoever has news puts it there and never waits: what the client does not
take in time is dropped, counted and told. A stream ends when its lease is over, when its client has
gone, and when the interface closes; a heartbeat finds out who has gone without a word. What fed it
is told of its end.

As the standard has it (HTML, 9.2 Server-sent events): `event: NAME`, `data: JSON`, an empty line; a
heartbeat is a comment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Generic, TypeVar

import msgspec
from gevent.event import Event

from greenflow.admin.bounds import HEARTBEAT

T = TypeVar("T")

#: Events that wait for their client: a burst of some seconds.
WAITING = 1000

#: Bytes of events that wait for their client.
WAITING_BYTES = 4 * 1024 * 1024

MEDIA_TYPE = "text/event-stream"


class EventStream(Generic[T]):
    """One client's stream of events, each a T. Used on one hub; iterated by who sends it."""

    def __init__(self, lease: float, on_end: Callable[[], object] = lambda: None) -> None:
        self.on_end = on_end
        self.dropped = 0
        self._until = monotonic() + lease
        self._waiting: deque[bytes] = deque()
        self._bytes = self._told = 0
        self._more = Event()
        self._reason = ""  # why it ends, once it does

    def put(self, name: str, content: T | Any) -> None:
        """Send an event, unless too many wait already. Never blocks."""
        self.put_encoded(name, msgspec.json.encode(content))

    def put_encoded(self, name: str, content: bytes) -> None:
        """`put`, of what is JSON on one line already."""
        if len(self._waiting) >= WAITING or self._bytes + len(content) > WAITING_BYTES:
            self.dropped += 1
            return
        self._waiting.append(b"event: %b\ndata: %b\n\n" % (name.encode(), content))
        self._bytes += len(content)
        self._more.set()

    def end(self, reason: str) -> None:
        """Have it end, after what waits; the client is told why. Nobody need feed it any more."""
        self._reason = self._reason or reason
        self._more.set()
        self.close()

    def leave(self) -> None:
        """The client has gone. Does not switch greenlets."""
        self._waiting.clear()
        self.end("the client has gone")

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield b": greenflow\n\n"  # the client knows that it is connected
            while True:
                self._more.clear()
                if self._waiting:
                    pieces, self._waiting, self._bytes = self._waiting, deque(), 0
                    yield b"".join(pieces)
                if self.dropped > self._told:
                    self.put("dropped", {"dropped": self.dropped - self._told})
                    self._told = self.dropped
                    continue
                left = self._until - monotonic()
                if self._reason or left <= 0:
                    ending = {"reason": self._reason or "the lease is over"}
                    yield b"event: end\ndata: %b\n\n" % msgspec.json.encode(ending)
                    return
                if not self._waiting and not self._more.wait(min(HEARTBEAT, left)):
                    yield b": heartbeat\n\n"
        finally:
            self.close()

    def close(self) -> None:
        """It has ended, or nobody wants it any more: whoever feeds it is told, once."""
        on_end, self.on_end = self.on_end, _nothing
        on_end()


def _nothing() -> None:
    """It has been told."""
