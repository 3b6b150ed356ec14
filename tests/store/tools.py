"""What tests of stores share: documents, waiting for feeds, other OS processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from greenflow.errors import InvalidArgument
from greenflow.store import Batch, Collection, Feed, Record, Store
from greenflow.store.database import DatabaseThread
from greenflow.store.sqlite import SqliteStore
from tests.waiting import DEADLINE

untimed = settings(deadline=None)  # the machine may be busy; what is tested is not how fast it is

# Every example opens or empties the store itself.
on_a_store = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def spec(id: str | None = None, name: str | None = None, **fields: Any) -> dict[str, Any]:
    """A document in the namespace `default`, unless told otherwise."""
    document: dict[str, Any] = {} if id is None else {"id": id}
    document["namespace"] = "default"
    if name is not None:
        document["name"] = name
    return {**document, **fields}


def everything(specs: Collection) -> list[Record]:
    """Every document that is stored."""
    return specs.find(None)


def reason(caught: pytest.ExceptionInfo[InvalidArgument]) -> str:
    """Why an argument was refused."""
    return str(caught.value.__cause__)


def documents(records: Iterable[Record]) -> list[dict[str, Any]]:
    return [record.document for record in records]


def ids(records: Iterable[Record]) -> list[str]:
    return [record.document["id"] for record in records]


def follow(feed: Feed, wanted: Iterable[str]) -> set[str]:
    """Everything a feed reports until it has reported all that is wanted."""
    missing, seen = set(wanted), set[str]()
    end = time.monotonic() + DEADLINE
    while missing:
        batch = feed.next(end - time.monotonic())
        assert batch is not None, f"not reported: {sorted(missing)[:5]}"
        assert not batch.gap
        seen |= batch.ids
        missing -= batch.ids
    return seen


def next_batch(feed: Feed) -> Batch:
    batch = feed.next(DEADLINE)
    assert batch is not None, "nothing was reported"
    return batch


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another OS process that runs the code."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, *arguments: str) -> str:
    """What the code prints in another OS process, which must succeed in silence."""
    with python(code, *arguments) as child:
        output, errors = child.communicate(timeout=DEADLINE)
    assert (child.returncode, errors) == (0, "")
    return output


@contextmanager
def another(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as another program would have it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program is writing meanwhile."""
    with another(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def pragma(store: Store, name: str) -> Any:
    """What a PRAGMA says on the connection that writes."""
    assert isinstance(store, SqliteStore)
    return store._writer.run(lambda c: c.execute(f"PRAGMA {name}").fetchall()[0][0])


def under_way(lane: DatabaseThread) -> bool:
    """Whether the lane's thread is at work on all that it was given."""
    pool = lane._threads._pool
    assert pool is not None
    return len(pool) > 0 and pool.task_queue.qsize() == 0


@contextmanager
def mongo_database(url: str) -> Iterator[Any]:
    """The database as another program sees it."""
    with closing(MongoClient[dict[str, Any]](url)) as client:
        yield client.get_default_database()
