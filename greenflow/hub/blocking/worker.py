"""A loop that waits for something outside all its life, beside the hub.

Lives here: Worker. It is never interrupted, for a library may not survive that, but asked to end
through its inbox.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from functools import partial
from typing import Any

from gevent import get_hub
from gevent.monkey import get_original

from greenflow.hub.blocking.threads import Task, Threads
from greenflow.hub.patching import is_patched

TICK = 0.1  # seconds that a worker waits in one go: how long it may take to notice something


class Worker:
    """A loop beside the hub that made it, with an inbox for what the hub has to say. In a program
    that is monkey-patched it is a greenlet; elsewhere, and if what it calls blocks even there
    (`is_native`), a native thread."""

    def __init__(self, *, is_native: bool = False) -> None:
        cooperates = is_patched() and not is_native
        native: type[queue.SimpleQueue[Any]] = get_original("queue", "SimpleQueue")
        self.inbox = queue.SimpleQueue[Any]() if cooperates else native()
        self._loop = get_hub().loop
        self._threads = Threads(1, cooperates=cooperates)
        self._task: Task[None] | None = None

    def start(self, function: Callable[..., None], *args: Any) -> None:
        """Run the function, which should return soon after it was asked to."""
        self._task = self._threads.begin(function, *args)

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
        """Wait until the function has returned, if it was started, and raise what it raised."""
        task, self._task = self._task, None
        try:
            if task is not None:
                task.outcome()
        finally:
            self._threads.close()
