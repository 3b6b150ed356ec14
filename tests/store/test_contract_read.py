"""The contract of store/base.py on every store: find, delete, revisions, feeds, the store."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from greenflow.errors import DuplicateSpec, InvalidArgument, StoreUnavailable
from greenflow.store import Batch, Collection, Store, open_store
from tests.store.tools import DEADLINE, documents, everything, ids, next_batch, reason, spec


def same(document: dict[str, Any]) -> dict[str, Any]:
    return document


# delete, find, revisions


def test_delete_returns_what_was_there(specs: Collection) -> None:
    b, a, c = specs.insert([spec("b", x=1), spec("a", x=1), spec("c", x=2)])
    assert specs.delete({"x": 1}) == [a, b]
    assert everything(specs) == [c]
    assert specs.delete({"x": 1}) == []
    assert specs.delete(None) == [c]


def test_a_deleted_name_is_free(specs: Collection) -> None:
    specs.insert([spec("a", "one")])
    specs.delete({"name": "one"})
    specs.insert([spec("b", "one")])
    assert ids(everything(specs)) == ["b"]


def test_revisions_grow_over_delete_and_create(specs: Collection) -> None:
    revisions = []
    for _ in range(3):
        (created,) = specs.insert([spec("a")])
        (changed,) = specs.apply([spec("a", x=1)])
        specs.delete({"id": "a"})
        revisions += [created.revision, changed.revision]
    assert revisions == sorted(set(revisions))


def test_revisions_of_a_namespace_and_of_all(specs: Collection) -> None:
    a, b = specs.insert([spec("a"), spec("b", namespace="other")])
    assert specs.revisions("default") == {"a": a.revision}
    assert specs.revisions(None) == {"a": a.revision, "b": b.revision}
    assert specs.revisions("none") == {}


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        (None, "abcd"),
        ({}, "abcd"),
        ({"id": "b"}, "b"),
        ({"id": "b", "namespace": "other"}, ""),
        ({"namespace": "other"}, "d"),
        ({"name": "one"}, "ad"),
        ({"name": "one", "namespace": "default"}, "a"),
        ({"name": None}, "c"),
        ({"name": {"$in": [None, "two"]}}, "bc"),
        ({"id": {"$in": ["a", "d", "x"]}}, "ad"),
        ({"id": {"$in": ["a", "d"], "$ne": "a"}}, "d"),
        ({"$and": [{"namespace": "default"}, {"id": {"$in": ["a", "d"]}}]}, "a"),
        ({"$or": [{"id": "a"}, {"name": "two"}]}, "ab"),
        ({"$not": {"namespace": "default"}}, "d"),
        ({"id": {"$gt": "b"}}, "cd"),
        ({"id": 5}, ""),
        ({"data.x": 1}, "b"),
        ({"id": "\ud800"}, ""),
        ({"namespace": "\ud800"}, ""),
        ({"name": {"$in": ["\ud800", "two"]}}, "b"),
        ({"id": {"$in": ["a\0", "a"]}}, "a"),
    ],
)
def test_find(specs: Collection, filter: Any, found: str) -> None:
    specs.insert(
        [
            spec("d", "one", namespace="other"),
            spec("c"),
            spec("b", "two", data={"x": 1}),
            spec("a", "one"),
        ]
    )
    assert "".join(ids(specs.find(filter))) == found
    assert "".join(ids(specs.delete(filter))) == found


@pytest.mark.parametrize("operation", ["find", "delete"])
def test_a_bad_filter_is_an_invalid_argument(specs: Collection, operation: str) -> None:
    specs.insert([spec("a")])
    with pytest.raises(InvalidArgument) as caught:
        getattr(specs, operation)({"x": {"$near": 1}})
    assert "$near" in reason(caught)
    assert ids(everything(specs)) == ["a"]


def test_many_documents(specs: Collection) -> None:
    many = [spec(f"id {at:05}", f"name {at}", at=at) for at in range(1200)]
    stored = specs.insert(reversed(many))
    assert documents(stored) == list(reversed(many))
    assert documents(everything(specs)) == many
    assert documents(specs.find({"namespace": "default"})) == many
    assert documents(specs.find({"id": {"$in": [d["id"] for d in many[::2]]}})) == many[::2]
    assert specs.revisions(None) == {r.document["id"]: r.revision for r in stored}
    again = specs.apply([{k: v for k, v in d.items() if k != "id"} for d in many])
    assert [r.revision for r in again] == [r.revision for r in reversed(stored)]
    assert len(specs.delete({"at": {"$gte": 400}})) == 800
    assert documents(everything(specs)) == many[:400]


def test_documents_are_copied(specs: Collection) -> None:
    mine = spec("a", x={"list": [1]})
    (stored,) = specs.insert([mine])
    mine["x"]["list"].append(2)
    stored.document["x"]["list"].append(3)
    (found,) = everything(specs)
    assert found.document == spec("a", x={"list": [1]})
    found.document["x"]["list"].append(4)
    (updated,) = specs.update([spec("a", y=1)], same)
    assert updated.document["x"] == {"list": [1]}
    updated.document["x"]["list"].append(5)
    (deleted,) = specs.delete(None)
    assert deleted.document == spec("a", x={"list": [1]}, y=1)


def test_the_two_collections_have_nothing_in_common(store: Store) -> None:
    with store.values.feed(None) as feed:
        store.specs.insert([spec("a", "one")])
        store.values.insert([spec("b", "one", data={"k": 1})])
        assert next_batch(feed).ids == {"b"}
    assert documents(store.values.find(None)) == [spec("b", "one", data={"k": 1})]
    store.values.apply([spec("a", "two")])
    store.specs.delete(None)
    assert ids(store.values.find(None)) == ["a", "b"]


# feeds


def test_a_feed_reports_every_kind_of_change(specs: Collection) -> None:
    specs.insert([spec("old")])
    with specs.feed("default") as feed:
        assert feed.next(0) is None
        specs.insert([spec("a"), spec("b")])
        assert next_batch(feed) == Batch(frozenset({"a", "b"}), gap=False)
        specs.apply([spec("a", x=1), spec("c")])
        assert next_batch(feed) == Batch(frozenset({"a", "c"}), gap=False)
        specs.update([spec("b", x=1)], same)
        assert next_batch(feed) == Batch(frozenset({"b"}), gap=False)
        specs.delete({"id": {"$in": ["a", "old"]}})
        assert next_batch(feed) == Batch(frozenset({"a", "old"}), gap=False)


def test_a_feed_has_its_namespace_only(specs: Collection) -> None:
    with specs.feed("default") as one, specs.feed("other") as other, specs.feed(None) as both:
        specs.insert([spec("a"), spec("b", namespace="other"), spec("c", namespace="third")])
        assert next_batch(one).ids == {"a"}
        assert next_batch(other).ids == {"b"}
        reported: set[str] = set()  # a journal has an entry for each namespace
        while len(reported) < 3:
            reported |= next_batch(both).ids
        assert reported == {"a", "b", "c"}


def test_a_failed_batch_is_not_reported(specs: Collection) -> None:
    specs.insert([spec("a")])
    with specs.feed(None) as feed:
        with pytest.raises(DuplicateSpec):
            specs.insert([spec("b"), spec("a")])
        specs.insert([spec("c")])
        assert next_batch(feed).ids == {"c"}


def test_waiting_for_a_feed_blocks_nobody_else(specs: Collection) -> None:
    with specs.feed(None) as feed:
        waiting = gevent.spawn(next_batch, feed)
        gevent.sleep(0)
        specs.insert([spec("a")])
        assert waiting.get(timeout=DEADLINE).ids == {"a"}


def test_a_feed_times_out_with_none(specs: Collection) -> None:
    with specs.feed(None) as feed:
        assert feed.next(0.001) is None
        specs.insert([spec("a")])
        assert next_batch(feed).ids == {"a"}
        assert feed.next(0.001) is None


def test_close_wakes_who_waits_for_a_feed(specs: Collection) -> None:
    feed = specs.feed(None)
    waiting = gevent.spawn(feed.next, None)
    gevent.sleep(0)
    feed.close()
    assert waiting.get(timeout=DEADLINE) is None
    assert feed.next(None) is None
    feed.close()


def test_a_greenlet_that_is_killed_waiting_for_a_feed_leaves_it_usable(specs: Collection) -> None:
    with specs.feed(None) as feed:
        waiting = gevent.spawn(feed.next, None)
        gevent.sleep(0)
        waiting.kill()
        specs.insert([spec("a")])
        assert next_batch(feed).ids == {"a"}


# the store


def test_a_closed_store_says_so(url: str) -> None:
    store = open_store(url)
    feed = store.specs.feed(None)
    waiting = gevent.spawn(feed.next, None)
    gevent.sleep(0)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        waiting.get(timeout=DEADLINE)
    with pytest.raises(StoreUnavailable, match="closed"):
        feed.next(None)
    feed.close()
    for call in (
        lambda: store.specs.find(None),
        lambda: store.specs.insert([spec("a")]),
        lambda: store.values.revisions(None),
        lambda: store.values.feed(None),
    ):
        with pytest.raises(StoreUnavailable, match="closed"):
            call()


def test_a_store_knows_its_url(url: str, store: Store) -> None:
    assert store.url == url


def test_greenlets_share_a_store(specs: Collection) -> None:
    def write(at: int) -> None:
        for round in range(5):
            specs.apply([spec(f"{at} {each}", round=round) for each in range(10)])
            assert len(specs.find({"id": {"$in": [f"{at} {each}" for each in range(10)]}})) == 10

    with specs.feed(None) as feed:
        gevent.joinall(
            [gevent.spawn(write, at) for at in range(6)], timeout=DEADLINE, raise_error=True
        )
        seen: set[str] = set()
        while len(seen) < 60:
            seen |= next_batch(feed).ids
    assert {r.document["round"] for r in everything(specs)} == {4}
