"""kill -9 of a writer of a single MongoDB server at any moment: documents and their change are both
there or both not, as for SQLite; somebody else clears what the writer left."""

from __future__ import annotations

import random
from contextlib import closing
from typing import Any

import pytest
from pymongo import MongoClient

from greenflow.spec.signature import Signature
from greenflow.store import Store, open_store
from greenflow.store.base import Rewrite
from greenflow.store.mongo import pending, steps, writer
from tests import mongo
from tests.faults.test_sqlite_kill import kill
from tests.store.tools import documents, spec

KILLS = 3  # a batch of 500 takes a quarter of a second
LATEST_KILL = 0.3

ME = Signature("me@here")


class Died(BaseException):
    """The writer's end, in the middle of a change."""


@pytest.fixture
def standalone(hurried: None) -> str:
    mongo.require()
    return mongo.url(standalone=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "PATIENCE", 0.1)


def test_a_change_is_there_with_its_documents_or_not_at_all(
    standalone: str, impatient: None
) -> None:
    kill(standalone, random.Random(7), KILLS, LATEST_KILL)


def everything(store: Store) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[int]]:
    newest = [store.history.newest(namespace) for namespace in ("default", "other")]
    return documents(store.specs.find(None)), documents(store.values.find(None)), newest


def change(store: Store) -> None:
    """Names are swapped, something is deleted, and it is in two namespaces and collections."""
    other = {"id": "o", "namespace": "other", "n": 1}
    specs = [spec("a", "two"), spec("b", "one"), other, spec("new", "three")]
    store.rewrite(Rewrite(specs, {"c"}), Rewrite([spec("v", "url", data="new")], {"w"}), ME)


@pytest.fixture
def begun(standalone: str) -> str:
    with open_store(standalone) as store:
        store.specs.insert([spec("a", "one"), spec("b", "two"), spec("c", "three")])
        store.values.insert([spec("v", "url", data="hunter2"), spec("w", data="hunter3")])
    return standalone


def dies(monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, at: int) -> None:
    """The writer dies at that call, and undoes nothing."""
    original, calls = getattr(owner, method), []

    def dying(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == at:
            raise Died
        return original(*arguments, **options)

    monkeypatch.setattr(owner, method, dying)
    monkeypatch.setattr(writer, "_undo", lambda *arguments: None)


MOMENTS = [
    (pending.PendingChange, "lock", 2),
    (pending.PendingChange, "note", 1),
    (pending.PendingChange, "note", 2),
    (pending.PendingChange, "record", 1),
    (pending.PendingChange, "record", 2),
    (pending.PendingChange, "beat", 1),
    (pending.PendingChange, "beat", 2),
    (steps, "_write", 1),
    (writer.MongoWriting, "_write_run", 1),
    (writer.MongoWriting, "_write_run", 2),
    (writer.MongoWriting, "_note_deleted", 2),
    (pending.PendingChange, "finish", 1),
]


@pytest.mark.parametrize(("owner", "method", "at"), MOMENTS)
@pytest.mark.parametrize("is_open", [True, False], ids=["another-writer", "the-next-to-open"])
def test_what_a_dead_writer_left_is_undone(
    begun: str,
    monkeypatch: pytest.MonkeyPatch,
    impatient: None,
    owner: Any,
    method: str,
    at: int,
    is_open: bool,
) -> None:
    with open_store(begun) as other:
        before = everything(other)
        with open_store(begun) as store, monkeypatch.context() as patched:
            dies(patched, owner, method, at)
            with pytest.raises(Died):
                change(store)
        if is_open:
            other.specs.apply([spec("last", n=1)])
            other.specs.delete({"id": "last"})
            specs, values, (newest, of_other) = everything(other)
            assert (specs, values, [newest - 2, of_other]) == before
        with open_store(begun) as store:
            if not is_open:
                assert everything(store) == before
            change(store)
            specs, values, _ = everything(store)
            assert [each["id"] for each in specs] == ["a", "b", "new", "o"]
            assert values == [spec("v", "url", data="new")]
            verbs = [edit.verb for edit in store.history.edits("default")][-6:]
            assert sorted(verbs) == ["changed"] * 3 + ["created"] + ["deleted"] * 2
    with closing(MongoClient[dict[str, Any]](begun)) as client:
        assert client.get_default_database()[pending.UNDO].count_documents({}) == 0


def test_a_change_that_was_done_in_one_namespace_is_done_in_the_others(
    begun: str, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    with open_store(begun) as store, monkeypatch.context() as patched:
        dies(patched, pending, "_finish", 1)
        with pytest.raises(Died):
            change(store)
    with open_store(begun) as store:
        assert everything(store)[2] == [2 + 1, 1]
        assert documents(store.specs.find({"namespace": "other"})) != []


def test_a_writer_that_was_taken_for_dead_begins_again(
    begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, overtaken = pending.PendingChange.finish, []

    def late(self: pending.PendingChange) -> None:
        if not overtaken:
            overtaken.append(True)
            with monkeypatch.context() as patched, open_store(begun) as other:
                patched.setattr(pending, "PATIENCE", 0.0)
                other.specs.apply([spec("d")])
        finish(self)

    with open_store(begun) as store:
        monkeypatch.setattr(pending.PendingChange, "finish", late)
        change(store)
        stored = [each["id"] for each in documents(store.specs.find(None))]
        assert stored == ["a", "b", "d", "new", "o"]
        assert everything(store)[2] == [4, 1]
        assert len(store.history.edits("default", 3)) == 6
