"""Letting others run in the middle of long work.

Lives here: `let_others_run`, and `unhurried` for work on many items. How much work is done in one
go is its owner's to say, in steps where those are of one size, else by the time that has gone by.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import gevent

T = TypeVar("T")

#: Seconds of work after which `unhurried` lets others run. A tenth of the 20 ms for which the hub
#: may be blocked at most, as several greenlets may be at it in turn.
SLICE = 0.002

#: Seconds of sleep that let others run. Not 0: gevent runs up to 50 greenlets that slept 0 seconds
#: before it looks at timers and sockets again (measured: 95 ms late with slices of 5 ms), while the
#: smallest time goes through the event loop once, and costs 5 microseconds.
TURN = 1e-9


def let_others_run() -> None:
    """Give every other greenlet, timer and socket that is ready its turn. Only in a greenlet."""
    gevent.sleep(TURN)


def unhurried(items: Iterable[T]) -> Iterator[T]:
    """The same items, letting others run whenever `SLICE` has gone by. Only in a greenlet."""
    end = time.perf_counter() + SLICE
    for item in items:
        yield item
        if time.perf_counter() > end:
            let_others_run()
            end = time.perf_counter() + SLICE
