"""Lanes: where the calls of one thing, such as a connection, are run one after another.

Lives here: Job, ThreadLane and GreenletLane. What is run there is its owner's.

To post a job never waits, and a job that was abandoned before its turn is not run. A job that has
begun goes on to its end, whatever becomes of who waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import gevent
from gevent import get_hub
from gevent.hub import Waiter
from gevent.monkey import get_original

T = TypeVar("T")

# Native ones in a monkey-patched program, too: they are for OS threads, not for greenlets.
_SimpleQueue = get_original("queue", "SimpleQueue")
_start_thread = get_original("_thread", "start_new_thread")


class Job(Generic[T]):
    """One call of a lane, and its outcome. `then` is called in the hub when it has ended."""

    __slots__ = ("_error", "_function", "_value", "_waiter", "is_abandoned", "is_done", "then")

    def __init__(self, function: Callable[[], T], then: Callable[[], object] | None = None) -> None:
        self._function: Callable[[], T] | None = function
        self.then = then
        self.is_done = self.is_abandoned = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiter: Waiter[None] | None = None

    def run(self) -> None:
        """In the lane. One that was abandoned before its turn does nothing."""
        function, self._function = self._function, None
        if self.is_abandoned or function is None:
            return
        try:
            self._value = function()
        except BaseException as error:  # who waits raises it
            self._error = error

    def end(self) -> None:
        """In the hub, once it has run."""
        self.is_done = True
        then, self.then = self.then, None
        if then is not None:
            then()
        if self._waiter is not None:
            self._waiter.switch(None)

    def wait(self, seconds: float | None = None) -> bool:
        """Block the calling greenlet until it has run, or for so long; whether it has run."""
        if self.is_done:
            return True
        waiter = self._waiter = Waiter()
        try:
            if seconds is None:
                waiter.get()
            else:
                with gevent.Timeout(seconds) as limit:
                    waiter.get()
        except gevent.Timeout as expired:
            if seconds is None or expired is not limit:
                raise
        finally:
            self._waiter = None
        return self.is_done

    def outcome(self) -> T:
        """What the function returned; raises what it raised."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        value: T = self._value
        return value


class Lane(Protocol):
    """What runs jobs in order. All methods are called in the hub's thread."""

    def post(self, job: Job[Any]) -> None: ...

    def stop(self) -> None: ...


class ThreadLane:
    """A native thread. It starts with the first job."""

    def __init__(self) -> None:
        self._jobs: Any = _SimpleQueue()
        self._ended: deque[Job[Any]] = deque()
        self._pending = 0
        self._watcher = get_hub().loop.async_()
        self._is_started = False

    def post(self, job: Job[Any]) -> None:
        """Have the job run after those posted before."""
        if not self._is_started:
            _start_thread(self._main, ())
            self._is_started = True
        if not self._pending:  # only then: a watcher that is active keeps the hub from its end
            self._watcher.start(self._deliver)
        self._pending += 1
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread. No job may be pending, and none may come."""
        if self._is_started:
            self._jobs.put(None)
        self._watcher.close()

    def _main(self) -> None:
        jobs, ended, send = self._jobs, self._ended, self._watcher.send
        while (job := jobs.get()) is not None:
            job.run()
            ended.append(job)
            del job
            send()

    def _deliver(self) -> None:
        ended = self._ended
        while ended:
            self._pending -= 1
            if not self._pending:
                self._watcher.stop()
            ended.popleft().end()


class GreenletLane:
    """A greenlet that is there as long as there are jobs. Nobody else has it, so nobody kills
    it."""

    def __init__(self) -> None:
        self._jobs: deque[Job[Any]] = deque()
        self._is_running = False

    def post(self, job: Job[Any]) -> None:
        """Have the job run after those posted before."""
        self._jobs.append(job)
        if not self._is_running:
            self._is_running = True
            gevent.spawn(self._main)

    def stop(self) -> None:
        """It ends by itself."""

    def _main(self) -> None:
        end = get_hub().loop.run_callback
        while self._jobs:
            job = self._jobs.popleft()
            job.run()
            end(job.end)
        self._is_running = False
