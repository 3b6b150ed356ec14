"""Ports: where packets enter and leave a node.

Lives here: InPort and OutPort; what ports are called is spec/ports.py's. A port knows neither its
node's kind nor any process: it holds what handles a packet, how many packets are in flight, and its
links.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Receive = Callable[[Any, Any], bool]  # given a Reader and a Packet, which know of ports


class InPort:
    """Where packets enter a node.

    `receive(reader, packet)` handles one packet: it answers it or sends it on, and returns whether
    it gave up the reader meanwhile. `in_flight` counts the packets queued or in hand, `linked` the
    links that lead here. `node` is whose port it is, for an error of what is not let in.
    """

    __slots__ = ("emptied", "in_flight", "linked", "node", "receive")

    def __init__(self, receive: Receive, node: Any = None) -> None:
        self.receive, self.node = receive, node
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
