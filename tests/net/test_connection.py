from __future__ import annotations

import logging
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenflow.net import connection as connection_module
from greenflow.net.limits import Limits
from greenflow.net.message import (
    ClientDisconnected,
    Handler,
    InvalidResponse,
    Request,
    Respond,
    Response,
)
from tests.net.loopback import DEADLINE_SECONDS, Client, Recorder, Served, serving, until

PING = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def echo(request: Request, respond: Respond) -> None:
    """Answers with the request's body, or its target."""
    respond(Response(200, (), request.body or request.target.encode()))


def streaming(*pieces: bytes) -> Response:
    return Response(200, (), iter(pieces))


# Requests and answers


def test_a_connection_serves_many_requests() -> None:
    with serving(echo) as served:
        client = served.connect()
        for number in range(3):
            assert client.ask(f"/{number}").text == f"/{number}"
        assert len(served.server.connections) == 1


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
        assert seen[0] <= connection_module.STREAK


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


# Time


SHORT = 0.05  # seconds


@pytest.mark.parametrize(
    ("data", "limits", "status"),
    [
        ("", Limits(header_timeout=SHORT), None),
        ("\r\n", Limits(idle_timeout=SHORT, header_timeout=SHORT), None),
        ("GET / HTTP/1.1\r\nHost", Limits(header_timeout=SHORT), 408),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
            Limits(body_timeout=SHORT),
            408,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
            Limits(body_timeout=SHORT),
            408,
        ),
        (PING, Limits(idle_timeout=SHORT), 200),
    ],
)
def test_slow_clients_lose_their_connection(data: str, limits: Limits, status: int | None) -> None:
    with serving(echo, limits) as served:
        client = served.connect()
        client.send(data)
        if status is not None:
            assert client.answer().status == status
        assert client.closed()
        client.socket.close()
        until(lambda: not served.server.connections)


def test_a_drip_of_header_bytes_does_not_prolong_the_wait() -> None:
    with serving(echo, Limits(header_timeout=SHORT)) as served:
        client = served.connect()
        client.send("GET / HTTP/1.1\r\nX: ")

        def drip() -> None:
            while True:
                client.send("x")
                gevent.sleep(SHORT / 10)

        dripping = gevent.spawn(drip)
        try:
            assert client.answer().status == 408
        finally:
            dripping.kill()


def test_a_client_that_takes_no_bytes_is_broken_off() -> None:
    ended = Event()

    def handler(request: Request, respond: Respond) -> None:
        try:
            respond(Response(200, (), b"x" * 50_000_000))
        except ClientDisconnected:
            ended.set()
            raise

    with serving(handler, Limits(write_timeout=SHORT)) as served:
        client = served.connect()
        client.send(PING)
        assert ended.wait(DEADLINE_SECONDS)
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_a_slow_handler_meets_no_time_out() -> None:
    under_way, release = Event(), Event()

    def handler(request: Request, respond: Respond) -> None:
        under_way.set()
        release.wait()
        respond(Response(200))

    with serving(handler) as served:
        client = served.connect()
        client.send(PING)
        assert under_way.wait(DEADLINE_SECONDS)
        for connection in served.server.connections:
            connection.deadline = 0.0
        gevent.spawn_raw(served.server._sweep)
        gevent.sleep(0)
        release.set()
        assert client.answer().status == 200


# Handlers


def test_handler_and_limits_can_be_swapped_under_an_open_connection() -> None:
    with serving(echo) as served:
        client = served.connect()
        assert client.ask("/x").text == "/x"
        served.server.handler = lambda request, respond: respond(Response(201))
        served.server.limits = Limits(body=1)
        assert client.ask().status == 201
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        assert client.answer().status == 413


def test_requests_wait_for_a_handler() -> None:
    with serving(None) as served:
        client = served.connect()
        client.send(PING * 2)
        until(lambda: served.server._ready.linkcount() == 1)
        served.server.handler = echo
        assert client.answer().text == "/"
        assert client.answer().text == "/"


def test_work_after_the_answer_is_done_before_the_next_request() -> None:
    order: list[str] = []
    release = Event()

    def handler(request: Request, respond: Respond) -> None:
        order.append(request.path)
        respond(Response(200))
        release.wait()
        order.append("after")

    with serving(handler) as served:
        client = served.connect()
        client.send(PING * 2)
        assert client.answer().status == 200
        release.set()
        assert client.answer().status == 200
        assert order[:3] == ["/", "after", "/"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.ERROR, "greenflow.net")
    return caplog


def failing(request: Request, respond: Respond) -> None:
    raise LookupError("secret")


def silent(request: Request, respond: Respond) -> None:
    """Forgets to answer."""


def injecting(request: Request, respond: Respond) -> None:
    respond(Response(200, [("Location", "/\r\nSet-Cookie: a=b")]))


@pytest.mark.parametrize("handler", [failing, silent, injecting])
def test_a_failing_handler_is_a_500_and_a_log_line(
    handler: Handler, log: pytest.LogCaptureFixture
) -> None:
    with serving(handler) as served:
        client = served.connect()
        for _ in range(2):
            answer = client.ask()
            assert (answer.status, answer.text) == (500, "Internal Server Error")
            assert "set-cookie" not in answer.headers
        assert len(log.records) == 2


def test_after_an_invalid_response_another_can_be_sent() -> None:
    def handler(request: Request, respond: Respond) -> None:
        with pytest.raises(InvalidResponse):
            respond(Response(99))
        respond(Response(201))

    with serving(handler) as served:
        assert served.connect().ask().status == 201


