"""How late the hub is: how long what is due has to wait until it runs.

Lives here: Lag, which measures the hub of the thread that makes it. A timer of the hub looks four
times a second how late it is itself; so what blocks for 100 ms is met by four of ten looks, and
what the hub guard names is told from what merely keeps it busy.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from gevent import get_hub

from greenflow.histogram import Histogram

#: Seconds between two looks.
EVERY = 0.25


class Lag:
    """The lag of one hub. `times` are the seconds that a look was late."""

    def __init__(self) -> None:
        self.times = Histogram()
        self._due = monotonic() + EVERY
        # It is no reason for a hub to go on.
        self._timer: Any = get_hub().loop.timer(EVERY, EVERY, ref=False)
        self._timer.start(self._look)

    def _look(self) -> None:
        now = monotonic()
        self.times.add(max(0.0, now - self._due))
        self._due = now + EVERY
        self._timer.again(self._look)  # from now on: what is late once is late once

    def close(self) -> None:
        """Look no more."""
        self._timer.stop()
        self._timer.close()
