"""Answers of other servers, read strictly: heads, framing, chunks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from io import BufferedReader, BytesIO
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net import response
from greenflow.net.response import StrictResponse

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Wire:
    """What a server sends, and then the end of the connection."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> BufferedReader:
        return BufferedReader(BytesIO(self.data))  # type: ignore[arg-type]


def begun(
    data: bytes, method: str = "GET", on_surplus: Callable[[], object] = lambda: None
) -> StrictResponse:
    answer: Any = StrictResponse(Wire(data), method, on_surplus)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    return answer  # type: ignore[no-any-return]


def read(data: bytes, method: str = "GET", size: int | None = None) -> bytes:
    answer = begun(data, method)
    with answer:
        if size is None:
            return answer.read()
        return b"".join(iter(lambda: answer.read(size), b""))


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!", b"hi"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.0 200 \xff\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", b"hi"),
        (OK + b"content-length:2\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\nLink: </a>\r\n\r\n" + OK + b"\r\nhi", b"hi"),
        (
            CHUNKED + b"2;a=b\r\nhi\r\n00A \r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
            b"hi0123456789",
        ),
        (b"HTTP/1.1 204 X\r\nContent-Length: 2\r\n\r\nhi", b""),
        (b"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
        (b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
@pytest.mark.parametrize("size", [None, 1, 3, 100])
def test_bodies(data: bytes, body: bytes, size: int | None) -> None:
    assert read(data, size=size) == body


def test_the_answer_to_head_has_no_body() -> None:
    assert read(OK + b"Content-Length: 5\r\n\r\n", method="HEAD") == b""


def test_headers_keep_their_order_repetitions_and_bytes() -> None:
    with begun(
        OK + b"B:  1 \r\nSet-Cookie: a\r\nset-cookie: b\r\nF: x\r\n \t y \r\nL: \xe9\r\n\r\n"
    ) as one:
        assert one.headers.items() == [
            ("B", "1"),
            ("Set-Cookie", "a"),
            ("set-cookie", "b"),
            ("F", "x y"),
            ("L", "\xe9"),
        ]


@pytest.mark.parametrize(
    ("head", "ends"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: disclose\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n", False),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_whether_the_connection_ends_with_the_answer(head: bytes, ends: bool) -> None:
    with begun(head + b"\r\n") as answer:
        assert answer.will_close is ends


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n" + OK + b"\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 2000\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 " + b"x" * 10_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 100 X\r\n\r\n" * 11 + OK + b"\r\n",
        b"HTTP/1.1 100 X\r\n\r\n",
        OK,
        OK + b"A: b",
        OK + b"A: b\r\n",
        OK + b" A: b\r\n\r\n",
        OK + b"A : b\r\n\r\n",
        OK + b"A\r\n\r\n",
        OK + b": b\r\n\r\n",
        OK + b"A: b\rContent-Length: 0\r\n\r\n",
        OK + b"A: \0\r\n\r\n",
        OK + b"A\xff: b\r\n\r\n",
        OK + b"A: b\r\n" * 101 + b"\r\n",
        OK + b"A: " + b"b" * 300_000 + b"\r\n\r\n",
        OK + (b"A: " + b"b" * 4000 + b"\r\n") * 90 + b"\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        OK + b"Content-Length: 1, 1\r\n\r\na",
        OK + b"Content-Length: -1\r\n\r\na",
        OK + b"Content-Length: +1\r\n\r\na",
        OK + b"Content-Length: 1_0\r\n\r\n0123456789",
        OK + b"Content-Length: \r\n\r\n",
        OK + b"Content-Length: 9999999999999999999\r\n\r\n",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: \r\n\r\n",
        CHUNKED,
        CHUNKED + b"-1\r\nabc",
        CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabc0\r\n\r\n",
        CHUNKED + b"3\r\nab",
        CHUNKED + b"3\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\nA b\r\n\r\n",
        CHUNKED + b"1000000000000000\r\n",
        CHUNKED + b"1;" + b"x" * 10_000 + b"\r\na\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [None, 2])
def test_what_makes_no_sense_is_an_error(data: bytes, size: int | None) -> None:
    with pytest.raises(HTTPException) as caught:
        read(data, size=size)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "method", "more"),
    [
        (OK + b"Content-Length: 2\r\n\r\nhi", "GET", False),
        (OK + b"Content-Length: 2\r\n\r\nhi!", "GET", True),
        (OK + b"Content-Length: 2\r\n\r\n", "HEAD", False),
        (OK + b"Content-Length: 2\r\n\r\nhi", "HEAD", True),
        (b"HTTP/1.1 204 X\r\n\r\nhi", "GET", True),
        (CHUNKED + b"0\r\n\r\n", "GET", False),
        (CHUNKED + b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "GET", True),
        (OK + b"\r\nto the end", "GET", False),
    ],
)
def test_bytes_behind_the_end_are_noticed(data: bytes, method: str, more: bool) -> None:
    noticed: list[bool] = []
    with begun(data, method, lambda: noticed.append(True)) as answer:
        answer.read()
    assert noticed == [True] * more


@given(st.binary(max_size=200), st.sampled_from([b"", OK, CHUNKED]), st.sampled_from([None, 1, 7]))
def test_any_bytes_are_an_answer_or_an_error(data: bytes, begin: bytes, size: int | None) -> None:
    with suppress(HTTPException):
        read(begin + data, size=size)


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(1, 60))
def test_chunks_are_joined_however_they_are_read(chunks: list[bytes], size: int) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert read(CHUNKED + data, size=size) == b"".join(chunks)
    answer = begun(CHUNKED + data)
    with answer:
        assert b"".join(iter(lambda: answer.read1(size), b"")) == b"".join(chunks)


def test_many_small_chunks_let_others_run() -> None:
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    chunks = response.CHUNKS_A_TURN * 10
    counting = gevent.spawn(count)
    try:
        assert len(read(CHUNKED + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")) == chunks
    finally:
        counting.kill()
    assert turns >= 10
