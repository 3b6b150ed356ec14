"""What other programs write past a store becomes changes of `unknown` (BEHAVIOUR 7.19), on every
store that others can write to: once each, and nothing of ours is ever taken for theirs.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import MongoClient

from greenflow.errors import ChangedMeanwhile
from greenflow.runtime import Runtime
from greenflow.spec.signature import Signature
from greenflow.store import Store, open_store, tables
from greenflow.store.base import Rewrite
from greenflow.store.change import SPECS, VALUES, Edit
from greenflow.store.rollback import back_to, undoing
from greenflow.table import loader
from tests import mongo
from tests.store.tools import documents, follow, on_a_store, spec
from tests.waiting import until

PLACES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder}/store.db",
    "mongodb": lambda folder: mongo.url(),
    "mongodb-standalone": lambda folder: mongo.url(standalone=True),
    "mongodb-documentdb": lambda folder: mongo.lacking("documentdb"),
}

US = Signature("us@here")


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest, tmp_path: Path, hurried: None) -> str:
    return PLACES[request.param](tmp_path)


class Tool(Protocol):
    """Another program, which knows the database and nothing of greenflow."""

    def set(self, id: str, field: str, value: Any, table: str = SPECS) -> None: ...

    def insert(self, document: dict[str, Any]) -> None: ...

    def delete(self, id: str) -> None: ...


class Shell:
    """As `sqlite3` has it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def set(self, id: str, field: str, value: Any, table: str = SPECS) -> None:
        self.connection.execute(
            f"UPDATE \"{table}\" SET document = json_set(document, '$.' || ?, json(?))"
            " WHERE id = ?",
            (field, json.dumps(value), id),
        )

    def insert(self, document: dict[str, Any]) -> None:
        columns = document["id"], document["namespace"], document.get("name"), json.dumps(document)
        self.connection.execute("INSERT INTO specs VALUES (?, ?, ?, 0, ?)", columns)

    def delete(self, id: str) -> None:
        self.connection.execute("DELETE FROM specs WHERE id = ?", (id,))


class MongoShell:
    """As `mongosh` has it."""

    def __init__(self, database: Any) -> None:
        self.database = database

    def set(self, id: str, field: str, value: Any, table: str = SPECS) -> None:
        self.database[table].update_one({"_id": id}, {"$set": {field: value}})

    def insert(self, document: dict[str, Any]) -> None:
        rest = {key: value for key, value in document.items() if key != "id"}
        self.database[SPECS].insert_one({"_id": document["id"], **rest})

    def delete(self, id: str) -> None:
        self.database[SPECS].delete_one({"_id": id})


@contextmanager
def tool_for(url: str) -> Iterator[Tool]:
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
            yield Shell(connection)
    else:
        with closing(MongoClient[dict[str, Any]](url)) as client:
            yield MongoShell(client.get_default_database())


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as store:
        yield store


@pytest.fixture
def tool(url: str, store: Store) -> Iterator[Tool]:
    with tool_for(url) as tool:
        yield tool


def told(store: Store, above: int = 0) -> list[tuple[str, str, str, Any, Any]]:
    """The author, the verb, the id, and the documents before and after of each edit."""
    authors = {each.number: each.author for each in store.history.headings("default")}
    return [
        (
            authors[edit.number],
            edit.verb,
            edit.id,
            edit.before and json.loads(edit.before),
            edit.after and json.loads(edit.after),
        )
        for edit in store.history.edits("default", above)
    ]


def test_each_sort_of_write_is_recorded_once(store: Store, tool: Tool) -> None:
    store.specs.insert([spec("a", "one", n=1), spec("b", n=1), spec("c", n=1)], US)
    tool.set("a", "n", 2)
    tool.delete("b")
    tool.insert(spec("d", "four", n=1))
    assert store.claim("default", SPECS) == 3
    assert [store.claim("default", SPECS), store.claim("default", VALUES)] == [0, 0]
    newest, _ = store.history.headings("default")
    assert (newest.author, newest.counts) == ("unknown", (1, 1, 1))
    assert told(store, 1) == [
        ("unknown", "changed", "a", spec("a", "one", n=1), spec("a", "one", n=2)),
        ("unknown", "deleted", "b", spec("b", n=1), None),
        ("unknown", "created", "d", None, spec("d", "four", n=1)),
    ]
    assert store.history.named("default", "four") == {"d"}


