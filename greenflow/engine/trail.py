"""The trail of a process: which ports its packets passed, when, and with what.

Lives here: Trail, and Recorder, who is told of a process that has ended. When something is noted is
process.py's; what is made of it, and that most of it is forgotten, is the recorder's (records/).

A trail is one stretch of packets that one greenlet handled, one after the other, so that the time
at which one begins is the time at which the one before it was done. A process that blocks gets
further greenlets: each has a trail of its own, and knows the one `before` it.

It is written for every packet, so it is one plain list, and what bounds it is done now and then
(`trim`). The payloads are the packets' own: nothing is copied, and only those of the last packets
are kept. A node that makes a large payload takes its time; so what comes of one that took LONG is
weighed, and if it is large, those before it are let go at once: a process may pass ten megabytes
through a hundred nodes, each with its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from greenflow.engine.port import InPort

#: Packets between two looks at what is to be forgotten.
TRIM = 32

#: Packets of a trail whose payloads are kept when that is looked at. There are up to TRIM more.
PAYLOADS = 8

#: Packets of a trail whose ports and times are kept then: half of them are forgotten at once.
PACKETS = 512

#: Trails of one process: one that waits in a loop gets a new one each time.
TRAILS = 64

#: Children of a process, such as the rounds of a loop, that it remembers when they have ended.
PARTS = 8

#: Seconds in which a node makes no payload that is large.
LONG = 0.000_5

#: Bytes of texts from which on a payload is large, and lists, maps and items in them that are
#: looked at: what has more of these is large, too.
LARGE, LOOKED_AT = 64 * 1024, 500

#: In the place of a payload that is kept no more.
FORGOTTEN: Any = type("Forgotten", (), {"__slots__": ()})()

_WIDTH = 3  # a port, a time and a payload


class Arrival(NamedTuple):
    """A packet that came to a port; both times by monotonic(), the latter 0 while it is there."""

    port: InPort
    time: float
    end: float
    payload: Any


class EndedChild(msgspec.Struct, eq=False):
    """A child of a process that has ended: its number, its trail, and what it failed with."""

    id: int
    trail: Trail
    failure: BaseException | None


class Trail(msgspec.Struct, eq=False):
    """The packets that one greenlet handled in a row. `number` counts the trails of the process;
    `first` is when the first packet of its first one came, 0 until that is forgotten there; `end`
    is when the last of this one was done with, 0 while it is not; all by monotonic()."""

    passed: list[Any]  # of each packet its port, when it came there, its payload
    before: Trail | None = None
    number: int = 1
    end: float = 0.0
    forgotten: int = 0  # packets before those of `passed`
    looked_at: int = 0  # packets of `passed` whose payloads are forgotten, all but the first's
    first: float = 0.0
    entry: Arrival | None = None  # the first packet of the process, when it is forgotten here
    parts: list[EndedChild] | None = None

    @property
    def began(self) -> float:
        """When the first packet of the process came; 0 if none did."""
        return self.first or (self.passed[1] if self.passed else 0.0)

    def __iter__(self) -> Iterator[Arrival]:
        """The packets that are not forgotten."""
        passed = self.passed[: len(self.passed) // _WIDTH * _WIDTH]
        for at in range(0, len(passed), _WIDTH):
            port, time, payload = passed[at : at + _WIDTH]
            end = passed[at + _WIDTH + 1] if at + _WIDTH < len(passed) else self.end
            yield Arrival(port, time, end, payload)

    def trim(self, payloads: int = PAYLOADS) -> None:
        """Forget what is far behind, but with what the process began."""
        passed = self.passed
        if len(passed) > PACKETS * _WIDTH:
            if not self.forgotten and self.number == 1:
                self.entry = next(iter(self))
            self.first = self.began
            self.forgotten += PACKETS // 2
            self.looked_at = max(self.looked_at - PACKETS // 2, 0)
            del passed[: PACKETS // 2 * _WIDTH]
        start, end = self.looked_at, len(passed) // _WIDTH - payloads
        if not start and self.number == 1 and not self.forgotten:
            start = 1
        if start < end:
            passed[start * _WIDTH + 2 : end * _WIDTH : _WIDTH] = [FORGOTTEN] * (end - start)
            self.looked_at = end

    def weigh(self) -> None:
        """A node took long: if what comes of it is large, those before it are let go."""
        if is_large(self.passed[-1]):
            self.trim(1)

    def follow(self) -> Trail:
        """A trail for what comes now, behind this one."""
        number = self.number + 1
        self.trim(PAYLOADS if number <= PAYLOADS else 1)
        if number % TRAILS == 0:
            oldest = self
            while oldest.before is not None and oldest.number > number - TRAILS:
                oldest = oldest.before
            oldest.before = None
        return Trail([], self, number, first=self.began)

    def keep(self, child: Any) -> None:
        """Remember a child that ends: the first ones, and in their place those that failed."""
        parts, failure, trail = self.parts, child.failure or child.error, child.trail
        if parts is None:
            parts = self.parts = []
        elif len(parts) >= PARTS:
            if failure is None:
                return
            del parts[next((at for at, each in enumerate(parts) if each.failure is None), 0)]
        trail.trim(0 if failure is None else PAYLOADS)
        parts.append(EndedChild(child.id, trail, failure))


def is_large(payload: Any) -> bool:
    """Whether a payload takes much memory, as far as a short look at it says."""
    size, left, pending = 0, LOOKED_AT, [payload]
    while pending:
        each = pending.pop()
        kind = type(each)
        if kind is str or kind is bytes:
            size += len(each)
            if size > LARGE:
                return True
        elif kind is dict or kind is list:
            left -= len(each)
            if left < 0:
                return True
            pending += each.values() if kind is dict else each
    return False


class Recorder(Protocol):
    """Who is told of processes that have ended."""

    def ended(self, process: Any) -> None:
        """That process ends: its trail is there until this returns. Must neither block nor
        raise."""
