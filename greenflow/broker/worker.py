"""Where the blocking code of a client library runs.

Lives here: Worker. It runs in a greenlet if the program is monkey-patched, else in a native thread;
it is never interrupted, for a library may not survive that, but asked to end through its inbox.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent import get_hub
from gevent.monkey import is_module_patched
from gevent.threadpool import ThreadPool

TICK = 0.1  # seconds that a worker waits in one go: how long it may take to notice something


class Worker:
    """A loop beside the hub that made it, with an inbox for what the hub has to say."""

    def __init__(self) -> None:
        # Both are gevent's in a patched program.
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._loop = get_hub().loop
        patched = is_module_patched("socket") and is_module_patched("threading")
        self._pool = None if patched else ThreadPool(1)
        self._begun: Any = None

    def start(self, function: Callable[[], None]) -> None:
        """Run the function, which should return soon after it was asked to."""
        self._begun = gevent.spawn(function) if self._pool is None else self._pool.spawn(function)

    def tell(self, function: Callable[..., object], *args: Any) -> None:
        """From the worker: have the hub call a function, which must not block."""
        self._loop.run_callback_threadsafe(partial(function, *args))

    def received(self, seconds: float) -> list[Any]:
        """From the worker: what is in the inbox; waits for it at most so long."""
        found = []
        try:
            found.append(self.inbox.get(timeout=seconds) if seconds else self.inbox.get_nowait())
            while True:
                found.append(self.inbox.get_nowait())
        except queue.Empty:
            return found

    def join(self) -> None:
        """Wait until the function has returned, and raise what it raised."""
        if self._begun is not None:
            begun, self._begun = self._begun, None
            try:
                begun.get()
            finally:
                if self._pool is not None:
                    self._pool.kill()
