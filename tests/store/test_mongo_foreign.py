"""MongoDB shared with other programs: their collections and documents stay theirs, what is written
is known, and nobody is told of a write that was none.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Timestamp
from pymongo import ReplaceOne

from greenflow.errors import DuplicateSpec, StoreUnavailable
from greenflow.store import open_store
from greenflow.store.mongo import documents as forms
from greenflow.store.mongo import journal, steps, transaction
from greenflow.store.mongo.journal import JOURNAL
from greenflow.store.mongo.lineage import NOTES
from tests import mongo
from tests.store.test_mongo import failing
from tests.store.tools import documents, follow, ids, mongo_database, spec


@pytest.fixture(params=["mongodb", "mongodb-standalone", "mongodb-documentdb3"])
def url(request: pytest.FixtureRequest, hurried: None) -> str:
    if "documentdb" in request.param:
        return mongo.lacking("documentdb3")
    return mongo.url(standalone="standalone" in request.param)


def same(document: dict[str, Any]) -> dict[str, Any]:
    return document


# -- their collections -------------------------------------------------------------------------


@pytest.mark.parametrize("capped", [False, True])
@pytest.mark.parametrize("name", ["journal", "log", "names"])
def test_collections_of_others_are_left_alone(url: str, name: str, capped: bool) -> None:
    capped = capped and "directConnection" not in url  # that server has no capped collections
    with mongo_database(url) as other:
        options = {"capped": True, "size": 1 << 20} if capped else {}
        other.create_collection(name, **options)
        rows = [{"_id": at, "entry": f"row {at}"} for at in range(1000)]
        other[name].insert_many(rows)
        with open_store(url) as one, open_store(url) as two, two.specs.feed(None) as changes:
            one.specs.insert([spec("a")])
            assert follow(changes, ["a"]) == {"a"}
        assert list(other[name].find({}, sort=[("_id", 1)])) == rows
        assert bool(other[name].options().get("capped")) is capped


def test_the_journal_of_an_older_release_is_neither_read_nor_dropped(standalone: str) -> None:
    with mongo_database(standalone) as other:
        other.create_collection("journal", capped=True, size=1 << 20)
        rows = [{"_id": 1, "collection": "specs", "namespace": "default", "ids": ["old"]}]
        other.journal.insert_many(rows)
        with open_store(standalone) as store, store.specs.feed("default") as changes:
            store.specs.insert([spec("a")])
            assert follow(changes, ["a"]) == {"a"}
        assert list(other.journal.find({})) == rows


def test_a_journal_that_is_not_capped_is_not_dropped(
    standalone: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is followed otherwise, if the server cannot make it capped."""
    caplog.set_level(logging.INFO)
    rows = [{"_id": at, "text": "x" * 100} for at in range(50)]
    with mongo_database(standalone) as other:
        other[JOURNAL].insert_many(rows)
        with open_store(standalone) as one, one.specs.feed(None) as changes:
            with open_store(standalone) as two:
                two.specs.insert([spec("a")])
            assert follow(changes, ["a"]) == {"a"}
        assert list(other[JOURNAL].find({"_id": {"$lt": 50}})) == rows
    assert "are followed by comparing" in caplog.text or "the tail of a journal" in caplog.text


