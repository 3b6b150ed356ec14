"""`/api/v1/openapi.json`: what can be asked, as a document of OpenAPI."""

from __future__ import annotations

from functools import cache
from typing import Any

from greenflow.admin.declaring import get
from greenflow.admin.engine import Engine


@get("/api/v1/openapi.json")
def openapi(engine: Engine) -> dict[str, Any]:
    """The document that describes all of this (OpenAPI 3.1)."""
    return _document()


@cache
def _document() -> dict[str, Any]:
    from greenflow.admin.resources import all_resources
    from greenflow.admin.schema import document

    return document(all_resources())
