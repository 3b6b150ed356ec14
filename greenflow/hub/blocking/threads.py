"""Calls side by side in the native threads of one owner.

Lives here: Threads and Task. They are threads of the owner's own: what hangs in them keeps nobody
else busy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import gevent
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

from greenflow.hub.blocking import Outcome, outcome, settle
from greenflow.hub.turns import Turns

T = TypeVar("T")


class Task(Generic[T]):
    """A call that has begun, or waits in a thread's queue, and goes on to its end."""

    __slots__ = ("_result",)

    def __init__(self, result: AsyncResult[Outcome]) -> None:
        self._result = result

    def wait(self, seconds: float | None = None) -> bool:
        """Block the calling greenlet until it has ended, or for so long; whether it has ended."""
        self._result.wait(seconds)
        return self._result.ready()

    def outcome(self) -> T:
        """Wait for what the function returns; raises what it raised."""
        ended = self._result.get()
        assert ended is not None
        value: T = settle(ended)
        return value

    def then(self, function: Callable[[], object]) -> None:
        """Have the hub call a function when it has ended; it must not block."""
        self._result.rawlink(lambda _: function())

    @property
    def value(self) -> T | None:
        """What the function returned. None if it raised something, or has not ended."""
        ended = self._result.value
        return None if ended is None else ended[0]


_Ended = Callable[[Task[Any]], object] | None


class Threads:
    """At most `size` native threads, started when they are wanted. `cooperates`: what is called
    waits by gevent, in a monkey-patched program, so that greenlets will do, of which there may be
    any number."""

    def __init__(self, size: int, *, cooperates: bool = False) -> None:
        self.cooperates, self.under_way = cooperates, 0
        self._pool = None if cooperates else ThreadPool(size)
        self._turns = Turns(size)  # gevent would take one call more, to wait in its queue
        self._is_closed = False
        self._none: Event | None = None  # there once somebody waits for it

    def begin(
        self,
        function: Callable[..., T],
        *args: Any,
        ended: _Ended = None,
    ) -> Task[T]:
        """Have a thread begin, once one is free; who is interrupted while none is has begun
        nothing. The hub calls `ended` when the call has ended, before anybody who waits for it goes
        on, and also where nobody waits any more. Raises RuntimeError if the threads were ended."""
        if self._pool is not None:
            self._turns.take()
            try:
                if self._is_closed:
                    raise RuntimeError("these threads have been ended")
                result = self._pool.spawn(outcome, function, *args)
            except BaseException:
                self._turns.give()
                raise
        else:
            result = AsyncResult()
            gevent.spawn(lambda: result.set(outcome(function, *args)))
        self.under_way += 1
        task: Task[T] = Task(result)
        result.rawlink(lambda _: self._ended(task, ended))
        return task

    def run(
        self,
        function: Callable[..., T],
        *args: Any,
        ended: _Ended = None,
    ) -> T:
        """What the function returns or raises in a thread; see `begin`."""
        return self.begin(function, *args, ended=ended).outcome()

    def _ended(self, task: Task[T], ended: _Ended) -> None:
        if self._pool is not None:
            self._turns.give()
        self.under_way -= 1
        if not self.under_way and self._none is not None:
            self._none.set()
            self._none = None
        if ended is not None:
            ended(task)

    def join(self) -> None:
        """Wait until no call is under way."""
        while self.under_way:
            if self._none is None:
                self._none = Event()
            self._none.wait()

    def close(self) -> None:
        """Wait for what is under way, and end the threads; nothing can begin any more.
        Idempotent."""
        self._is_closed = True
        if self._pool is not None:
            self._pool.kill()
        else:
            self.join()

    def abandon(self) -> None:
        """End each thread when its call has ended, and wait for none."""
        self._is_closed = True
        if self._pool is not None:
            gevent.spawn(self._pool.kill)  # it waits for them
