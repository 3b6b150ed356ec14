"""What no two runs have alike: the time, and chance.

Lives here: World, one for each runtime, and `here`, the one of the runtime whose code asks. Whoever
knows for whom code runs (engine/process.py) says so by `found_by`. What waits, does so by the
clock itself (clock.py).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random, SystemRandom

from greenflow.hub.clock import Clock


class World:
    """A clock and a source of chance. With a seed the numbers are the same in each run, for tests;
    without one they are the operating system's, which nobody can guess."""

    __slots__ = ("clock", "random")

    def __init__(self, clock: Clock | None = None, seed: int | None = None) -> None:
        self.clock = clock or Clock()
        self.random: Random = SystemRandom() if seed is None else Random(seed)


#: The world of code that no runtime runs.
OUTSIDE = World()


def _nobody() -> World | None:
    return None


_find = _nobody


def found_by(find: Callable[[], World | None]) -> None:
    """Have `here` ask who knows which world the calling code is in; None is none."""
    global _find
    _find = find


def here() -> World:
    """The world that the calling code is in."""
    return _find() or OUTSIDE
