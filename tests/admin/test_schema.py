"""The OpenAPI document: valid, whole, and made of the declarations."""

from __future__ import annotations

import jsonschema

from greenflow.admin.resources import all_resources
from tests.admin.asking import engine


def test_every_resource_is_in_the_document() -> None:
    with engine() as (_, ask):
        document = ask.get("/api/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    described = {
        (method.upper(), path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    resources = {(each.method, each.path): each for each in all_resources()}
    assert described.keys() == resources.keys()
    for key, operation in described.items():
        assert operation["summary"]
        assert ("requestBody" in operation) == (resources[key].body is not None)
    ids = [operation["operationId"] for operation in described.values()]
    assert len(ids) == len(set(ids))
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_parameters_have_no_null() -> None:
    with engine() as (_, ask):
        document = ask.get("/api/v1/openapi.json")
    by_name = {
        each["name"]: each["schema"]
        for each in document["paths"]["/api/v1/nodes"]["get"]["parameters"]
    }
    assert by_name["kind"]["type"] == "string"
    assert set(by_name["state"]["enum"]) >= {"active", "inactive"}
    assert by_name["limit"]["maximum"] == 1000
