"""The time between two tries of something that failed.

Lives here: Backoff. Who tries what is elsewhere, and so are the names under which a person says how
long to wait.
"""

from __future__ import annotations

import random

FIRST, MOST = 0.1, 10.0  # seconds between tries (BEHAVIOUR 6.10, 7.12)


class Backoff:
    """The seconds to the next try: `first`, then `factor` times as long each time, at most `most`.
    `jitter` is the share of it left to chance. Half of it is by default, so that many runtimes do
    not come back at one instant."""

    def __init__(
        self,
        most: float = MOST,
        *,
        first: float | None = None,
        factor: float = 2.0,
        jitter: float = 0.5,
    ) -> None:
        self._first = FIRST if first is None else first
        self._most, self._factor, self._jitter = most, factor, jitter
        self._seconds = self._first
        self.failures = 0  #: failures in a row

    def next(self) -> float:
        """It failed: the seconds to wait now."""
        seconds = self._seconds * (1 - self._jitter * random.random())
        self.failures += 1
        self._seconds = min(self._seconds * self._factor, self._most)
        return seconds

    def skip(self, failures: int) -> None:
        """It has failed so often before."""
        self.failures += failures
        for _ in range(failures):
            longer = min(self._seconds * self._factor, self._most)
            if longer == self._seconds:
                break
            self._seconds = longer

    def reset(self) -> None:
        """It worked: the next failure is tried again soon."""
        self._seconds, self.failures = self._first, 0
