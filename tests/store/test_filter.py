"""Filters: what they find, what is wrong with them, and which of them an index may serve."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument
from greenflow.store import Collection
from greenflow.store.filter import MAX_DEPTH, compile_filter, equal, less
from tests.store.tools import documents, on_a_store, untimed


def matches(filter: Any, document: dict[str, Any]) -> bool:
    return compile_filter(filter).matches(document)


DOCUMENT = {
    "id": "a",
    "n": 5,
    "f": 2.5,
    "t": True,
    "s": "text",
    "nil": None,
    "list": [1, "two"],
    "map": {"x": {"y": 1}, "empty": {}},
    "a.b": 1,
}


@pytest.mark.parametrize(
    "filter",
    [
        None,
        {},
        {"n": 5},
        {"n": 5.0},
        {"n": 5, "s": "text"},
        {"t": True},
        {"nil": None},
        {"missing": None},
        {"map.x.y": 1},
        {"map.x.z": None},
        {"n.x": None},
        {"map.x": {"y": 1}},
        {"map": {"empty": {}, "x": {"y": 1.0}}},
        {"map.empty": {}},
        {"list": [1, "two"]},
        {"n": {"$eq": 5}},
        {"map.x": {"$eq": {"y": 1}}},
        {"n": {"$ne": 6}},
        {"n": {"$ne": "5"}},
        {"n": {"$ne": True}},
        {"missing": {"$ne": 1}},
        {"s": {"$in": ["other", "text"]}},
        {"n": {"$in": [1, 5.0]}},
        {"missing": {"$in": [None]}},
        {"list": {"$in": [[1, "two"]]}},
        {"s": {"$nin": ["other"]}},
        {"s": {"$nin": []}},
        {"n": {"$lt": 5.5}},
        {"n": {"$lte": 5}},
        {"n": {"$gt": 4, "$lt": 6}},
        {"n": {"$gte": 5}},
        {"s": {"$gt": "tex"}},
        {"t": {"$gt": False}},
        {"t": {"$gte": True}},
        {"nil": {"$gte": None}},
        {"missing": {"$lte": None}},
        {"nil": {"$exists": True}},
        {"missing": {"$exists": False}},
        {"map.x": {"$exists": True}},
        {"map.x.z": {"$exists": False}},
        {"n": {"$not": {"$lt": 5}}},
        {"n": {"$not": {"$not": {"$eq": 5}}}},
        {"s": {"$not": {"$lt": 5}}},
        {"$and": [{"n": 5}, {"s": "text"}]},
        {"$or": [{"n": 6}, {"s": "text"}]},
        {"$not": {"n": 6}},
        {"$not": {"n": 5, "s": "other"}},
        {"$or": [{"$and": [{"n": 5}, {"$not": {"n": 6}}]}, {"x": 1}], "s": "text"},
    ],
)
def test_it_finds(filter: Any) -> None:
    assert matches(filter, DOCUMENT)
    assert not matches({"$not": filter or {}}, DOCUMENT)


@pytest.mark.parametrize(
    "filter",
    [
        {"n": 6},
        {"n": "5"},
        {"n": True},
        {"t": 1},
        {"n": 5, "s": "other"},
        {"nil": False},
        {"missing": ""},
        {"map.x.y.z": 1},
        {"map.x": {}},
        {"map": {"x": {"y": 1}}},
        {"list": ["two", 1]},
        {"list": 1},
        {"list.0": 1},
        {"a.b": 1},
        {"s": {"$eq": None}},
        {"n": {"$in": ["5", True, None]}},
        {"n": {"$in": []}},
        {"s": {"$lt": 5}},
        {"s": {"$gt": 5}},
        {"s": {"$gte": 5}},
        {"n": {"$lt": "9"}},
        {"n": {"$gt": False}},
        {"t": {"$lt": 2}},
        {"nil": {"$lt": 1}},
        {"nil": {"$gt": None}},
        {"missing": {"$lt": 1}},
        {"missing": {"$gte": 0}},
        {"list": {"$lt": [9]}},
        {"map": {"$gt": {}}},
        {"n": {"$gt": float("nan")}},
        {"n": {"$eq": 5, "$gt": 5}},
        {"nil": {"$exists": False}},
        {"missing": {"$exists": True}},
        {"n": {"$not": {"$eq": 5}}},
        {"s": b"text"},
    ],
)
def test_it_does_not_find(filter: Any) -> None:
    assert not matches(filter, DOCUMENT)


@pytest.mark.parametrize(
    ("filter", "reason"),
    [
        ("text", "$: a filter is a map, not str"),
        ([], "$: a filter is a map, not list"),
        ({5: 1}, "$: the fields of a filter are strings, not 5"),
        ({"$nor": []}, "$.$nor: unknown operator; allowed here are $and, $or, $not"),
        ({"$eq": 1}, "$.$eq: unknown operator; allowed here are $and, $or, $not"),
        ({"$and": {"a": 1}}, "$.$and: takes a list of filters"),
        ({"$or": []}, "$.$or: takes a list of filters"),
        ({"$or": [{"a": 1}, None]}, "$.$or[1]: a filter is a map, not NoneType"),
        ({"$not": [1]}, "$.$not: a filter is a map, not list"),
        (
            {"a.b": {"$regex": "x"}},
            "$.a.b.$regex: unknown operator; allowed here are $eq, $ne, $in, $nin, $lt, $lte,"
            " $gt, $gte, $exists, $not",
        ),
        ({"a": {"$eq": 1, "b": 2}}, "$.a.b: unknown operator"),
        ({"a": {"$and": [{"$gt": 1}]}}, "$.a.$and: unknown operator"),
        ({"a": {"$in": "text"}}, "$.a.$in: takes a list"),
        ({"a": {"$nin": None}}, "$.a.$nin: takes a list"),
        ({"a": {"$exists": 1}}, "$.a.$exists: takes true or false"),
        ({"a": {"$not": 5}}, "$.a.$not: takes a map of operators"),
        ({"a": {"$not": {"b": 5}}}, "$.a.$not: takes a map of operators"),
        ({"a": {"$not": {"$near": 5}}}, "$.a.$not.$near: unknown operator"),
        ({"": 1}, "$.: an empty field name"),
        ({"a..b": 1}, "$.a..b: an empty field name"),
        ({"$and": [{"x.": 1}]}, "$.$and[0].x.: an empty field name"),
    ],
)
def test_what_is_wrong_is_named(filter: Any, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        compile_filter(filter)
    assert str(caught.value.__cause__).startswith(reason)


@pytest.mark.parametrize("wrap", [{"$not": ...}, {"$and": [...]}, {"a": {"$not": ...}}])
def test_depth_is_limited(wrap: dict[str, Any]) -> None:
    def nest(levels: int) -> Any:
        field = "a" in wrap
        filter: Any = {"$eq": 1} if field else {"a": 1}
        for _ in range(levels):
            filter = [filter] if "$and" in wrap else filter
            filter = {"$and" if "$and" in wrap else "$not": filter}
        return {"a": filter} if field else filter

    assert matches(nest(MAX_DEPTH - 2), {"a": 1}) is True
    with pytest.raises(InvalidArgument) as caught:
        compile_filter(nest(5000))
    assert "nested deeper" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("filter", "narrow"),
    [
        (None, {}),
        ({"x": "a"}, {}),
        ({"id": "a"}, {"id": {"a"}}),
        ({"id": {"$eq": "a"}, "name": "n"}, {"id": {"a"}, "name": {"n"}}),
        ({"namespace": {"$in": ["a", "b"]}}, {"namespace": {"a", "b"}}),
        ({"id": {"$in": ["a", "b"], "$eq": "b"}}, {"id": {"b"}}),
        ({"$and": [{"id": {"$in": ["a", "b"]}}, {"id": "c"}]}, {"id": set()}),
        ({"$or": [{"id": "a"}]}, {}),
        ({"$not": {"id": "a"}}, {}),
        ({"id": {"$ne": "a"}}, {}),
        ({"name": None}, {}),
        ({"name": ""}, {}),
        ({"name": {"$in": ["a", None]}}, {}),
        ({"id": {"a": 1}}, {}),
    ],
)
def test_what_an_index_may_serve(filter: Any, narrow: dict[str, set[str]]) -> None:
    assert compile_filter(filter).narrow == narrow


# properties

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 0.5, 1.0, -1.5])
    | st.sampled_from(["", "a", "b", "ab"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2)
    ),
    max_leaves=4,
)
FIELDS = st.sampled_from(["id", "namespace", "name", "v", "v.x", "v.x.y"])
OPERATORS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]), VALUES),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(VALUES, max_size=3)),
    st.tuples(st.just("$exists"), st.booleans()),
)
CONDITIONS = st.lists(OPERATORS, min_size=1, max_size=2).map(dict)
FILTERS = st.recursive(
    st.dictionaries(
        FIELDS, VALUES | CONDITIONS | CONDITIONS.map(lambda c: {"$not": c}), max_size=2
    ),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"$and": parts})
        | st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"$or": parts})
        | inner.map(lambda part: {"$not": part})
    ),
    max_leaves=4,
)
TEXT = st.sampled_from(["a", "b", "ab"])
STORED = st.fixed_dictionaries(
    {"id": TEXT, "namespace": TEXT},
    optional={"name": TEXT | st.none() | st.just(""), "v": VALUES},
)


@untimed
@given(FILTERS, STORED)
def test_an_index_hides_nothing_that_matches(filter: Any, document: dict[str, Any]) -> None:
    compiled = compile_filter(filter)
    if compiled.matches(document):
        for field, strings in compiled.narrow.items():
            assert document[field] in strings


@untimed
@given(FIELDS, VALUES, STORED)
def test_operators_agree(field: str, value: Any, document: dict[str, Any]) -> None:
    def holds(operator: str, operand: Any = value) -> bool:
        return matches({field: {operator: operand}}, document)

    assert matches({field: value}, document) is holds("$eq")
    assert holds("$ne") is not holds("$eq")
    assert holds("$in", [value]) is holds("$eq")
    assert holds("$in", []) is False
    assert holds("$nin", [value, "x"]) is not holds("$in", ["x", value])
    assert holds("$lte") is (holds("$lt") or holds("$eq"))
    assert holds("$gte") is (holds("$gt") or holds("$eq"))
    assert [holds("$lt"), holds("$eq"), holds("$gt")].count(True) <= 1
    assert holds("$exists", True) or holds("$eq", None)


@untimed
@given(FILTERS, FILTERS, STORED)
def test_filters_combine_as_logic_does(one: Any, other: Any, document: dict[str, Any]) -> None:
    first, second = matches(one, document), matches(other, document)
    assert matches({"$and": [one, other]}, document) is (first and second)
    assert matches({"$or": [one, other]}, document) is (first or second)
    assert matches({"$not": one}, document) is not first


@untimed
@given(VALUES, VALUES, VALUES)
def test_equality_and_order_are_sound(one: Any, two: Any, three: Any) -> None:
    assert equal(one, one)
    assert equal(one, two) is equal(two, one)
    assert not (less(one, two) and (less(two, one) or equal(one, two)))
    if less(one, two) and less(two, three):
        assert less(one, three)
    if equal(one, two) and equal(two, three):
        assert equal(one, three)


BATCHES = st.lists(STORED, max_size=6).map(
    lambda batch: [
        {**document, "id": f"{document['id']}{at}", "name": f"{document.get('name')}{at}"}
        for at, document in enumerate(batch)
    ]
)


@on_a_store
@given(data=st.data())
def test_a_store_finds_what_the_predicate_says(specs: Collection, data: Any) -> None:
    batch = data.draw(BATCHES)
    filter = data.draw(FILTERS)
    specs.delete(None)
    specs.insert(batch)
    expected = sorted(
        (document for document in batch if matches(filter, document)), key=lambda d: d["id"]
    )
    assert documents(specs.find(filter)) == expected
    assert documents(specs.delete(filter)) == expected
    assert len(specs.find(None)) == len(batch) - len(expected)
