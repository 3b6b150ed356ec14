"""listener: bodies that are streams, of requests (`stream: true`) and of answers."""

from __future__ import annotations

import gc
import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.engine.declaring import node
from greenflow.engine.node import Context
from greenflow.errors import BodyTooLarge, WorkflowError
from greenflow.net.message import ClientDisconnected
from greenflow.payload.stream import Stream
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from tests.net.loopback import DEADLINE_SECONDS, Client
from tests.waiting import until


class Resource:
    """A resource of a process that says how it ended."""

    def __init__(self, fails: bool = False) -> None:
        self.ended: list[str] = []
        self.fails = fails

    def __enter__(self) -> Resource:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.ended.append("committed" if kind is None else "rolled back")
        if self.fails:
            raise WorkflowError("the commit failed")


@contextmanager
def served(handler: Callable[..., Any], **fields: Any) -> Iterator[Client]:
    """A listener whose requests a function answers; `fields` are the listener's."""
    scheme = Scheme.installed()
    scheme.register(node("answers", reads_only=True)(handler))
    listener = {"kind": "listener", "name": "http", "port": 0, "links": {"out": {"name": "a"}}}
    specs = [{**listener, **fields}, {"kind": "answers", "name": "a"}]
    with Runtime("memory://", specs=specs, scheme=scheme) as runtime:
        client = Client(runtime.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
        try:
            yield client
        finally:
            client.socket.close()


def post(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in (f"Content-Length: {len(body)}", *headers))
    return f"POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode() + body


def chunked(*pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body


# -- streamed answers --------------------------------------------------------------------------


def test_pieces_are_sent_as_they_come_and_the_process_settles_at_their_end() -> None:
    more, resource = Event(), Resource()

    def events(ctx: Context, payload: Any) -> Any:
        ctx.enter(resource)

        def pieces() -> Iterator[bytes]:
            yield b"data: 1\n\n"
            more.wait()
            yield b"data: 2\n\n"

        return {"header": {"Content-Type": "text/event-stream"}, "body": Stream(pieces())}

    with served(events) as client:
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        status, headers = client.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert headers["transfer-encoding"] == "chunked"
        assert client._exactly(14) == b"9\r\ndata: 1\n\n\r\n"
        assert resource.ended == []
        more.set()
        assert client._exactly(19) == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"
        assert resource.ended == ["committed"]
        more.clear()
        assert client.ask(method="HEAD").headers["content-type"] == "text/event-stream"
        assert resource.ended == ["committed", "committed"]
        more.set()
        assert client.ask().body == b"data: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize("commit_fails", [True, False])
def test_an_answer_that_fails_is_broken_off(
    commit_fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    resource = Resource(fails=commit_fails)

    def fail(ctx: Context, payload: Any) -> Any:
        ctx.enter(resource)

        def pieces() -> Iterator[bytes]:
            yield b"begun"
            if not commit_fails:
                raise WorkflowError("no more")

        return Stream(pieces())

    with served(fail) as client:
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.head()[1]["content-type"] == "application/octet-stream"
        assert client._exactly(10) == b"5\r\nbegun\r\n"
        with pytest.raises(ConnectionResetError):
            client.socket.recv(1)
    assert resource.ended == ["committed" if commit_fails else "rolled back"]
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "the commit failed" in record.message or "no more" in record.message


def test_a_client_that_leaves_ends_the_stream_and_rolls_back() -> None:
    resource, closed = Resource(), Event()

    def endless(ctx: Context, payload: Any) -> Any:
        ctx.enter(resource)

        def pieces() -> Iterator[bytes]:
            try:
                yield b"first"
                Event().wait()
            finally:
                closed.set()

        return Stream(pieces())

    with served(endless) as client:
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.head()
        client._exactly(10)
        client.reset()
        assert closed.wait(DEADLINE_SECONDS)
        until(lambda: resource.ended == ["rolled back"])


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_a_stream_is_sent_as_it_is(coding: str | None) -> None:
    """Compressing it would hold its pieces back; one that is compressed says so itself."""
    pieces = [b"data: x\n\n" * 500, gzip.compress(b"y")]

    def answers(ctx: Context, payload: Any) -> Any:
        header = {} if coding is None else {"Content-Encoding": coding}
        return {"body": Stream(pieces), "header": header}

    with served(answers) as client:
        answer = client.ask(headers="Accept-Encoding: gzip, br, zstd\r\n")
        assert answer.body == b"".join(pieces)
        assert answer.headers.get("content-encoding") == coding
        assert "vary" not in answer.headers


def test_a_compressed_body_is_streamed_as_it_is() -> None:
    body = gzip.compress(b"x" * 5000)
    with served(lambda ctx, payload: payload["body"].read(10_000), stream=True) as client:
        client.send(post(body, "Content-Encoding: gzip", "Content-Type: text/plain"))
        assert client.answer().body == body


def test_a_stream_is_read_once() -> None:
    stream = Stream([b"ab", b"c"])
    assert stream.read(3) == b"abc"
    with pytest.raises(Exception, match="invalid argument"):
        list(stream)
    with pytest.raises(BodyTooLarge):
        Stream([b"ab", b"c"]).read(2)


# -- streamed requests -------------------------------------------------------------------------


def test_the_process_starts_before_the_body_is_there() -> None:
    started = Event()

    def read(ctx: Context, payload: Any) -> Any:
        started.set()
        return {"body": payload["body"].read(100), "header": {"Content-Type": "text/plain"}}

    with served(read, stream=True) as client:
        request = post(b"0123456789")
        client.send(request[:-6])
        assert started.wait(DEADLINE_SECONDS)
        client.send(request[-6:])
        assert client.answer().body == b"0123456789"
        client.send(chunked(b"abc") + b"3\r\ndef\r\n0\r\n\r\n")
        assert client.answer().body == b"abcdef"
        assert client.ask(method="POST", headers="Content-Length: 0\r\n").status == 500
        client.send(chunked(b"x") + b"0\r\n\r\n" + post(b"y"))
        assert [client.answer().body, client.answer().body] == [b"x", b"y"]


def test_an_echo_sends_while_it_reads() -> None:
    with served(lambda ctx, payload: payload["body"], stream=True) as client:
        client.send(chunked(b"one"))
        status, headers = client.head()
        assert (status, headers["connection"]) == (200, "close")
        assert client._exactly(8) == b"3\r\none\r\n"
        client.send(b"3\r\ntwo\r\n0\r\n\r\n")
        assert client.rest() == b"3\r\ntwo\r\n0\r\n\r\n"


def test_a_body_of_many_times_the_memory_passes_through() -> None:
    megabytes, piece = 64, b"x" * 2**20

    def count(ctx: Context, payload: Any) -> Any:
        return str(sum(map(len, payload["body"])))

    with served(count, stream=True, limits={"body": 2**30}) as client:
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {megabytes * 2**20}\r\n\r\n")
        for _ in range(megabytes):
            client.send(piece)
        assert client.answer().text == str(megabytes * 2**20)
        client.send(chunked(*[piece] * 8) + b"0\r\n\r\n")
        assert client.answer().text == str(8 * 2**20)


def test_a_continue_is_sent_when_the_body_is_read() -> None:
    def refuse_or_read(ctx: Context, payload: Any) -> Any:
        if payload["path"] == "/no":
            return {"status": 403}
        return str(len(payload["body"].read(10)))

    with served(refuse_or_read, stream=True) as client:
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.head()[0] == 100
        client.send("ab")
        assert client.answer().text == "2"
        client.send(
            "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (403, "close")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413),
        (chunked(b"0123456789") + b"1\r\n", 413),
        (chunked(b"01") + b"zz\r\n", 400),
    ],
)
def test_a_body_that_cannot_be_read_breaks_the_read(request_: bytes, status: int) -> None:
    seen: list[Exception] = []

    def read(ctx: Context, payload: Any) -> Any:
        try:
            return payload["body"].read(1000)
        except Exception as error:
            seen.append(error)
            raise

    with served(read, stream=True, limits={"body": 10}) as client:
        client.send(request_)
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert client.closed()
    assert len(seen) == (0 if b"Length" in request_ else 1)


def test_a_body_that_ends_early_or_stops_is_an_error_of_the_reader() -> None:
    seen: list[Exception] = []

    def read(ctx: Context, payload: Any) -> Any:
        try:
            return payload["body"].read(1000)
        except Exception as error:
            seen.append(error)
            raise

    with served(read, stream=True, limits={"body_timeout": 0.01}) as client:
        client.send(post(b"0123456789")[:-1])
        assert client.answer().status == 408
    with served(read, stream=True) as client:
        client.send(post(b"0123456789")[:-1])
        client.end()
        client.rest()
        until(lambda: len(seen) == 2)


def test_another_branch_may_read_and_the_answer_ends_its_wait() -> None:
    greenlets: list[Any] = []
    seen: list[object] = []

    def in_background(ctx: Context, payload: Any) -> Any:
        def read() -> None:
            try:
                seen.append(payload["body"].read(1000))
            except Exception as error:
                seen.append(error)

        greenlets.append(gevent.spawn(read))
        if payload["path"] == "/wait":
            greenlets[-1].join()
            return "read"
        gevent.sleep(1e-9)
        return "not read"

    with served(in_background, stream=True) as client:
        client.send(post(b"01234").replace(b"POST /", b"POST /wait"))
        assert client.answer().text == "read"
        client.send(post(b"0123456789")[:-1])
        answer = client.answer()
        assert (answer.text, answer.headers["connection"]) == ("not read", "close")
        gevent.joinall(greenlets, timeout=DEADLINE_SECONDS)
    assert seen[0] == b"01234"
    assert isinstance(seen[1], ClientDisconnected)


def test_an_answer_that_was_broken_off_is_let_go_at_once() -> None:
    """A thousand slow readers would else fill the memory until the garbage is collected."""
    body = b"x" * 20_000_000
    with served(lambda ctx, payload: body, limits={"write_timeout": 0.05}) as client:
        before = sys.getrefcount(body)
        gc.disable()
        try:
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: sys.getrefcount(body) > before)
            until(lambda: sys.getrefcount(body) == before)
        finally:
            gc.enable()
        with pytest.raises(ConnectionResetError):
            client.rest()
