"""Runtimes on a MongoDB server that is killed, forgets, or is slow: workflows run on, nothing is
missed, and what did not change is not started anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from pymongo import MongoClient

from greenflow import Runtime
from greenflow.store import open_store
from tests import mongo
from tests.store.tools import spec
from tests.waiting import until

SECONDS = 60.0  # until what should have come has failed


def text(name: str, code: str) -> dict[str, Any]:
    return spec(None, name, kind="snippet", code=code)


@pytest.fixture
def server(request: pytest.FixtureRequest, hurried: None) -> Iterator[mongo.MongoServer]:
    mongo.require()
    with closing(mongo.MongoServer(*request.param)) as server:
        yield server


MODES = pytest.mark.parametrize(
    "server", [(), ("--standalone",)], ids=["replica-set", "standalone"], indirect=True
)


@pytest.fixture(params=["mongodb", "mongodb-standalone", "mongodb-documentdb", "mongodb-ferretdb"])
def url(request: pytest.FixtureRequest, hurried: None) -> str:
    if request.param.endswith("db") and "-" in request.param:
        return mongo.lacking(request.param.partition("-")[2])
    return mongo.url(standalone="standalone" in request.param)


@pytest.mark.parametrize("what", ["collection", "database"])
def test_a_dropped_database_drops_nothing_in_silence(
    url: str, what: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody drops it under a running engine, and then one spec is applied."""
    monkeypatch.setattr("greenflow.table.loader.COMPARE", 0.1)
    monkeypatch.setattr("greenflow.table.loader.REMIND", 0.1)
    with open_store(url) as store, closing(MongoClient[dict[str, Any]](url)) as client:
        store.specs.apply([text(f"n{at}", f"text {at}") for at in range(20)])
        database = client.get_default_database()
        kept = list(database.specs.find({}))
        with Runtime(url) as runtime:
            if what == "database":
                client.drop_database(database.name)
            else:
                database.specs.drop()
                database.greenflow_notes.drop()
            with open_store(url) as other:
                other.specs.apply([text("one", "one")])
            until(lambda: not runtime.connected)
            until(lambda: "was dropped or replaced" in caplog.text)
            assert [runtime.call(f"n{at}") for at in (0, 19)] == ["text 0", "text 19"]
            assert "one" not in runtime.table.names
            database.specs.insert_many(kept)  # from a backup
            until(lambda: runtime.connected and "one" in runtime.table.names)
            assert runtime.call("n19") == "text 19"


@MODES
def test_a_server_that_was_killed_and_came_back(
    server: mongo.MongoServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.url(options="?serverSelectionTimeoutMS=200")
    with open_store(url) as store:
        store.specs.apply([text("same", "same"), text("other", "old")])
        with Runtime(url) as runtime:
            same = runtime.table.find("same")
            node = same.version.node
            assert runtime.connected
            server.kill()
            until(lambda: not runtime.connected)
            assert "workflows run on" in caplog.text
            assert runtime.call("other") == "old"
            server.start()
            store.specs.apply([text("other", "new"), text("more", "more")])
            until(lambda: runtime.call("other") == "new" and "more" in runtime.table.names)
            until(lambda: runtime.connected)
            assert runtime.call("more") == "more"
            assert runtime.table.find("same").version.node is node


@MODES
def test_a_runtime_stops_while_its_server_is_away(server: mongo.MongoServer) -> None:
    url = server.url(options="?serverSelectionTimeoutMS=200")
    with open_store(url) as store:
        store.specs.apply([text("a", "1")])
    with Runtime(url) as runtime:
        server.kill()
        until(lambda: not runtime.connected)
        assert runtime.call("a") == "1"


@MODES
def test_writers_and_readers_are_told_that_the_server_is_away(server: mongo.MongoServer) -> None:
    url = server.url(options="?serverSelectionTimeoutMS=200")
    nodes = [
        spec(None, "read", kind="syscall", opcode="nodes.read", links={"error": {"name": "no"}}),
        text("no", "sorry"),
    ]
    with open_store(url) as store:
        store.specs.apply(nodes)
    with Runtime(url) as runtime:
        assert len(runtime.call("read")) == 2
        server.kill()
        assert runtime.call("read") == "sorry"
        server.start()
        until(lambda: runtime.call("read") != "sorry")


@contextmanager
def failing(url: str, code: int) -> Iterator[None]:
    with closing(MongoClient[dict[str, Any]](url)) as client:
        data = {"failCommands": ["getMore"], "errorCode": code, "appName": "greenflow"}
        point = {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
        client.admin.command(point)
        yield
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.mark.parametrize("standalone", [False, True], ids=["replica-set", "standalone"])
@pytest.mark.parametrize("code", [43, 96, 136, 175, 237, 50, 286])
def test_a_feed_that_ends_costs_only_a_comparison(
    hurried: None, standalone: bool, code: int
) -> None:
    url = mongo.url(standalone=standalone)
    with open_store(url) as store:
        store.specs.apply([text(f"n{at}", "x") for at in range(30)])
        with Runtime(url) as runtime, failing(url, code):
            nodes = {each.id: each.version.node for each in runtime.table.symbols.values()}
            (changed,) = store.specs.apply([text("n7", "y")])
            until(lambda: runtime.call("n7") == "y")
            until(lambda: runtime.connected)
            kept = {each.id: each.version.node for each in runtime.table.symbols.values()}
            del nodes[changed.document["id"]], kept[changed.document["id"]]
            assert kept == nodes
            store.specs.apply([text("n8", "z")])
            until(lambda: runtime.call("n8") == "z")


def test_runtimes_of_one_database_are_equal(hurried: None) -> None:
    """Changes through each of three runtimes reach all of them."""
    url = mongo.url()
    with Runtime(url) as one, Runtime(url) as two, Runtime(url) as three:
        runtimes = (one, two, three)
        for at in range(30):
            writer = runtimes[at % 3].operations
            writer.apply([text(f"n{at % 7}", str(at))])
            if at % 5 == 4:
                writer.delete({"name": f"n{at % 7}"})
        stored = {r.document["id"]: r.document for r in one.operations.read()}
        until(
            lambda: all(
                {s.id: s.version.document for s in each.table.symbols.values()} == stored
                for each in runtimes
            )
        )
