"""The admin interface, asked by its own document whatever that allows, and what it does not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error

from greenflow.net.wsgi.serving import application
from tests.admin.asking import engine

#: What answers at once, so that a call of any time-out ends.
SPECS: list[dict[str, Any]] = [
    {"kind": "listener", "name": "web", "port": 0, "links": {"out": [{"name": "pong"}]}},
    {"kind": "snippet", "name": "pong", "language": "text", "code": "pong"},
    {"kind": "schedule", "name": "daily", "interval": "1d", "links": {"out": [{"name": "pong"}]}},
    {"kind": "trigger", "name": "events", "topic": "t", "links": {"out": [{"name": "pong"}]}},
    {
        "kind": "snippet",
        "name": "lost",
        "language": "text",
        "code": "",
        "links": {"out": [{"name": "none"}]},
    },
]
NAMES = {
    "name": ["web", "pong", "daily", "events", "lost", "greenflow.admin"],
    "source": ["web", "lost"],
}

#: After it there is nothing left to ask; test_hands.py does that.
LEFT_OUT = ("drain",)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


@contextmanager
def levels_kept() -> Iterator[None]:
    """The levels of the loggers are what they were, whatever was asked."""
    known = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    before = {logger: logger.level for logger in [logging.getLogger(), *known]}
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def ask(calls: int) -> int:
    """So many calls of each resource; how many there were. Raises what schemathesis finds."""
    asked = 0
    with engine(SPECS) as (_, asking), levels_kept():
        app = application(lambda environ: asking.way)
        schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)

        @schema.hook
        def map_path_parameters(context: Any, path_parameters: Any) -> Any:
            """Half of the names are those of nodes."""
            for part, names in NAMES.items():
                text = (path_parameters or {}).get(part)
                if isinstance(text, str) and len(text) % 2:
                    path_parameters[part] = names[len(text) // 2 % len(names)]
            return path_parameters

        @schema.hook
        def map_query(context: Any, query: Any) -> Any:
            """A cursor is what a page gave (test_resources.py), and a stream ends soon."""
            if query and "cursor" in query:
                query = {**query, "cursor": ""}
            if context.operation.path == "/api/v1/logs":
                query = {**(query or {}), "lease": 0.001}
            return query

        @schema.hook
        def map_body(context: Any, body: Any) -> Any:
            """Whole numbers are written as such: JSON Schema takes 1.0 for one, and nobody else. A
            stream ends soon."""
            if context.operation.path.endswith("/tap") and isinstance(body, dict):
                whole = {name: int(each) for name, each in body.items() if _is_whole(each)}
                return {**body, **whole, "lease": 0.001}
            if isinstance(body, dict) and isinstance(body.get("ids"), list):
                ids = [int(each) if _is_whole(each) else each for each in body["ids"]]
                return {**body, "ids": ids}
            return body

        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.definition.raw["operationId"] in LEFT_OUT:
                continue

            @seed(20261128)
            @settings(
                max_examples=calls,
                database=None,
                derandomize=False,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def check(case: Any) -> None:
                nonlocal asked
                asked += 1
                response = case.call()
                assert response.status_code < 500 or case.path.startswith("/readyz")
                # The document has the 503 of what is not ready.
                case.validate_response(response, excluded_checks=[not_a_server_error])

            check()
    return asked
