"""The OpenAPI document of the admin interface, made of the declarations of its resources.

Lives here: how a Resource reads in OpenAPI 3.1. Nothing is said of one that its declaration does
not say, so the document cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, get_args, get_origin

import msgspec

from greenflow.admin import streaming
from greenflow.admin.declaring import Given, Resource, Text
from greenflow.admin.problem import ProblemAnswer
from greenflow.admin.streaming import EventStream
from greenflow.net.problem import MEDIA_TYPE

_REFERENCE = "#/components/schemas/{name}"


def document(resources: Iterable[Resource]) -> dict[str, Any]:
    """The document of these resources."""
    resources = tuple(resources)
    types = dict.fromkeys([ProblemAnswer])
    for resource in resources:
        for each in (resource.body, _content(resource.answer)[1]):
            if each is not None:
                types[each] = None
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    known = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for resource in resources:
        operation = _operation(resource, known)
        paths.setdefault(resource.path, {})[resource.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "greenflow",
            "version": version("greenflow"),
            "description": "What runs in an engine of greenflow, and hands to touch it.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(resource: Resource, known: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": resource.function.__name__,
        "summary": resource.summary,
        "parameters": [*_parts(resource), *_query(resource)],
        "responses": _responses(resource, known),
    }
    if not resource.is_open:
        operation["security"] = [{}, {"token": []}]
    if resource.body is not None:
        content = {"application/json": {"schema": known[resource.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parts(resource: Resource) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(part)}
        for name, part in resource.parts.items()
    ]


def _query(resource: Resource) -> list[dict[str, Any]]:
    if resource.query is None:
        return []
    (_,), components = msgspec.json.schema_components([resource.query], ref_template=_REFERENCE)
    declared = components[resource.query.__name__]
    required = declared.get("required", ())
    parameters = []
    for name, schema in declared["properties"].items():
        # A query has no null: what is left out is none.
        choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        plain = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        if len(choices) == 1:
            plain |= choices[0]
        if isinstance(plain.get("enum"), list):
            plain["enum"] = [each for each in plain["enum"] if each is not None]
        parameters.append(
            {"name": name, "in": "query", "required": name in required, "schema": plain}
        )
    return parameters


def _responses(resource: Resource, known: dict[Any, Any]) -> dict[str, Any]:
    media_type, answer = _content(resource.answer)
    schema = {"type": "string"} if answer is None else known[answer]
    if media_type == streaming.MEDIA_TYPE:
        data = {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": schema,
            "description": "JSON; of the events `dropped` and `end` it says how many, and why",
        }
        schema = {"type": "object", "properties": {"event": {"type": "string"}, "data": data}}
    content = {media_type: {"schema": schema}}
    responses: dict[str, Any] = {
        str(status): {"description": HTTPStatus(status).phrase, "content": content}
        for status in resource.statuses
    }
    always = [400, 403]
    if not resource.is_open:
        always.append(401)
    if resource.method == "POST":
        always += [413, 415]
    faulty = {MEDIA_TYPE: {"schema": known[ProblemAnswer]}}
    for status in sorted({*always, *resource.problems}):
        told = {"description": HTTPStatus(status).phrase, "content": faulty}
        responses.setdefault(str(status), told)
    return responses


def _content(answer: Any) -> tuple[str, Any]:
    """The media type of what is answered, and its type; None where that is text."""
    if answer is Text:
        return "text/plain", None
    if get_origin(answer) is Given:
        answer = get_args(answer)[0]
    if get_origin(answer) is EventStream:
        return streaming.MEDIA_TYPE, get_args(answer)[0]
    return "application/json", answer