def test_a_request_is_answered_once() -> None:
    kept: list[Respond] = []

    def handler(request: Request, respond: Respond) -> None:
        for late in kept:
            with pytest.raises(RuntimeError, match="answered once"):
                late(Response(200, (), b"two"))
        kept.append(respond)
        respond(Response(200, (), b"one"))
        with pytest.raises(RuntimeError, match="answered once"):
            respond(Response(200, (), b"two"))

    with serving(handler) as served:
        client = served.connect()
        assert client.ask().text == "one"
        with pytest.raises(RuntimeError, match="answered once"):
            kept[0](Response(200, (), b"late"))
        assert client.ask().text == "one"


@pytest.mark.parametrize("swallowed", [False, True])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_stream_that_raises_is_broken_off(
    version: str, swallowed: bool, log: pytest.LogCaptureFixture
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise LookupError

    def handler(request: Request, respond: Respond) -> None:
        try:
            respond(Response(200, (), pieces()))
        except LookupError:
            if not swallowed:
                raise

    with serving(handler) as served:
        client = served.connect()
        client.send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n")
        client.head()
        with pytest.raises(ConnectionResetError):
            client.rest()
        assert len(log.records) == (not swallowed)


def test_a_handler_that_fails_after_its_answer_costs_only_a_log_line(
    log: pytest.LogCaptureFixture,
) -> None:
    def handler(request: Request, respond: Respond) -> None:
        respond(Response(200, (), b"pong"))
        raise LookupError

    with serving(handler) as served:
        client = served.connect()
        assert client.ask().text == "pong"
        assert client.ask().text == "pong"
        assert len(log.records) == 2


def test_a_killed_handler_answers_nothing() -> None:
    def handler(request: Request, respond: Respond) -> None:
        gevent.get_hub().loop.run_callback(gevent.getcurrent().throw, gevent.GreenletExit)
        Event().wait()

    with serving(handler) as served:
        client = served.connect()
        client.send(PING)
        with pytest.raises(ConnectionResetError):
            client.rest()
        until(lambda: not served.server.connections)


# A client that goes away


class Waiting:
    """A handler that blocks until it is released, and notes what it is told of its client."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.under_way = Event()
        self.release = Event()
        self.outcome: list[BaseException | None] = []

    def __call__(self, request: Request, respond: Respond) -> None:
        request.on_disconnect = lambda: self.told.append(request.path)
        self.under_way.set()
        self.release.wait()
        try:
            respond(Response(200, (), b"x" * 100))
            self.outcome.append(None)
        except ClientDisconnected as error:
            self.outcome.append(error)
            raise


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def served(waiting: Waiting) -> Iterator[Served]:
    with serving(waiting) as served:
        yield served


def leave_by_end(client: Client) -> None:
    client.end()


def leave_by_reset(client: Client) -> None:
    client.reset()


@pytest.mark.parametrize("ahead", ["", PING * 3, "half a requ"])
@pytest.mark.parametrize("leave", [leave_by_end, leave_by_reset])
def test_a_blocked_handler_is_told(
    leave: object, ahead: str, served: Served, waiting: Waiting
) -> None:
    client = served.connect()
    client.send(PING.replace("/", "/first", 1) + ahead)
    assert waiting.under_way.wait(DEADLINE_SECONDS)
    assert not waiting.told
    assert callable(leave)
    leave(client)
    until(lambda: waiting.told == ["/first"])
    waiting.release.set()
    until(lambda: not served.server.connections)
    assert waiting.told[:1] == ["/first"]
    if leave is leave_by_end:
        assert client.rest().startswith(b"HTTP/1.1 200")
    else:
        assert isinstance(waiting.outcome[0], ClientDisconnected)


def test_requests_behind_the_end_are_told_at_once() -> None:
    told: list[str] = []
    releases = {"/": Event(), "/second": Event()}

    def handler(request: Request, respond: Respond) -> None:
        request.on_disconnect = lambda: told.append(request.path)
        releases[request.path].wait()
        respond(Response(200))

    with serving(handler) as served:
        client = served.connect()
        client.send(PING + PING.replace("/", "/second", 1))
        client.end()
        until(lambda: told == ["/"])
        releases["/"].set()
        until(lambda: told == ["/", "/second"])
        releases["/second"].set()
        assert client.rest().count(b"HTTP/1.1 200") == 2


def test_after_the_answer_nobody_is_told() -> None:
    told: list[str] = []
    release = Event()

    def handler(request: Request, respond: Respond) -> None:
        request.on_disconnect = lambda: told.append("told")
        respond(Response(200))
        release.wait()

    with serving(handler) as served:
        client = served.connect()
        client.ask()
        client.reset()
        connection = next(iter(served.server.connections))
        until(lambda: connection._ended)
        release.set()
        until(lambda: not served.server.connections)
        assert not told


def test_a_callback_that_raises_is_logged(log: pytest.LogCaptureFixture) -> None:
    release = Event()

    def callback() -> None:
        release.set()
        raise LookupError

    def handler(request: Request, respond: Respond) -> None:
        request.on_disconnect = callback
        release.wait()
        respond(Response(200))

    with serving(handler) as served:
        client = served.connect()
        client.send(PING)
        client.end()
        assert client.answer().status == 200
        assert len(log.records) == 1


def test_a_stream_to_a_client_that_left_ends() -> None:
    ended = Event()

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                gevent.sleep(0)
        finally:
            ended.set()

    with serving(lambda request, respond: respond(Response(200, (), pieces()))) as served:
        client = served.connect()
        client.send(PING)
        client.head()
        client.reset()
        assert ended.wait(DEADLINE_SECONDS)
        until(lambda: not served.server.connections)
