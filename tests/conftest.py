"""What every test of greenflow obeys: it leaves no greenlet, thread, file or socket behind."""

from __future__ import annotations

import gc
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import gevent
import pytest
from greenlet import greenlet

SECONDS = 3.0  # that what a test started may take to go away


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests that take long, too")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave tests/soak out unless it was asked for."""
    return True if collection_path.name == "soak" and not config.getoption("--soak") else None


def pytest_collection_finish() -> None:
    """Whatever is there before the first test is none of a test's: looking at it each time would
    take longer than the tests."""
    gc.collect()
    gc.freeze()


def _greenlets() -> set[int]:
    return {
        id(thing)
        for thing in gc.get_objects()
        if isinstance(thing, greenlet)
        and not thing.dead
        and not isinstance(thing, gevent.hub.Hub)
        and thing.parent is not None
        and bool(thing)
    }


def _descriptors() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return {number: target for number, target in found.items() if "/proc/" not in target}


def _threads() -> set[str]:
    return {f"{thread.name} {thread.ident}" for thread in threading.enumerate()}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails the test that leaves a greenlet, a thread or a descriptor behind."""
    gevent.get_hub().loop  # noqa: B018 - the hub's own descriptors are not the test's
    before = _greenlets(), _descriptors(), _threads()
    yield
    end, turns = monotonic() + SECONDS, itertools.count()
    while True:
        left = (
            _greenlets() - before[0],
            {n: t for n, t in _descriptors().items() if before[1].get(n) != t},
            _threads() - before[2],
        )
        if not any(left):
            return
        if monotonic() > end:
            break
        if next(turns) % 100 == 0:
            gc.collect()
        gevent.sleep(0)
    pytest.fail(f"left behind: {len(left[0])} greenlets, descriptors {left[1]}, threads {left[2]}")
