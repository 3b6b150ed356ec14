"""A client that goes away while its request is handled."""

from __future__ import annotations

import logging
import socket as blocking
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket
from gevent.event import Event

from greenflow.net.message import (
    ClientDisconnected,
    Request,
    Respond,
    Response,
)
from greenflow.net.server import Server, resolve
from greenflow.net.wire import AHEAD_BYTES, RESET, RUNNING, WRITING, Wire
from tests.net.loopback import DEADLINE_SECONDS, Served, serving
from tests.waiting import until

PING = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.ERROR, "greenflow.net")
    return caplog


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


# More than a connection reads ahead of a request in hand.
TOO_MUCH = "x" * (8 * AHEAD_BYTES)


def only(served: Served) -> Wire:
    (connection,) = served.server.connections
    assert isinstance(connection, Wire)
    return connection


@pytest.mark.parametrize("ahead", ["", PING * 3, "half a requ", TOO_MUCH])
@pytest.mark.parametrize("ends", [False, True])
def test_a_blocked_handler_is_told_of_a_reset(
    ends: bool, ahead: str, served: Served, waiting: Waiting
) -> None:
    client = served.connect()
    client.send(PING.replace("/", "/first", 1) + ahead)
    assert waiting.under_way.wait(DEADLINE_SECONDS)
    if ends and ahead != TOO_MUCH:
        client.end()
        until(lambda: only(served)._ended)
    assert not waiting.told
    client.reset()
    until(lambda: waiting.told == ["/first"])
    waiting.release.set()
    until(lambda: not served.server.connections)
    assert waiting.told == ["/first"]
    assert isinstance(waiting.outcome[0], ClientDisconnected)
    assert len(waiting.outcome) == 1  # what was behind it is not begun
    assert not served.server.unwatched


@pytest.mark.parametrize(("ahead", "answers"), [("", 1), (PING * 3, 4), ("half a requ", 1)])
def test_a_client_that_ends_its_side_gets_its_answers(
    ahead: str, answers: int, served: Served, waiting: Waiting
) -> None:
    client = served.connect()
    client.send(PING + ahead)
    assert waiting.under_way.wait(DEADLINE_SECONDS)
    client.end()
    until(lambda: only(served)._ended)
    served.server._sweep()
    assert not waiting.told
    waiting.release.set()
    answered = client.rest()
    assert answered.count(b"HTTP/1.1 200") == answers
    assert answered.count(b"HTTP/1.1 400") == (ahead == "half a requ")
    assert waiting.outcome == [None] * answers
    assert not waiting.told
    until(lambda: not served.server.unwatched)


def test_one_that_ends_its_side_and_takes_little_is_waited_for(
    served: Served, waiting: Waiting
) -> None:
    large = b"x" * 20_000_000
    served.server.handler = lambda request, respond: respond(Response(200, (), large))
    client = served.connect(receive_bytes=64 * 1024)
    client.send(PING)
    client.end()
    until(lambda: only(served).state == WRITING and only(served)._ended)
    assert client.answer().body == large


@pytest.mark.parametrize(
    "framing",
    ["Content-Length: 5\r\n\r\nhell", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
)
def test_an_end_inside_a_body_is_half_a_request(
    framing: str, served: Served, waiting: Waiting
) -> None:
    client = served.connect()
    client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{framing}")
    client.end()
    assert client.answer().status == 400
    assert client.closed()
    assert not waiting.under_way.is_set()


@pytest.mark.parametrize("first", ["", PING])
def test_one_that_ends_its_side_without_a_request_is_closed(
    first: str, served: Served, waiting: Waiting
) -> None:
    waiting.release.set()
    client = served.connect()
    if first:
        assert client.ask().status == 200
    client.end()
    assert client.closed()
    until(lambda: not served.server.connections)
    assert not served.server.unwatched


def test_a_client_of_a_unix_socket_that_closes_has_left(waiting: Waiting, tmp_path: Path) -> None:
    server = Server.bind(resolve(f"unix:{tmp_path}/s", 0))
    server.handler = waiting
    server.start()
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{tmp_path}/s")
            client.sendall(PING.encode())
            assert waiting.under_way.wait(DEADLINE_SECONDS)
            client.shutdown(socket.SHUT_WR)
            until(lambda: server.unwatched)
            server._sweep()
            assert not waiting.told
        until(lambda: waiting.told == ["/"])
        waiting.release.set()
        until(lambda: not server.connections)
    finally:
        server.stop(0.0)


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
        until(lambda: served.server.connections and only(served)._request)
        client.reset()
        until(lambda: not served.server.connections)
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


@pytest.mark.parametrize(
    "request_of", [PING, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"]
)
def test_who_has_left_before_its_turn_is_not_served(request_of: str) -> None:
    served_paths: list[str] = []

    def handler(request: Request, respond: Respond) -> None:
        served_paths.append(request.path)
        respond(Response(200))

    with serving(handler) as served:
        for _ in range(10):
            # A socket of the standard library: the hub has no turn before it is reset.
            with blocking.socket() as client:
                client.connect(served.server.address)
                client.sendall(request_of.encode())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        assert served.connect().ask("/here").status == 200
        assert served_paths == ["/here"]
        until(lambda: len(served.server.connections) == 1)


def test_who_leaves_while_there_is_no_handler_is_not_served() -> None:
    served_paths: list[str] = []
    with serving(None) as served:
        client = served.connect()
        client.send(PING)
        until(lambda: served.server.connections and only(served).state == RUNNING)
        client.reset()

        def handler(request: Request, respond: Respond) -> None:
            served_paths.append(request.path)

        until(lambda: only(served)._gone)
        served.server.handler = handler
        until(lambda: not served.server.connections)
        assert not served_paths
