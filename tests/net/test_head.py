from __future__ import annotations

import pytest
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.head import HeadParser, check_start
from greenflow.net.limits import Limits
from greenflow.net.message import Request
from greenflow.net.refusal import Refused

LIMITS = Limits()
GOOD = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"


def parse(text: str, limits: Limits = LIMITS) -> Request:
    return HeadParser().parse(text.encode("latin-1"), limits)


def request(line: str = "GET / HTTP/1.1", *fields: str) -> Request:
    return parse("\r\n".join((line, "Host: a", *fields, "", "")))


def status_of(text: str, limits: Limits = LIMITS) -> int:
    with pytest.raises(Refused) as refused:
        parse(text, limits)
    return refused.value.status


def test_a_request_is_read_as_sent() -> None:
    got = parse(
        "POST /a%20b?x=1&y HTTP/1.1\r\nhost: Shop:80\r\nX-One: \t1 \t\r\nx-one: D\xfc\r\n\r\n"
    )
    assert (got.method, got.target, got.path, got.query) == (
        "POST",
        "/a%20b?x=1&y",
        "/a%20b",
        "x=1&y",
    )
    assert (got.version, got.host, got.scheme) == ("1.1", "Shop:80", "http")
    assert got.headers == [("host", "Shop:80"), ("X-One", "1"), ("x-one", "D\xfc")]
    assert got.keep_alive
    assert not got.chunked
    assert got.content_length == 0


@pytest.mark.parametrize(
    ("line", "host", "path", "query"),
    [
        ("GET http://b:1/x?y HTTP/1.1", "b:1", "/x", "y"),
        ("GET HTTP://b HTTP/1.1", "b", "/", ""),
        ("GET http://b?q HTTP/1.1", "b", "/", "q"),
        ("GET http://[::1]:8080/foo HTTP/1.1", "[::1]:8080", "/foo", ""),
        ("OPTIONS * HTTP/1.1", "a", "*", ""),
        ("GET //x?? HTTP/1.1", "a", "//x", "?"),
        ('GET /|"{} HTTP/1.1', "a", '/|"{}', ""),
    ],
)
def test_forms_of_the_target(line: str, host: str, path: str, query: str) -> None:
    got = request(line)
    assert (got.scheme, got.host, got.path, got.query) == ("http", host, path, query)


def test_the_scheme_of_an_absolute_target() -> None:
    got = request("GET HTTPS://b/x HTTP/1.1")
    assert (got.scheme, got.host, got.path) == ("https", "b", "/x")


@pytest.mark.parametrize(
    "line",
    [
        "GET * HTTP/1.1",
        "GET foo HTTP/1.1",
        "GET ?x HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http://user@a/ HTTP/1.1",
        "GET http://a:b:c/ HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET http://a/#b HTTP/1.1",
        "GET /\xe4 HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /\tb HTTP/1.1",
        "GET /",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/11",
        "OPTIONS / RTSP/1.0",
        "SOURCE / ICE/1.0",
        "G(T / HTTP/1.1",
    ],
)
def test_bad_request_lines(line: str) -> None:
    assert status_of(f"{line}\r\nHost: a\r\n\r\n") == 400


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("CONNECT a:443 HTTP/1.1", 501),
        ("CONNECT /x HTTP/1.1", 501),
        ("BREW / HTTP/1.1", 501),
        ("get / HTTP/1.1", 501),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/0.9", 505),
        ("PRI * HTTP/2.0", 505),
    ],
)
def test_what_the_server_does_not_speak(line: str, status: int) -> None:
    assert status_of(f"{line}\r\nHost: a\r\n\r\n") == status


