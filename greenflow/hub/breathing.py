"""Letting others run in the middle of long work, and long work of many taking turns.

Lives here: `let_others_run`, `in_turn` for what the hub would begin, `unhurried` for work on many
items, `Breath` for what is no loop over items, and `pause` for the steps of what has no place to
keep one. How much work is done in one go is its owner's
to say, in steps where those are of one size, else by the time that has gone by.

Who waits here goes on in the order of asking. The hub does not run all of them in one go, as it
does with greenlets that sleep: a thousand with 10 ms of work each would keep timers, sockets and
the end of a grace waiting for 10 s. It begins one after the other until `STRETCH` has gone by, and
then goes through its event loop.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from gevent import get_hub, getcurrent
from gevent._hub_local import get_hub_if_exists
from gevent.hub import Waiter

from greenflow.hub.collector import put_off

T = TypeVar("T")

#: Seconds of work after which `unhurried` lets others run. A tenth of the 20 ms for which the hub
#: may be blocked at most, as several greenlets may be at it in turn.
SLICE = 0.002

#: Seconds of work after which the hub looks at timers and sockets again, though more are waiting
#: for their turn. With the last one's work it stays below 20 ms.
STRETCH = 0.005

#: Seconds until those who wait have their turn. Not 0, which would be before timers and sockets are
#: looked at; the smallest time goes through the event loop once, and costs 5 microseconds.
TURN = 1e-9


class _Line:
    """Who waits for a turn on one hub."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()
        self._timer: Any = None  # there while somebody waits

    def add(self, begin: Callable[[], object]) -> None:
        self._waiting.append(begin)
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        self._timer = self._loop.timer(TURN)
        self._timer.start(self._run)

    def _run(self) -> None:
        self._timer.close()
        end = time.perf_counter() + STRETCH
        try:
            for _ in range(len(self._waiting)):  # who asks again meanwhile waits for the next turn
                self._waiting.popleft()()
                if time.perf_counter() > end:
                    break
        finally:
            self._timer = None
            if self._waiting:
                self._arm()


_lines: WeakKeyDictionary[Any, _Line] = WeakKeyDictionary()


def in_turn(begin: Callable[[], object]) -> None:
    """Have the hub call this after those who wait already. It must not block, but may switch to a
    greenlet that works."""
    hub = get_hub()
    line = _lines.get(hub)
    if line is None:
        line = _lines[hub] = _Line(hub.loop)
    line.add(begin)


def is_late() -> bool:
    """Whether the hub has been at it for so long that what it is about to begin should be done in
    turn: the time since it looked at sockets last."""
    return bool(time.time() - get_hub().loop.now() > STRETCH)


def let_others_run() -> None:
    """Give every other greenlet, timer and socket that is ready its turn. Only in a greenlet."""
    waiter: Waiter[None] = Waiter()
    in_turn(partial(waiter.switch, None))
    waiter.get()


def breathe() -> None:
    """Let others run if the hub has been at it for `STRETCH` and there are any."""
    if has_others() and is_late():
        put_off()
        let_others_run()


class Breath:
    """Of one long work, which takes it between its steps."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = time.perf_counter() + SLICE

    def take(self) -> None:
        """Let others run, if there are any and `SLICE` has gone by."""
        if time.perf_counter() > self._end:
            put_off()
            if has_others():
                let_others_run()
            self._end = time.perf_counter() + SLICE


def pause() -> None:
    """Let others run, if there are any and the hub has been at it for long. For the middle of deep
    work, between its steps; it costs half a microsecond."""
    if has_others() and is_late():
        put_off()
        let_others_run()


def has_others() -> bool:
    """Whether other greenlets of this thread could run: it has a hub, and this is not the hub."""
    hub = get_hub_if_exists()
    return hub is not None and getcurrent() is not hub


def unhurried(items: Iterable[T]) -> Iterator[T]:
    """The same items, letting others run whenever `SLICE` has gone by."""
    breath = Breath()
    for item in items:
        yield item
        breath.take()
