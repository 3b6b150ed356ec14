"""WSGI both ways without a workflow: what PEP 3333 asks of a server and of an application."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument
from greenflow.net.limits import Limits
from greenflow.net.message import Request, Respond, Response
from greenflow.net.refusal import Refused
from greenflow.net.wsgi.calling import (
    Errors,
    FileWrapper,
    Pieces,
    ProtocolBroken,
    body_input,
    call,
    variable,
)
from greenflow.net.wsgi.serving import application, to_request
from greenflow.payload.stream import Stream


def environ(**given: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"QUERY_STRING": ""}
    setup_testing_defaults(made)
    made.update(given)
    return made


class Site:
    """A site that answers with what it is given."""

    def __init__(self, answer: Callable[[Request, Respond], object], limits: Limits) -> None:
        self.answer, self.limits, self.streams = answer, limits, False
        self.refusals: list[Any] = []

    def serve(self, request: Request, respond: Respond) -> None:
        self.answer(request, respond)

    def tell_refused(self, *refusal: Any) -> None:
        self.refusals.append(refusal)

    def headers_for(self, origin: str | None) -> list[tuple[str, str]]:
        return [] if origin is None else [("Access-Control-Allow-Origin", origin)]


def ask(
    answer: Callable[[Request, Respond], object], limits: Limits | None = None, **given: Any
) -> tuple[str, dict[str, str], bytes]:
    """The answer of a handler through the validator."""
    told: list[Any] = []
    site = Site(answer, limits or Limits())
    result = validator(application(lambda environ: site))(  # type: ignore[arg-type]
        environ(**given), lambda status, headers, exc_info=None: told.extend((status, headers))
    )
    body = b"".join(result)
    result.close()  # type: ignore[attr-defined]
    return told[0], dict(told[1]), body


# -- serving: a handler as an application ------------------------------------------------------


def test_an_answer_is_framed_and_hop_by_hop_headers_are_dropped() -> None:
    headers = [("Content-Type", "text/plain"), ("Connection", "close"), ("Upgrade", "x")]
    got = ask(lambda request, respond: respond(Response(201, headers, b"made")))
    assert got == (
        "201 Created",
        {"Content-Type": "text/plain", "Content-Length": "4"},
        b"made",
    )


@pytest.mark.parametrize("status", [200, 204, 304, 404, 599])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_validator_is_content_with_any_status(status: int, method: str) -> None:
    headers = [("Content-Type", "text/plain")]
    _, _, body = ask(
        lambda request, respond: respond(Response(status, headers, b"x")), REQUEST_METHOD=method
    )
    assert body == (b"" if method == "HEAD" or status in (204, 304) else b"x")


def test_an_empty_answer_has_a_type() -> None:
    assert ask(lambda request, respond: respond(Response()))[1]["Content-Type"]


def test_a_request_is_what_the_environ_says() -> None:
    made = to_request(
        environ(
            REQUEST_METHOD="POST",
            SCRIPT_NAME="/flow",
            PATH_INFO="/a b/\xc3\xa9",
            QUERY_STRING="x=1",
            CONTENT_TYPE="text/plain",
            CONTENT_LENGTH="3",
            HTTP_X_MANY="1, 2",
            REMOTE_ADDR="1.2.3.4",
            **{"wsgi.input": BytesIO(b"abcdef")},
        ),
        Limits(),
        False,
    )
    assert (made.path, made.query, made.body) == ("/a%20b/%C3%A9", "x=1", b"abc")
    assert made.header("x-many") == "1, 2"
    assert made.header("content-type") == "text/plain"
    assert made.client == ("1.2.3.4", 0)


def test_the_path_is_as_sent_where_the_server_tells() -> None:
    given = {"SCRIPT_NAME": "/flow", "PATH_INFO": "/a/b", "RAW_URI": "/flow/a%2Fb?x"}
    assert to_request(environ(**given), Limits(), False).path == "/a%2Fb"
    given["RAW_URI"] = "/other"
    assert to_request(environ(**given), Limits(), False).path == "/a/b"


@given(st.binary(max_size=40))
def test_any_path_is_the_same_after_decoding(raw: bytes) -> None:
    from urllib.parse import unquote_to_bytes

    path = b"/" + raw
    made = to_request(environ(PATH_INFO=path.decode("latin-1")), Limits(), False)
    assert unquote_to_bytes(made.path) == path
    assert made.path.isascii()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"CONTENT_LENGTH": "9"}, 413),
        ({"CONTENT_LENGTH": "x"}, 400),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "5", "wsgi.input": BytesIO(b"abc")}, 400),
        (
            {
                "HTTP_TRANSFER_ENCODING": "chunked",
                "wsgi.input": BytesIO(b"a" * 9),
                "wsgi.input_terminated": True,
            },
            413,
        ),
        ({"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": BytesIO(b"a" * 9)}, 411),
        ({"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": False}, 411),
    ],
)
def test_a_bad_body_is_refused(given: dict[str, Any], status: int) -> None:
    with pytest.raises(Refused) as refused:
        to_request(environ(**given), Limits(body=8), False)
    assert refused.value.status == status


def test_a_body_without_length_is_read_to_its_end() -> None:
    source = {"wsgi.input_terminated": True, "wsgi.input": BytesIO(b"abc")}
    assert to_request(environ(**source), Limits(), False).body == b""
    assert to_request(environ(REQUEST_METHOD="PUT", **source), Limits(), False).body == b"abc"
    streamed = to_request(
        environ(CONTENT_LENGTH="2", **{"wsgi.input": BytesIO(b"xyz")}), Limits(), True
    )
    assert isinstance(streamed.body, Stream)
    assert streamed.body.read(10) == b"xy"


class Endless:
    """The input of a server that does not say where it ends: reading on waits for ever."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("read beyond what there is")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_an_input_that_may_not_end_is_not_read(method: str) -> None:
    bare = {"REQUEST_METHOD": method, "wsgi.input": Endless()}
    for length in ({}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}):
        for streams in (False, True):
            assert to_request(environ(**bare, **length), Limits(), streams).body == b""


