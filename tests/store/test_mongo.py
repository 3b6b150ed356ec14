"""The MongoDB store: its URL, what it keeps, other programs and writers, faults of the server."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import gevent
import pytest
from bson import ObjectId

from greenflow.errors import DuplicateSpec, InvalidArgument, StoreMisconfigured, StoreUnavailable
from greenflow.store import Feed, open_store
from greenflow.store.mongo import MongoCollection, journal, steps
from greenflow.store.mongo.journal import JOURNAL
from tests import mongo
from tests.store.tools import (
    DEADLINE,
    documents,
    follow,
    ids,
    mongo_database,
    next_batch,
    run,
    spec,
)

MODES = ["mongodb", "mongodb-standalone"]


@pytest.fixture(params=MODES)
def url(request: pytest.FixtureRequest, hurried: None) -> str:
    return mongo.url(standalone="standalone" in request.param)


@contextmanager
def failing(url: str, command: str, code: int, times: int = 1) -> Iterator[None]:
    """The server refuses this command of greenflow's with this code, so many times."""
    data = {"failCommands": [command], "errorCode": code, "appName": "greenflow"}
    with mongo_database(url) as other:
        fail = {"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data}
        other.client.admin.command(fail)
        yield
        other.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def same(document: dict[str, Any]) -> dict[str, Any]:
    return document


# -- the URL -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mongodb://", "hostname"),
        ("mongodb://h:port/d", "Port"),
        ("mongodb://h/d?maxPoolSizes=3", "Unknown option"),
        ("mongodb://h/d?maxPoolSize=many", "must be an integer"),
        ("mongodb://h/d?feed=oplog", "allowed are stream, tail, poll"),
        ("mongodb://h/d?w=0", "nobody knows"),
        ("mongodb://h/d?tls=true&tlsCAFile=/none.pem", "/none.pem"),
    ],
)
def test_a_url_that_cannot_work_is_told_at_once(url: str, reason: str) -> None:
    with pytest.raises(StoreMisconfigured, match=reason):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://user:CANARY@127.0.0.1:1/d?serverSelectionTimeoutMS=10",
        "mongodb://user:CANARY/x@127.0.0.1:1/d?serverSelectionTimeoutMS=10",
        "mongodb://user:x@CANARY@127.0.0.1:1/d?serverSelectionTimeoutMS=10",
        "mongodb://user:x:CANARY@127.0.0.1:1/d?serverSelectionTimeoutMS=10",
        "mongodb://user:%zzCANARY@127.0.0.1:1/d?serverSelectionTimeoutMS=10",
        "mongodb://user:CANARY@127.0.0.1:1/d?nope=1",
        "mongodb://user:x@127.0.0.1:1/d?tls=true&tlsCertificateKeyFilePassword=CANARY"
        "&serverSelectionTimeoutMS=10",
        "mongodb://user:x@127.0.0.1:1/d?authMechanism=MONGODB-AWS"
        "&authMechanismProperties=AWS_SESSION_TOKEN:CANARY&serverSelectionTimeoutMS=10",
    ],
)
def test_secrets_of_the_url_are_not_told(
    url: str, hurried: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(StoreUnavailable) as failure:
        open_store(url)
    assert "CANARY" not in str(failure.value)
    assert "CANARY" not in repr(failure.value)
    assert "CANARY" not in caplog.text
    assert failure.value.__cause__ is None or "CANARY" not in str(failure.value.__cause__)


def test_a_server_that_is_not_there_is_told(hurried: None) -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1: .*refused") as failure:
        open_store("mongodb://127.0.0.1:1/d?serverSelectionTimeoutMS=10")
    assert not isinstance(failure.value, StoreMisconfigured)
    assert failure.value.exit_code == 4


def test_settings_of_the_driver_pass_through_the_url(replica_set: str) -> None:
    with open_store(f"{replica_set}?maxPoolSize=3&readPreference=nearest") as store:
        assert isinstance(store.specs, MongoCollection)
        client = store.specs._driver.client
        assert client.options.pool_options.max_pool_size == 3
        assert client.read_preference.name == "Nearest"
        assert client.write_concern.document == {"w": "majority", "j": True}


# -- what is stored ----------------------------------------------------------------------------


def test_documents_are_stored_as_themselves(url: str) -> None:
    with open_store(url) as store, mongo_database(url) as other:
        store.specs.insert([spec("a", "n", kind="snippet", code="x", deep={"list": [1, None]})])
        stored = other.specs.find_one({"_id": "a"})
        number = stored.pop("_revision")
        assert stored == {
            "_id": "a",
            "namespace": "default",
            "name": "n",
            "kind": "snippet",
            "code": "x",
            "deep": {"list": [1, None]},
        }
        store.specs.update([spec("a", code="y")], same)
        assert other.specs.find_one({"_id": "a"})["_revision"] > number


@pytest.mark.parametrize(
    "odd",
    [
        {"dot.ted": 1},
        {"$where": 1},
        {"nul\0": 1},
        {"_private": 1},
        {"_id": "other"},
        {"deep": {"deeper": {"a.b": {"$x": 1}}}},
    ],
)
def test_what_bson_does_not_hold_is_kept_all_the_same(url: str, odd: dict[str, Any]) -> None:
    with open_store(url) as store:
        store.specs.insert([spec("a", "n", **odd)])
        assert documents(store.specs.find({"name": "n"})) == [spec("a", "n", **odd)]
        store.specs.update([spec("a", more=1)], same)
        assert documents(store.specs.find(None)) == [spec("a", "n", **odd, more=1)]


def test_integers_that_an_older_release_took_are_read(url: str) -> None:
    text = '{"id": "a", "namespace": "default", "name": "n", "big": 18446744073709551615}'
    with open_store(url) as store, mongo_database(url) as other:
        store.specs.insert([spec("a", "n")])
        other.specs.update_one({"_id": "a"}, {"$set": {"_text": text}, "$inc": {"_revision": 1}})
        assert documents(store.specs.find(None)) == [spec("a", "n", big=2**64 - 1)]


def test_deep_documents(url: str) -> None:
    deep: Any = []
    for _ in range(150):
        deep = [deep]
    with open_store(url) as store:
        store.specs.insert([spec("a", deep=deep)])
        assert documents(store.specs.find(None)) == [spec("a", deep=deep)]


def test_a_document_over_16_mib_is_refused_with_its_batch(url: str) -> None:
    with open_store(url) as store:
        with pytest.raises(InvalidArgument) as failure:
            store.specs.insert([spec("small"), spec("large", text="x" * (17 << 20))])
        assert "large is larger than the 16 MiB" in str(failure.value.__cause__)
        assert store.specs.find(None) == []


def test_indexes_are_made(url: str) -> None:
    with open_store(url) as store, mongo_database(url) as other:
        store.specs.find(None)
        indexes = other.specs.index_information()
        assert indexes["names"]["unique"]
        assert indexes["names"]["key"] == [("namespace", 1), ("name", 1)]
        assert indexes["revisions"]["key"] == [("_revision", 1)]


# -- other programs ----------------------------------------------------------------------------


def test_what_a_tool_stored_is_found(url: str) -> None:
    made, moment = ObjectId(), datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    with open_store(url) as store, mongo_database(url) as other:
        other.specs.insert_one(
            {"_id": made, "namespace": "default", "kind": "nop", "at": moment, "raw": b"\0"}
        )
        (found,) = store.specs.find({"id": str(made)})
        assert found.document == {
            "id": str(made),
            "namespace": "default",
            "kind": "nop",
            "at": "2026-01-02T03:04:05Z",
            "raw": "AA==",
        }
        (updated,) = store.specs.update([spec(str(made), kind="try")], same)
        assert updated.revision > found.revision
        assert other.specs.count_documents({}) == 1
        assert ids(store.specs.delete({"id": str(made)})) == [str(made)]


def test_a_change_by_a_tool_is_another_revision(url: str) -> None:
    with open_store(url) as store, mongo_database(url) as other:
        (before,) = store.specs.insert([spec("a", x=1)])
        other.specs.update_one({"_id": "a"}, {"$set": {"x": 2}})
        assert store.specs.revisions("default")["a"] != before.revision
        other.specs.update_one({"_id": "a"}, {"$set": {"x": 1}})
        assert store.specs.revisions("default")["a"] == before.revision


def test_what_is_no_document_of_ours_is_left_out_and_told(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(url) as store, mongo_database(url) as other:
        store.specs.insert([spec("a")])
        other.specs.insert_many([{"_id": "odd", "kind": "nop"}, {"_id": "worse", "namespace": 3}])
        other.specs.insert_one({"_id": "", "namespace": "default"})
        assert ids(store.specs.find(None)) == ["a"]
    assert "odd is left out" in caplog.text
    assert "worse is left out" in caplog.text


def test_a_change_stream_reports_changes_by_tools(replica_set: str) -> None:
    with open_store(replica_set) as store, mongo_database(replica_set) as other:
        store.specs.insert([spec("gone")])
        with store.specs.feed("default") as changes:
            other.specs.insert_one({"_id": "a", "namespace": "default"})
            other.specs.insert_one({"_id": "b", "namespace": "elsewhere"})
            other.specs.update_one({"_id": "a"}, {"$set": {"x": 1}})
            other.specs.delete_one({"_id": "gone"})
            assert follow(changes, ["a", "gone"]) == {"a", "gone"}


# -- other writers -----------------------------------------------------------------------------


def interfere(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Another writer is faster, once: between what a batch reads and what it writes."""
    wanted = MongoCollection._wanted
    left = [action]

    def interfered(self: MongoCollection, *arguments: Any) -> Any:
        found = wanted(self, *arguments)
        if self._has_history is False and left:
            left.pop()()
        return found

    monkeypatch.setattr(MongoCollection, "_wanted", interfered)


def test_a_batch_is_planned_again_when_another_writer_was_faster(
    standalone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(standalone) as store, mongo_database(standalone) as other:
        store.specs.insert([spec("a", x=1), spec("b", x=1)])
        interfere(
            monkeypatch,
            lambda: other.specs.update_one(
                {"_id": "b"}, {"$set": {"y": 2}, "$inc": {"_revision": 1}}
            ),
        )
        with store.specs.feed(None) as changes:
            store.specs.update([spec("a", x=2), spec("b", x=2)], same)
            assert follow(changes, ["a", "b"]) == {"a", "b"}
        assert documents(store.specs.find(None)) == [spec("a", x=2), spec("b", x=2, y=2)]


@pytest.mark.parametrize("refused", ["update", "insert", "delete"])
def test_a_batch_that_cannot_be_written_is_undone(standalone: str, refused: str) -> None:
    """A step of it is refused by the server: the first, one in the middle, the last."""
    with open_store(standalone) as store:
        before = store.specs.insert([spec("a", x=1), spec("b", x=1), spec("c", x=1)])
        wanted = [spec("a", x=2), spec("d", x=2), spec("b", x=2)]
        change = partial(store.specs.delete, None)
        if refused != "delete":
            change = partial(store.specs.apply, wanted)
        with failing(standalone, refused, 50), pytest.raises(StoreUnavailable, match="failpoint"):
            change()
        assert documents(store.specs.find(None)) == documents(before)
        store.specs.apply(wanted)
        assert len(store.specs.delete(None)) == 4


def test_deletes_are_undone(standalone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = steps._write, []

    def broken(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise StoreUnavailable("the server is gone")
        write(*arguments)

    with open_store(standalone) as store:
        before = store.specs.insert([spec(id, x=1) for id in "abc"])
        with store.specs.feed(None) as changes:
            monkeypatch.setattr(steps, "_write", broken)
            with pytest.raises(StoreUnavailable, match="gone"):
                store.specs.delete(None)
            assert len(calls) == 5
            after = store.specs.find(None)
            assert documents(after) == documents(before)
            # What was gone for a while must be looked at again.
            assert follow(changes, ["a", "b"]) == {"a", "b"}
        assert [new.revision > old.revision for new, old in zip(after, before, strict=True)] == [
            True,
            True,
            False,
        ]


@pytest.mark.parametrize("what", ["changed", "deleted", "inserted"])
def test_what_was_written_before_another_writer_was_faster_is_undone(
    standalone: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Several documents in one command, one of which is not as it was read."""
    seen: list[list[dict[str, Any]]] = []
    with open_store(standalone) as store, mongo_database(standalone) as other:
        store.specs.insert([spec("a", x=1), spec("b", x=1), spec("c", x=1)])

        def meddle() -> None:
            if what == "changed":
                other.specs.update_one({"_id": "b"}, {"$set": {"y": 2}, "$inc": {"_revision": 1}})
            elif what == "deleted":
                other.specs.delete_one({"_id": "b"})
            else:
                other.specs.insert_one({"_id": "d", "namespace": "default", "y": 2})

        undo = MongoCollection.undo

        def undone(self: MongoCollection, *arguments: Any) -> None:
            undo(self, *arguments)
            seen.append(list(other.specs.find({}, {"_revision": 0}).sort("_id")))

        monkeypatch.setattr(MongoCollection, "undo", undone)
        interfere(monkeypatch, meddle)
        store.specs.apply([spec(id, x=2) for id in "abcd"])
        assert documents(store.specs.find(None)) == [spec(id, x=2) for id in "abcd"]
    b = {"changed": [spec("b", x=1, y=2)], "deleted": []}.get(what, [spec("b", x=1)])
    d = [spec("d", y=2)] if what == "inserted" else []
    kept = [spec("a", x=1), *b, spec("c", x=1), *d]
    assert seen == [[{"_id": each.pop("id"), **each} for each in kept]]


def test_names_are_swapped_without_a_transaction(standalone: str) -> None:
    with open_store(standalone) as store:
        store.specs.insert([spec("a", "x"), spec("b", "y"), spec("c", "z")])
        store.specs.apply([spec("a", "y"), spec("b", "z"), spec("c", "x")])
        assert documents(store.specs.find(None)) == [spec("a", "y"), spec("b", "z"), spec("c", "x")]


def test_a_writer_that_is_never_fast_enough_is_told(
    standalone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = MongoCollection._wanted
    with open_store(standalone) as store, mongo_database(standalone) as other:
        store.specs.insert([spec("a", x=1)])

        def overtaken(self: MongoCollection, *arguments: Any) -> Any:
            found = wanted(self, *arguments)
            other.specs.update_one({"_id": "a"}, {"$inc": {"_revision": 1}})
            return found

        monkeypatch.setattr(MongoCollection, "_wanted", overtaken)
        with pytest.raises(StoreUnavailable, match="other writers were faster"):
            store.specs.apply([spec("a", x=2)])


# -- feeds -------------------------------------------------------------------------------------


def test_what_follows_is_found_by_asking_the_server_and_is_logged(
    url: str, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    caplog.set_level("INFO")
    with open_store(url) as store, store.specs.feed(None):
        pass
    tail = "standalone" in request.node.name
    kind = "the tail of a journal" if tail else "a change stream"
    assert f"specs are followed by {kind}" in caplog.text


def test_a_tail_may_be_asked_for_on_a_replica_set(replica_set: str) -> None:
    with (
        open_store(f"{replica_set}?feed=tail") as writer,
        open_store(f"{replica_set}?feed=tail") as reader,
        reader.specs.feed("default") as changes,
        reader.values.feed("default") as values,
    ):
        writer.specs.insert([spec("a"), {"id": "b", "namespace": "other"}])
        assert follow(changes, ["a"]) == {"a"}
        writer.values.insert([spec("v")])
        assert follow(values, ["v"]) == {"v"}
        writer.specs.delete(None)
        assert follow(changes, ["a"]) == {"a"}


def test_a_stream_on_a_server_that_has_none_is_an_error(standalone: str) -> None:
    with (
        open_store(f"{standalone}?feed=stream") as store,
        pytest.raises(StoreUnavailable, match=r"(?i)replica set"),
    ):
        store.specs.feed(None)


def test_large_batches_come_through_the_journal(standalone: str) -> None:
    many = [spec(f"id {at}") for at in range(250)]
    with open_store(standalone) as store, store.specs.feed("default") as changes:
        store.specs.insert(many)
        assert len(follow(changes, [each["id"] for each in many])) == 250


def loss(changes: Feed) -> str:
    """Why a feed was lost; it has to be."""
    try:
        while changes.next(DEADLINE) is not None:
            pass
    except StoreUnavailable as error:
        return str(error)
    pytest.fail("the feed is not lost")


LOSSES = [43, 50, 96, 136, 175, 237, 286]


@pytest.mark.parametrize("code", LOSSES)
def test_a_feed_that_the_server_ends_goes_on_or_says_so(url: str, code: int) -> None:
    """Nothing is missed: what happened is reported, or the feed is lost and the next one works."""
    with open_store(url) as store, failing(url, "getMore", code):
        changes = store.specs.feed("default")
        store.specs.insert([spec("a")])
        try:
            assert next_batch(changes).ids == {"a"}
        except StoreUnavailable:
            with store.specs.feed("default") as again:
                store.specs.insert([spec("b")])
                assert next_batch(again).ids == {"b"}
        changes.close()


@pytest.mark.parametrize("what", ["collection", "database"])
def test_what_was_dropped_is_not_followed(url: str, what: str) -> None:
    """Nobody has asked for specs to be gone: the store is away, and says why."""
    with open_store(url) as store, mongo_database(url) as other, store.specs.feed(None) as changes:
        (kept, _) = store.specs.insert([spec("a"), spec("z")])
        assert follow(changes, ["a"]) >= {"a"}
        before = list(other.specs.find({}))
        if what == "database":
            other.client.drop_database(other.name)
        else:
            other.specs.drop()
            other[JOURNAL].drop()
        assert loss(changes)
        with open_store(url) as another, another.specs.feed(None) as again:
            another.specs.insert([spec("b")])
            assert follow(again, ["b"]) == {"b"}
            assert ids(another.specs.find(None)) == ["b"]
        for attempt in (
            lambda: store.specs.feed(None),
            lambda: store.specs.find(None),
            lambda: store.specs.find({"id": "a"}),
            lambda: store.specs.revisions("default"),
            lambda: store.specs.apply([spec("c")]),
            lambda: store.specs.delete(None),
        ):
            with pytest.raises(StoreUnavailable, match="specs was dropped or replaced"):
                attempt()
        assert [each["_id"] for each in other.specs.find({})] == ["b"]
        other.specs.insert_many(before)  # from a backup
        assert ids(store.specs.find(None)) == ["a", "b", "z"]
        with store.specs.feed(None) as again:
            store.specs.apply([spec("a", x=1)])
            assert follow(again, ["a"]) == {"a"}
        assert store.specs.revisions(None)["a"] > kept.revision


def test_a_collection_in_which_nothing_was_is_taken_as_it_is(url: str) -> None:
    with open_store(url) as store, mongo_database(url) as other:
        store.specs.insert([spec("a")])
        store.specs.delete(None)
        other.specs.drop()
        store.specs.insert([spec("b", "n")])
        with pytest.raises(DuplicateSpec):
            store.specs.insert([spec("c", "n")])
        assert other.specs.index_information()["names"]["unique"]


def test_a_journal_that_was_dropped_is_made_again(standalone: str) -> None:
    with open_store(standalone) as store, mongo_database(standalone) as other:
        with store.specs.feed(None) as changes:
            other[JOURNAL].drop()
            store.specs.insert([spec("a")])  # makes it again, and not as it should be
            assert not other[JOURNAL].options().get("capped")
            assert loss(changes)
        with store.specs.feed(None) as again:
            store.specs.insert([spec("b")])
            assert follow(again, ["b"]) == {"b"}


def test_a_journal_that_rolls_over_loses_nothing_unsaid(
    standalone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "JOURNAL_BYTES", 4096)
    with open_store(standalone) as store, store.specs.feed(None) as changes:
        seen: set[str] = set()
        wanted = {f"{at:04}" for at in range(300)}
        lost = False
        for id in sorted(wanted):
            store.specs.insert([spec(id, text="x" * 100)])
        while not lost and seen < wanted:
            try:
                seen |= next_batch(changes).ids
            except StoreUnavailable:
                lost = True
        assert lost or seen == wanted


def test_a_closed_store_ends_its_feeds(url: str) -> None:
    store = open_store(url)
    changes = store.specs.feed(None)
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        changes.next(DEADLINE)
    changes.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.specs.find(None)


# -- greenlets ---------------------------------------------------------------------------------


def test_greenlets_that_are_killed_in_calls_leave_the_store_usable(url: str) -> None:
    with open_store(url) as store:
        for at in range(40):
            writers = [gevent.spawn(store.specs.apply, [spec(f"{at} {each}")]) for each in range(4)]
            readers = [gevent.spawn(store.specs.find, None) for _ in range(4)]
            for _ in range(at):
                gevent.sleep(0)
            gevent.killall(writers + readers)
        store.specs.insert([spec("last")])
        assert "last" in ids(store.specs.find(None))


def test_a_slow_server_blocks_nobody_else(url: str) -> None:
    data = {"failCommands": ["find"], "blockConnection": True, "blockTimeMS": 200}
    with open_store(url) as store, mongo_database(url) as other:
        store.specs.find(None)
        point = {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
        other.client.admin.command(point)
        finding = gevent.spawn(store.specs.find, None)
        ticks = 0
        while not finding.ready():
            gevent.sleep(0.001)
            ticks += 1
        finding.get()
        assert ticks > 20


PATCHED = """
from gevent import monkey
monkey.patch_all()
import sys, gevent
from gevent.hub import get_hub
from greenflow.store import Feed, open_store
ticks = 0
def tick():
    global ticks
    while True:
        gevent.sleep(0.001)
        ticks += 1
with open_store(sys.argv[1]) as store, store.specs.feed("n") as feed:
    ticker = gevent.spawn(tick)
    assert store.specs._driver._threads.cooperates
    writers = [gevent.spawn(store.specs.insert, [{"id": str(at), "namespace": "n"}])
               for at in range(20)]
    for writer in writers[::4]:
        gevent.sleep(0)
        writer.kill()
    gevent.joinall(writers)
    seen = set()
    store.specs.insert([{"id": "last", "namespace": "n"}])
    while "last" not in seen:
        seen |= feed.next(30).ids
    kept = {record.document["id"] for record in store.specs.find(None)}
    missing = {str(at) for at in range(20) if at % 4} - kept
    print(sorted(missing), sorted(kept - seen), ticks > 0)
    ticker.kill()
"""


def test_it_works_in_a_program_that_is_monkey_patched(url: str) -> None:
    assert run(PATCHED, url) == "[] [] True\n"


def test_many_stores_share_a_database(url: str) -> None:
    with open_store(url) as one, open_store(url) as two, two.specs.feed(None) as changes:
        one.specs.insert([spec("a", x=1)])
        assert follow(changes, ["a"]) == {"a"}
        updates = [
            gevent.spawn(store.specs.update, [spec("a", **{f"f{at}": at})], same)
            for at in range(10)
            for store in (one, two)
        ]
        gevent.joinall(updates, raise_error=True)
        (found,) = one.specs.find(None)
        assert found.document == spec("a", x=1, **{f"f{at}": at for at in range(10)})
