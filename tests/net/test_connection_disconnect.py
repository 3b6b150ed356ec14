"""A client that goes away while its request is handled."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from greenflow.net.message import (
    ClientDisconnected,
    Request,
    Respond,
    Response,
)
from tests.net.loopback import DEADLINE_SECONDS, Client, Served, serving
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