def test_only_what_is_asked_for_is_looked_at(store: Store, tool: Tool) -> None:
    store.specs.insert([spec("a", n=1), spec("b", n=1)], US)
    tool.set("a", "n", 2)
    tool.delete("b")
    claimed = [store.claim("default", SPECS, ids) for ids in ({"a"}, {"a", "b"}, {"a", "b", "c"})]
    assert sum(claimed) == 2
    assert {each[2] for each in told(store) if each[0] == "unknown"} == {"a", "b"}


def test_writes_that_leave_all_as_it_was_are_no_change(store: Store, tool: Tool) -> None:
    store.specs.insert([spec("a", n=1), spec("b", n=[1, 2])], US)
    tool.set("a", "n", 2)
    tool.set("a", "n", 1)
    tool.set("b", "n", [1, 2])
    tool.insert(spec("c"))
    tool.delete("c")
    assert store.claim("default", SPECS) == 0
    assert store.history.newest("default") == 1


def test_a_write_of_ours_records_theirs_before_it(store: Store, tool: Tool) -> None:
    store.specs.insert([spec("a", n=1), spec("b", n=1)], US)
    tool.set("a", "n", 2)
    store.specs.apply([spec("a", n=3)], US)
    tool.delete("a")
    store.specs.insert([spec("a", n=4)], US)
    tool.set("b", "n", 2)
    store.specs.delete({"id": "b"}, US)
    assert [each[:3] for each in told(store, 1)] == [
        ("unknown", "changed", "a"),
        ("us@here", "changed", "a"),
        ("unknown", "deleted", "a"),
        ("us@here", "created", "a"),
        ("unknown", "changed", "b"),
        ("us@here", "deleted", "b"),
    ]


def test_whoever_expected_another_change_is_refused(store: Store, tool: Tool) -> None:
    store.specs.insert([spec("a", n=1)], US)
    tool.set("a", "n", 2)
    with pytest.raises(ChangedMeanwhile, match="the newest change is 2, not 1"):
        store.specs.apply([spec("a", n=3)], US._replace(expected={"default": 1}))
    assert documents(store.specs.find(None)) == [spec("a", n=2)]


def test_a_rollback_restores_what_was_before(store: Store, tool: Tool) -> None:
    store.specs.insert([spec("a", "one", n=1), spec("b", "two", n=1)], US)
    tool.set("a", "n", 2)
    tool.delete("b")
    tool.insert(spec("c", "three"))
    store.claim("default", SPECS)
    undone = undoing(store.history, "default", 2)
    expecting = US._replace(expected={"default": undone.newest})
    store.rewrite(undone.of(SPECS), Rewrite(), expecting)
    first = [spec("a", "one", n=1), spec("b", "two", n=1)]
    assert documents(store.specs.find(None)) == first
    tool.set("a", "n", 5)
    store.specs.apply([spec("a", "one", n=6)], US)
    store.rewrite(back_to(store.history, "default", 1).of(SPECS), Rewrite(), US)
    assert documents(store.specs.find(None)) == first


def test_the_data_of_a_value_is_nowhere(store: Store, tool: Tool, url: str) -> None:
    value = {"id": "v", "namespace": "default", "name": "key", "data": "first secret"}
    store.values.insert([value], US)
    tool.set("v", "data", "second secret", VALUES)
    assert store.claim("default", VALUES) == 1
    tool.set("v", "data", "third secret", VALUES)
    store.values.apply([{**value, "data": "fourth secret"}], US)
    edits = store.history.edits("default")
    assert [edit.verb for edit in edits] == ["created", "changed", "changed", "changed"]
    assert not any("secret" in f"{edit.before}{edit.after}" for edit in edits)


def test_each_namespace_has_its_part(store: Store, tool: Tool) -> None:
    store.specs.insert([spec("a", n=1), {"id": "o", "namespace": "other", "n": 1}], US)
    tool.set("a", "n", 2)
    tool.set("o", "n", 2)
    for namespace in ("default", "other"):
        store.claim(namespace, SPECS)
        newest = store.history.headings(namespace)[0]
        assert (newest.author, newest.number, newest.counts) == ("unknown", 2, (0, 1, 0))


