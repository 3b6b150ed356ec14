"""Time-outs of a connection, and handlers that are slow, swapped, wrong or killed."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from greenflow.net.limits import Limits
from greenflow.net.message import (
    ClientDisconnected,
    Handler,
    InvalidResponse,
    Request,
    Respond,
    Response,
)
from tests.net.loopback import DEADLINE_SECONDS, echo, serving
from tests.waiting import until

PING = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

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


def test_empty_lines_do_not_prolong_the_wait() -> None:
    with serving(echo, Limits(header_timeout=SHORT)) as served:
        client = served.connect()

        def drip() -> None:
            while True:
                client.send("\r\n")
                gevent.sleep(SHORT / 10)

        dripping = gevent.spawn(drip)
        try:
            assert client.closed()
        finally:
            dripping.kill()


@pytest.mark.parametrize(
    ("framing", "piece"),
    [("Content-Length: 1000000", b"x"), ("Transfer-Encoding: chunked", b"1\r\nx\r\n")],
)
def test_a_drip_of_body_bytes_is_not_waited_for(framing: str, piece: bytes) -> None:
    with serving(echo, Limits(body_timeout=SHORT, least_rate=1_000_000)) as served:
        client = served.connect()
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")

        def drip() -> None:
            while True:
                client.send(piece)
                gevent.sleep(SHORT / 10)

        dripping = gevent.spawn(drip)
        try:
            assert client.answer().status == 408
        finally:
            dripping.kill()


def test_a_client_that_takes_too_little_is_broken_off() -> None:
    def handler(request: Request, respond: Respond) -> None:
        respond(Response(200, (), b"x" * 50_000_000))

    with serving(handler, Limits(write_timeout=SHORT, least_rate=10**10)) as served:
        client = served.connect()
        client.send(PING)
        taken = 0

        def take_little() -> None:
            nonlocal taken
            while data := client.socket.recv(200_000):
                taken += len(data)
                gevent.sleep(SHORT / 50)

        with pytest.raises(ConnectionResetError):
            take_little()
        assert taken < 50_000_000


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
