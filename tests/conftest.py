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

from tests import mongo

SECONDS = 3.0  # that what a test started may take to go away


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests that take long, too")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave tests/soak out unless it was asked for."""
    return True if collection_path.name == "soak" and not config.getoption("--soak") else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Whatever is there before the first test is none of a test's: looking at it each time would
    take longer than the tests."""
    if not session.config.option.collectonly:
        mongo.prepare(item.nodeid for item in session.items)
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    mongo.close()


def _greenlets() -> set[int]:
    return {
        id(thing)
        for thing in gc.get_objects()
        if issubclass(type(thing), greenlet)  # a weak proxy would be asked for its referent's class
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
    # Python code in a native thread of gevent's leaves a dummy behind, which goes with nothing;
    # such threads are looked for where they may be (tests/store/conftest.py).
    return {
        f"{thread.name} {thread.ident}"
        for thread in threading.enumerate()
        if not isinstance(thread, threading._DummyThread)
    }


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


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """MongoDB stores that close soon: they wait for the calls of their feeds, and the driver's
    threads look every half second whether they should end."""
    monkeypatch.setattr("greenflow.store.mongo.feed.AWAIT_MS", 20)
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.02)
    monkeypatch.setattr("pymongo.network_layer._POLL_TIMEOUT", 0.02)