def test_of_many_that_find_it_one_records_it(url: str) -> None:
    with open_store(url) as store, tool_for(url) as tool:
        store.specs.insert([spec(f"s{n}", n=0) for n in range(4)], US)
        others = [open_store(url) for _ in range(3)]
        try:
            for n in range(1, 6):
                for id in range(4):
                    tool.set(f"s{id}", "n", n)
                asking = [
                    gevent.spawn(each.claim, "default", SPECS) for each in (store, *others) * 2
                ]
                gevent.joinall(asking, raise_error=True)
                assert sum(greenlet.value for greenlet in asking) == 4
        finally:
            for each in others:
                each.close()
        assert sum(each[0] == "unknown" for each in told(store)) == 20
        assert chained(store.history.edits("default"))


def test_no_write_of_ours_is_taken_for_theirs(url: str) -> None:
    """Whoever claims while others write sees each write half done, and says nothing."""
    with open_store(url) as store, open_store(url) as other:
        store.specs.insert([spec(f"s{n}", f"n{n}", n=0) for n in range(6)], US)
        ended = False

        def write(through: Store, seed: int) -> None:
            choose = random.Random(seed)
            for n in range(12):
                ids = choose.sample(range(6), 3)
                if n % 4 == 3:
                    through.specs.delete({"id": f"s{ids[0]}"}, US)
                else:
                    several = [spec(f"s{id}", f"n{id}", n=choose.random()) for id in ids]
                    through.specs.apply(several, US)

        def claim(through: Store) -> int:
            count = 0
            while not ended:
                count += through.claim("default", SPECS)
                count += through.claim("default", SPECS, {f"s{n}" for n in range(6)})
                gevent.sleep(0)
            return count

        claiming = [gevent.spawn(claim, each) for each in (store, other)]
        writing = [gevent.spawn(write, each, seed) for seed, each in enumerate((store, other))]
        gevent.joinall(writing, raise_error=True)
        ended = True
        gevent.joinall(claiming, raise_error=True)
        assert [greenlet.value for greenlet in claiming] == [0, 0]
        assert {each.author for each in store.history.headings("default")} == {"us@here"}


def chained(edits: list[Edit]) -> bool:
    """Whether each edit of a document begins where the last one had left it."""
    texts: dict[str, Any] = {}
    for edit in edits:
        before = edit.before and json.loads(edit.before)
        if texts.get(edit.id) != before:
            return False
        texts[edit.id] = edit.after and json.loads(edit.after)
    return True


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ours", "delete", "set", "remove", "insert", "claim"]),
        st.sampled_from("abc"),
        st.integers(0, 3),
    ),
    max_size=12,
)


@given(steps=STEPS)
@settings(on_a_store, max_examples=20)
def test_the_history_has_no_hole_whoever_writes(store: Store, tool: Tool, steps: Any) -> None:
    store.specs.delete(None, US)
    began = store.history.newest("default")
    for verb, id, n in steps:
        if verb == "ours":
            store.specs.apply([spec(id, f"name {id}", n=n)], US)
        elif verb == "delete":
            store.specs.delete({"id": id}, US)
        elif verb == "set":
            tool.set(id, "n", n)
        elif verb == "remove":
            tool.delete(id)
        elif verb == "insert":
            if not store.specs.find({"id": id}):
                tool.insert(spec(id, f"name {id}", n=n))
        else:
            store.claim("default", SPECS)
    store.claim("default", SPECS)
    edits = store.history.edits("default", began)
    assert chained(edits)
    last = {edit.id: edit.after for edit in edits}
    there = [json.loads(text) for _, text in sorted(last.items()) if text is not None]
    assert documents(store.specs.find(None)) == there


def test_runtimes_find_it_and_record_it_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "COMPARE", 0.2)  # single servers tell nothing of others' writes

    def text(code: str) -> dict[str, Any]:
        return {"kind": "snippet", "name": "hello", "language": "text", "code": code, "id": "h"}

    with tool_for(url) as tool, open_store(url) as store:
        store.specs.insert([{**text("one"), "namespace": "default"}], US)
        with Runtime(url) as first, Runtime(url) as second:
            tool.set("h", "code", "two")
            for runtime in (first, second):
                until(lambda runtime=runtime: runtime.call("hello") == "two")  # type: ignore[misc]
            until(lambda: store.history.newest("default") == 2)
            tool.set("h", "code", "three")
            until(lambda: store.history.newest("default") == 3)
        edits = told(store, 1)
    assert [each[:3] for each in edits] == [("unknown", "changed", "h")] * 2
    assert [each[4]["code"] for each in edits] == ["two", "three"]


