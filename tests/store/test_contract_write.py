"""The contract of store/base.py on every store: insert, apply, update."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import gevent
import pytest

from greenflow.errors import DuplicateSpec, InvalidArgument, UnknownSpec
from greenflow.spec.syntax import MAX_DEPTH
from greenflow.store import Collection
from tests.store.tools import DEADLINE, documents, everything, ids, next_batch, reason, spec


def same(document: dict[str, Any]) -> dict[str, Any]:
    return document


# insert


def test_inserted_documents_are_found_as_they_were(specs: Collection) -> None:
    first = spec("b", "one", kind="router", routes=[], env={}, rate=1.5, on=True, off=None)
    second = spec(
        "a", note="naïve \U0001f40d \u2028", big=2**63 - 1, nested={"x": [{"y": -(2**63)}]}
    )
    stored = specs.insert([first, second])
    assert documents(stored) == [first, second]
    assert everything(specs) == [stored[1], stored[0]]


def test_a_document_is_as_deep_as_one_of_a_file_may_be(specs: Collection) -> None:
    deep: Any = []
    for _ in range(MAX_DEPTH - 2):
        deep = [deep]
    (stored,) = specs.insert([spec("a", deep=deep)])
    assert documents([stored]) == documents(everything(specs)) == [spec("a", deep=deep)]
    with pytest.raises(InvalidArgument, match="invalid argument") as failure:
        specs.insert([spec("b", deep=[deep])])
    assert f"nested deeper than {MAX_DEPTH}" in str(failure.value.__cause__)


def test_the_order_of_fields_is_kept(specs: Collection) -> None:
    specs.insert([spec("a", "n", z=1, y={"b": 1, "a": 2})])
    (record,) = everything(specs)
    assert list(record.document) == ["id", "namespace", "name", "z", "y"]
    assert list(record.document["y"]) == ["b", "a"]


@pytest.mark.parametrize("id", [None, "", ...])
def test_a_document_without_id_gets_a_uuid(specs: Collection, id: Any) -> None:
    document = spec(None, "n") if id is ... else {**spec(None, "n"), "id": id}
    (record,) = specs.insert([document])
    assert UUID(record.document["id"]).version == 7
    assert ids(everything(specs)) == [record.document["id"]]


def test_insert_refuses_a_taken_id(specs: Collection) -> None:
    specs.insert([spec("a", "one")])
    with pytest.raises(DuplicateSpec, match="'a'"):
        specs.insert([spec("b"), spec("a", "two")])
    assert ids(everything(specs)) == ["a"]


def test_insert_refuses_a_taken_name(specs: Collection) -> None:
    specs.insert([spec("a", "one")])
    with pytest.raises(DuplicateSpec, match="'one' in namespace 'default' is taken by the id 'a'"):
        specs.insert([spec("b"), spec("c", "one")])
    assert ids(everything(specs)) == ["a"]


def test_a_name_is_free_in_another_namespace(specs: Collection) -> None:
    specs.insert([spec("a", "one"), spec("b", "one", namespace="other")])
    assert ids(everything(specs)) == ["a", "b"]


@pytest.mark.parametrize("name", [None, "", ...])
def test_documents_without_name_do_not_collide(specs: Collection, name: Any) -> None:
    fields = {} if name is ... else {"name": name}
    stored = specs.insert([spec("a", **fields), spec("b", **fields)])
    assert documents(stored) == [spec("a", **fields), spec("b", **fields)]


@pytest.mark.parametrize("operation", ["insert", "apply"])
@pytest.mark.parametrize(
    ("batch", "what"),
    [
        ([spec("a", "one"), spec("a", "two")], "id 'a' is there twice"),
        ([spec("a", "one"), spec("b", "one")], "name 'one' in namespace 'default' is there twice"),
        ([spec(None, "one"), spec(None, "one")], "name 'one' in namespace 'default' is there"),
    ],
)
def test_a_batch_may_not_collide_with_itself(
    specs: Collection, operation: str, batch: list[dict[str, Any]], what: str
) -> None:
    with pytest.raises(DuplicateSpec, match=what):
        getattr(specs, operation)(batch)
    assert everything(specs) == []


@pytest.mark.parametrize("operation", ["insert", "apply"])
@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"id": "a"}, r"$[1].namespace: is missing"),
        ({"id": "a", "namespace": None}, r"$[1].namespace: is missing"),
        ({"id": "a", "namespace": ""}, r"$[1].namespace: is missing"),
        ({"id": "a", "namespace": 5}, r"$[1].namespace: must be a string"),
        ({"id": 5, "namespace": "n"}, r"$[1].id: must be a string"),
        ({"id": "a", "namespace": "n", "name": ["x"]}, r"$[1].name: must be a string"),
        ({"id": "a\0b", "namespace": "n"}, r"$[1].id: must not hold a null"),
        ({"namespace": "n", "x": {"y": [1, b"z"]}}, r"$[1].x.y[1]: a value of type bytes"),
        ({"namespace": "n", "x": float("nan")}, r"$[1].x: nan cannot be stored"),
        ({"namespace": "n", "x": 2**64}, r"$[1].x: an integer must fit 64 bits"),
        ({"namespace": "n", "x": 2**63}, r"$[1].x: an integer must fit 64 bits with its sign"),
        ({"namespace": "n", "x": [-(2**63) - 1]}, r"$[1].x[0]: an integer must fit 64 bits"),
        ({"namespace": "n", "x": {1: 2}}, r"$[1].x: the keys of a map are strings"),
        ({"namespace": "n", "x": "\ud800"}, r"$[1]: holds text that is not valid Unicode"),
        ("text", r"$[1]: a document is a map"),
        (None, r"$[1]: a document is a map"),
    ],
)
def test_what_is_no_document_is_refused(
    specs: Collection, operation: str, document: Any, what: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        getattr(specs, operation)([spec("ok"), document])
    assert reason(caught).startswith(what)
    assert everything(specs) == []


@pytest.mark.parametrize("operation", ["insert", "apply"])
def test_a_single_document_is_not_a_batch(specs: Collection, operation: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        getattr(specs, operation)(spec("a"))
    assert "a list of documents" in reason(caught)


def test_a_document_that_is_nested_too_deep_is_refused(specs: Collection) -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidArgument) as caught:
        specs.insert([spec("a", deep=deep)])
    assert "nested deeper" in reason(caught)


def test_an_empty_batch_changes_nothing(specs: Collection) -> None:
    assert specs.insert([]) == specs.apply([]) == specs.update([], same) == []


# apply


def test_apply_replaces_whole_documents(specs: Collection) -> None:
    (first,) = specs.apply([spec("a", "one", x=1, y=2)])
    (second,) = specs.apply([spec("a", "one", x=3)])
    assert second.document == spec("a", "one", x=3)
    assert second.revision > first.revision
    assert everything(specs) == [second]


def test_apply_finds_the_id_by_name(specs: Collection) -> None:
    (first,) = specs.apply([spec(None, "one", x=1)])
    second, third = specs.apply([spec(None, "one", x=2), spec(None, "two")])
    assert second.document == {"id": first.document["id"], **spec(None, "one", x=2)}
    assert third.document["id"] != first.document["id"]
    assert UUID(third.document["id"]).version == 7


def test_apply_without_id_and_name_is_always_new(specs: Collection) -> None:
    specs.apply([spec(x=1)])
    specs.apply([spec(x=1)])
    assert len(everything(specs)) == 2


def test_apply_does_not_find_names_of_other_namespaces(specs: Collection) -> None:
    (first,) = specs.apply([spec(None, "one")])
    (second,) = specs.apply([spec(None, "one", namespace="other")])
    assert second.document["id"] != first.document["id"]


def test_an_equal_document_keeps_its_revision_and_makes_no_event(specs: Collection) -> None:
    before = specs.apply([spec("a", "one", x={"p": 1}), spec(None, "two"), spec("c", x=1)])
    with specs.feed(None) as feed:
        after = specs.apply([spec("a", "one", x={"p": 1}), spec(None, "two"), spec("c", x=2)])
        assert next_batch(feed).ids == {"c"}
    assert after[:2] == before[:2]
    assert after[2].revision > before[2].revision


def test_the_order_of_top_level_fields_is_no_change(specs: Collection) -> None:
    before = specs.apply([{"id": "a", "namespace": "n", "x": 1, "y": 2}])
    after = specs.apply([{"y": 2, "x": 1, "namespace": "n", "id": "a"}])
    assert after == before


@pytest.mark.parametrize(
    ("old", "new"),
    [(1, True), (1, 1.0), (0, False), ([], {}), ({"a": 1, "b": 2}, {"b": 2, "a": 1})],
)
def test_what_python_calls_equal_may_still_be_a_change(
    specs: Collection, old: Any, new: Any
) -> None:
    (before,) = specs.apply([spec("a", x=old)])
    (after,) = specs.apply([spec("a", x=new)])
    assert after.revision > before.revision
    (found,) = everything(specs)
    assert repr(found.document["x"]) == repr(new)


def test_apply_renames(specs: Collection) -> None:
    specs.apply([spec("a", "one")])
    specs.apply([spec("a", "two")])
    specs.apply([spec("b", "one")])
    assert documents(everything(specs)) == [spec("a", "two"), spec("b", "one")]


def test_apply_refuses_the_name_of_another_document(specs: Collection) -> None:
    before = specs.apply([spec("a", "one"), spec("b", "two")])
    with pytest.raises(DuplicateSpec, match="'one'"):
        specs.apply([spec("c"), spec("b", "one")])
    assert everything(specs) == before


def test_names_may_be_swapped_in_one_batch(specs: Collection) -> None:
    specs.apply([spec("a", "one"), spec("b", "two"), spec("c", "three")])
    specs.apply([spec("a", "two"), spec("b", "three"), spec("c", "one")])
    assert [d["name"] for d in documents(everything(specs))] == ["two", "three", "one"]


def test_a_name_that_its_holder_gives_up_in_the_batch_is_free(specs: Collection) -> None:
    specs.apply([spec("a", "one")])
    batch = [spec(None, "one", x=1), spec("a", "two")]
    first = specs.apply(batch)
    assert first[0].document["id"] != "a"
    assert specs.apply(batch) == first


def test_an_id_stays_in_its_namespace(specs: Collection) -> None:
    before = specs.apply([spec("a", "one")])
    with pytest.raises(InvalidArgument) as caught:
        specs.apply([spec("b"), spec("a", "one", namespace="other")])
    assert "'default'" in reason(caught)
    assert everything(specs) == before


# update


def test_update_merges_top_level_fields(specs: Collection) -> None:
    (first,) = specs.insert([spec("a", "one", x={"p": 1}, y=2, z=None)])
    (second,) = specs.update([spec("a", x={"q": 1}, y=None, w=3)], same)
    assert second.document == spec("a", "one", x={"q": 1}, z=None, w=3)
    assert second.revision > first.revision
    assert everything(specs) == [second]


def test_update_finds_by_name(specs: Collection) -> None:
    specs.insert([spec("a", "one", x=1), spec("b", "one", namespace="other")])
    (record,) = specs.update([spec(None, "one", x=2)], same)
    assert record.document == spec("a", "one", x=2)


def test_update_by_id_may_rename_and_take_the_name_away(specs: Collection) -> None:
    specs.insert([spec("a", "one"), spec("b", "two")])
    specs.update([spec("a", "two"), spec("b", "one")], same)
    assert [d["name"] for d in documents(everything(specs))] == ["two", "one"]
    specs.update([{**spec("a"), "name": None}], same)
    assert documents(everything(specs)) == [spec("a"), spec("b", "one")]


def test_update_stores_what_validate_returns(specs: Collection) -> None:
    specs.insert([spec("a", x=1)])
    seen = []

    def validate(document: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(document))
        return {**document, "x": str(document["x"])}

    (record,) = specs.update([spec("a", x=2)], validate)
    assert seen == [spec("a", x=2)]
    assert record.document == spec("a", x="2")


def test_what_validate_raises_leaves_the_batch_undone(specs: Collection) -> None:
    before = specs.insert([spec("a", x=1), spec("b", x=1)])

    def validate(document: dict[str, Any]) -> dict[str, Any]:
        if document["id"] == "b":
            raise ValueError("no")
        return document

    with pytest.raises(ValueError, match="no"):
        specs.update([spec("a", x=2), spec("b", x=2)], validate)
    assert everything(specs) == before


def test_validate_runs_in_the_greenlet_that_called_and_may_block(specs: Collection) -> None:
    specs.insert([spec("a", x=1)])
    caller = gevent.getcurrent()

    def validate(document: dict[str, Any]) -> dict[str, Any]:
        assert gevent.getcurrent() is caller
        assert documents(specs.find({"id": "a"})) == [spec("a", x=1)]
        gevent.sleep(0)
        return document

    specs.update([spec("a", x=2)], validate)
    assert documents(everything(specs)) == [spec("a", x=2)]


def test_updates_of_one_document_lose_nothing(specs: Collection) -> None:
    specs.insert([spec("a", count=0)])

    def add() -> None:
        def validate(document: dict[str, Any]) -> dict[str, Any]:
            gevent.sleep(0)  # lets the others read the same state
            return {**document, "count": document["count"] + 1}

        specs.update([spec("a")], validate)

    gevent.joinall([gevent.spawn(add) for _ in range(8)], timeout=DEADLINE, raise_error=True)
    assert documents(everything(specs)) == [spec("a", count=8)]


def test_update_of_a_document_that_goes_meanwhile(specs: Collection) -> None:
    specs.insert([spec("a", x=1)])

    def validate(document: dict[str, Any]) -> dict[str, Any]:
        specs.delete({"id": "a"})
        return document

    with pytest.raises(UnknownSpec):
        specs.update([spec("a", x=2)], validate)
    assert everything(specs) == []


@pytest.mark.parametrize("patch", [spec("x"), spec(None, "x"), spec("x", "one")])
def test_update_refuses_what_is_unknown(specs: Collection, patch: dict[str, Any]) -> None:
    before = specs.insert([spec("a", "one", v=1)])
    with pytest.raises(UnknownSpec, match="'x'"):
        specs.update([spec("a", v=2), patch], same)
    assert everything(specs) == before


def test_update_refuses_a_change_of_namespace(specs: Collection) -> None:
    before = specs.insert([spec("a", "one")])
    with pytest.raises(InvalidArgument):
        specs.update([spec("a", namespace="other")], same)
    with pytest.raises(InvalidArgument):
        specs.update([spec("a")], lambda document: {**document, "namespace": "other"})
    assert everything(specs) == before


def test_update_refuses_a_change_of_id(specs: Collection) -> None:
    before = specs.insert([spec("a", "one")])
    with pytest.raises(InvalidArgument) as caught:
        specs.update([spec("a")], lambda document: {**document, "id": "b"})
    assert reason(caught) == "$[0].id: 'a' cannot be changed"
    assert everything(specs) == before


@pytest.mark.parametrize(
    ("patch", "what"),
    [
        ({"id": "a"}, "namespace: is missing"),
        (spec(x=1), "neither id nor name"),
        ({**spec(), "name": None}, "neither id nor name"),
        ({**spec("a"), "namespace": None}, "namespace: is missing"),
        ("text", "a document is a map"),
    ],
)
def test_update_refuses_what_is_no_patch(specs: Collection, patch: Any, what: str) -> None:
    specs.insert([spec("a", "one")])
    with pytest.raises(InvalidArgument) as caught:
        specs.update([patch], same)
    assert what in reason(caught)


def test_update_refuses_a_taken_name_and_a_document_twice(specs: Collection) -> None:
    before = specs.insert([spec("a", "one"), spec("b", "two")])
    with pytest.raises(DuplicateSpec, match="'two'"):
        specs.update([spec("a", "two")], same)
    with pytest.raises(DuplicateSpec, match="'a' is there twice"):
        specs.update([spec("a", x=1), spec(None, "one", x=2)], same)
    assert everything(specs) == before


def test_an_update_that_changes_nothing_keeps_the_revision(specs: Collection) -> None:
    before = specs.insert([spec("a", "one", x=1)])
    assert specs.update([spec("a", x=1, gone=None)], same) == before
