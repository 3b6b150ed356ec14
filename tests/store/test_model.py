"""Random sequences of operations: every store equals a plain map of documents.

The model does not plan. It makes the state that a batch asks for, and then looks at the whole
state: the rules of the contract hold in it, or the batch must fail and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import DuplicateSpec, InvalidArgument, UnknownSpec
from greenflow.store import Collection, Feed, Store
from tests.store.tools import DEADLINE, documents, follow, ids, on_a_store

State = dict[str, dict[str, Any]]

FIELDS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"namespace": st.sampled_from(["n", "n", "n", "m"])},
    optional={
        "id": st.sampled_from(["a", "b", "c"]),
        "name": st.sampled_from(["x", "y", "z"]) | st.none(),
        "v": st.integers(0, 2) | st.none() | st.just({"w": []}),
    },
)
BATCHES = st.lists(FIELDS, max_size=4)
FILTERS = st.sampled_from(
    [
        None,
        {"v": 1},
        {"id": {"$in": ["a", "b"]}},
        {"name": "x"},
        {"namespace": "m"},
        {"$not": {"id": "a"}},
    ]
)
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["insert", "apply", "apply", "update"]), BATCHES)
    | st.tuples(st.just("delete"), FILTERS),
    max_size=12,
)


class Refused(Exception):
    """The model's word for a batch that must fail; which of several faults is told is left open."""


def holder(state: State, document: dict[str, Any]) -> str | None:
    """The id of the document with this one's (namespace, name)."""
    name, namespace = document.get("name"), document["namespace"]
    for id, each in state.items():
        if name and (each["namespace"], each.get("name")) == (namespace, name):
            return id
    return None


def with_ids(state: State, batch: list[dict[str, Any]], operation: str) -> list[dict[str, Any]]:
    """The batch as whole documents; those that get a new id are called `new 0`, `new 1`, ..."""
    named = {document["id"] for document in batch if "id" in document}
    whole = []
    for at, document in enumerate(batch):
        id = document.get("id") or (operation != "insert" and holder(state, document)) or None
        if operation == "update":
            if id not in state or state[id]["namespace"] != document["namespace"]:
                raise Refused
            merged = {**state[id], **document, "id": id}
            whole.append({k: v for k, v in merged.items() if k not in document or v is not None})
        elif "id" in document or (id is not None and id not in named):
            whole.append({**document, "id": id})
        else:
            whole.append({**document, "id": f"new {at}"})
    return whole


def changed(state: State, operation: str, batch: list[dict[str, Any]]) -> tuple[State, list[str]]:
    """The state after a batch, and the ids in its order. Raises Refused."""
    whole = with_ids(state, batch, operation)
    ids = [document["id"] for document in whole]
    after = {**state, **{document["id"]: document for document in whole}}
    names = [(d["namespace"], d["name"]) for d in after.values() if d.get("name")]
    if (
        len(set(ids)) < len(ids)
        or len(set(names)) < len(names)
        or any(id in state and state[id]["namespace"] != after[id]["namespace"] for id in ids)
        or (operation == "insert" and any(id in state for id in ids))
    ):
        raise Refused
    return after, ids


def found(state: State, filter: Any) -> list[str]:
    conditions: dict[str, Callable[[dict[str, Any]], bool]] = {
        "v": lambda d: d.get("v") == 1,
        "id": lambda d: d["id"] in ("a", "b"),
        "name": lambda d: d.get("name") == "x",
        "namespace": lambda d: d["namespace"] == "m",
        "$not": lambda d: d["id"] != "a",
    }
    keys = list(filter or {})
    return sorted(id for id, d in state.items() if all(conditions[key](d) for key in keys))


class Run:
    """A store, the model of it, and the names that the model has for new ids."""

    def __init__(self, collection: Collection, feed: Feed) -> None:
        self.collection = collection
        self.feed = feed
        self.state: State = {}
        self.revisions: dict[str, int] = {}
        self.highest: dict[str, int] = {}  # of every id that ever was

    def step(self, operation: str, argument: Any) -> None:
        before = dict(self.state)
        if operation == "delete":
            expected = [self.state.pop(id) for id in found(self.state, argument)]
            assert documents(self.collection.delete(argument)) == expected
        else:
            self.write(operation, argument)
        touched = {id for id in before | self.state if before.get(id) != self.state.get(id)}
        self.check_feed(touched)
        self.check_state(touched)

    def write(self, operation: str, batch: list[dict[str, Any]]) -> None:
        call: Any = getattr(self.collection, operation)
        arguments = [batch, lambda merged: merged] if operation == "update" else [batch]
        try:
            after, ids = changed(self.state, operation, batch)
        except Refused:
            with pytest.raises((DuplicateSpec, InvalidArgument, UnknownSpec)):
                call(*arguments)
            return
        stored = documents(call(*arguments))
        real = dict(zip(ids, (document["id"] for document in stored), strict=True))
        self.state = {
            real.get(id, id): {**document, "id": real.get(id, id)} for id, document in after.items()
        }
        assert all(real[id] == id for id in ids if not id.startswith("new "))
        assert stored == [self.state[real[id]] for id in ids]

    def check_feed(self, touched: set[str]) -> None:
        reported: set[str] = set()
        while not touched <= reported:
            batch = self.feed.next(DEADLINE)
            assert batch is not None
            assert not batch.gap
            reported |= batch.ids
        assert reported == touched

    def check_state(self, touched: set[str]) -> None:
        records = self.collection.find(None)
        assert documents(records) == [self.state[id] for id in sorted(self.state)]
        revisions = {record.document["id"]: record.revision for record in records}
        assert self.collection.revisions(None) == revisions
        for id, revision in revisions.items():
            if id in touched:
                assert revision > self.highest.get(id, 0)
            else:
                assert revision == self.revisions[id]
            self.highest[id] = revision
        self.revisions = revisions


@pytest.mark.parametrize("collection", ["specs", "values"])
@on_a_store
@given(operations=OPERATIONS)
def test_a_store_equals_a_map(
    store: Store, collection: str, operations: list[tuple[str, Any]]
) -> None:
    kept: Collection = getattr(store, collection)
    with kept.feed(None) as feed:
        follow(feed, ids(kept.delete(None)))  # what another example left
        run = Run(kept, feed)
        for operation, argument in operations:
            run.step(operation, argument)
