"""The HTTP client's connections: kept, closed in time, held by streams."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import RequestFailed
from greenflow.net import client, transport
from greenflow.net.outgoing import ClientRequest
from greenflow.payload.stream import Stream
from tests.net.asking import asked, body_of
from tests.net.loopback import DEADLINE_SECONDS
from tests.net.scripted import Closing, reply, scripted
from tests.waiting import until

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


# -- kept connections --------------------------------------------------------------------------


def test_a_connection_is_kept_and_used_again() -> None:
    answers = [reply(b"1"), CHUNKED + b"1\r\n2\r\n0\r\n\r\n", reply(b"", status=204), reply(b"4")]
    with asked(*answers) as one:
        assert [body_of(one.ask(stream=stream)) for stream in (False, True, True, False)] == [
            *(b"1", b"2", b"", b"4")
        ]
        assert one.server.accepted == 1


@pytest.mark.parametrize(
    "first",
    [
        Closing(reply(b"1")),  # closed while idle
        reply(b"1") + b"HTTP/1.1 408 Request Timeout\r\n\r\n",
        reply(b"1", "Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1",
        b"HTTP/1.1 204 X\r\nContent-Length: 4\r\n\r\nevil",
    ],
)
def test_one_that_cannot_be_used_again_is_no_error(first: bytes) -> None:
    with asked(first, reply(b"2")) as one:
        one.ask()
        until(lambda: one.server.open == 0 or not isinstance(first, Closing))
        assert one.ask().body == b"2"
        assert one.server.accepted == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_sent_twice(method: str) -> None:
    with asked(reply(b"1"), Closing(b"")) as one:
        one.ask()
        with pytest.raises(RequestFailed, match="closed the connection without an answer"):
            one.ask(method)
        assert (len(one.server.requests), one.server.accepted) == (2, 1)


def test_a_connection_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "IDLE_SECONDS", -1.0)
    with asked(reply(b"1"), reply(b"2")) as one:
        assert (one.ask().body, one.ask().body) == (b"1", b"2")
        assert one.server.accepted == 2


def test_a_connection_idle_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SWEEP_SECONDS", 0.01)
    with asked(reply(b"1"), reply(b"2")) as one:
        one.ask()
        assert one.server.open == 1
        monkeypatch.setattr(transport, "IDLE_SECONDS", -1.0)
        until(lambda: one.server.open == 0)
        monkeypatch.setattr(transport, "IDLE_SECONDS", 60.0)
        assert one.ask().body == b"2"


def test_so_many_are_kept_and_more_may_be_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "KEPT_CONNECTIONS", 2)
    go = Event()

    def late(sock: Any) -> None:
        go.wait(DEADLINE_SECONDS)
        sock.sendall(reply(b"x"))

    with asked(*[late] * 5, reply(b"y")) as one:
        asking = [gevent.spawn(one.ask) for _ in range(5)]
        until(lambda: len(one.server.requests) == 5)
        go.set()
        assert [each.get().body for each in asking] == [b"x"] * 5
        until(lambda: one.server.open == 2)
        assert one.ask().body == b"y"
        assert one.server.accepted == 5
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


def test_connections_to_so_many_origins_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "KEPT_ORIGINS", 2)
    with (
        asked(reply(b"1"), reply(b"2")) as one,
        scripted(reply(b"a"), reply(b"b")) as second,
        scripted(reply(b"c")) as third,
    ):
        one.client._homes = frozenset(
            (each.host, each.port) for each in (one.server, second, third)
        )
        for server, body in ((one.server, b"1"), (second, b"a"), (one.server, b"2"), (third, b"c")):
            request = ClientRequest("GET", server.url(), {})
            assert one.client.exchange(request, 5, 100).body == body
        until(lambda: second.open == 0)
        assert (one.server.open, third.open) == (1, 1)


def test_a_closed_client_keeps_none() -> None:
    go = Event()

    def late(sock: Any) -> None:
        go.wait(DEADLINE_SECONDS)
        sock.sendall(reply(b"late"))

    with asked(late, reply(b"2")) as one:
        asking = gevent.spawn(one.ask)
        until(lambda: len(one.server.requests) == 1)
        one.client.close()
        go.set()
        assert asking.get().body == b"late"
        until(lambda: one.server.open == 0)


# -- streams -----------------------------------------------------------------------------------


def in_steps(*pieces: bytes) -> tuple[Callable[[Any], None], Callable[[], None]]:
    """An answer in pieces, and what lets the next one go."""
    steps = [Event() for _ in pieces]
    pending = iter(steps)

    def answer(sock: Any) -> None:
        for step, piece in zip(steps, pieces, strict=True):
            step.wait(DEADLINE_SECONDS)
            sock.sendall(piece)

    return answer, lambda: next(pending).set()


def test_pieces_come_as_they_are_sent() -> None:
    answer, step = in_steps(CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n")
    with asked(answer) as one:
        step()
        body = one.ask(stream=True).body
        assert isinstance(body, Stream)
        pieces = iter(body)
        step()
        assert next(pieces) == b"one"
        step()
        assert list(pieces) == [b"two"]
        assert one.idle()
        assert one.server.open == 1


def test_a_stream_that_is_closed_closes_the_connection_and_is_no_end_for_its_reader() -> None:
    answer, step = in_steps(CHUNKED + b"3\r\none\r\n")
    with asked(answer) as one:
        step()
        body = one.ask(stream=True).body
        assert isinstance(body, Stream)
        pieces = iter(body)
        assert next(pieces) == b"one"
        body.close()
        until(lambda: one.server.open == 0)
        with pytest.raises(RequestFailed, match="was given up before its end"):
            next(pieces)


def test_a_stream_may_be_closed_while_it_is_read() -> None:
    answer, step = in_steps(CHUNKED + b"3\r\none\r\n")
    with asked(answer) as one:
        step()
        body = one.ask(stream=True).body
        assert isinstance(body, Stream)
        pieces = iter(body)
        assert next(pieces) == b"one"
        reading = gevent.spawn(lambda: next(pieces))
        gevent.idle()
        body.close()
        with pytest.raises(RequestFailed, match="was given up before its end"):
            reading.get(timeout=DEADLINE_SECONDS)
        until(lambda: one.server.open == 0)


def test_a_stream_that_nobody_reads_holds_one_connection_until_it_is_closed() -> None:
    with asked(reply(b"x" * 1_000_000), reply(b"2")) as one:
        body = one.ask(stream=True).body
        assert isinstance(body, Stream)
        assert one.ask().body == b"2"
        assert one.server.accepted == 2
        body.close()
        until(lambda: one.server.open == 1)
