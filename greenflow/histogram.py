"""How long things took, counted by size: the numbers behind a mean and a quantile.

Lives here: Histogram. What is measured, and when, is its owner's to say. It is a list of counts, so
that to add one costs some hundred nanoseconds, and it is read without a lock: all of it happens on
one hub, or by one OS thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

#: Upper bounds in seconds of what a request or a change takes: those that people set alerts on.
#: Prometheus has a series for each of them.
COARSE = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    60.0,
)

#: Upper bounds in seconds of what a node takes, from 1 microsecond to 2 minutes, each twice the one
#: before: a quantile is off by a third at most.
FINE = tuple(1e-6 * 2**i for i in range(28))


class Histogram:
    """How often something took how long. `bounds` are in seconds, in order; `counts` has one place
    for each, of what took no longer, and one for what took longer than the last."""

    __slots__ = ("bounds", "counts", "seconds")

    def __init__(self, bounds: Sequence[float] = COARSE) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Something took so long."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def merge(self, other: Histogram) -> None:
        """What the other one has counted is counted here, too. It has the same bounds."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.seconds += other.seconds

    @property
    def count(self) -> int:
        """How often it was."""
        return sum(self.counts)

    def buckets(self) -> list[tuple[float, int]]:
        """Each bound with the count of all that took no longer; the last bound is infinite."""
        return list(zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True))

    def quantile(self, share: float) -> float | None:
        """Seconds within which that share of all was done, as far as the bounds tell; None if there
        was nothing. What took longer than the last bound counts as if it took that."""
        count = self.count
        if not count:
            return None
        rank, below, before = share * count, 0, 0.0
        for bound, here in zip(self.bounds, self.counts, strict=False):
            if here and below + here >= rank:
                return before + (bound - before) * max(0.0, rank - below) / here
            below, before = below + here, bound
        return before
