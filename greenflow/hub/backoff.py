"""The time between two tries of something that failed.

Lives here: Backoff. Who tries what is elsewhere.
"""

from __future__ import annotations

import random

FIRST, MOST = 0.1, 10.0  # seconds between tries (BEHAVIOUR 6.10, 7.12)


class Backoff:
    """The time to the next try: doubled each time, at most `most` seconds, with jitter."""

    def __init__(self, most: float = MOST) -> None:
        self.seconds, self.most = FIRST, most

    def next(self) -> float:
        """Seconds to wait now."""
        # Half of it is chance, so that many runtimes do not come back at one instant.
        seconds = self.seconds * random.uniform(0.5, 1.0)
        self.seconds = min(self.seconds * 2, self.most)
        return seconds

    def reset(self) -> None:
        """It worked: the next failure is tried again soon."""
        self.seconds = FIRST
