"""Says which node blocked the hub, for how long, and where in its code.

Lives here: the guard of a hub, and its metrics. A runtime holds the guard of its hub while it runs.

An OS thread looks at the hub's thread from outside, so the path of packets pays nothing. The hub is
blocked when its loop counts the same iteration in look after look, and what runs is not the loop:
an iteration waits for events at its beginning only. Whose code it is, is found in the stack by
whoever holds the guard (`Find`). Two things it cannot see: what holds the interpreter's lock all
the time, as some C code does, stops this thread, too; and a block is measured from look to look, so
one is sure to be seen from 1.5 times the limit on.

Metrics, besides those of a runtime (`blocked`), in the default registry of prometheus-client if
that is installed, by namespace and node: `greenflow_hub_blocked_total`, how
often, and `greenflow_hub_blocked_seconds_total`, for how long in all.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import Any, NamedTuple

from gevent._hub_local import get_hub_if_exists
from gevent.hub import Hub
from gevent.monkey import get_original

LOOKS = 2  # looks in the time that a hub may be blocked; 20 a second by default are 0.1 % of a core
LONG = 5.0  # seconds: what blocks for so long may block for ever, and is told before it ends
PAUSE = 10.0  # seconds between two lines about one hub: the log is for people
FRAMES = 4  # innermost calls that a line names

# Native ones in a monkey-patched program, too.
_allocate_lock = get_original("_thread", "allocate_lock")
_start_thread = get_original("_thread", "start_new_thread")
_thread_number = get_original("_thread", "get_ident")

_log = logging.getLogger("greenflow.guard")
_guards: dict[Hub, Guard] = {}  # each hub touches its own entry only


class Culprit(NamedTuple):
    """Whose code runs: its namespace, its name, and the fields of a log record about it."""

    namespace: str
    name: str
    fields: dict[str, object]


Find = Callable[[FrameType], Culprit | None]
"""Whose code a frame of a stack is, if that can be told from this frame."""


class Blockage(NamedTuple):
    """What blocked: whose code, if that is known, and the innermost calls, the last first."""

    culprit: Culprit | None
    calls: str


class Guard:
    """The thread that looks at one hub. `seconds` is how long that may be blocked."""

    def __init__(self, hub: Hub, seconds: float, find: Find) -> None:
        self.seconds, self.holders, self._find = seconds, 0, find
        self._loop, self._thread = hub.loop, _thread_number()
        self._stopping, self._stopped = _allocate_lock(), _allocate_lock()
        self._stopping.acquire()
        self._stopped.acquire()
        self._told_at, self._untold = -PAUSE, 0
        _start_thread(self._watch, ())

    def stop(self) -> None:
        """Look no more; the thread has ended on return."""
        self._stopping.release()
        self._stopped.acquire()

    def _watch(self) -> None:
        try:
            self._look_on()
        except Exception as error:
            _log.error("the hub guard failed, and looks no more: %s", error, exc_info=error)
        finally:
            hub = get_hub_if_exists()  # in a patched program a lock of the log may have made one
            if hub is not None:
                hub.destroy(destroy_loop=True)
            self._stopped.release()

    def _look_on(self) -> None:
        turn, since, block, is_told = -1, None, None, False
        while not self._stopping.acquire(True, self.seconds / LOOKS):
            now, same = monotonic(), turn
            turn = self._loop.iteration
            frame = sys._current_frames().get(self._thread)
            is_idle = frame is None or frame.f_code is Hub.run.__code__
            if turn != same or is_idle:
                if block is not None and since is not None:
                    self._ended(block, now - since, is_told)
                since, block, is_told = None if is_idle else now, None, False
            elif since is None:
                since = now
            elif block is None:
                if now - since >= self.seconds:
                    block = look(frame, self._find)
            elif not is_told and now - since >= LONG:
                is_told = True
                self._tell(block, f"has blocked the hub for {now - since:.1f} s and still does")
            del frame  # it would keep alive what its function holds

    def _ended(self, block: Blockage, seconds: float, is_told: bool) -> None:
        count(block.culprit, seconds)
        if is_told or monotonic() - self._told_at >= PAUSE:
            self._tell(block, f"blocked the hub for {seconds:.2f} s")
        elif block.culprit is not None:
            self._untold += 1

    def _tell(self, block: Blockage, what: str) -> None:
        culprit = block.culprit
        if culprit is None:  # the program's own code, which is none of ours to judge
            return
        more = f" ({self._untold} more since the last such line)" if self._untold else ""
        self._told_at, self._untold = monotonic(), 0
        _log.warning(
            "node %r %s: %s%s", culprit.name, what, block.calls, more, extra=culprit.fields
        )


def look(frame: FrameType | None, find: Find) -> Blockage:
    """What runs in a stack, given by its innermost frame."""
    culprit, calls = None, list[str]()
    while frame is not None and culprit is None:
        culprit = find(frame)
        if culprit is None and len(calls) < FRAMES:
            code = frame.f_code
            calls.append(f"{code.co_filename}:{frame.f_lineno} in {code.co_name}")
        frame = frame.f_back
    return Blockage(culprit, ", called from ".join(calls))


def hold(hub: Hub, seconds: float, find: Find) -> None:
    """Guard the calling thread's hub from now on, until `release`; `find` tells whose code blocks
    it. Of several holders the limit of the first one counts."""
    guard = _guards.get(hub)
    if guard is None:
        guard = _guards[hub] = Guard(hub, seconds, find)
    guard.holders += 1


def release(hub: Hub) -> None:
    """A holder is done; after the last one the guard ends."""
    guard = _guards.get(hub)
    if guard is not None:
        guard.holders -= 1
        if not guard.holders:
            del _guards[hub]
            guard.stop()


# The threads of a parent do not run in the child of a fork.
os.register_at_fork(after_in_child=_guards.clear)


class Blocked:
    """How often one node, or the program's own code, has blocked a hub, and for how long in all."""

    __slots__ = ("seconds", "times")

    def __init__(self) -> None:
        self.times, self.seconds = 0, 0.0


#: Who has blocked a hub, by namespace and name; two empty texts are the program's own code.
blocked: dict[tuple[str, str], Blocked] = {}


def count(culprit: Culprit | None, seconds: float) -> None:
    """Add one block to what is known of its culprit, and to the metrics."""
    key = ("", "") if culprit is None else (culprit.namespace, culprit.name)
    total = blocked.setdefault(key, Blocked())
    total.times += 1
    total.seconds += seconds
    counters = _counters()
    if counters is not None:
        labels = ("", "") if culprit is None else (culprit.namespace, culprit.name)
        times, total = counters
        times.labels(*labels).inc()
        total.labels(*labels).inc(seconds)


@functools.cache
def _counters() -> tuple[Any, Any] | None:
    try:
        from prometheus_client import Counter
    except ImportError:
        return None
    labels = ("namespace", "node")
    return (
        Counter("greenflow_hub_blocked", "Times that code blocked the hub.", labels),
        Counter("greenflow_hub_blocked_seconds", "Seconds that the hub was blocked.", labels),
    )
