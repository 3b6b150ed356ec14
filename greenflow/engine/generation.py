"""Generations: the graph as it stood when a process began (BEHAVIOUR 6.7).

Lives here: Generation, Generations, and Past, what something was for older generations. What is
kept for them, port.py and the table say; neither nodes nor processes are known here.

A process belongs to the generation that was the newest when it began. A change makes another one,
unless nobody lives in the newest. What it replaces is kept as long as a process lives that may need
it: by the youngest of the old generations that know it, which hands it down to the next older one
when its last process has ended. So whatever nobody knows is let go at once, in whatever order
processes end, and where no old process lives nothing is kept, and nothing is looked up.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import Generic, TypeVar

T = TypeVar("T")

_number = attrgetter("number")


class Generation:
    """The graph between two changes. `living` counts the processes that may still need it; one that
    `is_over` is needed no more: its processes, if there are any, go on with the newest."""

    __slots__ = ("_all", "_kept", "deadline", "is_old", "is_over", "living", "number")

    def __init__(self, all: Generations, number: int) -> None:
        self._all, self.number = all, number
        self.living = 0
        self.is_old = self.is_over = False
        self.deadline = 0.0  # when its grace is over, by monotonic(), once it is old
        # What it keeps: the first generation that knows it, and what lets it go.
        self._kept: list[tuple[int, Callable[[], object]]] = []

    def leave(self) -> None:
        """One of its processes needs it no more."""
        self.living -= 1
        if self.is_old and not self.living:
            self.end()

    def keep(self, since: int, release: Callable[[], object]) -> None:
        """Keep something that is known since that generation."""
        self._kept.append((since, release))

    def end(self) -> None:
        """Nobody needs it any more; a second end does nothing."""
        if self.is_over:
            return
        self.is_over = True
        old = self._all.old
        place = bisect_left(old, self.number, key=_number)
        del old[place]
        older = old[place - 1] if place else None
        for since, release in self._kept:
            if older is not None and since <= older.number:
                older.keep(since, release)
            else:
                release()
        self._kept.clear()
        if self._all.on_end is not None:
            self._all.on_end()

    def __repr__(self) -> str:
        return f"<Generation {self.number}, {self.living} living>"


class Generations:
    """Those of one runtime: the newest, and the `old` ones that processes live in, oldest first.

    `on_end` is called when an old one has ended.
    """

    def __init__(self) -> None:
        self.newest = Generation(self, 0)
        self.old: list[Generation] = []
        self.on_end: Callable[[], object] | None = None

    def turn(self, deadline: float) -> None:
        """The graph changes now: processes that live go on with what they know, until that time by
        monotonic() at the most."""
        newest = self.newest
        if newest.living:
            newest.is_old, newest.deadline = True, deadline
            self.old.append(newest)
            self.newest = Generation(self, newest.number + 1)

    def keep(self, since: int, release: Callable[[], object]) -> bool:
        """Something that was there since that generation is in the newest no more. Whether an older
        one knows it; then `release` is called when none does any longer."""
        if not self.old or self.old[-1].number < since:
            return False
        self.old[-1].keep(since, release)
        return True

    def expire(self, now: float) -> None:
        """The grace of those whose deadline has come is over."""
        while self.old and self.old[0].deadline <= now:
            self.old[0].end()


class Past(Generic[T]):
    """What something was for the generations before the newest."""

    __slots__ = ("_untils", "_values")

    def __init__(self) -> None:
        self._untils: list[int] = []  # the last generation that knew it so, ascending
        self._values: list[T] = []

    def __len__(self) -> int:
        return len(self._untils)

    def add(self, until: int, value: T) -> None:
        """It was so until that generation, and since the one after the last that was added."""
        self._untils.append(until)
        self._values.append(value)

    def drop(self, until: int) -> None:
        """Nobody needs to know what was added with that number."""
        place = bisect_right(self._untils, until) - 1
        del self._untils[place], self._values[place]

    def seen_by(self, generation: Generation | None, newest: T) -> T:
        """What it is for a process of that generation; one without any sees the newest."""
        if generation is None or generation.is_over:
            return newest
        place = bisect_left(self._untils, generation.number)
        return self._values[place] if place < len(self._values) else newest