def test_a_page_of_another_origin_may_read_what_is_refused() -> None:
    def fail(request: Request, respond: Respond) -> None:
        raise ValueError

    origin = {"HTTP_ORIGIN": "https://a.test"}
    for status, body in (
        ("413", {"CONTENT_LENGTH": "9"}),
        ("400", {"CONTENT_LENGTH": "5", "wsgi.input": BytesIO(b"abc")}),
        ("411", {"HTTP_TRANSFER_ENCODING": "chunked"}),
        ("500", {}),
    ):
        told, headers, _ = ask(fail, Limits(body=8), **origin, **body)
        assert told.startswith(status)
        assert headers["Access-Control-Allow-Origin"] == "https://a.test"


def test_a_handler_that_fails_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    def fail(request: Request, respond: Respond) -> None:
        raise ValueError("secret")

    status, _, body = ask(fail)
    assert (status, body) == ("500 Internal Server Error", b"Internal Server Error")
    assert "secret" in caplog.text
    assert ask(lambda request, respond: None)[0].startswith("500")


def test_a_header_that_would_be_two_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    split = Response(200, [("X-A", "a\r\nX-B: b")], b"")
    assert ask(lambda request, respond: respond(split))[0].startswith("500")


def test_without_a_site_it_is_503() -> None:
    told: list[Any] = []
    body = application(lambda environ: None)(environ(), lambda *start: told.extend(start))
    assert (told[0], b"".join(body)) == ("503 Service Unavailable", b"Service Unavailable")


# -- calling: an application as an answer ------------------------------------------------------


def calling(application: Any, **given: Any) -> Any:
    return call(application, environ(**given))


TYPE = [("Content-Type", "text/plain")]


