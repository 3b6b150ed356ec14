"""`Runtime.admin`: the admin interface as a WSGI application of a program that embeds a runtime."""

from __future__ import annotations

import io
import json
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from greenflow import Runtime, Settings
from greenflow.config.admin import AdminSettings

NODE = {"kind": "snippet", "name": "pong", "language": "text", "code": "pong"}


def ask(
    runtime: Runtime, path: str, body: Any = None, host: str = "127.0.0.1", **variables: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, as a server of WSGI gets them."""
    environ: dict[str, Any] = {"HTTP_HOST": host, "PATH_INFO": path, "SCRIPT_NAME": "/ops"}
    path, _, environ["QUERY_STRING"] = path.partition("?")
    environ["PATH_INFO"] = path
    if body is not None:
        data = json.dumps(body).encode()
        environ |= {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(data)),
            "wsgi.input": io.BytesIO(data),
        }
    environ |= variables
    setup_testing_defaults(environ)
    started: list[tuple[str, list[tuple[str, str]]]] = []
    pieces = validator(runtime.admin)(environ, lambda *given: started.append(given[:2]))  # type: ignore[arg-type]
    try:
        content = b"".join(pieces)
    finally:
        pieces.close()  # type: ignore[attr-defined]
    status, headers = started[0]
    return int(status[:3]), dict(headers), content


@pytest.mark.parametrize("own_thread", [True, False])
def test_it_is_the_same_interface(own_thread: bool) -> None:
    with Runtime("memory://", specs=[NODE], own_thread=own_thread) as runtime:
        status, headers, content = ask(runtime, "/api/v1/status")
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert json.loads(content)["nodes"] == {"active": 1}
        status, _, content = ask(runtime, "/api/v1/nodes/pong/call", {"payload": 1})
        assert (status, json.loads(content)["answer"]) == (200, "pong")
        assert ask(runtime, "/api/v1/nodes?limit=x")[0] == 400
        status, headers, content = ask(runtime, "/api/v1/logs?lease=0.01")
        assert (status, headers["Content-Type"]) == (200, "text/event-stream")
        assert b"the lease is over" in content


def test_it_asks_for_the_token_and_knows_its_hosts() -> None:
    settings = Settings(admin=AdminSettings(token=["hunter2"], hosts=["ops.example"]))
    right = {"HTTP_AUTHORIZATION": "Bearer hunter2"}
    with Runtime("memory://", settings=settings) as runtime:
        assert ask(runtime, "/api/v1/status")[0] == 401
        assert ask(runtime, "/api/v1/status", **right)[0] == 200
        assert ask(runtime, "/api/v1/status", host="ops.example", **right)[0] == 200
        assert ask(runtime, "/api/v1/status", host="evil.example", **right)[0] == 403
        evil = {**right, "HTTP_ORIGIN": "http://evil.example"}
        assert ask(runtime, "/api/v1/status", **evil)[0] == 403


def test_while_the_runtime_does_not_run_it_answers_503() -> None:
    runtime = Runtime("memory://")
    assert ask(runtime, "/healthz")[0] == 503
    with runtime:
        assert ask(runtime, "/healthz")[0] == 200
    assert ask(runtime, "/healthz")[0] == 503
