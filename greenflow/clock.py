"""The clock that nodes wait by.

Lives here: Clock, the system's. A test puts its own in the place (greenflow.testing). Not by this
clock, but always in real time: what servers, clients and languages wait for.
"""

from __future__ import annotations

from time import monotonic

import gevent


class Clock:
    """Real time."""

    def monotonic(self) -> float:
        """Seconds since some moment; only differences mean something."""
        return monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the calling greenlet, and nobody else, for so long."""
        gevent.sleep(seconds)

    def timeout(self, seconds: float) -> gevent.Timeout:
        """For a `with` block that may take so long; the block is left with this very exception."""
        return gevent.Timeout(seconds)
