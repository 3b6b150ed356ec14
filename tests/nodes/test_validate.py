"""validate: what fits, what is told, and what an author may not write (BEHAVIOUR 9.9 to 9.11)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, SpecInvalid, messages
from greenflow.nodes import validate
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from tests.flows import Flow, flow


def checked(**schemas: Any) -> Any:
    """A flow of one node with these schemas."""
    return flow(json.dumps([{"kind": "validate", "name": "n", **schemas}]))


def told(running: Flow, payload: Any) -> list[tuple[str, str, str]]:
    """What a client is told of a request."""
    answer = running.call("n", payload)
    assert answer["status"] == answer["body"]["status"] == 422
    assert answer["header"] == {"Content-Type": ["application/problem+json"]}
    return [(each["in"], each["pointer"], each["detail"]) for each in answer["body"]["errors"]]


ORDER = {
    "type": "object",
    "required": ["sku"],
    "properties": {"sku": {"type": "string", "maxLength": 3}, "tags": {"items": {"minimum": 3}}},
    "additionalProperties": False,
}


def test_what_fits_goes_on_as_it_came() -> None:
    with checked(body=ORDER) as running:
        request = {"method": "POST", "body": {"sku": "A1"}, "other": [1]}
        assert running.call("n", request) == request


def test_what_does_not_is_told_with_its_place_and_without_its_value() -> None:
    with checked(body=ORDER) as running:
        faults = told(running, {"body": {"sku": "canary-canary", "tags": [1, 4, 2]}})
        assert [(part, pointer) for part, pointer, _ in faults] == [
            ("body", "#/sku"),
            ("body", "#/tags/0"),
            ("body", "#/tags/2"),
        ]
        assert "canary" not in str(faults)
        assert told(running, {"body": {}}) == [("body", "#", '"sku" is a required property')]


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": [1]},
        {"const": 1},
        {"type": "integer"},
        {"pattern": "^x$"},
        {"format": "email"},
        {"maxLength": 1},
        {"not": {"type": "string"}},
        {"anyOf": [{"type": "integer"}, {"const": 1}]},
        {"oneOf": [{"type": "integer"}]},
        {"allOf": [{"type": "integer"}]},
        {"if": True, "then": {"type": "integer"}},
        False,
    ],
)
def test_no_value_is_told(schema: Any) -> None:
    with checked(body={"properties": {"a": schema}}) as running:
        ((part, pointer, detail),) = told(running, {"body": {"a": "canary"}})
        assert (part, pointer) == ("body", "#/a")
        assert "canary" not in detail


def test_names_that_are_no_values_are_not_told_in_full() -> None:
    with checked(body={"propertyNames": {"maxLength": 3}}) as running:
        assert told(running, {"body": {"canary": 1}}) == [
            ("body", "#", "a name in it is not allowed")
        ]
    with checked(body={"properties": {"a": True}, "additionalProperties": False}) as running:
        ((_, _, detail),) = told(running, {"body": {"x" * 5000: 1}})
        assert len(detail) == validate.MOST_DETAIL


def test_a_pointer_escapes_its_steps() -> None:
    with checked(body={"additionalProperties": {"type": "integer"}}) as running:
        assert told(running, {"body": {"a/b~c": "x"}})[0][1] == "#/a~1b~0c"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"method": "POST"}, "there is no body"),
        ({"body": b"bytes"}, "Content-Type"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_400(sent: Any, reason: str) -> None:
    with checked(body=True) as running:
        answer = running.call("n", sent)
        assert answer["status"] == 400
        assert reason in answer["body"]["detail"]


def test_null_is_a_body() -> None:
    with checked(body={"type": "null"}) as running:
        assert running.call("n", {"body": None}) == {"body": None}


# -- texts -------------------------------------------------------------------------------------

QUERY = {
    "properties": {
        "limit": {"type": "integer", "maximum": 100},
        "price": {"type": "number"},
        "full": {"type": "boolean"},
        "tag": {"type": "array", "items": {"type": "integer"}},
        "either": {"type": ["integer", "string"]},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"limit": ["7"]},
        {"limit": ["-0"]},
        {"price": ["7"]},
        {"price": ["-7.5e3"]},
        {"full": ["true"]},
        {"full": ["false"]},
        {"tag": ["1"]},
        {"tag": ["1", "2"]},
        {"either": ["x"]},
        {"either": ["1"]},
    ],
)
def test_texts_are_read_as_what_is_asked_for(query: Any) -> None:
    with checked(query=QUERY) as running:
        assert running.call("n", {"query": query}) == {"query": query}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": ["101"]}, "#/limit"),
        ({"limit": ["1.0"]}, "#/limit"),
        ({"limit": ["07"]}, "#/limit"),
        ({"limit": ["9" * 20]}, "#/limit"),
        ({"limit": [""]}, "#/limit"),
        ({"limit": ["1", "2"]}, "#/limit"),
        ({"price": ["nan"]}, "#/price"),
        ({"price": ["1_0"]}, "#/price"),
        ({"full": ["True"]}, "#/full"),
        ({"tag": ["1", "x"]}, "#/tag/1"),
        ({"unknown": ["1"]}, "#"),
    ],
)
def test_texts_that_are_none_are_faults(query: Any, pointer: str) -> None:
    with checked(query=QUERY) as running:
        assert [fault[:2] for fault in told(running, {"query": query})] == [("query", pointer)]


def test_headers_are_asked_for_in_any_case() -> None:
    header = {"properties": {"x-version": {"type": "integer"}}, "required": ["x-version"]}
    with checked(header=header) as running:
        request = {"header": {"X-Version": ["2"], "Accept": ["*/*"]}}
        assert running.call("n", request) == request
        assert told(running, {"header": {"X-Version": ["two"]}})[0][1] == "#/x-version"
        assert "required" in told(running, {"header": {}})[0][2]


def test_faults_of_all_parts_are_told_together() -> None:
    with checked(query={"required": ["a"]}, params={"required": ["b"]}) as running:
        assert [fault[0] for fault in told(running, {"params": {}})] == ["query", "params"]


# -- how much ----------------------------------------------------------------------------------


def test_at_most_twenty_faults_are_told() -> None:
    with checked(body={"items": {"type": "integer"}}, query=False) as running:
        assert len(told(running, {"body": ["x"] * 500, "query": {}})) == validate.MOST_FAULTS


def test_of_much_the_first_fault_is_told_alone() -> None:
    with checked(body={"items": {"type": "integer"}}) as running:
        values = [1] * validate.FEW
        assert told(running, {"body": [*values, "x", "y"]}) == [
            ("body", f"#/{validate.FEW}", 'the value is not of type "integer"')
        ]


def test_too_much_is_refused() -> None:
    with checked(body={"items": {"type": "integer"}}) as running:
        fits = [1] * (validate.MOST_VALUES - 1)
        assert running.call("n", {"body": fits}) == {"body": fits}
        ((_, _, detail),) = told(running, {"body": [*fits, 1]})
        assert detail == "it has more than 100,000 values"


@given(
    st.recursive(
        st.integers() | st.text(),
        lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    )
)
def test_values_are_counted(value: Any) -> None:
    def number(item: Any) -> int:
        inside = item.values() if type(item) is dict else item if type(item) is list else ()
        return 1 + sum(map(number, inside))

    assert validate.count(value, 10**9) == number(value)
    assert (validate.count(value, 5) > 5) == (number(value) > 5)


# -- events, errors, specs ---------------------------------------------------------------------


def test_a_payload_that_does_not_fit_is_an_error() -> None:
    with checked(payload={"type": "array"}) as running:
        assert running.call("n", [1]) == [1]
        with pytest.raises(InvalidArgument) as caught:
            running.call("n", "canary")
        assert "the payload does not fit: #:" in ": ".join(messages(caught.value))
        assert "canary" not in ": ".join(messages(caught.value))


def test_what_json_has_not_is_a_fault() -> None:
    with checked(body={"properties": {"a": {"type": "string"}}}) as running:
        assert "JSON has not" in told(running, {"body": {"a": b"x"}})[0][2]


@pytest.mark.parametrize(
    ("schemas", "path", "reason"),
    [
        ({}, "$", "nothing to check"),
        ({"payload": True, "body": True}, "$.payload", "says nothing more"),
        ({"body": {"type": "strng"}}, "$.body.type", "no schema"),
        ({"body": {"properties": {"a": {"minimum": "1"}}}}, "$.body.properties.a.minimum", ""),
        ({"body": {"allOf": [True, {"pattern": "(?=a)"}]}}, "$.body.allOf[1].pattern", "regex"),
        ({"body": {"format": "emial"}}, "$.body.format", "Unknown format"),
        ({"body": {"$ref": "http://127.0.0.1:9/schema"}}, "$.body", "Retrieval is disabled"),
        ({"body": {"$ref": "file:///etc/passwd"}}, "$.body", "Retrieval is disabled"),
        ({"query": {"$ref": "#/$defs/gone"}}, "$.query", "does not exist"),
    ],
)
def test_schemas_that_are_none(schemas: Any, path: str, reason: str) -> None:
    with Runtime("memory://") as runtime, pytest.raises(SpecInvalid) as caught:
        runtime.operations.apply([{"kind": "validate", "name": "n", **schemas}])
    (fault,) = caught.value.faults
    assert fault.path == path
    assert reason in fault.reason


def test_a_schema_may_refer_to_its_own_parts() -> None:
    schema = {"$defs": {"id": {"type": "integer"}}, "items": {"$ref": "#/$defs/id"}}
    with checked(body=schema) as running:
        assert running.call("n", {"body": [1]}) == {"body": [1]}
        assert told(running, {"body": ["x"]})[0][1] == "#/0"


def test_without_the_extra_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jsonschema_rs", None)
    spec = {"kind": "validate", "name": "n", "body": True}
    with Runtime("memory://", specs=spec, scheme=Scheme.installed()) as runtime:
        (status,) = runtime.status()
        assert "greenflow[validate]" in str(status)
