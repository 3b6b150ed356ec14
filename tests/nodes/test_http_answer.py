"""http: answers become payloads, and what is no answer goes to `error` (BEHAVIOUR 11.4, 11.5)."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from greenflow.errors import (
    RequestFailed,
    RequestTimedOut,
    messages,
)
from tests.flows import flow
from tests.net.scripted import Closing, reply
from tests.nodes.upstream import OK, asked
from tests.waiting import until

# -- 11.4: the answer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "raw", "body"),
    [
        ("application/json", b'{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("application/problem+json", b"1", 1),
        ("application/json", b"\xef\xbb\xbf[1]", [1]),
        ("text/plain; charset=latin-1", b"\xe9", "\xe9"),
        ("text/html", b"<p>", "<p>"),
        ("application/x-www-form-urlencoded", b"a=1&a=2", {"a": ["1", "2"]}),
        ("multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
         {"values": {"a": ["1"]}, "files": {}}),
        (None, b"\0\1", b"\0\1"),
        ("application/json", b"", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("coding", [None, "gzip", "X-GZip", "deflate", "deflate, gzip", "identity"])
def test_the_body_is_decoded(
    content_type: str | None, raw: bytes, body: Any, coding: str | None
) -> None:
    sent = raw
    for name in (coding or "").lower().split(", ") if raw else ():
        sent = {"deflate": zlib.compress, "gzip": gzip.compress, "x-gzip": gzip.compress}.get(
            name, lambda data: data
        )(sent)
    headers = [f"Content-Type: {content_type}"] * bool(content_type)
    headers += [f"Content-Encoding: {coding}"] * bool(coding)
    with asked(reply(sent, "x-a: b", "Set-Cookie: a", "Set-Cookie: b", *headers)) as one:
        answer = one.call()
        assert (answer["status"], answer["body"]) == (200, body)
        kept = {"X-A": ["b"], "Set-Cookie": ["a", "b"]}
        if content_type:
            kept["Content-Type"] = [content_type]
        assert answer["header"] == kept


def test_how_a_body_was_sent_leaves_the_header() -> None:
    coded = gzip.compress(b"x")
    chunked = b"HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n"
    chunked += b"Content-Encoding: gzip\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(coded), coded)
    with asked(chunked) as one:
        assert one.call() == {"status": 200, "header": {"A": ["b"]}, "body": b"x"}
    with asked(chunked, stream=True) as one:
        assert one.call()["header"] == {"A": ["b"], "Content-Encoding": ["gzip"]}


@pytest.mark.parametrize("status", [200, 204, 304, 400, 404, 500, 503, 999])
def test_any_status_is_a_normal_answer(status: int) -> None:
    with asked(reply(b"", status=status)) as one:
        assert one.call() == {"status": status, "header": {}, "body": None}


def test_the_answer_to_head() -> None:
    with asked(reply(b"", "Content-Type: application/json", length=100), OK) as one:
        answer = one.call({"method": "HEAD"})
        header = {"Content-Type": ["application/json"]}
        assert answer == {"status": 200, "header": header, "body": None}
        one.call()
        assert one.server.accepted == 1


# -- 11.5: errors ------------------------------------------------------------------------------


def bomb(size: int) -> bytes:
    return gzip.compress(bytes(size), mtime=0)  # a test is called the same each time


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Closing(b""), "closed the connection without an answer"),
        (reply(b"{", "Content-Type: application/json"), "the answer cannot be decoded: "),
        (reply(b"\xff", "Content-Type: text/plain"), "cannot be decoded: 'utf-8' codec"),
        (reply(b"x", "Content-Type: text/plain; charset=zz"), "cannot be decoded: unknown charset"),
        (reply(b"x", "Content-Type: multipart/form-data"), "cannot be decoded: "),
        (reply(b"x", "Content-Encoding: zz"), "cannot be decoded: the content coding 'zz'"),
        (reply(b"no gzip", "Content-Encoding: gzip"), "cannot be decoded: the body is not gzip"),
        (
            reply(bomb(100)[:-9], "Content-Encoding: gzip"),
            "decoded: a compressed body that was cut",
        ),
        (reply(bomb(10_000_000), "Content-Encoding: gzip"), "decoded: a body over 8388608 bytes"),
        (reply(bomb(2 * 10**8)[:100_000], "Content-Encoding: gzip"), "a body over 8388608 bytes"),
        (reply(b"", length=8 * 1024 * 1024 + 1), "the body of the answer is over 8388608 bytes"),
    ],
)
def test_an_answer_without_sense_is_an_error(answer: bytes, reason: str) -> None:
    with asked(answer, OK) as one:
        with pytest.raises(RequestFailed, match=reason) as caught:
            one.call({"query": {"token": "secret"}})
        assert str(caught.value).startswith(f"GET http://127.0.0.1:{one.server.port}: ")
        assert one.call()["status"] == 200


def test_the_limits_of_a_body() -> None:
    coded = reply(bomb(11), "Content-Encoding: gzip")
    with asked(reply(b"0123456789"), reply(b"01234567890"), coded, limits={"body": 10}) as one:
        assert one.call()["body"] == b"0123456789"
        for _ in range(2):
            with pytest.raises(RequestFailed, match="over 10 bytes"):
                one.call()


def test_errors_go_to_the_error_port() -> None:
    specs = """
    - {kind: http, name: http, url: "http://127.0.0.1:1/", links: {error: {name: caught}}}
    - {kind: probe, name: caught, answer: rescued}
    """
    with flow(specs) as running:
        assert running.call("http", {"path": "/"}) == "rescued"
        (error,) = running.probes.of("caught")
        assert list(messages(error)) == [
            "GET http://127.0.0.1:1: Connection refused",
            "[Errno 111] Connection refused",
        ]
        running.call("http", {"method": "B AD"})
        assert next(messages(running.probes.of("caught")[1])) == "invalid argument"


def test_a_time_out_is_an_error() -> None:
    with asked(b"", b"HTTP/1.1 200 OK\r\n", OK, timeout="50ms") as one:
        for _ in range(2):
            with pytest.raises(RequestTimedOut, match=r"no answer within 0\.05 s"):
                one.call()
        until(lambda: one.server.open == 0)
        assert one.call()["status"] == 200


def test_nothing_is_retried() -> None:
    with asked(OK, Closing(b""), OK) as one:
        one.call()
        with pytest.raises(RequestFailed):
            one.call()
        assert len(one.server.requests) == 2
