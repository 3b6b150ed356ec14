"""The HTTP client against servers that answer anything."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.event import Event

from greenflow.errors import RequestFailed, RequestTimedOut, WorkflowError
from greenflow.net import address, client, transport
from greenflow.net.client import Client
from greenflow.net.outgoing import ClientRequest, ClientResponse
from greenflow.net.url import Url
from greenflow.stream import Stream
from tests.net.loopback import DEADLINE_SECONDS, until
from tests.net.scripted import Answer, Closing, Scripted, listening, reply, scripted

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Asked:
    """A client and the one server that it may ask."""

    def __init__(self, server: Scripted, asking: Client) -> None:
        self.server, self.client = server, asking

    def ask(
        self,
        method: str = "GET",
        body: bytes | Stream | None = None,
        seconds: float = DEADLINE_SECONDS,
        limit: int | None = 1_000_000,
        stream: bool = False,
    ) -> ClientResponse:
        request = ClientRequest(method, self.server.url(), {}, body)
        return self.client.exchange(request, seconds, limit, stream)

    def idle(self) -> bool:
        """Whether no connection is open but kept ones."""
        return self.server.open == sum(
            connection is not None and connection.sock is not None
            for pool in self.client._pools.values()
            for connection in (pool.pool.queue if pool.pool is not None else ())
        )


@contextmanager
def asked(*answers: Answer) -> Iterator[Asked]:
    with scripted(*answers) as server:
        asking = Client([(server.host, server.port)])
        try:
            yield Asked(server, asking)
        finally:
            asking.close()
        until(lambda: server.open == 0)


def body_of(response: ClientResponse) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


# -- one exchange ------------------------------------------------------------------------------


def test_what_is_sent_and_what_comes() -> None:
    answer = reply(b"created", "Set-Cookie: a", "Set-Cookie: b", "x-Y: \xe9", status=201)
    with asked(answer) as one:
        url = Url("http", one.server.host, one.server.port, "/a%20b", "c=d")
        headers = {"User-Agent": "test", "Accept-Encoding": "gzip"}
        response = one.client.exchange(ClientRequest("PUT", url, headers, b"body"), 5, 100)
        assert (response.status, response.body) == (201, b"created")
        assert response.header_lists() == {
            "Content-Length": ["7"],
            "Set-Cookie": ["a", "b"],
            "X-Y": ["\xc3\xa9"],
        }
        assert response.header("set-cookie") == "a, b"
        assert response.header("cookie") is None
        head, _, body = one.server.requests[0].partition(b"\r\n\r\n")
        assert sorted(head.split(b"\r\n")) == [
            b"Accept-Encoding: gzip",
            b"Content-Length: 4",
            b"Host: 127.0.0.1:%d" % one.server.port,
            b"PUT /a%20b?c=d HTTP/1.1",
            b"User-Agent: test",
        ]
        assert body == b"body"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (reply(b"whole"), b"whole"),
        (reply(b""), b""),
        (reply(b"", status=204), b""),
        (CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (Closing(OK + b"\r\nto the end"), b"to the end"),
        (Closing(b"HTTP/1.0 200 OK\r\n\r\nto the end"), b"to the end"),
        (reply(b"x" * 1_000_000), b"x" * 1_000_000),
    ],
)
def test_answers(answer: bytes, body: bytes, stream: bool) -> None:
    with asked(answer) as one:
        assert body_of(one.ask(stream=stream)) == body
        assert one.idle()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Closing(b""), "the server closed the connection without an answer"),
        (b"220 mail.test ESMTP\r\n", r"the answer is no HTTP/1\.1"),
        (OK + b"A: b\r\n" * 200, "more than 100 headers"),
        (OK + b"A: " + b"b" * 300_000, "too long"),
        (b"HTTP/1.1 103 X\r\n\r\n" * 20, "more than 10 interim answers"),
        (b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n", "a protocol was switched"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "Content-Length is not one"),
        (Closing(reply(b"shor", length=5)), "the answer was cut off"),
        (Closing(CHUNKED + b"5\r\nshor"), "the answer was cut off"),
        (Closing(CHUNKED + b"4\r\nshor\r\n"), "closed in the middle"),
        (CHUNKED + b"-1\r\n" + b"x" * 10_000, "a chunk-size line is against the grammar"),
        (CHUNKED + b"2\r\nabc\r\n0\r\n\r\n", "longer than its size"),
        (reply(b"x" * 1_200_000), "the body of the answer is over 1000000 bytes"),
        (CHUNKED + b"100000\r\n" + b"x" * 1_048_576 + b"\r\n", "over 1000000 bytes"),
        (Closing(OK + b"\r\n" + b"x" * 1_000_001), "over 1000000 bytes"),
    ],
)
def test_no_answer_that_can_be_used(answer: bytes, reason: str, stream: bool) -> None:
    with asked(answer) as one:
        with pytest.raises(RequestFailed, match=reason) as caught:
            body_of(one.ask(stream=stream))
        assert str(caught.value).startswith(f"GET http://127.0.0.1:{one.server.port}: ")
        until(lambda: one.server.open == 0)


def test_a_body_that_says_it_is_too_large_is_not_waited_for() -> None:
    with asked(reply(b"", length=1_000_001)) as one:
        with pytest.raises(RequestFailed, match="over 1000000 bytes"):
            one.ask()
        until(lambda: one.server.open == 0)


def test_nobody_listens_and_nobody_knows_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as server:
        port = server.port
    asking = Client([("127.0.0.1", port), ("nowhere.test", 80)])
    try:
        refused = ClientRequest("GET", Url("http", "127.0.0.1", port, "/secret", "token=x"), {})
        with pytest.raises(RequestFailed, match=rf"^GET http://127.0.0.1:{port}: Connection ref"):
            asking.exchange(refused, 5, 100)

        def unknown(*rest: Any) -> Any:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(address, "getaddrinfo", unknown)
        lost = ClientRequest("GET", Url("http", "nowhere.test", 80, "/"), {})
        with pytest.raises(RequestFailed, match=r"nowhere\.test: Name or service not known"):
            asking.exchange(lost, 5, 100)
        monkeypatch.setattr(address, "getaddrinfo", lambda *rest: [])
        with pytest.raises(RequestFailed, match="the host has no address"):
            asking.exchange(lost, 5, 100)
    finally:
        asking.close()


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with asked(reply(b"here")) as one:
        with scripted() as closed:
            places = [
                address.Place(2, ("127.0.0.1", closed.port)),
                address.Place(2, ("127.0.0.1", one.server.port)),
            ]
        monkeypatch.setattr(client, "look_up", lambda host, port: places)
        assert one.ask().body == b"here"


# -- bodies of requests ------------------------------------------------------------------------


def test_a_stream_is_sent_in_chunks_as_it_comes() -> None:
    more = Event()

    def pieces() -> Iterator[bytes]:
        yield b"one"
        yield b""
        more.wait(DEADLINE_SECONDS)
        yield b"three"

    with asked(reply(b"ok")) as one:
        asking = gevent.spawn(one.ask, "POST", Stream(pieces()))
        until(lambda: one.server.open == 1)
        more.set()
        assert asking.get().body == b"ok"
        assert one.server.header("Transfer-Encoding") == "chunked"
        assert one.server.header("Content-Length") is None
        assert one.server.body() == b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"


def test_what_a_stream_raises_is_raised_and_the_request_is_never_whole() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise WorkflowError("no more")

    with asked(reply(b"ok")) as one:
        with pytest.raises(WorkflowError, match="no more"):
            one.ask("POST", Stream(pieces()))
        until(lambda: one.server.accepted == 1 and one.server.open == 0)
        assert one.server.requests == []


def test_an_answer_before_the_end_of_the_request() -> None:
    def refuse(sock: Any) -> None:
        sock.sendall(reply(b"too large", "Connection: close", status=413))

    with listening() as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(1000)
                refuse(accepted)
                accepted.shutdown(socket.SHUT_WR)
                while accepted.recv(100_000):
                    pass

        serving = gevent.spawn(serve)
        port = listener.getsockname()[1]
        asking = Client([("127.0.0.1", port)])
        request = ClientRequest("POST", Url("http", "127.0.0.1", port, "/"), {}, b"x" * 5_000_000)
        assert asking.exchange(request, DEADLINE_SECONDS, 100)[0::2] == (413, b"too large")
        asking.close()
        serving.get(timeout=DEADLINE_SECONDS)


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


# -- time --------------------------------------------------------------------------------------


def drip(sock: Any) -> None:
    """A byte now and then, for ever."""
    sock.sendall(OK + b"Content-Length: 1000000\r\n\r\n")
    while True:
        sock.sendall(b"x")
        gevent.sleep(0.005)


def drip_head(sock: Any) -> None:
    sock.sendall(OK)
    for i in range(10**6):
        sock.sendall(b"X-%d: y\r\n" % i)
        gevent.sleep(0.005)


@pytest.mark.parametrize("answer", [b"", OK, reply(b"x", length=2), drip, drip_head])
def test_an_exchange_takes_so_long_and_no_longer(answer: Answer) -> None:
    with asked(answer) as one:
        with pytest.raises(RequestTimedOut, match=r": no answer within 0\.1 s$"):
            one.ask(seconds=0.1)
        until(lambda: one.server.open == 0)


def test_each_piece_of_a_stream_has_its_time() -> None:
    with asked(drip, reply(b"x", length=2)) as one:
        stream = one.ask(seconds=0.3, stream=True, limit=None).body
        assert isinstance(stream, Stream)
        pieces = iter(stream)
        assert len(b"".join(next(pieces) for _ in range(70))) >= 70  # takes longer than 0.3 s
        stream.close()
        stream = one.ask(seconds=0.1, stream=True).body
        with pytest.raises(RequestTimedOut, match=r": no more of the answer within 0\.1 s$"):
            list(stream)
        until(lambda: one.server.open == 0)


def test_looking_up_and_connecting_take_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with asked() as one:
        monkeypatch.setattr(address, "getaddrinfo", lambda *rest: Event().wait())
        one.client._homes = frozenset([("slow.test", 80)])
        with pytest.raises(RequestTimedOut):
            one.client.exchange(
                ClientRequest("GET", Url("http", "slow.test", 80, "/"), {}), 0.05, 1
            )
        # Its backlog is full, and what it does not accept is not answered.
        with listening(backlog=0) as full:
            waiting = [socket.socket() for _ in range(3)]
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            url = Url("http", "127.0.0.1", full.getsockname()[1], "/")
            one.client._homes = frozenset([(url.host, url.port)])
            with pytest.raises(RequestTimedOut):
                one.client.exchange(ClientRequest("GET", url, {}), 0.1, 100)
            for sock in waiting:
                sock.close()


def test_a_time_out_of_the_caller_stays_one() -> None:
    with asked(b"", OK + b"\r\n") as one:
        for stream in (False, True):
            with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
                body_of(one.ask(stream=stream))
        until(lambda: one.server.open == 0)


# -- the end of whoever waits ------------------------------------------------------------------


def slow_reader(sock: Any) -> None:
    Event().wait()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("answer", [b"", OK, reply(b"x", length=2), CHUNKED + b"5\r\nx"])
def test_who_is_killed_leaves_no_socket(answer: bytes, stream: bool) -> None:
    with asked(answer) as one:
        asking = gevent.spawn(lambda: body_of(one.ask(stream=stream)))
        until(lambda: len(one.server.requests) == 1)
        asking.kill()
        until(lambda: one.server.open == 0)
        assert one.idle()


def test_who_is_killed_while_sending_leaves_no_socket() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        asking = Client([("127.0.0.1", port)])
        request = ClientRequest("POST", Url("http", "127.0.0.1", port, "/"), {}, b"x" * 50_000_000)
        sending = gevent.spawn(asking.exchange, request, DEADLINE_SECONDS, 100)
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(1)
            sending.kill()
            with pytest.raises(EOFError):
                _drain(accepted)
        asking.close()


def _drain(sock: Any) -> None:
    try:
        while sock.recv(1_000_000):
            pass
    except ConnectionResetError:
        pass
    raise EOFError


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