def test_a_journal_that_another_makes_at_the_same_moment(
    standalone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver has looked, and then it is there (code 48)."""
    with mongo_database(standalone) as other:
        other.create_collection(JOURNAL, capped=True, size=1 << 20)
        create = type(other).create_collection

        def late(self: Any, name: str, **options: Any) -> Any:
            return create(self, name, check_exists=False, **options)

        monkeypatch.setattr(type(other), "create_collection", late)
        with open_store(standalone) as store, store.specs.feed(None) as changes:
            store.specs.insert([spec("a")])
            assert follow(changes, ["a"]) == {"a"}


def test_many_begin_at_once(url: str) -> None:
    def begin(at: int) -> None:
        with open_store(url) as store, store.specs.feed(None):
            store.specs.insert([spec(f"{at}", f"n{at}")])

    gevent.joinall([gevent.spawn(begin, at) for at in range(6)], raise_error=True)
    with open_store(url) as store:
        assert ids(store.specs.find(None)) == [str(at) for at in range(6)]


# -- their documents ---------------------------------------------------------------------------

KEYS: list[tuple[Any, str]] = [
    (ObjectId("65f0c0ffee65f0c0ffee65f0"), "65f0c0ffee65f0c0ffee65f0"),
    (7, "7"),
    (-7, "-7"),
    (Int64(1 << 60), str(1 << 60)),
    (7.0, "7"),
    (1.5, '{"$numberDouble":"1.5"}'),
    (True, "true"),
    (b"\0\1", '{"$binary":{"base64":"AAE=","subType":"00"}}'),
    (
        Binary(uuid.UUID("0190a0b0-0000-7000-8000-000000000001").bytes, 4),
        "0190a0b0-0000-7000-8000-000000000001",
    ),
    (datetime.datetime(2026, 1, 2), '{"$date":{"$numberLong":"1767312000000"}}'),
    ({"shop": 1, "n": "a"}, '{"shop":{"$numberInt":"1"},"n":"a"}'),
    (Decimal128("1.50"), '{"$numberDecimal":"1.50"}'),
    (Timestamp(1, 2), '{"$timestamp":{"t":1,"i":2}}'),
    ("7.0", "7.0"),
    ("{", "{"),
    ("65f0c0ffee65f0c0ffee65f1", "65f0c0ffee65f0c0ffee65f1"),
]


@pytest.mark.parametrize(("key", "id"), KEYS, ids=[id for _, id in KEYS])
def test_a_document_keeps_the_id_that_its_tool_gave_it(url: str, key: Any, id: str) -> None:
    with open_store(url) as store, mongo_database(url) as other:
        other.specs.insert_one({"_id": key, "namespace": "default", "name": "n", "x": 1})
        with store.specs.feed("default") as changes:
            (found,) = store.specs.find({"id": id})
            assert found.document == spec(id, "n", x=1)
            assert store.specs.revisions("default") == {id: found.revision}
            (updated,) = store.specs.update([spec(id, x=2)], same)
            assert follow(changes, [id]) == {id}
            assert updated.revision > found.revision
            store.specs.apply([spec(None, "n", x=3)])
            store.specs.apply([spec(id, "n", x=4)])
            (kept,) = other.specs.find({})
            assert kept["_id"] == key
            assert type(kept["_id"]) is type(key)
            assert kept["x"] == 4
            with pytest.raises(DuplicateSpec):
                store.specs.insert([spec(id)])
            assert ids(store.specs.delete({"id": id})) == [id]
            assert other.specs.count_documents({}) == 0
            store.specs.insert([spec(id)])
            assert other.specs.find_one({})["_id"] == id  # ours is a text


def test_names_of_theirs_are_swapped(url: str) -> None:
    with open_store(url) as store, mongo_database(url) as other:
        other.specs.insert_many(
            [
                {"_id": 1, "namespace": "default", "name": "x"},
                {"_id": 2, "namespace": "default", "name": "y"},
            ]
        )
        store.specs.apply([spec("1", "y"), spec("2", "x")])
        assert {each["_id"]: each["name"] for each in other.specs.find({})} == {1: "y", 2: "x"}


def test_of_two_documents_with_one_id_the_text_is_it(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(url) as store, mongo_database(url) as other:
        other.specs.insert_many([{"_id": 7, "namespace": "default", "x": 1}])
        other.specs.insert_many([{"_id": "7", "namespace": "default", "x": 2}])
        assert documents(store.specs.find(None)) == [spec("7", x=2)]
        store.specs.update([spec("7", x=3)], same)
        assert other.specs.find_one({"_id": 7})["x"] == 1
    assert "7 is left out: another document has the id 7" in caplog.text


@pytest.mark.parametrize("held", ["name", "id"])
def test_what_an_invalid_document_holds_is_said(url: str, held: str) -> None:
    with open_store(url) as store, mongo_database(url) as other:
        other.specs.insert_one(
            {"_id": "odd", "namespace": "default", "name": "n", "x": float("nan")}
        )
        wanted = spec("a", "n") if held == "name" else spec("odd")
        for write in (store.specs.insert, store.specs.apply):
            with pytest.raises(DuplicateSpec, match=rf"the {held} .* is held by the document odd"):
                write([wanted])
        assert other.specs.count_documents({}) == 1


def test_a_write_that_matched_nothing_is_an_error(
    replica_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(self: steps.WriteStep) -> Any:
        return ReplaceOne({"_id": "nowhere"}, self._form)

    with open_store(replica_set) as store:
        store.specs.insert([spec("a", x=1)])
        with monkeypatch.context() as patched:
            patched.setattr(steps.WriteStep, "in_transaction", elsewhere)
            with pytest.raises(StoreUnavailable, match="not found again"):
                store.specs.update([spec("a", x=2)], same)
        assert documents(store.specs.find(None)) == [spec("a", x=1)]


@pytest.mark.parametrize("preference", ["secondary", "secondaryPreferred", "nearest"])
def test_the_store_reads_from_the_primary_whatever_the_url_says(
    replica_set: str, preference: str
) -> None:
    with open_store(f"{replica_set}?readPreference={preference}") as store:
        with store.specs.feed(None) as changes:
            store.specs.insert([spec("a")])
            store.specs.update([spec("a", x=1)], same)
            assert follow(changes, ["a"]) == {"a"}
        assert ids(store.specs.delete(None)) == ["a"]


def test_a_move_to_another_namespace_is_seen_in_both(replica_set: str) -> None:
    with (
        open_store(replica_set) as store,
        mongo_database(replica_set) as other,
    ):
        store.specs.insert([spec("old"), spec("other")])
        with store.specs.feed("default") as here, store.specs.feed("elsewhere") as there:
            store.specs.insert([spec("new"), {"id": "far", "namespace": "far"}])
            for id in ("old", "new"):
                other.specs.update_one({"_id": id}, {"$set": {"namespace": "elsewhere"}})
            other.specs.update_one({"_id": "far"}, {"$set": {"x": 1}})
            other.specs.update_one({"_id": "old"}, {"$set": {"x": 1}})
            store.specs.insert([spec("last"), {"id": "end", "namespace": "elsewhere"}])
            assert follow(here, ["old", "new", "last"]) == {"old", "new", "last"}
            assert follow(there, ["old", "new", "end"]) == {"old", "new", "end"}


# -- writes ------------------------------------------------------------------------------------


def unconfirmed(url: str, command: str, times: int = 1) -> Any:
    """The server does this command of greenflow's, and says that no majority has confirmed it."""
    concern = {
        "code": 64,
        "codeName": "WriteConcernFailed",
        "errmsg": "waiting for replication timed out",
    }
    data = {"failCommands": [command], "writeConcernError": concern, "appName": "greenflow"}

    @contextmanager
    def point() -> Iterator[None]:
        with mongo_database(url) as other:
            fail = {"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data}
            other.client.admin.command(fail)
            yield
            other.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})

    return point()


