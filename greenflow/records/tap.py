"""Taps: what passes the ports of a node, live, a few a second.

Lives here: Tap, and Watched, the node that one or several look at. A tap puts itself in the place
of what its node receives and sends by, so the packets of all other nodes pay nothing; when the last
one has gone, the node is as it was before.

Of what passes in a second a few are taken, each as likely as any other (a reservoir), and what they
are is looked at, redacted and told at the end of the second. A tap never waits for who reads it,
and ends by itself: when it has told all it may, when its lease is over, when nobody takes what it
tells, when the node has gone. A new version of the node is followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import log, log1p
from random import Random
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec
from gevent import get_hub

from greenflow import lang
from greenflow.engine.node import Node
from greenflow.engine.origin import name_of
from greenflow.engine.port import InPort, OutPort
from greenflow.engine.process import Process
from greenflow.errors import GreenflowError
from greenflow.nodes.condition import is_true
from greenflow.records.shown import Shown, shown

#: Passages told in a second, and in all, unless something else is asked for; and at most.
RATE, TOTAL = 5, 50
MOST_RATE, MOST_TOTAL = 100, 10_000

#: Seconds that a tap lasts, unless something else is asked for.
LEASE = 600.0

#: Payloads that a filter looks at in a second: one costs some microseconds, and the node waits.
FILTERED = 1000

#: Taps of one runtime.
TAPS = 20

#: Seconds after which what passed is told.
_SECOND = 1.0

_IN: Final = "in"
_OUT: Final = "out"


class TooManyTaps(GreenflowError):
    """So many taps are open that one more would be felt."""

    status = 429


class TapPassage(msgspec.Struct, frozen=True):
    """A packet that came to a node (`in`) or left it (`out`) by a port: when, in seconds since
    1970, of which process by its number, and its payload. `of` is how many passed in that second
    of which this is one that was taken."""

    time: float
    node: str
    way: str
    port: str
    process: int
    payload: Shown
    of: int


class Tap:
    """Looks at what passes one node. `find` says which node that is now, None when it has gone;
    `put` is told of passages, and says whether somebody takes them; `on_end` is told once why it
    ends. Used on one hub; neither may block."""

    def __init__(
        self,
        find: Callable[[], Node[Any] | None],
        put: Callable[[TapPassage], bool],
        on_end: Callable[[str], object],
        *,
        filter: str = "",
        rate: int = RATE,
        total: int = TOTAL,
        lease: float = LEASE,
    ) -> None:
        self._find, self._put, self._on_end = find, put, on_end
        self._filter = lang.compile("cel", filter) if filter else None
        self._rate, self._left = max(1, min(rate, MOST_RATE)), max(1, min(total, MOST_TOTAL))
        self._until = time.monotonic() + lease
        self._random = Random()
        self._taken: list[tuple[float, str, Any, Any, Any]] = []
        self._passed = self._looked_at = 0
        self._next, self._weight = 0, 1.0  # which passage is taken next, and what of it (`_skip`)
        self._watched: Watched | None = None
        self._timer: Any = None
        self.is_open = False

    def open(self) -> None:
        """Begin. Raises LookupError if there is no such node."""
        node = self._find()
        if node is None:
            raise LookupError("no such node is running")
        self._watch(node)
        self._timer = get_hub().loop.timer(_SECOND, _SECOND)
        self._timer.start(self.tell)
        self.is_open = True

    def close(self, reason: str = "closed") -> None:
        """End, once. Does not switch greenlets."""
        if not self.is_open:
            return
        self.is_open = False
        self._timer.stop()
        self._timer.close()
        self._watch(None)
        self._taken.clear()
        self._on_end(reason)

    def passes(self, way: str, port: InPort | OutPort, payload: Any, process: Any) -> None:
        """Something passes. On the way of the packet: no more than to be counted, mostly."""
        if self._filter is not None:
            self._looked_at += 1
            if self._looked_at > FILTERED or not self._is_wanted(payload):
                return
        self._passed += 1
        if self._passed < self._next:
            return
        taken = time.time(), way, port, payload, process
        if len(self._taken) < self._rate:
            self._taken.append(taken)
            if len(self._taken) == self._rate:
                self._skip()
        else:
            self._taken[self._random.randrange(self._rate)] = taken
            self._skip()

    def _skip(self) -> None:
        """Which passage takes the place of one that was taken: Li's algorithm L, so that most cost
        a comparison."""
        self._weight *= self._chance() ** (1 / self._rate)
        self._next = self._passed + 1 + int(log(self._chance()) / log1p(-self._weight))

    def _chance(self) -> float:
        return self._random.uniform(1e-12, 1 - 1e-12)  # neither 0 nor 1

    def _is_wanted(self, payload: Any) -> bool:
        assert self._filter is not None
        try:
            return is_true(self._filter(payload))
        except Exception:  # a filter is about what it can be asked of
            return False

    def tell(self) -> None:
        """A second is over."""
        taken, passed = self._taken, self._passed
        self._taken, self._passed, self._looked_at = [], 0, 0
        self._next, self._weight = 0, 1.0
        watched = self._watched
        taken.sort(key=lambda each: each[0])
        for when, way, port, payload, process in taken:
            if watched is None:
                break
            node = watched.node
            told = TapPassage(
                when,
                name_of(node),
                way,
                _name_of(node, way, port),
                process.id,
                shown(payload),
                passed,
            )
            if not self._put(told):
                self.close("nobody takes what it tells")
                return
            self._left -= 1
            if not self._left:
                self.close("it has told all that it may")
                return
        self._look_again()

    def _look_again(self) -> None:
        if time.monotonic() >= self._until:
            self.close("the lease is over")
            return
        node = self._find()
        if node is None:
            self.close("the node has gone")
        elif self._watched is None or node is not self._watched.node:
            self._watch(node)
        else:
            self._watched.look()

    def _watch(self, node: Node[Any] | None) -> None:
        if self._watched is not None:
            self._watched.leave(self)
            self._watched = None
        if node is not None:
            self._watched = watched = _watched.get(node) or Watched(node)
            watched.join(self)


class Watched:
    """A node that somebody looks at: what it receives and sends passes here."""

    def __init__(self, node: Node[Any]) -> None:
        self.node = node
        self.taps: list[Tap] = []
        self._before: dict[InPort, Callable[[Any, Any], bool]] = {}

    def join(self, tap: Tap) -> None:
        """One more looks at it."""
        self.taps.append(tap)
        if len(self.taps) == 1:
            _watched[self.node] = self
            self._begin()

    def leave(self, tap: Tap) -> None:
        """One less; after the last the node is as it was."""
        self.taps.remove(tap)
        if not self.taps:
            del _watched[self.node]
            for name in _WAYS:
                self.node.__dict__.pop(name, None)
            for port, receive in self._before.items():
                port.receive = receive

    def _begin(self) -> None:
        node = self.node
        send, send_all, write, ask = node.send, node.send_all, node.write, node.ask

        def sends(packet: Any, port: OutPort, value: Any) -> None:
            self._passes(_OUT, port, value, packet.process)
            send(packet, port, value)

        def sends_all(packet: Any, sent: list[Any]) -> None:
            if len(sent) != 1:  # one is sent by `send`
                for port, value in sent:
                    self._passes(_OUT, port, value, packet.process)
            send_all(packet, sent)

        def writes(process: Process, port: OutPort, values: tuple[Any, ...], hops: int) -> Any:
            for value in values:
                self._passes(_OUT, port, value, process)
            return write(process, port, values, hops)

        def asks(process: Process, port: OutPort, payload: Any) -> Any:
            self._passes(_OUT, port, payload, process)
            return ask(process, port, payload)

        vars(node).update(send=sends, send_all=sends_all, write=writes, ask=asks)
        for name in node.port_names(node.spec)[0]:
            if "[" not in name:  # of as many as are linked, those that are
                node.input(name)
        self.look()

    def look(self) -> None:
        """Look at the in ports that were made since."""
        node = self.node
        for name, port in list(node.in_ports.items()):
            if port not in self._before:
                self._before[port] = port.receive
                is_own = port.node is node and type(node).input is Node.input
                # What it receives by was made when nobody looked at what it sends.
                receive = node.receiver(node.handler(name)) if is_own else port.receive
                port.receive = self._entering(port, receive)

    def _entering(
        self, port: InPort, receive: Callable[[Any, Any], bool]
    ) -> Callable[[Any, Any], bool]:
        def enter(reader: Any, packet: Any) -> bool:
            self._passes(_IN, port, packet.payload, reader.process)
            return receive(reader, packet)

        return enter

    def _passes(self, way: str, port: InPort | OutPort, payload: Any, process: Any) -> None:
        for tap in self.taps:
            tap.passes(way, port, payload, process)


_WAYS: Final = ("send", "send_all", "write", "ask")

#: The nodes that somebody looks at.
_watched: WeakKeyDictionary[Node[Any], Watched] = WeakKeyDictionary()


def _name_of(node: Node[Any], way: str, port: InPort | OutPort) -> str:
    ports: dict[str, Any] = node.in_ports if way == _IN else node.out_ports
    return next((name for name, each in ports.items() if each is port), "")
