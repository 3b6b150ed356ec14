"""A clock that stands still until a test moves it.

Lives here: ManualClock. Nodes that wait do so by the clock of their runtime (greenflow.clock), so a
back-off of an hour takes no time. What waits for the network, or a language, waits in real time.
"""

from __future__ import annotations

import heapq
import itertools

import gevent
from gevent.event import Event

from greenflow.clock import Clock

SECONDS = 10.0  # real ones, after which something that a test waits for has failed


class ManualClock(Clock):
    """Time that passes when a test says so: by `advance`, or with `jump` whenever every greenlet
    waits and a node sleeps: then it jumps to the end of the shortest sleep.

    Used from one thread, that of the flow.
    """

    def __init__(self, jump: bool = False) -> None:
        self.jump = jump
        self._now = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, Event]] = []  # a heap
        self._changed = Event()
        self._jumper: gevent.Greenlet[[], None] | None = None

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    @property
    def sleepers(self) -> int:
        """How many greenlets sleep by this clock."""
        return len(self._sleepers)

    def sleep(self, seconds: float) -> None:
        """Block the calling greenlet until the clock was moved so far."""
        sleeper = self._now + seconds, next(self._order), Event()
        heapq.heappush(self._sleepers, sleeper)
        self._changed.set()
        if self.jump and not self._jumper:
            self._jumper = gevent.spawn(self._jump)
        try:
            sleeper[2].wait()
        finally:
            if not sleeper[2].is_set():
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move the clock. Who sleeps until a moment on the way is woken at that moment, and goes on
        until every greenlet waits, before time passes further. Raises ValueError for less than 0.
        """
        if seconds < 0:
            raise ValueError("a clock does not go back")
        end = self._now + seconds
        gevent.idle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._wake()
            gevent.idle()
        self._now = end

    def wait_for_sleepers(self, count: int = 1, timeout: float = SECONDS) -> None:
        """Wait until so many greenlets sleep; after `timeout` real seconds raise AssertionError."""
        late = AssertionError(f"{count} greenlets should sleep; after {timeout:g} s they do not")
        with gevent.Timeout(timeout, late):
            while len(self._sleepers) < count:
                self._changed.clear()
                self._changed.wait()

    def _wake(self) -> None:
        """Go to the end of the shortest sleep, and end it."""
        self._now, _, over = heapq.heappop(self._sleepers)
        over.set()

    def _jump(self) -> None:
        while self._sleepers:
            gevent.idle()
            if self._sleepers:
                self._wake()
