"""What a piece of a program left behind: greenlets, threads, descriptors.

Lives here: Held, what the OS process holds at a moment, and the wait for what is about to go. The
processes of a workflow are counted by their runtime (running.py).
"""

from __future__ import annotations

import gc
import itertools
import os
import threading
from time import monotonic
from typing import Any, NamedTuple, Self

import gevent
from greenlet import greenlet

SECONDS = 10.0  # that what was started may take to go away, on a busy machine
# Seconds between two looks: a greenlet that spins keeps the interpreter from native threads, which
# need it to end.
PAUSE = 0.001
LOOKS = 10  # between two garbage collections, which take longer than all else here


class LeftBehind(AssertionError):
    """Something that was started is still there. Whoever wrote what was run must act."""


class Held(NamedTuple):
    """What the OS process holds: greenlets by identity, descriptors with what they lead to, threads
    by name."""

    greenlets: frozenset[int]
    descriptors: frozenset[tuple[str, str]]
    threads: frozenset[str]

    @classmethod
    def now(cls) -> Self:
        """What is held at this moment."""
        gevent.get_hub().loop  # noqa: B018 - the hub's own descriptors are made at first use
        return cls(_greenlets(), _descriptors(), _threads())

    def left(self) -> Self | None:
        """What is held beyond this; waits for it to go away, SECONDS at most. None: nothing."""
        end, looks = monotonic() + SECONDS, itertools.count(1)
        while any(more := self._more()):
            if monotonic() > end:
                return more
            if next(looks) % LOOKS == 1:
                gc.collect()
            gevent.sleep(PAUSE)
        return None

    def _more(self) -> Self:
        now = self.now()
        return type(self)(
            now.greenlets - self.greenlets,
            now.descriptors - self.descriptors,
            now.threads - self.threads,
        )

    def __str__(self) -> str:
        descriptors = ", ".join(f"{number} ({target})" for number, target in self.descriptors)
        return "; ".join(
            f"{what}: {found}"
            for what, found in (
                ("greenlets", len(self.greenlets) or ""),
                ("descriptors", descriptors),
                ("threads", ", ".join(sorted(self.threads))),
            )
            if found
        )


def _greenlets() -> frozenset[int]:
    """Those of this thread: the workers of gevent's thread pools stay for the next call."""
    here = _root(gevent.getcurrent())
    return frozenset(
        id(thing)
        for thing in gc.get_objects()
        if issubclass(type(thing), greenlet)  # a weak proxy would be asked for its referent's class
        and not thing.dead
        and not isinstance(thing, gevent.hub.Hub)
        and thing.parent is not None
        and bool(thing)
        and _root(thing) is here
    )


def _root(thing: Any) -> Any:
    """The main greenlet of the thread that a greenlet belongs to."""
    while thing.parent is not None:
        thing = thing.parent
    return thing


def _descriptors() -> frozenset[tuple[str, str]]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return frozenset(pair for pair in found if "/proc/" not in pair[1])


def _threads() -> frozenset[str]:
    # Python code in a native thread of gevent's leaves a dummy behind, which goes with nothing.
    return frozenset(
        f"{thread.name} {thread.ident}"
        for thread in threading.enumerate()
        if not isinstance(thread, threading._DummyThread)
    )
