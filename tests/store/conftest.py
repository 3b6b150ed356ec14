"""The stores that the contract is tested on. Another store is one more entry of `PLACES`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import gevent
import pytest

from greenflow.store import Collection, Store, open_store
from tests import mongo
from tests.waiting import DEADLINE, PAUSE

# A URL of a fresh, empty store, given a folder of its own.
PLACES: dict[str, Callable[[Path], str]] = {
    "memory": lambda folder: "memory://",
    "sqlite": lambda folder: f"sqlite:///{folder}/store.db",
    "mongodb": lambda folder: mongo.url(),
    "mongodb-standalone": lambda folder: mongo.url(standalone=True),
    "mongodb-documentdb": lambda folder: mongo.lacking("documentdb"),
}


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest, tmp_path: Path, hurried: None) -> str:
    return PLACES[request.param](tmp_path)


@pytest.fixture
def replica_set(hurried: None) -> str:
    return mongo.url()


@pytest.fixture
def standalone(hurried: None) -> str:
    return mongo.url(standalone=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an SQLite store may be put."""
    return tmp_path / "store.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as store:
        yield store


@pytest.fixture
def specs(store: Store) -> Collection:
    return store.specs


@pytest.fixture(autouse=True)
def no_native_thread_left(nothing_left_behind: None) -> Iterator[None]:
    """A store's threads are not in `threading`'s list, so the operating system is asked."""
    before = _native_threads()
    yield
    gevent.get_hub().threadpool.kill()  # the hub's own look names up for everybody
    end = time.monotonic() + DEADLINE
    while left := _native_threads() - before:
        assert time.monotonic() < end, f"native threads are left behind: {_named(left)}"
        time.sleep(PAUSE)


def _named(threads: set[str]) -> dict[str, str]:
    """The threads with what the system calls them, and what they wait for."""
    told = {}
    for number in sorted(threads):
        folder = Path("/proc/self/task") / number
        with suppress(OSError):
            told[number] = " in ".join((folder / name).read_text() for name in ("comm", "wchan"))
    return told


def _native_threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))
