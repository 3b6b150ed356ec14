"""The language `javascript`: snippets that run in worker OS processes, as TypeScript's do, too.

Lives here: what is offered to the rest of greenflow. module.py makes a function of an ES module,
pool.py has the workers, wire.py the values; worker.py and isolate.py are what runs in a worker,
realm.js what stands around a snippet there. A runtime holds the workers of its hub while it runs.

The code is parsed when it is compiled; workers start at the first call. A program is an isolate of
its own in each worker: two programs share no globals, even if their code is the same. State between
calls may or may not be there (BEHAVIOUR 15.9).
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from greenflow.lang.javascript.limits import WorkerLimits

if TYPE_CHECKING:
    from gevent.hub import Hub

    from greenflow.lang.javascript.calls import ModuleSource
    from greenflow.lang.javascript.pool import JavaScriptPool

__all__ = ["JavaScript", "Limits", "close", "compile", "hold", "release", "running"]

# The longest limit of a call in seconds, 24 days: milliseconds in 31 bits, as timers count them.
MAX_TIMEOUT = 2**31 / 1000


class _Use:
    """What one hub uses: who holds it, by which limits, and the pool once there was a call."""

    def __init__(self) -> None:
        self.limits, self.holders = WorkerLimits(), 0
        self.pool: JavaScriptPool | None = None


_numbers = itertools.count(1)
_lock = threading.Lock()
_uses: WeakKeyDictionary[Hub, _Use] = WeakKeyDictionary()


def _use() -> _Use:
    from gevent import get_hub

    with _lock:
        return _uses.setdefault(get_hub(), _Use())


def hold(settings: Mapping[str, Any]) -> None:
    """Somebody may call programs on this thread's hub from now on, until `release`; the settings
    `javascript` have the fields of Limits. Of several holders the limits of the last one count, for
    a pool that starts afterwards."""
    use = _use()
    limits = settings.get("javascript", WorkerLimits())
    use.limits = WorkerLimits(limits.workers, limits.timeout, limits.memory_mib)
    use.holders += 1


def release() -> None:
    """A holder is done; after the last one the workers end."""
    use = _use()
    use.holders -= 1
    if use.holders <= 0:
        close()


def close() -> None:
    """End the workers that calls on this thread's hub started; the next call starts others."""
    use = _use()
    pool, use.pool = use.pool, None
    if pool is not None:
        pool.close()


def running() -> JavaScriptPool:
    """The pool of this thread's hub."""
    use = _use()
    if use.pool is None:
        from greenflow.lang.javascript.pool import JavaScriptPool

        use.pool = JavaScriptPool(use.limits)
    return use.pool


def _forked() -> None:
    """The pools of a parent are not ours: a worker must see the end of the parent alone."""
    global _lock
    _lock = threading.Lock()
    for use in list(_uses.values()):
        if use.pool is not None:
            use.pool.abandon()
            use.pool = None


os.register_at_fork(after_in_child=_forked)


class JavaScript:
    """A program: its module as a function, which the workers keep by a number."""

    def __init__(self, source: ModuleSource) -> None:
        self._source = source

    def __call__(
        self,
        payload: Any,
        *,
        timeout: float | None = None,
        log: Callable[[str], object] | None = None,
    ) -> Any:
        """What the default export returns for the payload. `timeout` is in seconds, by default what
        the limits say; what is written to `console` goes to `log` line by line.

        Raises JavaScriptError with what the code threw, or the error of the payload itself if it
        threw that; SnippetFailed when a limit ended the call; InvalidArgument for a payload that
        is none.
        """
        from greenflow.lang.javascript import wire
        from greenflow.lang.javascript.arrivals import Arrivals

        arrivals = Arrivals()
        here = running()
        text = wire.encode(payload, here.tag, arrivals)
        seconds = min(here.timeout if timeout is None else timeout, MAX_TIMEOUT)
        answer = wire.decode(here.run(self._source, seconds, text), here.tag, arrivals)
        if log is not None and answer.lines:
            from greenflow.hub.breathing import unhurried  # of gevent, which workers do without

            for line in unhurried(answer.lines):
                log(line)
        if answer.error is not None:
            raise answer.error
        return answer.value


def compile(code: str) -> JavaScript:
    """A program of an ES module. Raises CompileFailed."""
    from greenflow.lang.javascript.calls import ModuleSource
    from greenflow.lang.javascript.module import function

    return JavaScript(ModuleSource(next(_numbers), function(code)))
