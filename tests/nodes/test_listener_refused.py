"""A body that is refused says why, at log level info, and nothing of what is in it (BEHAVIOUR 8.8);
one with a byte order mark is none of them."""

from __future__ import annotations

import io
import logging
from codecs import BOM_UTF8
from typing import Any

import pytest

from greenflow.net.wsgi.calling import call
from tests.net.test_wsgi import environ
from tests.nodes.test_listener import ECHO, served
from tests.waiting import until

JSON = "Content-Type: application/json\r\n"


def ask(body: bytes, headers: str) -> bytes:
    head = f"POST /orders?token=sesame HTTP/1.1\r\nHost: a\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


# The request, the status, and what the log says of it.
REFUSED: dict[str, tuple[bytes, int, str]] = {
    "json": (ask(b'{"a": sesame', JSON), 400, "no JSON"),
    "empty json": (ask(BOM_UTF8, JSON), 400, "no JSON"),
    "two marks": (ask(BOM_UTF8 * 2 + b"1", JSON), 400, "no JSON"),
    "utf-16": (ask("[1]".encode("utf-16"), JSON), 400, "no JSON"),
    "deep": (ask(b"[" * 300 + b"]" * 300, JSON), 400, "nested deeper"),
    "text": (ask(b"\xff", "Content-Type: text/plain; charset=utf-8\r\n"), 400, "utf-8"),
    "multipart": (ask(b"sesame", "Content-Type: multipart/form-data\r\n"), 400, "boundary"),
    "gzip": (ask(b"sesame", JSON + "Content-Encoding: gzip\r\n"), 400, "gzip"),
    "coding": (ask(b"x", JSON + "Content-Encoding: rot13\r\n"), 415, "rot13"),
    "large": (ask(b"x" * 1_001, JSON), 413, "body over 1000 bytes"),
    "large chunk": (
        b"POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3e9\r\n" + b"x" * 1_001 + b"\r\n0\r\n\r\n",
        413,
        "body over 1000 bytes",
    ),
    "bad chunk": (
        b"POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nsesame\r\n",
        400,
        "chunk",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_body_says_why(name: str, caplog: pytest.LogCaptureFixture) -> None:
    data, status, reason = REFUSED[name]
    caplog.set_level(logging.INFO, "greenflow.nodes.listener")
    with served(ECHO, fields="limits: {body: 1000}") as (running, client):
        caplog.clear()
        client.socket.sendall(data)
        assert client.answer().status == status
        until(lambda: bool(caplog.records))
        assert running.probes.seen == []
        (record,) = [each for each in caplog.records if "is refused" in each.getMessage()]
    assert record.levelname == "INFO"
    text = record.getMessage()
    assert text.startswith(f"POST /orders is refused with {status}: ")
    assert reason in text
    assert "sesame" not in text
    fields: Any = record.__dict__
    assert (fields["node"], fields["method"], fields["path"], fields["status"]) == (
        "http",
        "POST",
        "/orders",
        status,
    )


def test_what_the_error_link_takes_is_not_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "greenflow.nodes.listener")
    text = ECHO + "\n- {kind: probe, name: e, answer: heard}"
    with served(text, ", error: {name: e}") as (_, client):
        client.socket.sendall(REFUSED["json"][0])
        assert client.answer().text == "heard"
    assert "is refused" not in caplog.text


@pytest.mark.parametrize(("name", "status"), [("json", 400), ("large", 413)])
def test_under_a_wsgi_server_too(name: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "greenflow.nodes.listener")
    body = REFUSED[name][0].partition(b"\r\n\r\n")[2]
    given = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/orders",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    with served(ECHO, fields="limits: {body: 1000}") as (running, _):
        answer = call(running.runtime.wsgi, environ(**given))
        assert answer.status == status
    assert f"POST /orders is refused with {status}: " in caplog.text


@pytest.mark.parametrize("kind", ["application/json", "application/problem+json"])
def test_a_byte_order_mark_is_ignored(kind: str) -> None:
    with served(ECHO) as (running, client):
        client.socket.sendall(ask(BOM_UTF8 + b'{"a": "\xef\xbb\xbf"}', f"Content-Type: {kind}\r\n"))
        assert client.answer().status == 200
        assert running.probes.of("a")[0]["body"] == {"a": "\ufeff"}
