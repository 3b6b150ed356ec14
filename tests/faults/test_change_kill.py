"""kill -9 of a writer at chosen moments of a change: its documents, its sets and its place in the
history are there together or not at all, on every store that outlives its writer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from greenflow.spec.signature import Signature
from greenflow.store import Store, open_store
from greenflow.store.base import Rewrite
from greenflow.store.change import SPECS
from greenflow.store.mongo import pending
from tests import mongo
from tests.store.test_unknown import tool_for
from tests.store.tools import documents, python, spec

PLACES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder}/store.db",
    "mongodb": lambda folder: mongo.url(),
    "mongodb-standalone": lambda folder: mongo.url(standalone=True),
}

BEFORE, AFTER = "before", "after"

# Names are swapped, something is deleted, set and created, in two namespaces and both collections.
SPECS_AFTER = [
    spec("a", "two"),
    spec("b", "one"),
    {"id": "o", "namespace": "other", "n": 1},
    spec("new", "three"),
]
VALUES_AFTER = [spec("v", "url", data="new")]

# A writer that kills itself before or after the call of a function.
WRITER = """
import importlib, json, os, signal, sys
from greenflow.spec.signature import Signature
from greenflow.store import open_store
from greenflow.store.base import Rewrite
url, module, path, at, when, specs, values = sys.argv[1:]
*owners, name = path.split(".")
owner = importlib.import_module("greenflow.store." + module)
for each in owners:
    owner = getattr(owner, each)
original, calls = getattr(owner, name), 0
def dying(*arguments, **options):
    global calls
    calls += 1
    last = calls == int(at)
    if last and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    outcome = original(*arguments, **options)
    if last:
        os.kill(os.getpid(), signal.SIGKILL)
    return outcome
with open_store(url) as store:
    store.history.newest("default")
    setattr(owner, name, dying)
    signature = Signature("me@here", group="all")
    store.rewrite(Rewrite(json.loads(specs), {"c"}), Rewrite(json.loads(values), {"w"}), signature)
