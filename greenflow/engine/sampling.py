"""How long the handlers of a node take: a packet now and then is timed.

Lives here: Sampler, one for each runtime, and Timed, what stands in the place of a port's receiver
until its next packet was timed. A packet that is not timed pays nothing: the port calls its plain
receiver then.

Each port is timed at its first packet. It is armed again by a timer of the hub, which runs only
while there is a port to arm: each port some ten times a second at most, and of many ports not
more than ARMED at a time. So where little happens every packet is timed, and where much does the
cost has a bound: a thousand packets a second, which is 0.1 % of a core.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import Any

from gevent import get_hub

from greenflow.engine.port import InPort, Receive

#: Seconds between two times that ports are armed.
PAUSE = 0.1

#: Ports that are armed at a time.
ARMED = 100


class Timed:
    """The receiver of a port that is armed: it times a packet, and puts the plain one in its place.
    Whoever wraps it, as a probe does, has each packet timed."""

    __slots__ = ("_node", "_plain", "_port", "_sampler", "_waits")

    def __init__(self, sampler: Sampler, node: Any, port: InPort) -> None:
        self._sampler, self._node, self._port, self._plain = sampler, node, port, port.receive
        self._waits = False  # it is the sampler's, to be armed again

    def __call__(self, reader: Any, packet: Any) -> bool:
        port = self._port
        if port.receive is self:
            port.receive = self._plain
        if not self._waits:
            self._waits = True
            self._sampler.spend(self)
        begin = perf_counter()
        try:
            return self._plain(reader, packet)
        finally:
            self._node.tally.time(perf_counter() - begin)

    def arm(self) -> None:
        """Time the next packet of the port, unless somebody else put a receiver there."""
        self._waits = False
        if self._port.receive is self._plain:
            self._port.receive = self


class Sampler:
    """Arms the ports of one runtime. Of one hub."""

    def __init__(self) -> None:
        self._spent: deque[Timed] = deque()
        self._timer: Any = None  # there while some wait
        self._is_closed = False

    def port(self, receive: Receive, node: Any) -> InPort:
        """An in port of the node, some of whose packets are timed."""
        port = InPort(receive, node)
        port.receive = Timed(self, node, port)
        return port

    def spend(self, timed: Timed) -> None:
        """It has timed a packet: arm it again after a while."""
        self._spent.append(timed)
        if self._timer is None and not self._is_closed:
            self._start()

    def close(self) -> None:
        """Arm no more."""
        self._is_closed = True
        self._spent.clear()
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _start(self) -> None:
        # It is no reason for a hub to go on.
        self._timer = get_hub().loop.timer(PAUSE, ref=False)
        self._timer.start(self._arm)

    def _arm(self) -> None:
        self._timer.close()
        self._timer = None
        for _ in range(min(ARMED, len(self._spent))):
            self._spent.popleft().arm()
        if self._spent:
            self._start()
