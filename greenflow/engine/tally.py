"""What a node has done, as plain numbers.

Lives here: Tally, which each node has. What is counted where is the business of who does it:
packets are counted by the in ports (port.py), which count them anyway; the time of some of them by
sampling.py. Who reads the numbers is not known here. A node that is replaced has its numbers added
to those of its symbol (table/symbol.py), so they go on over versions.
"""

from __future__ import annotations

from typing import Any

from greenflow.histogram import FINE, Histogram


class Tally:
    """Numbers of one node, from its first packet on; or of several versions of it, added up.

    `packets` are those that `counted` found at the ports, `errors` are errors that arose in the
    node. `times` has how long handlers took, waiting counted in, of those packets that were timed;
    of a source, how long its processes took. `begun` counts the processes of a source, `failed`
    those whose error nobody took.
    """

    __slots__ = ("begun", "errors", "failed", "packets", "times")

    def __init__(self) -> None:
        self.packets = self.errors = self.begun = self.failed = 0
        self.times: Histogram | None = None  # made with the first: most of many nodes do little

    def time(self, seconds: float) -> None:
        """A packet, or a process, took so long."""
        times = self.times
        if times is None:
            times = self.times = Histogram(FINE)
        times.add(seconds)

    @property
    def latency(self) -> Histogram | None:
        """How long what it does takes, waiting counted in; None if nothing was measured."""
        return self.times

    def merge(self, other: Tally) -> None:
        """Add the numbers of another version of the same node."""
        self.packets += other.packets
        self.errors += other.errors
        self.begun += other.begun
        self.failed += other.failed
        if other.times is not None:
            if self.times is None:
                self.times = Histogram(FINE)
            self.times.merge(other.times)


def counted(node: Any, tally: Tally) -> None:
    """Add to a tally what a node has done until now."""
    tally.merge(node.tally)
    tally.packets += sum(port.arrived for port in node.in_ports.values())