"""

# The store, the function, the call of it, when it dies, and whether the change is done by then.
MOMENTS = [
    ("sqlite", "tables", "remove", 1, AFTER, False),
    ("sqlite", "tables", "write", 1, BEFORE, False),
    ("sqlite", "tables", "write", 2, AFTER, False),
    ("sqlite", "tables", "_remove", 2, AFTER, False),
    ("sqlite", "ledger", "join", 2, AFTER, False),
    ("sqlite", "ledger", "insert", 3, AFTER, False),
    ("sqlite", "ledger", "record", 1, AFTER, False),
    ("sqlite", "sqlite", "_carry_out", 1, AFTER, True),
    ("mongodb", "mongo.writing", "MongoWriting.write_in_transaction", 1, AFTER, False),
    ("mongodb", "mongo.writing", "MongoWriting.write_in_transaction", 2, AFTER, False),
    ("mongodb", "mongo.ledger", "MongoLedger.record", 1, AFTER, False),
    ("mongodb", "mongo.ledger", "MongoLedger.record", 2, AFTER, False),
    ("mongodb", "mongo.ledger", "MongoLedger.join", 2, AFTER, False),
    ("mongodb", "mongo.ledger", "MongoLedger.begin", 2, BEFORE, False),
    ("mongodb", "mongo.transaction", "_commit", 1, BEFORE, False),
    ("mongodb", "mongo.transaction", "_commit", 1, AFTER, True),
    ("mongodb-standalone", "mongo.pending", "PendingChange.lock", 2, AFTER, False),
    ("mongodb-standalone", "mongo.pending", "PendingChange.note", 2, AFTER, False),
    ("mongodb-standalone", "mongo.pending", "PendingChange.record", 2, AFTER, False),
    ("mongodb-standalone", "mongo.steps", "_write", 1, AFTER, False),
    ("mongodb-standalone", "mongo.writing", "MongoWriting._write_run", 2, AFTER, False),
    ("mongodb-standalone", "mongo.pending", "PendingChange.finish", 1, BEFORE, False),
    ("mongodb-standalone", "mongo.pending", "PendingChange.finish", 1, AFTER, True),
    ("mongodb-standalone", "mongo.pending", "_finish", 1, BEFORE, True),
]


def end_transactions(url: str) -> None:
    """As a replica set does with those of a client that is gone, after a minute."""
    if url.startswith("mongodb://"):
        with closing(MongoClient[dict[str, Any]](url)) as client:
            client.admin.command({"killAllSessions": []})


def everything(store: Store) -> list[Any]:
    """What is stored, and what the history has of it."""
    newest = [store.history.newest(namespace) for namespace in ("default", "other")]
    found = [documents(collection.find(None)) for collection in (store.specs, store.values)]
    edits = [
        (namespace, edit.number, edit.id, edit.after and json.loads(edit.after))
        for namespace in ("default", "other")
        for edit in store.history.edits(namespace)
    ]
    return [newest, *found, edits]


@pytest.mark.parametrize(("place", "module", "function", "at", "when", "is_done"), MOMENTS)
def test_a_change_is_there_or_it_is_not(
    tmp_path: Path,
    hurried: None,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    module: str,
    function: str,
    at: int,
    when: str,
    is_done: bool,
) -> None:
    monkeypatch.setattr(pending, "PATIENCE", 0.1)
    url = PLACES[place](tmp_path)
    with open_store(url) as store:
        store.specs.insert([spec("a", "one"), spec("b", "two"), spec("c", "three")])
        store.values.insert([spec("v", "url", data="hunter2"), spec("w", data="hunter3")])
        before = everything(store)
    arguments = (module, function, str(at), when, json.dumps(SPECS_AFTER), json.dumps(VALUES_AFTER))
    with python(WRITER, url, *arguments) as writer:
        _, errors = writer.communicate()
        assert (writer.returncode, errors) == (-9, "")
    with open_store(url) as store:
        if not is_done:
            assert everything(store) == before
        newest, specs, values, edits = everything(store)
        if is_done:
            assert newest == [3, 1]
            assert specs == sorted(SPECS_AFTER, key=lambda each: str(each["id"]))
            assert values == VALUES_AFTER
            assert len(edits) == len(before[3]) + 7
        assert store.claim("default", SPECS) == 0
        end_transactions(url)
        store.specs.apply([spec("last")])
        assert store.history.newest("default") == newest[0] + 1


CLAIMS = [
    ("sqlite", "ledger", "record", BEFORE, False),
    ("sqlite", "ledger", "record", AFTER, False),
    ("sqlite", "sqlite", "_claim", AFTER, False),
    ("mongodb", "mongo.ledger", "MongoLedger.record", AFTER, False),
    ("mongodb", "mongo.transaction", "_commit", AFTER, True),
    ("mongodb-standalone", "mongo.pending", "PendingChange.lock", AFTER, False),
    ("mongodb-standalone", "mongo.pending", "PendingChange.record", AFTER, False),
    ("mongodb-standalone", "mongo.pending", "PendingChange.finish", AFTER, True),
]


@pytest.mark.parametrize(("place", "module", "function", "when", "is_done"), CLAIMS)
def test_what_others_wrote_is_recorded_once_whoever_dies_over_it(
    tmp_path: Path,
    hurried: None,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    module: str,
    function: str,
    when: str,
    is_done: bool,
) -> None:
    monkeypatch.setattr(pending, "PATIENCE", 0.1)
    url = PLACES[place](tmp_path)
    claim = WRITER[: WRITER.index("    signature =")] + '    store.claim("default", "specs")\n'
    with open_store(url) as store, tool_for(url) as tool:
        store.specs.insert([spec("a", n=1)], Signature("me@here"))
        tool.set("a", "n", 2)
        with python(claim, url, module, function, "1", when, "", "") as claiming:
            _, errors = claiming.communicate()
            assert (claiming.returncode, errors) == (-9, "")
        end_transactions(url)
        assert store.claim("default", SPECS) == (0 if is_done else 1)
        authors = [each.author for each in store.history.headings("default")]
        assert authors == ["unknown", "me@here"]
        store.rewrite(Rewrite([spec("a", n=1)]), Rewrite(), Signature("me@here"))
        assert store.history.newest("default") == 3
