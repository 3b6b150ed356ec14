"""The contract of store/history.py on every store."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.errors import ChangedMeanwhile, DuplicateSpec
from greenflow.spec.signature import Signature, here
from greenflow.store import Collection, Store, open_store
from greenflow.store.base import Rewrite
from greenflow.store.change import CHAIN, Edit
from tests.store.tools import documents, on_a_store, spec

ALICE = Signature("alice@desk", "it was wrong", "apply a.yaml")


def texts(edits: list[Edit]) -> list[tuple[str, Any, Any]]:
    """What edits did: the verb, and the documents before and after."""
    return [
        (
            edit.verb,
            None if edit.before is None else json.loads(edit.before),
            None if edit.after is None else json.loads(edit.after),
        )
        for edit in edits
    ]


def test_a_batch_is_one_change_with_its_author_and_each_document(store: Store) -> None:
    began = time.time()
    store.specs.insert([spec("a", "one", n=1), spec("b", n=2)], ALICE)
    store.specs.apply([spec("a", "one", n=3), spec("b", n=2), spec("c")], ALICE)
    store.specs.delete({"id": "b"}, Signature("bob@lap"))
    newest, second, first = store.history.headings("default")
    assert store.history.newest("default") == newest.number == 3
    assert (first.number, second.number) == (1, 2)
    assert first[3:6] == ("alice@desk", "it was wrong", "apply a.yaml")
    assert first.names == ("one", "b")
    counts = [each.counts for each in (first, second, newest)]
    assert counts == [(2, 0, 0), (1, 1, 0), (0, 0, 1)]
    assert newest.author == "bob@lap"
    assert began - 1 <= first.time <= newest.time <= time.time() + 1
    assert texts(store.history.edits("default")) == [
        ("created", None, spec("a", "one", n=1)),
        ("created", None, spec("b", n=2)),
        ("changed", spec("a", "one", n=1), spec("a", "one", n=3)),
        ("created", None, spec("c")),
        ("deleted", spec("b", n=2), None),
    ]


def test_an_unsigned_change_is_of_the_user_of_this_process(store: Store) -> None:
    store.specs.update([], dict)
    store.specs.insert([spec("a", n=1)])
    store.specs.update([spec("a", n=2)], dict)
    authors = [each.author for each in store.history.headings("default")]
    assert authors == [here().author] * 2


def test_what_changes_nothing_is_no_change(store: Store) -> None:
    store.specs.insert([spec("a", n=1)])
    store.specs.apply([spec("a", n=1)])
    store.specs.delete({"id": "b"})
    with pytest.raises(DuplicateSpec):
        store.specs.insert([spec("c"), spec("a")])
    assert store.history.newest("default") == 1


def test_each_namespace_counts_for_itself(store: Store) -> None:
    other = {"id": "o", "namespace": "other"}
    store.specs.insert([spec("a"), other])
    store.specs.insert([spec("b")])
    assert (store.history.newest("default"), store.history.newest("other")) == (2, 1)
    assert [edit.id for edit in store.history.edits("other")] == ["o"]
    store.specs.delete(None)
    assert store.history.newest("third") == 0
    assert [edit.verb for edit in store.history.edits("other")] == ["created", "deleted"]


def test_a_writer_who_expects_another_change_is_refused(store: Store) -> None:
    nobody = Signature("alice", expected={"default": 0})
    store.specs.insert([spec("a")], nobody)
    for attempt in (
        lambda: store.specs.insert([spec("b")], nobody),
        lambda: store.specs.apply([spec("a", n=1)], nobody),
        lambda: store.specs.update([spec("a", n=1)], dict, nobody),
        lambda: store.specs.delete({"id": "a"}, nobody),
        lambda: store.rewrite(Rewrite([spec("b")]), Rewrite(), nobody),
    ):
        with pytest.raises(ChangedMeanwhile, match="newest change is 1, not 0"):
            attempt()
    assert documents(store.specs.find(None)) == [spec("a")]
    assert store.history.newest("default") == 1
    store.specs.delete({"id": "a"}, nobody._replace(expected={"default": 1}))


def test_values_and_specs_are_rewritten_together_or_not_at_all(store: Store) -> None:
    store.specs.insert([spec("a", "one"), spec("b", "two")])
    store.values.insert([spec("v", "url", data=1)])
    store.rewrite(
        Rewrite([spec("c", "one")], {"a", "absent"}), Rewrite([], {"v"}), ALICE
    )  # the name of what goes is free
    assert documents(store.specs.find(None)) == [spec("b", "two"), spec("c", "one")]
    assert documents(store.values.find(None)) == []
    assert store.history.headings("default")[0].counts == (1, 0, 2)
    with pytest.raises(DuplicateSpec):
        store.rewrite(Rewrite([spec("d", "two")]), Rewrite([spec("w")], set()), ALICE)
    assert documents(store.values.find(None)) == []
    assert store.history.newest("default") == 3


def test_the_data_of_a_value_is_kept_only_if_it_is_encrypted(store: Store) -> None:
    store.values.insert([spec("v", "url", data="hunter2")])
    store.values.apply([spec("v", "url", encrypted="AAAA")])
    store.values.apply([spec("v", "url", data="hunter3")])
    store.values.delete(None)
    edits = store.history.edits("default")
    assert [edit.verb for edit in edits] == ["created", "changed", "changed", "deleted"]
    assert "hunter" not in repr(edits) + "".join(f"{edit.before}{edit.after}" for edit in edits)
    assert json.loads(edits[1].after or "") == spec("v", "url", encrypted="AAAA")


def test_headings_are_paged_and_found_by_document(store: Store) -> None:
    for n in range(6):
        store.specs.apply([spec("ab"[n % 2], n=n)])
    assert [each.number for each in store.history.headings("default", limit=2)] == [6, 5]
    assert [each.number for each in store.history.headings("default", 5, 2)] == [4, 3]
    assert [each.number for each in store.history.headings("default", ids={"b"})] == [6, 4, 2]
    assert [edit.number for edit in store.history.edits("default", 2, 5, {"a"})] == [3, 5]


def test_documents_are_found_by_every_name_they_had(store: Store) -> None:
    store.specs.insert([spec("a", "old")])
    store.specs.apply([spec("a", "new")])
    store.specs.apply([spec("b", "old")])
    assert store.history.named("default", "new") == {"a"}
    assert store.history.named("default", "old") == {"a", "b"}
    assert store.history.named("default", "b") == {"b"}
    assert store.history.named("default", "absent") == set()


def test_the_files_of_a_change_are_kept_as_they_were(store: Store) -> None:
    first, second = {"a.yaml": "# first\n"}, {"a.yaml": "# second\n", "b.yaml": "{}"}
    store.specs.apply([spec("a", n=1)], Signature("alice", files=first, places=("a.yaml:1",)))
    store.specs.apply([spec("a", n=2)], Signature("alice", files=first, places=("a.yaml:1",)))
    store.specs.apply([spec("a", n=3)], Signature("alice", files=second, places=("a.yaml:2",)))
    edits = store.history.edits("default")
    files = [(edit.number, edit.id, edit.after) for edit in edits if edit.collection == "files"]
    assert files == [(1, "a.yaml", "# first\n"), (3, "a.yaml", "# second\n"), (3, "b.yaml", "{}")]
    assert [edit.place for edit in edits if edit.id == "a"] == ["a.yaml:1"] * 2 + ["a.yaml:2"]
    assert store.history.headings("default")[0].counts == (0, 1, 0)
    assert store.history.headings("default", ids={"a.yaml"}) == []


def test_the_files_of_values_are_not_kept(store: Store) -> None:
    store.values.apply([spec("v")], Signature("alice", files={"v.yaml": "data: hunter2"}))
    assert [edit.collection for edit in store.history.edits("default")] == ["values"]


def test_a_document_belongs_to_the_set_that_named_it_last(store: Store) -> None:
    store.specs.apply([spec("a"), spec("b")], Signature("alice", group="web"))
    store.specs.apply([spec("b"), spec("c")], Signature("alice", group="jobs"))
    store.specs.apply([spec("c", n=1)])
    assert store.history.members("default", "specs", "web") == {"a"}
    assert store.history.members("default", "specs", "jobs") == {"b", "c"}
    store.specs.delete({"id": "b"})
    assert store.history.members("default", "specs", "jobs") == {"c"}
    assert store.history.members("other", "specs", "jobs") == set()


def test_old_changes_are_forgotten_and_the_others_stay_readable(store: Store) -> None:
    changes = CHAIN * 2 + 5
    for n in range(changes):
        store.specs.apply([spec("a", n=n, code="x" * 100)])
    store.specs.insert([spec("b")])
    past, future = time.time() - 60, time.time() + 60
    assert store.history.thin(10, past) == 0
    assert store.history.thin(changes + 1, future) == 0
    for keep in (40, 7, 1, 0):
        store.history.thin(keep, future)
        kept = max(keep, 1)
        assert len(store.history.headings("default", limit=1000)) == kept
        edits = store.history.edits("default", ids={"a"})
        assert [edit.number for edit in edits] == list(range(changes + 2 - kept, changes + 1))
        assert [json.loads(edit.after or "")["n"] for edit in edits] == [
            edit.number - 1 for edit in edits
        ]
    assert store.history.newest("default") == changes + 1


def test_a_deleted_document_may_come_again(store: Store) -> None:
    for n in range(3):
        store.specs.insert([spec("a", n=n)])
        store.specs.delete({"id": "a"})
    verbs = [edit.verb for edit in store.history.edits("default", ids={"a"})]
    assert verbs == ["created", "deleted"] * 3


@settings(on_a_store, max_examples=20)
@given(st.data())
def test_replaying_any_history_gives_what_is_stored(url: str, data: st.DataObject) -> None:
    ids = st.sampled_from("abcde")
    step = st.tuples(
        st.sampled_from(("apply", "delete", "rewrite")), st.sets(ids), st.integers(0, 5)
    )
    with open_store(url) as store:
        store.specs.delete(None)
        begin = store.history.newest("default")
        states: dict[int, dict[str, Any]] = {begin: {}}
        for what, some, n in data.draw(st.lists(step, max_size=25)):
            batch = [spec(id, n=n, code=f"line {n}\n" * 40) for id in sorted(some)]
            if what == "apply":
                store.specs.apply(batch)
            elif what == "delete":
                store.specs.delete({"id": {"$in": sorted(some)}})
            else:
                store.rewrite(
                    Rewrite(batch[:1], some - set(batch[0]["id"] if batch else ())),
                    Rewrite(),
                    ALICE,
                )
            states[store.history.newest("default")] = {
                record.document["id"]: record.document for record in store.specs.find(None)
            }
        replayed: dict[str, Any] = {}
        assert set(range(begin, max(states) + 1)) == set(states)
        for edit in store.history.edits("default", begin):
            before = None if edit.before is None else json.loads(edit.before)
            assert replayed.pop(edit.id, None) == before
            if edit.after is not None:
                replayed[edit.id] = json.loads(edit.after)
        assert replayed == states[max(states)]


def test_the_history_ends_with_its_store_in_memory_and_goes_on_elsewhere(
    url: str, specs: Collection
) -> None:
    specs.insert([spec("a")], ALICE)
    before = [] if url == "memory://" else ["alice@desk"]
    with open_store(url) as again:
        assert [each.author for each in again.history.headings("default")] == before
        again.specs.apply([spec("a", n=1)])
        verbs = [edit.verb for edit in again.history.edits("default")]
        assert verbs == (["created", "changed"] if before else ["created"])
