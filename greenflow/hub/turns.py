"""Turns: so many at a time, and who came first is next.

Lives here: Turns. A semaphore of gevent's lets pass who comes just when a turn is given back,
before those that wait have heard of it: under load some wait for hundreds of others.
"""

from __future__ import annotations

from types import TracebackType

from gevent.event import Event


class Turns:
    """`size` turns, of one hub. As a context manager it is one of them."""

    def __init__(self, size: int) -> None:
        self.size = self._free = size
        self._waiting: dict[Event, None] = {}  # in order

    @property
    def busy(self) -> int:
        """How many turns are taken."""
        return self.size - self._free

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    def take(self, seconds: float | None = None) -> bool:
        """Wait for a turn, for so many seconds at most; whether it came."""
        if self._free:
            self._free -= 1
            return True
        turn = Event()
        self._waiting[turn] = None
        try:
            turn.wait(seconds)
        except BaseException:
            if turn.is_set():  # it has come just now, and is not wanted any more
                self.give()
            raise
        finally:
            self._waiting.pop(turn, None)
        return turn.is_set()

    def give(self) -> None:
        """A turn is over: whoever waits first has it now."""
        if self._waiting:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            turn.set()
        else:
            self._free += 1

    def __enter__(self) -> None:
        self.take()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.give()
