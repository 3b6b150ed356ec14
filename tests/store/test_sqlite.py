"""The SQLite store under greenlets and other OS processes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import gevent
import pytest

from greenflow.errors import StoreUnavailable
from greenflow.store import open_store
from greenflow.store.sqlite import SqliteStore
from tests.store.tools import (
    DEADLINE,
    follow,
    ids,
    locked,
    next_batch,
    python,
    run,
    spec,
    under_way,
)
from tests.waiting import until


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_a_write_that_waits_holds_up_nobody_else(url: str, path: Path) -> None:
    with open_store(url) as store, store.specs.feed(None) as feed:
        assert isinstance(store, SqliteStore)
        store.specs.insert([spec("a")])
        assert next_batch(feed).ids == {"a"}
        with locked(path):
            writing = gevent.spawn(store.specs.insert, [spec("b")])
            until(lambda: under_way(store._writer))
            for _ in range(100):
                gevent.sleep(0)
            assert ids(store.specs.find(None)) == ["a"]
            assert store.specs.revisions(None).keys() == {"a"}
            assert feed.next(0) is None
            assert not writing.ready()
        assert ids(writing.get(timeout=DEADLINE)) == ["b"]
        assert next_batch(feed).ids == {"b"}


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_what_is_made_is_for_its_user_alone_and_what_is_there_stays(
    url: str, path: Path, umask: int
) -> None:
    def modes() -> dict[str, int]:
        return {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}

    before = os.umask(umask)
    try:
        with open_store(url) as store:
            store.specs.insert([spec("a")])
            names = (path.name, f"{path.name}-shm", f"{path.name}-wal")
            assert modes() == dict.fromkeys(names, 0o600)
        path.chmod(0o640)
        with open_store(url) as store:
            assert ids(store.specs.find(None)) == ["a"]
            assert set(modes().values()) == {0o640}
    finally:
        os.umask(before)


@pytest.mark.parametrize("how", ["kill", "timeout"])
def test_a_greenlet_that_is_interrupted_leaves_the_store_usable(
    url: str, path: Path, how: str
) -> None:
    def write() -> None:
        with suppress(gevent.Timeout):
            store.specs.insert([spec("a"), spec("b")])

    with open_store(url) as store:
        assert isinstance(store, SqliteStore)
        with locked(path):
            writing = gevent.spawn(write)
            until(lambda: under_way(store._writer))
            writing.kill(gevent.GreenletExit if how == "kill" else gevent.Timeout(), block=False)
            writing.join(DEADLINE)
            assert writing.dead
            assert store.specs.find(None) == []
        store.specs.insert([spec("c")])
        assert ids(store.specs.find(None)) == ["a", "b", "c"]  # the call went on to its end


def test_greenlets_killed_at_any_moment_leave_whole_batches(url: str) -> None:
    def write(generation: int) -> None:
        store.specs.apply([spec(f"id {at}", generation=generation) for at in range(50)])

    with open_store(url) as store:
        write(0)
        for generation in range(1, 40):
            writing = gevent.spawn(write, generation)
            for _ in range(generation % 8):
                gevent.sleep(0.0002)
            writing.kill()
            found = store.specs.find(None)
            assert len(found) == 50
            assert len({record.document["generation"] for record in found}) == 1


def test_close_waits_for_what_is_under_way(url: str, path: Path) -> None:
    store = open_store(url)
    assert isinstance(store, SqliteStore)
    with locked(path):
        writing = gevent.spawn(store.specs.insert, [spec("a")])
        until(lambda: under_way(store._writer))
        closing_it = [gevent.spawn(store.close) for _ in range(2)]
        gevent.sleep(0)
        assert not any(each.ready() for each in closing_it)
    gevent.joinall(closing_it, timeout=DEADLINE, raise_error=True)
    assert ids(writing.get(timeout=DEADLINE)) == ["a"]
    with open_store(url) as again:
        assert ids(again.specs.find(None)) == ["a"]


def test_a_close_that_is_interrupted_can_be_repeated(url: str, path: Path) -> None:
    store = open_store(url)
    assert isinstance(store, SqliteStore)
    feed = store.specs.feed(None)
    with locked(path):
        writing = gevent.spawn(store.specs.insert, [spec("a")])
        until(lambda: under_way(store._writer))
        closing_it = gevent.spawn(store.close)
        with pytest.raises(StoreUnavailable, match="closed"):
            feed.next(DEADLINE)
        closing_it.kill()
    writing.join(DEADLINE)
    store.close()


# other OS processes

WRITER = """
import sys
from greenflow.store import open_store
url, prefix, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open_store(url) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for batch in range(batches):
        ids = [f"{prefix} {batch} {at}" for at in range(5)]
        store.specs.apply([
            {"id": id, "namespace": "default", "name": id} for id in ids
        ] + [{"id": "shared", "namespace": "default", "writer": prefix, "batch": batch}])
"""


def test_every_change_of_other_os_processes_is_seen(url: str) -> None:
    """Four of them make the file at once, and then write at once."""
    writers = [python(WRITER, url, prefix, "20") for prefix in "wxyz"]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    with open_store(url) as store, store.specs.feed("default") as feed:
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        wanted = {f"{p} {b} {at}" for p in "wxyz" for b in range(20) for at in range(5)}
        seen = follow(feed, wanted | {"shared"})
        for writer in writers:
            assert writer.communicate(timeout=DEADLINE)[1] == ""
            assert writer.returncode == 0
        found = store.specs.find(None)
        assert set(ids(found)) == seen
        assert len({record.revision for record in found}) == len(found)
        assert store.specs.find({"id": "shared"})[0].document["batch"] == 19


LIFE = """
import sys
if sys.argv[2] == "patched":
    from gevent import monkey
    monkey.patch_all()
import gevent
from greenflow.store import open_store

def document(at, **fields):
    return {"id": f"id {at:04}", "namespace": "default", "name": f"name {at}", **fields}

with open_store(sys.argv[1]) as store, store.specs.feed("default") as feed:
    ticks = 0
    def tick():
        global ticks
        while True:
            ticks += 1
            gevent.sleep(0.001)
    ticking = gevent.spawn(tick)
    store.specs.insert([document(at) for at in range(1000)])
    seen = set()
    while len(seen) < 1000:
        seen |= feed.next(30).ids
    store.specs.update([document(5, x=1)], lambda merged: merged)
    assert feed.next(30).ids == {"id 0005"}
    assert len(store.specs.find(None)) == 1000
    assert len(store.specs.delete({"x": None})) == 999
    waiting = gevent.spawn(feed.next, None)
    waiting.join(30)
    ticking.kill()
print(ticks > 5)
"""


@pytest.mark.parametrize("how", ["patched", "plain"])
def test_it_works_in_monkey_patched_and_in_other_programs(url: str, how: str) -> None:
    assert run(LIFE, url, how) == "True\n"


def test_a_program_that_forgets_to_close_ends_all_the_same(url: str) -> None:
    code = """
import sys
from greenflow.store import open_store
store = open_store(sys.argv[1])
feed = store.specs.feed(None)
store.specs.insert([{"id": "a", "namespace": "default"}])
print(sorted(feed.next(30).ids))
"""
    assert run(code, url) == "['a']\n"
    with open_store(url) as store:
        assert ids(store.specs.find(None)) == ["a"]
