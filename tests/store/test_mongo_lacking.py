"""Servers that speak MongoDB's protocol and lack something: what they refuse is done otherwise.

They say it as the real ones do (tests/mongo_front.py): Amazon DocumentDB without change streams,
and before 4.0 without transactions, Azure Cosmos DB, FerretDB.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import gevent
import pytest
from pymongo import MongoClient

from greenflow.errors import DuplicateSpec, StoreUnavailable
from greenflow.store import open_store
from greenflow.store.mongo import poll
from greenflow.store.mongo.documents import KEY
from tests import mongo
from tests.mongo_front import SERVERS
from tests.store.tools import documents, follow, ids, spec


@pytest.fixture(params=SERVERS)
def like(request: pytest.FixtureRequest, hurried: None) -> str:
    name: str = request.param
    return name


@pytest.fixture
def url(like: str) -> str:
    return mongo.lacking(like)


@contextmanager
def database(url: str) -> Iterator[Any]:
    """The database as another program sees it."""
    with closing(MongoClient[dict[str, Any]](url)) as client:
        yield client.get_default_database()


def test_changes_are_followed_by_comparing_and_one_line_says_so(
    url: str, like: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with (
        open_store(url) as one,
        open_store(url) as two,
        one.specs.feed("default") as changes,
        one.values.feed(None) as values,
    ):
        two.specs.insert([spec("a"), spec("b"), {"id": "c", "namespace": "other"}])
        assert follow(changes, ["a", "b"]) == {"a", "b"}
        two.specs.update([spec("a", x=1)], lambda merged: merged)
        assert follow(changes, ["a"]) == {"a"}
        two.specs.delete({"id": "b"})
        assert follow(changes, ["b"]) == {"b"}
        two.values.insert([spec("v")])
        assert follow(values, ["v"]) == {"v"}
    lines = [record.message for record in caplog.records if "are followed by" in record.message]
    assert len({line for line in lines if "comparing all revisions every second" in line}) == 1
    assert sum("a change stream" in line or "the tail" in line for line in lines) == 0
    (said, *_) = [
        text for sees, (_, text) in SERVERS[like] if sees.__name__ in ("_streams", "_caps")
    ]
    refused = SERVERS[like][1][1].text if like == "ferretdb" else said
    assert refused in "".join(lines)


def test_what_the_url_asks_for_is_not_done_otherwise(url: str, like: str) -> None:
    kind = "tail" if like == "ferretdb" else "stream"
    with (
        open_store(f"{url}&feed={kind}") as store,
        pytest.raises(StoreUnavailable, match=r"support|must be|has not been run"),
    ):
        store.specs.feed(None)


def test_names_are_unique(url: str, like: str) -> None:
    with open_store(url) as store, database(url) as other:
        store.specs.insert([spec("a", "x"), spec("b", "y"), spec("c"), spec("d")])
        store.specs.apply([spec("a", "y"), spec("b", "x")])
        assert documents(store.specs.find({"name": "x"})) == [spec("b", "x")]
        with pytest.raises(DuplicateSpec):
            store.specs.insert([spec("e", "x")])
        store.specs.apply([spec("a")])
        store.specs.insert([spec("e", "y")])
        indexes = other.specs.index_information()
        has_key = KEY in (other.specs.find_one({"_id": "b"}) or {})
        assert {
            "documentdb": indexes.get("keys", {}).get("unique") and has_key,
            "documentdb3": indexes.get("keys", {}).get("unique") and has_key,
            "cosmos": "plain" in indexes and not has_key,
            "ferretdb": indexes.get("names", {}).get("unique") and not has_key,
        }[like]


@pytest.mark.parametrize("like", ["documentdb", "documentdb3", "ferretdb"])
def test_two_writers_cannot_give_one_name(url: str) -> None:
    """Not even at the same moment: the index is the judge."""
    with open_store(url) as one, open_store(url) as two:
        one.specs.insert([spec("a")])
        outcomes = []

        def write(store: Any, id: str, name: str) -> None:
            try:
                store.specs.insert([spec(id, name)])
                outcomes.append(name)
            except DuplicateSpec:
                pass

        for at in range(20):
            writers = [gevent.spawn(write, one, f"one {at}", f"n{at}")]
            writers += [gevent.spawn(write, two, f"two {at}", f"n{at}")]
            gevent.joinall(writers, raise_error=True)
        assert sorted(outcomes) == sorted(f"n{at}" for at in range(20))
        named = [each["name"] for each in documents(one.specs.find(None)) if "name" in each]
        assert sorted(named) == sorted(outcomes)


def test_documents_of_tools_have_no_field_of_ours(url: str) -> None:
    with open_store(url) as store, database(url) as other:
        store.specs.insert([spec("a", "x")])
        other.specs.insert_many([{"_id": at, "namespace": "default"} for at in range(3)])
        assert ids(store.specs.find(None)) == ["0", "1", "2", "a"]
        store.specs.apply([spec("1", "y")])
        assert other.specs.find_one({"_id": 1})["name"] == "y"
        assert documents(store.specs.find({"id": "a"})) == [spec("a", "x")]


def test_a_move_to_another_namespace_is_seen_in_both(url: str) -> None:
    with (
        open_store(url) as store,
        database(url) as other,
        store.specs.feed("default") as here,
        store.specs.feed("elsewhere") as there,
    ):
        store.specs.insert([spec("a")])
        assert follow(here, ["a"]) == {"a"}
        other.specs.update_one({"_id": "a"}, {"$set": {"namespace": "elsewhere"}})
        assert follow(here, ["a"]) == follow(there, ["a"]) == {"a"}


@pytest.mark.parametrize("what", ["collection", "database"])
def test_what_was_dropped_is_not_followed(url: str, what: str) -> None:
    with open_store(url) as store, database(url) as other, store.specs.feed(None) as changes:
        store.specs.insert([spec("a"), spec("z")])
        assert follow(changes, ["a", "z"]) == {"a", "z"}
        if what == "database":
            other.client.drop_database(other.name)
        else:
            other.greenflow_notes.delete_many({})  # some servers give collections no UUID
            other.specs.drop()
        with open_store(url) as another:
            another.specs.insert([spec("b")])
            assert follow(changes, ["a", "z"]) >= {"a", "z"}  # look at them, it says
            with pytest.raises(StoreUnavailable, match="specs was dropped or replaced"):
                store.specs.find({"id": {"$in": ["a", "z"]}})
            with pytest.raises(StoreUnavailable, match="specs was dropped or replaced"):
                store.specs.revisions("default")
            assert ids(another.specs.find(None)) == ["b"]


def test_an_idle_look_takes_nothing_apart(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    original = poll.Poll._taken

    def counted(self: Any, answers: list[bytes]) -> dict[str, Any]:
        taken.append(len(answers))
        return original(self, answers)

    monkeypatch.setattr(poll.Poll, "_taken", counted)
    reads = []
    read = poll.Poll._read

    def looked(self: Any) -> list[bytes]:
        reads.append(time.monotonic())
        return read(self)

    monkeypatch.setattr(poll.Poll, "_read", looked)
    with open_store(url) as store:
        store.specs.insert([spec(f"{at}", f"n{at}") for at in range(100)])
        with store.specs.feed("default") as changes:
            while len(reads) < 5:
                assert changes.next(0.05) is None
            assert len(taken) == 1
            store.specs.apply([spec("7", "n7", x=1)])
            assert follow(changes, ["7"]) == {"7"}
            assert len(taken) == 2
