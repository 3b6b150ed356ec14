"""The clock that nodes wait by.

Lives here: Clock, the system's. A test puts its own in the place (greenflow.testing). Not by this
clock, but always in real time: what servers, clients and languages wait for.

There are two times. The monotonic one only goes forward, second by second; what lasts is measured
by it. The wall time is what people read off a clock: somebody may set it, and while a machine
sleeps it goes on alone. What is due at a time of day is waited for by it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time

import gevent

#: Seconds within which whoever waits for a wall time notices that the system's clock was set.
#: Nothing tells a Python 3.11 program of it, so it has to look; so rarely it costs nothing.
LOOK_SECONDS = 10.0

#: Seconds that the wall time may go astray of the monotonic one between two looks without having
#: been set. While it is slewed (adjtime(3)), these are milliseconds.
SET_SECONDS = 0.5


class Clock:
    """Real time."""

    def monotonic(self) -> float:
        """Seconds since some moment; only differences mean something."""
        return monotonic()

    def time(self) -> float:
        """The wall time: seconds since 1970 in UTC."""
        return time()

    def sleep(self, seconds: float) -> None:
        """Block the calling greenlet, and nobody else, for so long."""
        gevent.sleep(seconds)

    def sleep_until(self, moment: float) -> None:
        """Block the calling greenlet until that wall time, or until the system's clock was set,
        noticed within LOOK_SECONDS: the caller looks what time it is."""
        ahead = self.time() - self.monotonic()
        while (left := moment - self.time()) > 0:
            self.sleep(min(left, LOOK_SECONDS))
            if abs(self.time() - self.monotonic() - ahead) > SET_SECONDS:
                return
            ahead = self.time() - self.monotonic()

    def timeout(self, seconds: float) -> gevent.Timeout:
        """For a `with` block that may take so long; the block is left with this very exception."""
        return gevent.Timeout(seconds)

    def alarm(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        """Have `ring` called in the hub after so long, where it must not block. Returns what calls
        it off; to do so twice, or after it rang, does nothing."""
        timer = gevent.get_hub().loop.timer(seconds)

        def call_off() -> None:
            timer.stop()
            timer.close()

        def rung() -> None:
            call_off()
            ring()

        timer.start(rung)
        return call_off
