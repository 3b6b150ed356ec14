"""Ports: where packets enter and leave a node, and what they are called.

Lives here: InPort, OutPort and the grammar of port names. A port knows neither its node's kind
nor any process: it holds what handles a packet, how many packets are in flight, and its links.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenflow.packet import Packet
    from greenflow.process import Reader

Receive = Callable[["Reader", "Packet"], bool]
ERROR = "error"  # the out port that every kind has (BEHAVIOUR 2.5)

# A word, then at most one index without leading zeros, matched whole (BEHAVIOUR 2.2).
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_INDEX = r"(?:\[(0|[1-9][0-9]{0,5})\])"
_NAME = re.compile(rf"({_WORD}){_INDEX}?")

#: Port names, and the names of `out[i]` ports, as the patterns of JSON Schema are written.
PORT = rf"^{_WORD}{_INDEX}?$"
OUT_PORT = rf"^out{_INDEX}?$"


def parse(name: str) -> tuple[str, int]:
    """The word and the index of a port name; without an index it is 0 (BEHAVIOUR 2.1).

    Raises ValueError for what is no port name.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no port name; write a word, or a word and an [index]")
    return match[1], int(match[2] or 0)


def canonical(name: str) -> str:
    """The one spelling under which a port is kept: `out[0]` is `out`. Raises ValueError."""
    word, index = parse(name)
    return f"{word}[{index}]" if index else word


class InPort:
    """Where packets enter a node.

    `receive(reader, packet)` handles one packet: it answers it or sends it on, and returns whether
    it gave up the reader meanwhile. `in_flight` counts the packets queued or in hand, `linked` the
    links that lead here.
    """

    __slots__ = ("emptied", "in_flight", "linked", "receive")

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.in_flight = 0
        self.linked = 0
        self.emptied: Callable[[], object] | None = None  # called when in_flight falls to 0

    def leave(self, packets: int) -> None:
        """So many packets are no longer in flight here."""
        self.in_flight -= packets
        if self.emptied is not None and not self.in_flight:
            self.emptied()


class OutPort:
    """Where packets leave a node: to every in-port of `links`, in that order.

    `counted` are those in whose `linked` it counts.
    """

    __slots__ = ("counted", "links")

    def __init__(self) -> None:
        self.links: tuple[InPort, ...] = ()  # replaced whole, never changed in place
        self.counted: tuple[InPort, ...] = ()
