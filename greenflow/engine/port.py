"""Ports: where packets enter and leave a node.

Lives here: InPort, OutPort, and Parted, the links of a port that lead elsewhere for older processes
(generation.py); what ports are called is spec/ports.py's. A port knows neither its node's kind nor
any process: it holds what handles a packet, how many packets are in flight, and its links.

Whoever sends looks at `OutPort.links`. They are a plain tuple as long as they are the same for
every process, and one link is the fast way. Parted is never of length one, so the fast way does not
ask for it; whoever goes another way asks `links_for`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from greenflow.engine.generation import Generation, Generations, Past

Receive = Callable[[Any, Any], bool]  # given a Reader and a Packet, which know of ports


class InPort:
    """Where packets enter a node.

    `receive(reader, packet)` handles one packet: it answers it or sends it on, and returns whether
    it gave up the reader meanwhile. `arrived` counts the packets that came here, `left` those that
    are done with, so that what is in flight costs a packet no more than it did to be counted.
    `linked` counts the links that lead here in the newest graph. `node` is whose port it is, for
    an error of what is not let in.
    """

    __slots__ = ("_past", "_since", "arrived", "emptied", "left", "linked", "node", "receive")

    def __init__(self, receive: Receive, node: Any = None) -> None:
        self.receive, self.node = receive, node
        self.arrived = self.left = 0
        self.linked = 0
        self.emptied: Callable[[], object] | None = None  # called when in_flight falls to 0
        self._past: Past[int] | None = None
        self._since = -1  # the generation that `linked` is so since; -1: it was never counted

    @property
    def in_flight(self) -> int:
        """The packets queued or in hand."""
        return self.arrived - self.left

    def leave(self, packets: int) -> None:
        """So many packets are no longer in flight here."""
        self.left += packets
        if self.emptied is not None and self.left == self.arrived:
            self.emptied()

    def count(self, links: int, generations: Generations) -> None:
        """So many more links lead here."""
        until, since = generations.newest.number - 1, self._since
        if 0 <= since <= until and generations.keep(since, partial(self._forget, until)):
            if self._past is None:
                self._past = Past()
            self._past.add(until, self.linked)
        self.linked += links
        self._since = until + 1

    def linked_for(self, generation: Generation | None) -> int:
        """How many links lead here for a process of that generation."""
        return self.linked if self._past is None else self._past.seen_by(generation, self.linked)

    def _forget(self, until: int) -> None:
        assert self._past is not None
        self._past.drop(until)
        if not self._past:
            self._past = None


class Parted(tuple[InPort, ...]):
    """The links of an out port that lead elsewhere for processes of older generations.

    As a tuple it has two elements that nobody may send to: who knows only tuples sees that there is
    not one link, and not none.
    """

    newest: tuple[InPort, ...]
    past: Past[tuple[InPort, ...]]

    def __new__(cls, newest: tuple[InPort, ...]) -> Parted:
        parted = super().__new__(cls, (_NOWHERE, _NOWHERE))
        parted.newest, parted.past = newest, Past()
        return parted


def _refuse(_reader: Any, _packet: Any) -> bool:
    raise RuntimeError("these links differ between versions of the graph: ask links_for")


_NOWHERE = InPort(_refuse)


class OutPort:
    """Where packets leave a node: to every in-port of `links`, in that order.

    `counted` are those in whose `linked` it counts.
    """

    __slots__ = ("_since", "counted", "links")

    def __init__(self) -> None:
        self.links: tuple[InPort, ...] = ()  # replaced whole; see Parted
        self.counted: tuple[InPort, ...] = ()
        self._since = -1  # the generation that it leads there since; -1: it was never linked

    def links_for(self, generation: Generation | None) -> tuple[InPort, ...]:
        """Where it leads for a process of that generation."""
        links = self.links
        return links.past.seen_by(generation, links.newest) if isinstance(links, Parted) else links

    def leads(self, generation: Generation | None) -> bool:
        """Whether it is linked, for a process of that generation."""
        return bool(self.links and self.links_for(generation))

    def lead(
        self,
        entries: tuple[InPort, ...],
        generations: Generations,
        counted: tuple[InPort, ...] | None = None,
    ) -> None:
        """Lead to these from now on, and count as a link to all of them or to those `counted`;
        processes that began before this generation go on as they did."""
        self._count(entries if counted is None else counted, generations)
        links, until, since = self.links, generations.newest.number - 1, self._since
        before = links.newest if isinstance(links, Parted) else links
        if since >= 0 and entries == before:
            return
        self._since = until + 1
        if 0 <= since <= until and generations.keep(since, partial(self._forget, until)):
            if not isinstance(links, Parted):
                self.links = links = Parted(before)
            links.past.add(until, before)
        if isinstance(links, Parted):
            links.newest = entries
        else:
            self.links = entries

    def _count(self, counted: tuple[InPort, ...], generations: Generations) -> None:
        if counted != self.counted:
            for entry in self.counted:
                entry.count(-1, generations)
            for entry in counted:
                entry.count(1, generations)
            self.counted = counted

    def _forget(self, until: int) -> None:
        links = self.links
        assert isinstance(links, Parted)
        links.past.drop(until)
        if not links.past:
            self.links = links.newest
