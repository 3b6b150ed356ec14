"""The HTTP client against servers that answer anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.event import Event

from greenflow.errors import RequestFailed, RequestTimedOut, WorkflowError
from greenflow.net import address, client
from greenflow.net.client import Client
from greenflow.net.outgoing import ClientRequest
from greenflow.net.url import Url
from greenflow.payload.stream import Stream
from tests.net.asking import asked, body_of
from tests.net.loopback import DEADLINE_SECONDS
from tests.net.scripted import Answer, Closing, listening, reply, scripted
from tests.waiting import until

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


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