@pytest.mark.parametrize(
    "field",
    [
        "X : 1",
        "X\t: 1",
        " X: 1",
        "X: 1\r\n folded",
        "X: 1\r\n\tfolded",
        "X",
        ": 1",
        "X y: 1",
        "X: a\0b",
        "X: a\x01b",
        "X: a\x7fb",
        "X: a\rb",
        "X: a\nY: b",
        "X\x80: 1",
        "Host: b",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length: \xb2",
        "Content-Length:",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:",
    ],
)
def test_bad_fields(field: str) -> None:
    assert status_of(f"POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n") == 400


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", "x;a=b,chunked"])
def test_an_unknown_transfer_coding_is_not_implemented(coding: str) -> None:
    assert status_of(f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n") == 501


@pytest.mark.parametrize(
    "host",
    ["", "a", "a:80", "a:", "1.2.3.4", "[::1]", "[::1]:80", "[v1.x:y]", "a%20b", "0.0.0.0=5"],
)
def test_good_hosts(host: str) -> None:
    assert parse(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").host == host


@pytest.mark.parametrize(
    "host",
    ["a b", "a, b", "a/b", "user@a", "a:b", "a:80:80", "[::1", "::1", "a%2", "[]", "a\\b", "\xe4"],
)
def test_bad_hosts(host: str) -> None:
    assert status_of(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n") == 400


def test_host_may_be_missing_in_http_1_0_only() -> None:
    assert parse("GET / HTTP/1.0\r\n\r\n").host == ""
    assert status_of("GET / HTTP/1.1\r\n\r\n") == 400
    assert status_of("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n") == 400


@pytest.mark.parametrize(
    ("version", "options", "keep_alive"),
    [
        ("1.1", (), True),
        ("1.1", ("close",), False),
        ("1.1", ("Keep-Alive, CLOSE",), False),
        ("1.1", ("keep-alive", "x, close"), False),
        ("1.1", ("closed",), True),
        ("1.0", (), False),
        ("1.0", ("Keep-Alive",), True),
        ("1.0", ("keep-alive, close",), False),
    ],
)
def test_keep_alive(version: str, options: tuple[str, ...], keep_alive: bool) -> None:
    fields = (f"Connection: {option}" for option in options)
    assert request(f"GET / HTTP/{version}", *fields).keep_alive is keep_alive


def test_bodies_are_announced() -> None:
    assert request("POST / HTTP/1.1", "Content-Length: 007").content_length == 7
    assert request("POST / HTTP/1.1", "Transfer-Encoding: Chunked").chunked
    assert status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400
    assert status_of(f"POST / HTTP/1.0\r\nContent-Length: {10**18}\r\n\r\n") == 413


def test_expectations() -> None:
    assert request("POST / HTTP/1.1", "Expect: 100-Continue").expects_continue
    assert not request("POST / HTTP/1.0", "Expect: 100-continue").expects_continue
    assert not request("POST / HTTP/1.0", "Expect: tea").expects_continue
    assert status_of("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n") == 417


def test_limits_are_exact() -> None:
    limits = Limits(request_line=40, header_count=3, header_size=100)
    line = f"GET /{'x' * (40 - len('GET / HTTP/1.1'))} HTTP/1.1"
    parse(f"{line}\r\nHost: a\r\n\r\n", limits)
    assert status_of(line.replace("/x", "/xx") + "\r\nHost: a\r\n\r\n", limits) == 414
    assert status_of(line.replace(" HTTP", "x FTTP") + "\r\nHost: a\r\n\r\n", limits) == 414
    parse("GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\r\n\r\n", limits)
    assert status_of("GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\r\nC:\r\n\r\n", limits) == 431
    head = "GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n"
    room = 100 - len(head.format(""))
    parse(head.format("x" * room), limits)
    assert status_of(head.format("x" * (room + 1)), limits) == 431


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b" GET", 400),
        (b"\n", 400),
        (b"\rG", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX", 400),
        (b"GET /" + b"x" * 50, 414),
        (b"GET /" + b"x" * 50 + b"\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100, 431),
    ],
)
def test_a_hopeless_start_is_refused_at_once(start: bytes, status: int) -> None:
    limits = Limits(request_line=40, header_size=100)
    with pytest.raises(Refused) as refused:
        check_start(start, 0, limits)
    assert refused.value.status == status


@pytest.mark.parametrize(
    "start", [b"G", b"\r", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\nX: " + b"x" * 50]
)
def test_a_hopeful_start_is_waited_for(start: bytes) -> None:
    check_start(start, 0, Limits(request_line=40, header_size=100))


def test_a_line_feed_is_found_where_two_pieces_meet() -> None:
    data = b"GET / HTTP/1.1\r"
    check_start(data, 0, LIMITS)
    check_start(data + b"\nX", len(data), LIMITS)
    with pytest.raises(Refused):
        check_start(b"GET / HTTP/1.1" + b"\nX", 14, LIMITS)


HEADS = [
    GOOD,
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 9\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
    b"nonsense\r\n\r\n",
]


def _first_head(data: bytes) -> bytes:
    """What a connection cuts off its buffer."""
    return data[: data.index(b"\r\n\r\n") + 4]


NOISY = st.builds(
    lambda head, noise, at: _first_head(head[:at] + noise + head[at:] + b"\r\n\r\n"),
    st.sampled_from(HEADS),
    st.binary(max_size=80) | st.text("\r\n\t :ab\0,;5", max_size=9).map(str.encode),
    st.integers(0, 80),
)


def _outcome(parser: HeadParser, head: bytes) -> object:
    try:
        got = parser.parse(head, LIMITS)
    except Refused as refused:
        return refused.status, str(refused)
    return got.method, got.target, got.headers, got.content_length, got.chunked, got.keep_alive


@given(st.lists(st.sampled_from(HEADS) | NOISY, max_size=8))
def test_no_request_changes_how_the_next_is_read(heads: list[bytes]) -> None:
    shared = HeadParser()
    for head in (*heads, GOOD):
        assert _outcome(shared, head) == _outcome(HeadParser(), head)


@given(NOISY)
def test_no_bytes_make_it_fail(head: bytes) -> None:
    """Whatever comes is a request or refused, and no part of a request holds a line end."""
    parser = HeadParser()
    try:
        got = parser.parse(head, LIMITS)
    except Refused:
        return
    for text in (got.target, got.host, *(part for field in got.headers for part in field)):
        assert not set(text) & set("\r\n\0")


class Told:
    """What httptools says of the header fields of a request."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []

    def on_header(self, name: bytes, value: bytes | None) -> None:
        self.headers.append((name.decode("latin-1"), (value or b"").decode("latin-1").strip(" \t")))


# What is nearly a header field, of bytes that a parser may take for an end, a fold or a blank.
NEARLY = st.text(
    st.sampled_from('aB-:: \t\r\n\0\x0b\x0c\x1f\x7f\x85\xa0\xff,;"='), max_size=12
) | st.sampled_from(["Host: a", "X:", "X: ", "x:\ty\t", "Content-Length: 3", "Te: a: b"])


@given(st.lists(NEARLY, max_size=4), st.sampled_from(["GET", "POST"]))
def test_fields_are_those_that_llhttp_sees(lines: list[str], method: str) -> None:
    head = "\r\n".join([f"{method} / HTTP/1.0", *lines, "", ""]).encode("latin-1")
    if head.index(b"\r\n\r\n") + 4 != len(head):
        return  # the section ends before
    told = Told()
    try:
        HttpRequestParser(told).feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserError:
        with pytest.raises(Refused):
            HeadParser().parse(head, LIMITS)
        return
    try:
        got = HeadParser().parse(head, LIMITS)
    except Refused:
        return  # judged by us
    assert got.headers == told.headers