def test_a_batch_that_is_longer_than_the_journal_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "JOURNAL_KEPT", 3)
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        store.specs.insert([spec(f"s{n}", n=1) for n in range(8)], US)
        store.specs.apply([spec(f"s{n}", n=2) for n in range(8)], US)
        store.specs.delete(None, US)
        assert store.claim("default", SPECS) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO specs VALUES ('c', 'default', 'two', 0, {c})",
        "REPLACE INTO specs VALUES ('c', 'default', 'two', 5, {c})",
        "DELETE FROM specs WHERE id = 'b';"
        " INSERT INTO specs VALUES ('c', 'default', 'two', 0, {c})",
        "UPDATE specs SET id = 'c', document = {c} WHERE id = 'b'",
    ],
)
@pytest.mark.parametrize("recursive", [False, True])
def test_whatever_the_statement_all_of_it_is_seen(
    tmp_path: Path, statement: str, recursive: bool
) -> None:
    """REPLACE deletes what has the name, and SQLite fires no trigger for that."""
    url = f"sqlite:///{tmp_path}/store.db"
    with open_store(url) as store, tool_for(url) as tool, store.specs.feed("default") as feed:
        store.specs.insert([spec("a", "one"), spec("b", "two")], US)
        follow(feed, ["a", "b"])
        assert isinstance(tool, Shell)
        tool.connection.execute(f"PRAGMA recursive_triggers={recursive}")
        tool.connection.execute("PRAGMA trusted_schema=OFF")
        tool.connection.executescript(statement.format(c=f"'{json.dumps(spec('c', 'two'))}'"))
        assert follow(feed, ["b", "c"]) == {"b", "c"}
        store.claim("default", SPECS)
        assert [each[1:3] for each in told(store, 1)] == [("deleted", "b"), ("created", "c")]
        revisions = store.specs.revisions(None)
        assert revisions["c"] > revisions["a"] > 0


def test_what_cannot_be_read_waits_until_it_is_mended(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with open_store(url) as store, tool_for(url) as tool:
        store.specs.insert([spec("a", n=1), spec("b", n=1)], US)
        assert isinstance(tool, Shell)
        tool.connection.execute("UPDATE specs SET document = 'no JSON' WHERE id = 'a'")
        store.specs.apply([spec("b", n=2)], US)
        assert [each[:3] for each in told(store, 1)] == [("us@here", "changed", "b")]
        document = json.dumps(spec("a", n=3))
        tool.connection.execute("UPDATE specs SET document = ? WHERE id = 'a'", (document,))
        assert store.claim("default", SPECS) == 1
        assert told(store, 2) == [("unknown", "changed", "a", spec("a", n=1), spec("a", n=3))]


def test_a_file_of_an_older_layout_notices_others_from_now_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with open_store(url) as store:
        store.specs.insert([spec("a", n=1)], US)
    with tool_for(url) as tool:
        assert isinstance(tool, Shell)
        for table in (SPECS, VALUES):
            for trigger in ("inserting", "inserted", "updated", "deleted"):
                tool.connection.execute(f'DROP TRIGGER "{table}_{trigger}"')
        tool.connection.executescript("DROP TABLE unclaimed; PRAGMA user_version=2")
        with open_store(url) as store:
            tool.set("a", "n", 2)
            assert store.claim("default", SPECS) == 1


@pytest.mark.parametrize("place", ["mongodb", "mongodb-standalone"])
def test_what_was_there_before_the_history_is_nobody_s(place: str, tmp_path: Path) -> None:
    """Until somebody changes it: what the loader knew of it is what was before then."""
    with open_store(PLACES[place](tmp_path)) as store, tool_for(store.url) as tool:
        store.specs.insert([spec("a", n=1), spec("b", n=1)], US)
        assert isinstance(tool, MongoShell)
        for name in ("greenflow_changes", "greenflow_edits"):
            tool.database[name].delete_many({})
        assert store.claim("default", SPECS) == 0
        (known,) = store.specs.find({"id": "a"})
        assert store.claim("default", SPECS, {"a"}, {"a": known}) == 0
        tool.set("a", "n", 2)
        assert store.claim("default", SPECS, {"a"}, {"a": known}) == 1
        assert told(store) == [("unknown", "changed", "a", spec("a", n=1), spec("a", n=2))]
