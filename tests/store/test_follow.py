"""The feeds of an SQLite store, as far as no other test of feeds has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenflow.store import Batch, open_store, tables
from greenflow.store import follow as follower
from tests.store.tools import (
    DEADLINE,
    next_batch,
    spec,
)


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_a_write_through_the_same_store_does_not_wait_for_the_next_look(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "INTERVAL", 100 * DEADLINE)
    with open_store(url) as store, store.specs.feed(None) as feed:
        for at in range(3):
            store.specs.insert([spec(f"id {at}")])
            assert next_batch(feed).ids == {f"id {at}"}
        store.specs.delete(None)
        assert next_batch(feed).ids == {"id 0", "id 1", "id 2"}


def test_a_feed_that_the_journal_left_behind_is_a_gap(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "JOURNAL_KEPT", 3)
    with open_store(url) as store, store.specs.feed(None) as feed:
        store.specs.insert([spec(f"id {at}") for at in range(10)])
        assert next_batch(feed).gap
        store.specs.insert([spec("a")])
        assert next_batch(feed) == Batch(frozenset("a"), gap=False)
