"""Requests and answers on one connection, and what the server refuses by itself."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenflow.net import receiving
from greenflow.net.limits import Limits
from greenflow.net.message import (
    Request,
    Respond,
    Response,
)
from tests.net.loopback import Recorder, echo, serving

PING = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def streaming(*pieces: bytes) -> Response:
    return Response(200, (), iter(pieces))


def test_a_connection_serves_many_requests() -> None:
    with serving(echo) as served:
        client = served.connect()
        for number in range(3):
            assert client.ask(f"/{number}").text == f"/{number}"
        assert len(served.server.connections) == 1


@given(st.lists(st.sampled_from(("/a", "/b", "chunked", "1.0", "long")), max_size=6))
def test_a_header_section_that_comes_again_means_what_it_did(kinds: list[str]) -> None:
    chunked = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    kept = "GET /k HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    recorder, bodies = Recorder(), []
    with serving(recorder) as served:
        client = served.connect()
        for number, kind in enumerate(kinds):
            bodies.append(b"%d" % number if kind == "chunked" else b"")
            if kind == "chunked":
                client.send(f"{chunked}{len(bodies[-1])}\r\n{number}\r\n0\r\n\r\n")
            elif kind == "1.0":
                client.send(kept)
            elif kind == "long":
                client.send(f"GET /l HTTP/1.1\r\nHost: a\r\nX: {'x' * 2000}\r\n\r\n")
            else:
                client.send(PING.replace("/", kind, 1))
            answer = client.answer()
            assert answer.text == str(number + 1)
            assert answer.headers.get("connection") == ("keep-alive" if kind == "1.0" else None)
    paths = {"chunked": "/c", "1.0": "/k", "long": "/l"}
    assert [request.path for request in recorder.requests] == [
        paths.get(kind, kind) for kind in kinds
    ]
    assert [request.body for request in recorder.requests] == bodies
    assert len(set(map(id, recorder.requests))) == len(kinds)


def test_the_request_knows_both_ends() -> None:
    recorder = Recorder()
    with serving(recorder) as served:
        client = served.connect()
        client.ask()
        assert recorder.requests[0].client == client.socket.getsockname()
        assert recorder.requests[0].server == served.server.address


def test_pipelined_requests_are_answered_in_order() -> None:
    with serving(echo) as served:
        client = served.connect()
        client.send("".join(PING.replace("/ ", f"/{n} ", 1) for n in range(200)))
        assert [client.answer().text for _ in range(200)] == [f"/{n}" for n in range(200)]


def test_a_pipelining_client_lets_others_in() -> None:
    """The handler never blocks; without a pause the other greenlet would run after all of it."""
    handled = 0

    def handler(request: Request, respond: Respond) -> None:
        nonlocal handled
        handled += 1
        respond(Response(200))
        if handled == 1:
            gevent.spawn(lambda: seen.append(handled))

    seen: list[int] = []
    with serving(handler) as served:
        client = served.connect()
        client.send(PING * 500)
        for _ in range(500):
            client.answer()
        assert seen[0] <= receiving.STREAK


def test_close_is_honoured_on_both_sides() -> None:
    def handler(request: Request, respond: Respond) -> None:
        respond(Response(200, [("Connection", "close")] if request.path == "/bye" else ()))

    with serving(handler) as served:
        client = served.connect()
        assert client.ask(headers="Connection: close\r\n").headers["connection"] == "close"
        assert client.closed()
        client = served.connect()
        assert client.ask("/bye").headers["connection"] == "close"
        assert client.closed()


def test_http_1_0_closes_unless_asked_to_stay() -> None:
    with serving(echo) as served:
        client = served.connect()
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert client.answer().headers["connection"] == "keep-alive"
        client.send("GET / HTTP/1.0\r\n\r\n")
        assert client.answer().headers["connection"] == "close"
        assert client.closed()


def test_bytes_after_a_close_are_not_served() -> None:
    recorder = Recorder()
    with serving(recorder) as served:
        client = served.connect()
        client.send("GET / HTTP/1.0\r\n\r\n" + PING)
        assert client.rest().count(b"HTTP/1.1") == 1
        assert len(recorder.requests) == 1


def test_head_and_bodiless_answers() -> None:
    def handler(request: Request, respond: Respond) -> None:
        status = int(request.path[1:])
        respond(streaming(b"body") if status == 299 else Response(status, (), b"body"))

    with serving(handler) as served:
        client = served.connect()
        assert client.ask("/200", "HEAD").headers["content-length"] == "4"
        assert client.ask("/299", "HEAD").headers["transfer-encoding"] == "chunked"
        for status in (204, 304):
            assert "content-length" not in client.ask(f"/{status}").headers
        assert client.ask("/205").body == b""
        assert client.ask("/200").body == b"body"


def test_streams() -> None:
    closed: list[str] = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"one"
            yield b""
            gevent.sleep(0)
            yield b"two" * 9
        finally:
            closed.append("closed")

    def handler(request: Request, respond: Respond) -> None:
        respond(Response(200, (), pieces()))

    with serving(handler) as served:
        client = served.connect()
        answer = client.ask()
        assert answer.body == b"one" + b"two" * 9
        assert answer.headers["transfer-encoding"] == "chunked"
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        old = client.answer()
        assert old.body == b"one" + b"two" * 9
        assert "transfer-encoding" not in old.headers
        assert old.headers["connection"] == "close"
        assert closed == ["closed"] * 2


def test_a_stream_that_is_not_sent_is_closed() -> None:
    class Body:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError("must not be read")

        def close(self) -> None:
            self.closed = True

    body = Body()
    with serving(lambda request, respond: respond(Response(200, (), body))) as served:
        client = served.connect()
        client.ask(method="HEAD")
        assert body.closed


def test_large_answers_arrive_whole() -> None:
    body = bytes(range(256)) * 40_000
    with serving(lambda request, respond: respond(Response(200, (), body))) as served:
        client = served.connect()
        assert client.ask().body == body
        assert client.ask().body == body


def test_bodies_with_a_length_and_chunked() -> None:
    body = bytes(range(256)) * 4000
    with serving(echo) as served:
        client = served.connect()
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n")
        client.send(body)
        assert client.answer().body == body
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(body), 100_000):
            piece = body[at : at + 100_000]
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        client.send(b"0\r\n\r\n" + PING.encode())
        assert client.answer().body == body
        assert client.answer().text == "/"


@pytest.mark.parametrize(
    "sizes", [[1], [1] * 20, [5000, 1, 1, 5000], [70_000] * 6, [300_000, 1, 4096, 4095, 2]]
)
def test_a_long_body_may_come_in_pieces_of_any_size(sizes: list[int]) -> None:
    body = bytes(range(251)) * (sum(sizes) // 251 + 1)
    with serving(echo) as served:
        client = served.connect()
        for _ in range(2):
            client.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n")
            sent = 0
            for size in sizes:
                client.send(body[sent : sent + size])
                sent += size
                gevent.sleep(0)
            client.send(body[sent:] + PING.encode())
            assert client.answer().body == body
            assert client.answer().body == b"/"


def test_an_upgrade_is_ignored_and_its_body_read() -> None:
    with serving(echo) as served:
        client = served.connect()
        fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 4\r\n\r\nbody" + PING)
        assert client.answer().text == "body"
        assert client.answer().text == "/"


def test_empty_lines_before_a_request_are_ignored() -> None:
    with serving(echo) as served:
        client = served.connect()
        client.send("\r\n" + PING + "\r\n\r\n\r")
        assert client.answer().text == "/"
        client.send("\n" + PING)
        assert client.answer().text == "/"


MESSAGES = [
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"\r\nPOST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n",
    b"HEAD /d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n"
    b"Content-Length: 2\r\n\r\n\r\n",
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=5), st.data())
def test_how_bytes_arrive_does_not_matter(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=8)))
    recorder, whole = Recorder(), Recorder()
    with serving(whole) as served:
        client = served.connect()
        client.send(stream)
        client.end()
        expected = client.rest()
    with serving(recorder) as served:
        client = served.connect()
        for start, end in zip((0, *cuts), (*cuts, len(stream)), strict=True):
            client.send(stream[start:end])
            gevent.sleep(0)
        client.end()
        got = client.rest()
    assert [(r.path, r.body, r.headers) for r in recorder.requests] == [
        (r.path, r.body, r.headers) for r in whole.requests
    ]
    assert len(whole.requests) == len(messages)
    assert got.count(b"HTTP/1.1 200") == expected.count(b"HTTP/1.1 200") == len(messages)


# Expect


def test_continue_is_sent_when_the_body_will_be_read() -> None:
    with serving(echo) as served:
        client = served.connect()
        ask = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        client.send(ask)
        assert client.answer().status == 100
        client.send("body")
        assert client.answer().text == "body"
        client.send(ask + "body")
        assert client.answer().text == "body"
        client.send(ask.replace("Content-Length: 4", "Transfer-Encoding: chunked"))
        assert client.answer().status == 100
        client.send("0\r\n\r\n")
        assert client.answer().text == "/"
        client.send(ask.replace("Content-Length: 4", "X: 4"))
        assert client.answer().text == "/"


def test_continue_is_not_sent_for_what_is_refused() -> None:
    with serving(echo, Limits(body=3)) as served:
        for field, status in (("Expect: 100-continue", 413), ("Expect: tea", 417)):
            client = served.connect()
            client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{field}\r\nContent-Length: 4\r\n\r\n")
            assert client.answer().status == status
            assert client.closed()


# Refusals


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        ("GET / HTTP/1.1\r\n\r\n", 400, "Bad Request"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413, "Content Too Large"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n",
            413,
            "Content Too Large",
        ),
        ("GET /" + "x" * 100, 414, "URI Too Long"),
        ("GET / HTTP/1.1\r\nX: " + "x" * 300, 431, "Request Header Fields Too Large"),
        ("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 421, "Misdirected Request"),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "Not Implemented"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "HTTP Version Not Supported"),
    ],
)
def test_the_server_answers_by_itself_and_closes(data: str, status: int, text: str) -> None:
    recorder = Recorder()
    with serving(recorder, Limits(request_line=80, header_size=250, body=10)) as served:
        client = served.connect()
        client.send(data)
        answer = client.answer()
        assert (answer.status, answer.text) == (status, text)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["connection"] == "close"
        assert client.closed()
        assert not recorder.requests


def test_a_refused_head_request_gets_no_body() -> None:
    with serving(echo) as served:
        client = served.connect()
        client.send("HEAD / HTTP/1.1\r\n\r\n")
        head, _, body = client.rest().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert body == b""


def test_good_requests_before_a_bad_one_are_answered() -> None:
    with serving(echo) as served:
        client = served.connect()
        client.send(PING * 2 + "nonsense\r\n\r\n" + PING)
        assert [client.answer().status for _ in range(3)] == [200, 200, 400]
        assert client.closed()


@pytest.mark.parametrize(
    "data", ["GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"]
)
def test_a_message_that_ends_too_early_is_refused(data: str) -> None:
    recorder = Recorder()
    with serving(recorder) as served:
        client = served.connect()
        client.send(data)
        client.end()
        assert client.answer().status == 400
        assert not recorder.requests
