"""The loader: the table becomes equal to the store, whatever the feed does (BEHAVIOUR 6, 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from greenflow.config import Settings
from greenflow.engine.services import Services
from greenflow.errors import StoreUnavailable
from greenflow.hub import backoff as pausing
from greenflow.hub.backoff import MOST, Backoff
from greenflow.scheme.registry import Scheme
from greenflow.store.base import Batch, Feed, Record
from greenflow.store.memory import MemoryStore
from greenflow.table import loader as loading
from greenflow.table.loader import Loader
from greenflow.table.table import Table
from tests.waiting import until


class Fragile:
    """A collection that can be taken away, and whose feed can lie."""

    patient = False

    def __init__(self, store: MemoryStore) -> None:
        self.collection = store.specs
        self.away = False
        self.deaf = False
        self.found: list[Any] = []

    def find(self, filter: Mapping[str, Any] | None) -> list[Record]:
        self.check()
        self.found.append(filter)
        return self.collection.find(filter)

    def revisions(self, namespace: str | None) -> dict[str, int]:
        self.check()
        return self.collection.revisions(namespace)

    def feed(self, namespace: str | None) -> Feed:
        self.check()
        return FragileFeed(self, self.collection.feed(namespace))

    def check(self) -> None:
        if self.away:
            raise StoreUnavailable("the store is not there")


class FragileFeed(Feed):
    def __init__(self, owner: Fragile, feed: Feed) -> None:
        self.owner, self.feed = owner, feed

    def next(self, timeout: float | None) -> Batch | None:
        self.owner.check()
        batch = self.feed.next(None if timeout is None else min(timeout, 0.001))
        return None if self.owner.deaf else batch

    def close(self) -> None:
        self.feed.close()


class Following:
    def __init__(self) -> None:
        self.store = MemoryStore("memory://")
        self.fragile = Fragile(self.store)
        self.scheme = Scheme.installed()
        self.table = Table(Services("default", Settings(), self.scheme))
        self.loader = Loader(self.table, self.fragile, "default")  # type: ignore[arg-type]

    def apply(self, *documents: dict[str, Any]) -> None:
        self.store.specs.apply(documents)

    def running(self) -> dict[str, Any]:
        return {
            symbol.id: symbol.version.document.get("code")
            for symbol in self.table.symbols.values()
            if symbol.active
        }


def snippet(id: str, code: str = "", **fields: Any) -> dict[str, Any]:
    return {"kind": "snippet", "id": id, "namespace": "default", "code": code, **fields}


@pytest.fixture
def following(monkeypatch: pytest.MonkeyPatch) -> Iterator[Following]:
    monkeypatch.setattr(pausing, "FIRST", 0.001)
    following = Following()
    yield following
    following.loader.stop()
    following.table.close()
    following.store.close()


def test_everything_is_loaded_before_start_returns(following: Following) -> None:
    following.apply(snippet("a", "1"), {**snippet("b", "2"), "namespace": "other"})
    following.loader.start()
    assert following.running() == {"a": "1"}
    assert following.loader.connected


def test_changes_are_followed(following: Following) -> None:
    following.loader.start()
    following.apply(snippet("a", "1"), snippet("b", "2"))
    until(lambda: following.running() == {"a": "1", "b": "2"})
    following.apply(snippet("a", "3"))
    following.store.specs.delete({"id": "b"})
    until(lambda: following.running() == {"a": "3"})


def test_the_first_load_fails_when_the_store_is_away(following: Following) -> None:
    following.fragile.away = True
    with pytest.raises(StoreUnavailable):
        following.loader.start()


def test_while_the_store_is_away_nodes_run_on_and_afterwards_all_is_compared(
    following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    following.apply(snippet("a", "1"), snippet("b", "2"))
    following.loader.start()
    kept = following.table.symbols["b"].version.node
    following.fragile.away = True
    until(lambda: not following.loader.connected)
    assert following.running() == {"a": "1", "b": "2"}
    following.apply(snippet("a", "changed meanwhile"), snippet("c", "new"))
    following.fragile.away = False
    until(lambda: following.running() == {"a": "changed meanwhile", "b": "2", "c": "new"})
    assert following.table.symbols["b"].version.node is kept
    away = [record for record in caplog.records if "store is away" in record.message]
    assert len(away) == 1


def test_what_the_feed_does_not_say_is_found_by_comparing(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    following.loader.start()
    following.fragile.deaf = True
    following.apply(snippet("a", "1"))
    monkeypatch.setattr(loading, "COMPARE", 0.0)
    following.loader._compare_at = 0.0
    until(lambda: following.running() == {"a": "1"})


def test_events_that_come_together_are_one_change(following: Following) -> None:
    following.loader.start()
    before = len(following.fragile.found)
    for i in range(50):
        following.apply(snippet(f"a{i}", str(i)))
    until(lambda: len(following.running()) == 50)
    assert len(following.fragile.found) - before <= 2


def test_a_spec_that_failed_is_tried_again(following: Following) -> None:
    following.apply(snippet("a", language="not there yet"))
    following.loader.start()
    assert "unknown language" in following.table.symbols["a"].reason
    decoded = following.scheme.decode

    def decode(document: Any, *rest: Any) -> Any:
        return decoded({**document, "language": "text"}, *rest)

    following.scheme.decode = decode  # type: ignore[method-assign]
    until(lambda: bool(following.running()))


def test_an_error_of_ours_does_not_end_the_following(
    following: Following, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    following.loader.start()
    change, failed = following.table.change, []

    def fail_once(*arguments: Any, **options: Any) -> None:
        if not failed:
            failed.append(1)
            raise RuntimeError("a fault of ours")
        change(*arguments, **options)

    monkeypatch.setattr(following.table, "change", fail_once)
    following.apply(snippet("a", "1"))
    until(lambda: following.running() == {"a": "1"})
    assert "a fault of ours" in caplog.text


def test_the_backoff_grows_to_its_limit_and_starts_again() -> None:
    backoff = Backoff()
    seconds = [backoff.next() for _ in range(12)]
    assert seconds[0] <= pausing.FIRST
    assert all(later <= MOST for later in seconds)
    assert seconds[-1] >= MOST / 2
    backoff.reset()
    assert backoff.next() <= pausing.FIRST