def test_a_list_is_a_whole_answer() -> None:
    def app(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [*TYPE, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b"ab", b"", b"c"]

    called = calling(app)
    assert called == (200, [*TYPE, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], b"abc", 3)


class Counted:
    """An iterable that notes what is done with it."""

    def __init__(self, *pieces: bytes, fails: bool = False) -> None:
        self.pieces, self.fails, self.given, self.closed = pieces, fails, 0, 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.given += 1
            yield piece
        if self.fails:
            raise ValueError("broken")

    def close(self) -> None:
        self.closed += 1

    def __call__(self, environ: Any, start: Any) -> Counted:
        start("200 OK", self.headers)
        return self

    headers: list[tuple[str, str]] = TYPE


def test_other_answers_are_streamed_and_closed_once() -> None:
    app = Counted(b"", b"a", b"b", b"c")
    called = calling(app)
    assert app.given == 2  # no more than what the status needs
    assert isinstance(called.body, Pieces)
    assert list(called.body) == [b"a", b"b", b"c"]
    assert app.closed == 0
    called.body.close()
    called.body.close()
    assert app.closed == 1


def test_an_answer_whose_first_piece_is_all_is_whole() -> None:
    app = Counted(b"abc", b"")
    app.headers = [*TYPE, ("Content-Length", "3")]
    assert (calling(app).body, app.closed) == (b"abc", 1)


@pytest.mark.parametrize("pieces", [(b"abcd",), (b"a", b"bcd"), (b"a", b"b")])
def test_an_answer_of_another_length_is_an_error(pieces: tuple[bytes, ...]) -> None:
    app = Counted(*pieces)
    app.headers = [*TYPE, ("Content-Length", "3")]

    def take() -> None:
        with closing(calling(app).body) as body:
            list(body)

    with pytest.raises(ProtocolBroken):
        take()
    assert app.closed == 1


def test_an_answer_that_fails_is_closed() -> None:
    app = Counted(fails=True)
    with pytest.raises(ValueError, match="broken"):
        calling(app)
    assert app.closed == 1


def test_head_is_answered_without_a_body_and_with_its_length() -> None:
    app = Counted(b"abc", b"def")
    app.headers = [*TYPE, ("Content-Length", "6")]
    called = calling(app, REQUEST_METHOD="HEAD")
    assert (called.body, called.length, app.closed) == (b"", 6, 1)


def test_a_generator_may_start_at_its_first_piece() -> None:
    def app(environ: Any, start: Any) -> Iterator[bytes]:
        start("202 Accepted", TYPE)
        yield b"a"

    called = calling(app)
    assert (called.status, list(called.body)) == (202, [b"a"])


def test_what_is_written_comes_first() -> None:
    def app(environ: Any, start: Any) -> Iterable[bytes]:
        write = start("200 OK", TYPE)
        write(b"a")
        write(b"b")
        return [b"c"]

    assert calling(app).body == b"abc"


@pytest.mark.parametrize("length", [None, 23])
def test_what_is_written_and_what_is_yielded_keep_their_order(length: int | None) -> None:
    def app(environ: Any, start: Any) -> Iterator[bytes]:
        sized = [] if length is None else [("Content-Length", str(length))]
        write = start("200 OK", [*TYPE, *sized])
        write(b"one ")
        yield b"two "
        write(b"three ")
        write(b"")
        yield b"four "
        yield b""
        write(b"five")

    body = calling(app).body
    assert b"".join([body] if isinstance(body, bytes) else body) == b"one two three four five"


@pytest.mark.parametrize("last", ["yielded", "written"])
def test_what_is_written_counts_for_the_length(last: str) -> None:
    def app(environ: Any, start: Any) -> Iterator[bytes]:
        write = start("200 OK", [*TYPE, ("Content-Length", "2")])
        yield b"a"
        if last == "written":
            write(b"bc")
        else:
            write(b"b")
            yield b"c"

    with pytest.raises(ProtocolBroken, match="longer than its Content-Length"):
        b"".join(calling(app).body)


def test_a_generator_that_only_writes() -> None:
    def app(environ: Any, start: Any) -> Iterator[bytes]:
        write = start("200 OK", TYPE)
        write(b"a")
        yield b""
        write(b"b")

    body = calling(app).body
    assert b"".join([body] if isinstance(body, bytes) else body) == b"ab"


def test_an_error_may_replace_the_start() -> None:
    def app(environ: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", TYPE)
        try:
            raise ValueError("late")
        except ValueError as error:
            start("500 Oops", TYPE, (ValueError, error, error.__traceback__))
        return [b"oops"]

    assert calling(app)[:3] == (500, TYPE, b"oops")


def test_an_error_after_the_first_bytes_is_raised() -> None:
    def app(environ: Any, start: Any) -> Iterable[bytes]:
        start("200 OK", TYPE)(b"begun")
        try:
            raise ValueError("late")
        except ValueError as error:
            start("500 Oops", TYPE, (ValueError, error, error.__traceback__))
        return []

    with pytest.raises(ValueError, match="late"):
        calling(app)


@pytest.mark.parametrize(
    "app",
    [
        lambda environ, start: [b"no start"],
        lambda environ, start: [start("200 OK", TYPE), start("200 OK", TYPE)],
        lambda environ, start: (start("OK", TYPE), [])[1],
        lambda environ, start: (start("200 OK", [("Content-Length", "x")]), [])[1],
        lambda environ, start: (start("200 OK", [("A", 1)]), [])[1],
        lambda environ, start: (start("200 OK", TYPE), ["text"])[1],
        lambda environ, start: (start("200 OK", [("Content-Length", "2")]), [b"a"])[1],
    ],
)
def test_what_the_protocol_forbids_is_an_error(app: Any) -> None:
    with pytest.raises(ProtocolBroken):
        calling(app)


def test_an_input_is_a_file_that_ends_with_the_body() -> None:
    for source in (body_input(b"ab\ncd\n"), body_input(Stream([b"a", b"b\nc", b"d\n"]))):
        assert source.read(1) == b"a"
        assert source.readline() == b"b\n"
        assert source.readlines() == [b"cd\n"]
        assert source.read(5) == b""


def test_an_input_of_a_stream_is_read_once() -> None:
    stream = Stream([b"a"])
    body_input(stream).read()
    with pytest.raises(InvalidArgument):
        body_input(stream)


def test_a_file_is_given_in_pieces_and_closed() -> None:
    file = BytesIO(b"abcde")
    wrapped = FileWrapper(file, 2)
    assert list(wrapped) == [b"ab", b"cd", b"e"]
    wrapped.close()
    assert file.closed


def test_errors_are_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    errors = Errors(logging.getLogger("greenflow.test"), {"node": "old"})
    errors.write("one\ntw")
    errors.writelines(["o\n", "three"])
    errors.flush()
    assert [record.message for record in caplog.records] == ["one", "two", "three"]


def test_a_header_with_an_underscore_is_no_variable() -> None:
    assert variable("X_Forwarded_For") is None
    assert variable("X-Forwarded-For") == "HTTP_X_FORWARDED_FOR"
    assert variable("Content-Type") == "CONTENT_TYPE"
    assert variable("Transfer-Encoding") is None