@pytest.mark.parametrize("times", [1, 3])
def test_a_write_that_no_majority_confirmed_is_told_and_undone(standalone: str, times: int) -> None:
    """What was written is known: a fault of the write concern is none of the writes."""
    with open_store(standalone) as store, mongo_database(standalone) as other:
        before = store.specs.insert([spec("a", x=1), spec("b", x=1)])
        wanted = [spec("a", x=2), spec("b", x=2), spec("c", x=2)]
        with (
            unconfirmed(standalone, "update", times),
            pytest.raises(StoreUnavailable, match="not confirmed by enough servers within 10 s"),
        ):
            store.specs.apply(wanted)
        assert documents(store.specs.find(None)) == documents(before)
        assert other.specs.count_documents({}) == 2
        store.specs.apply(wanted)
        assert documents(store.specs.find(None)) == wanted


def test_a_commit_that_no_majority_confirms_is_told(replica_set: str) -> None:
    with open_store(f"{replica_set}?wtimeoutMS=1500") as store:
        store.specs.insert([spec("a", x=1)])
        with (
            unconfirmed(replica_set, "commitTransaction", 9),
            pytest.raises(StoreUnavailable, match=r"not confirmed by enough servers within 1\.5 s"),
        ):
            store.specs.apply([spec("a", x=2)])


def test_writes_have_a_time_limit(url: str) -> None:
    with open_store(url) as store:
        limits = [store.specs._driver.database.write_concern.document]  # type: ignore[attr-defined]
    assert limits == [{"w": "majority", "j": True, "wtimeout": 10_000}]


@pytest.mark.parametrize("code", [112, 251])  # WriteConflict, NoSuchTransaction
def test_a_transaction_is_begun_again_when_the_server_says_so(replica_set: str, code: int) -> None:
    with open_store(replica_set) as store:
        store.specs.insert([spec("a", x=1)])
        with failing(replica_set, "update", code, times=2):
            store.specs.apply([spec("a", x=2)])
        assert documents(store.specs.find(None)) == [spec("a", x=2)]


def test_a_transaction_is_not_begun_for_ever(
    replica_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "SECONDS", 0.0)
    with open_store(replica_set) as store:
        store.specs.insert([spec("a", x=1)])
        with failing(replica_set, "update", 112, times=99), pytest.raises(StoreUnavailable):
            store.specs.apply([spec("a", x=2)])
        assert documents(store.specs.find(None)) == [spec("a", x=1)]


def test_revisions_of_what_was_deleted_grow_whatever_the_clock_says(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = forms.time.time_ns() + 3_600 * 10**9
    with monkeypatch.context() as patched:
        patched.setattr(forms.time, "time_ns", lambda: ahead)
        with open_store(url) as store:
            (before,) = store.specs.insert([spec("a", x=1)])
            store.specs.delete(None)
    with open_store(url) as store, mongo_database(url) as other:
        (after,) = store.specs.insert([spec("a", x=1)])
        assert after.revision > before.revision
        assert other[NOTES].find_one({"_id": "specs"})["last"] > 0
        store.specs.delete(None)
        (last,) = store.specs.apply([spec("a", x=1)])
        assert last.revision > after.revision


def test_a_dropped_journal_of_ours_is_capped_again(
    standalone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server can do that: what is in it stays."""
    asked = []

    def command(self: Any, name: Any, *arguments: Any, **options: Any) -> Any:
        if name == "convertToCapped":
            asked.append(options)
            kept = list(self[JOURNAL].find({}))
            self.drop_collection(JOURNAL)
            self.create_collection(JOURNAL, capped=True, size=options["size"])
            return self[JOURNAL].insert_many(kept)
        return original(self, name, *arguments, **options)

    with mongo_database(standalone) as other:
        original = type(other).command
        other[JOURNAL].insert_one({"collection": "specs", "namespace": "default", "ids": ["x"]})
        monkeypatch.setattr(type(other), "command", command)
        with open_store(standalone) as store, store.specs.feed(None) as changes:
            store.specs.insert([spec("a")])
            assert follow(changes, ["a"]) >= {"a"}
        assert asked == [{"size": journal.JOURNAL_BYTES}]
        assert other[JOURNAL].find_one({"ids": ["x"]})
