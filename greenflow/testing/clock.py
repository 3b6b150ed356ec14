"""A clock that stands still until a test moves it.

Lives here: ManualClock. Nodes that wait do so by the clock of their runtime (hub/clock.py), so a
back-off of an hour takes no time. What servers, clients and languages wait for is real time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import gevent
from gevent.event import Event

from greenflow.hub.clock import Clock

SECONDS = 10.0  # real ones, after which something that a test waits for has failed
START = datetime(
    2026, 1, 1, tzinfo=UTC
)  # the wall time of a clock that is not told any; a Thursday


class ManualClock(Clock):
    """Time that passes when a test says so: by `advance`, or with `jump` whenever every greenlet
    waits and a node sleeps: then it jumps to the end of the shortest sleep. Time-outs that are over
    by then end what they limit; by themselves they make no time pass.

    `start` is the wall time it begins at. Used from one thread, that of the flow.
    """

    def __init__(self, jump: bool = False, start: datetime = START) -> None:
        self.jump = jump
        self._now = 0.0
        self._ahead = start.timestamp()  # seconds, of the wall time
        self._sleeping: set[Event] = set()
        self._waiting: set[Event] = set()  # for a wall time
        self._order = itertools.count()
        self._alarms: list[_Alarm] = []  # a heap
        self._changed = Event()
        self._jumper: gevent.Greenlet[[], None] | None = None

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    def time(self) -> float:
        """The wall time: seconds since 1970 in UTC."""
        return self._ahead + self._now

    @property
    def sleepers(self) -> int:
        """How many greenlets sleep by this clock."""
        return len(self._sleeping) + len(self._waiting)

    def sleep(self, seconds: float) -> None:
        """Block the calling greenlet until the clock was moved so far."""
        self._sleep(seconds, self._sleeping)

    def sleep_until(self, moment: float) -> None:
        """Block the calling greenlet until that wall time, or until `set_time`."""
        if moment <= self.time():
            return
        self._sleep(moment - self.time(), self._waiting)

    def set_time(self, moment: datetime) -> None:
        """Set the wall time, as somebody sets the system's clock: no time passes. Who waits for a
        wall time looks again, and goes on until every greenlet waits."""
        self._ahead = moment.timestamp() - self._now
        while self._waiting:
            self._waiting.pop().set()
        gevent.idle()

    def _sleep(self, seconds: float, among: set[Event]) -> None:
        over = Event()

        def wake() -> None:
            among.discard(over)
            over.set()

        alarm = self.set(seconds, wake)
        among.add(over)
        self._changed.set()
        if self.jump and not self._jumper:
            self._jumper = gevent.spawn(self._jump)
        try:
            over.wait()
        finally:
            among.discard(over)
            self.unset(alarm)

    def timeout(self, seconds: float) -> gevent.Timeout:
        """A time-out by this clock."""
        return _Timeout(self, seconds)

    def alarm(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        """By this clock; it makes no time pass."""
        run_callback = gevent.get_hub().loop.run_callback
        alarm = self.set(seconds, partial(run_callback, ring))
        return partial(self.unset, alarm)

    def advance(self, seconds: float) -> None:
        """Move the clock. Who sleeps until a moment on the way is woken at that moment, and goes on
        until every greenlet waits, before time passes further. Raises ValueError for less than 0.
        """
        if seconds < 0:
            raise ValueError("a clock does not go back")
        end = self._now + seconds
        gevent.idle()
        while self._alarms and self._alarms[0].moment <= end:
            self._ring()
            gevent.idle()
        self._now = end

    def wait_for_sleepers(self, count: int = 1, timeout: float = SECONDS) -> None:
        """Wait until so many greenlets sleep; after `timeout` real seconds raise AssertionError."""
        late = AssertionError(f"{count} greenlets should sleep; after {timeout:g} s they do not")
        with gevent.Timeout(timeout, late):
            while self.sleepers < count:
                self._changed.clear()
                self._changed.wait()

    def set(self, seconds: float, ring: Callable[[], object]) -> _Alarm:
        """Have something called when the clock was moved so far."""
        alarm = _Alarm(self._now + seconds, next(self._order), ring)
        heapq.heappush(self._alarms, alarm)
        return alarm

    def unset(self, alarm: _Alarm) -> None:
        """It need not ring any more."""
        if alarm in self._alarms:
            self._alarms.remove(alarm)
            heapq.heapify(self._alarms)

    def _ring(self) -> None:
        """Go to the moment of the next alarm."""
        alarm = heapq.heappop(self._alarms)
        self._now = max(self._now, alarm.moment)
        alarm.ring()

    def _jump(self) -> None:
        while self.sleepers:
            gevent.idle()
            if self.sleepers:
                self._ring()


class _Alarm(NamedTuple):
    """What happens at a moment; those of one moment in the order in which they were set."""

    moment: float
    number: int
    ring: Callable[[], object]


class _Timeout(gevent.Timeout):
    """A time-out by a clock that a test moves."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__()  # without seconds gevent sets no timer
        self.clock, self.seconds = clock, seconds
        self.alarm: _Alarm | None = None

    def start(self) -> None:
        """Begin, in the greenlet that is limited."""
        throw = partial(self._throw, gevent.getcurrent())
        ring = partial(gevent.get_hub().loop.run_callback, throw)
        self.alarm = self.clock.set(self.seconds or 0.0, ring)

    def _throw(self, limited: Any) -> None:
        # In the hub; the block may have ended since it rang.
        if self.alarm is not None:
            limited.throw(self)

    def close(self) -> None:
        """End: nothing is limited any more."""
        if self.alarm is not None:
            self.clock.unset(self.alarm)
            self.alarm = None
