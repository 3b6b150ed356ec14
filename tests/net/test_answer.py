from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.answer import answer_head, date_line, refusal, status_line
from greenflow.net.message import InvalidResponse, Request, Response

DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


def lines(
    response: Response, method: str = "GET", version: str = "1.1", stopping: bool = False
) -> tuple[list[str], bool]:
    """The header section's lines, and whether the connection goes on."""
    request = Request(method, "/", "/", "", version, "a", [])
    head, keep_alive = answer_head(request, response, DATE, stopping)
    assert head.endswith(b"\r\n\r\n")
    return head.decode("latin-1")[:-4].split("\r\n"), keep_alive


def test_an_answer_has_its_headers_a_date_and_a_length() -> None:
    response = Response(201, [("X-One", "1"), ("x-one", "D\xfc"), ("Empty", "")], b"body")
    assert lines(response) == (
        [
            "HTTP/1.1 201 Created",
            "X-One: 1",
            "x-one: D\xfc",
            "Empty: ",
            DATE[:-2],
            "Content-Length: 4",
        ],
        True,
    )


@pytest.mark.parametrize(
    ("status", "body", "version", "framing", "keep_alive"),
    [
        (200, b"", "1.1", ["Content-Length: 0"], True),
        (200, iter(()), "1.1", ["Transfer-Encoding: chunked"], True),
        (200, iter(()), "1.0", ["Connection: close"], False),
        (200, b"x", "1.0", ["Content-Length: 1", "Connection: close"], False),
        (204, b"", "1.1", [], True),
        (204, b"x", "1.1", [], True),
        (204, iter(()), "1.1", [], True),
        (205, b"x", "1.1", ["Content-Length: 0"], True),
        (304, b"", "1.1", [], True),
    ],
)
def test_framing(
    status: int, body: bytes | Iterable[bytes], version: str, framing: list[str], keep_alive: bool
) -> None:
    got, goes_on = lines(Response(status, (), body), version=version)
    assert got[2:] == framing
    assert goes_on is keep_alive


def test_http_1_0_is_told_that_the_connection_stays() -> None:
    request = Request("GET", "/", "/", "", "1.0", "", [])
    request.keep_alive = True
    head, keep_alive = answer_head(request, Response(200, (), b""), "", False)
    assert b"Connection: keep-alive\r\n" in head
    assert keep_alive


def test_head_has_the_headers_of_get() -> None:
    for body in (b"pong", iter((b"pong",))):
        assert lines(Response(200, (), body), "HEAD") == lines(Response(200, (), body), "GET")


def test_framing_headers_of_a_handler_are_ignored() -> None:
    owned = [
        ("Content-Length", "9"),
        ("transfer-encoding", "chunked"),
        ("CONNECTION", "keep-alive, upgrade"),
        ("Keep-Alive", "timeout=9"),
        ("Upgrade", "h2c"),
        ("Trailer", "X"),
        ("TE", "trailers"),
        ("Proxy-Connection", "close"),
    ]
    assert lines(Response(200, owned, b"")) == lines(Response(200, (), b""))


@pytest.mark.parametrize("value", ["close", "Close", "x, close"])
def test_connection_close_is_honoured(value: str) -> None:
    got, keep_alive = lines(Response(200, [("connection", value)], b""))
    assert got[-1] == "Connection: close"
    assert not keep_alive


def test_a_stopping_server_closes() -> None:
    got, keep_alive = lines(Response(200, (), b""), stopping=True)
    assert got[-1] == "Connection: close"
    assert not keep_alive


def test_a_date_of_the_handler_replaces_the_servers() -> None:
    got, _ = lines(Response(200, [("date", "Mon")], b""))
    assert got[1:] == ["date: Mon", "Content-Length: 0"]


@pytest.mark.parametrize("status", [0, 100, 101, 199, 1000, -200, "200", 204.5, None, True])
def test_a_status_that_is_not_final_is_refused(status: Any) -> None:
    with pytest.raises(InvalidResponse):
        lines(Response(status))


@pytest.mark.parametrize("body", ["text", bytearray(b"x"), memoryview(b"x")])
def test_a_body_that_would_be_sent_in_wrong_pieces_is_refused(body: Any) -> None:
    with pytest.raises(InvalidResponse):
        lines(Response(200, (), body))


def test_status_lines() -> None:
    assert status_line(413) == "HTTP/1.1 413 Content Too Large\r\n"
    assert status_line(799) == "HTTP/1.1 799 \r\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nY: b"),
        ("X", "a\nY: b"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X", "a\x7f"),
        ("X", "\u2026"),
        ("X\r\nY", "b"),
        ("X: a", "b"),
        ("X ", "b"),
        ("", "b"),
        ("\xdc", "b"),
        ("Date", "a\r\nb"),
    ],
)
def test_a_header_that_is_not_one_line_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidResponse):
        lines(Response(200, [(name, value)]))


@given(st.text(max_size=12), st.text(max_size=20))
def test_a_header_is_one_line_or_none(name: str, value: str) -> None:
    try:
        got, _ = lines(Response(200, [(name, value)], b""))
    except InvalidResponse:
        return
    assert got[1:-2] in ([f"{name}: {value}"], [])


def test_the_servers_own_answers() -> None:
    head, _, body = refusal(503, DATE).partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "HTTP/1.1 503 Service Unavailable",
        DATE[:-2],
        "Content-Type: text/plain; charset=utf-8",
        "Content-Length: 19",
        "Retry-After: 1",
        "Connection: close",
    ]
    assert body == b"Service Unavailable"
    assert refusal(400, DATE, bodiless=True).endswith(
        b"Content-Length: 11\r\nConnection: close\r\n\r\n"
    )


def test_the_date() -> None:
    assert date_line(784111777.9) == DATE
