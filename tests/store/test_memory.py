"""What is of the memory store only."""

from __future__ import annotations

import pytest

from greenflow.errors import StoreUnavailable
from greenflow.store import feed as feeds
from greenflow.store import open_store
from greenflow.store.memory import MemoryStore
from tests.store.tools import ids, next_batch, spec


def test_every_store_is_a_new_one() -> None:
    with open_store("memory://") as one, open_store("memory://") as other:
        one.specs.insert([spec("a")])
        assert other.specs.find(None) == []
        other.specs.insert([spec("b")])
        assert ids(one.specs.find(None)) == ["a"]


@pytest.mark.parametrize("url", ["memory://name", "memory:///", "memory://?x=1"])
def test_its_url_takes_nothing_else(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="takes nothing"):
        open_store(url)


def test_names_that_are_given_up_are_forgotten() -> None:
    with MemoryStore() as store:
        store.specs.insert([spec("a", "one"), spec("b", "two"), spec("c", "three")])
        store.specs.apply([spec("a", "four"), spec("b")])
        store.specs.delete({"id": "c"})
        assert store.specs._ids == {("default", "four"): "a"}


def test_a_feed_that_is_far_behind_reports_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_WAITING", 3)
    with open_store("memory://") as store, store.specs.feed(None) as feed:
        store.specs.insert([spec(id) for id in "abc"])
        assert next_batch(feed) == (frozenset("abc"), False)
        store.specs.insert([spec(id) for id in "defg"])
        store.specs.insert([spec("h")])
        assert next_batch(feed) == (frozenset("h"), True)
        store.specs.insert([spec("i")])
        assert next_batch(feed) == (frozenset("i"), False)
