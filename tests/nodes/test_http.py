"""http: payloads become requests, answers become payloads, and what goes wrong goes to `error`."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import (
    EncodeError,
    InvalidArgument,
    ProcessExited,
    RequestFailed,
    RequestTimedOut,
    messages,
)
from greenflow.net.url import parse_url
from greenflow.nodes import http
from greenflow.nodes.http import to_request
from greenflow.runtime import Runtime
from greenflow.stream import Stream
from tests.flows import Flow, flow
from tests.net.loopback import DEADLINE_SECONDS, Client, until
from tests.net.scripted import Answer, Closing, Scripted, reply, scripted

OK = reply(b"")


class Asked:
    """A workflow of one http node, and the server that it asks."""

    def __init__(self, running: Flow, server: Scripted) -> None:
        self.flow, self.server = running, server

    def call(self, payload: Any = None) -> Any:
        return self.flow.call("http", payload, timeout=DEADLINE_SECONDS)

    @property
    def line(self) -> str:
        """Method and target of the last request."""
        return self.server.requests[-1].partition(b" HTTP/1.1\r\n")[0].decode()


@contextmanager
def asked(*answers: Answer, path: str = "", settings: Any = None, **fields: Any) -> Iterator[Asked]:
    """A node whose url names a server with these answers; `fields` are the node's own."""
    with scripted(*answers) as server:
        spec = {"kind": "http", "name": "http", "url": f"http://{server.host}:{server.port}{path}"}
        with flow(json.dumps([{**spec, **fields}]), **(settings or {})) as running:
            yield Asked(running, server)


# -- 11.1, 11.2: what is asked -----------------------------------------------------------------

JSON, TEXT = "application/json; charset=utf-8", "text/plain; charset=utf-8"


FORM = "application/x-www-form-urlencoded"
LATIN = "text/plain; charset=latin-1"


@pytest.mark.parametrize(
    ("payload", "method", "content_type", "body"),
    [
        (None, "GET", None, b""),
        ("text", "POST", TEXT, b"text"),
        ("", "POST", TEXT, b""),
        (b"\0\xff", "POST", "application/octet-stream", b"\0\xff"),
        (7, "POST", JSON, b"7\n"),
        (False, "POST", JSON, b"false\n"),
        ([1, None], "POST", JSON, b"[1,null]\n"),
        ({}, "POST", JSON, b"{}\n"),
        ({"method": "PUT", "other": 1}, "POST", JSON, b'{"method":"PUT","other":1}\n'),
        ({"body": None}, "GET", None, b""),
        ({"body": {"a": 1}}, "POST", JSON, b'{"a":1}\n'),
        ({"method": "PUT"}, "PUT", None, b""),
        ({"method": "delete", "body": "x"}, "DELETE", TEXT, b"x"),
        ({"method": "GET", "body": "x"}, "GET", TEXT, b"x"),
        ({"method": "", "body": None}, "GET", None, b""),
        ({"status": 200, "params": {}, "protocol": "HTTP/1.0"}, "GET", None, b""),
        ({"body": None, "header": {"content-type": JSON}}, "POST", JSON, b"null\n"),
        ({"body": None, "header": {"content-type": "text/html"}}, "GET", "text/html", b""),
        ({"body": {"a": [1, "2"]}, "header": {"Content-Type": FORM}}, "POST", FORM, b"a=1&a=2"),
        ({"body": "\xe9", "header": {"CONTENT-TYPE": [LATIN]}}, "POST", LATIN, b"\xe9"),
    ],
)
def test_a_map_of_payload_fields_is_the_request_all_else_its_body(
    payload: Any, method: str, content_type: str | None, body: bytes
) -> None:
    with asked(OK) as one:
        one.call(payload)
        assert one.line == f"{method} /"
        assert one.server.header("Content-Type") == content_type
        assert one.server.body() == body


def test_a_body_in_the_coding_that_its_header_names() -> None:
    with asked(OK, OK) as one:
        one.call({"body": "text", "header": {"Content-Encoding": "gzip, deflate"}})
        assert gzip.decompress(zlib.decompress(one.server.body())) == b"text"
        assert one.server.header("Content-Encoding") == "gzip, deflate"
        one.call({"header": {"Content-Encoding": "gzip"}})
        assert one.server.header("Content-Encoding") is None
        with pytest.raises(EncodeError, match="'rot13'"):
            one.call({"body": "x", "header": {"Content-Encoding": "rot13"}})


@pytest.mark.parametrize(
    ("url", "payload", "target"),
    [
        ("", {}, "/"),
        ("", {"path": "/a"}, "/a"),
        ("", {"path": "a b/ü%20%zz"}, "/a%20b/%C3%BC%20%25zz"),
        ("/api", {}, "/api"),
        ("/api/", {"path": "/v1/"}, "/api/v1/"),
        ("/api", {"path": "v1"}, "/api/v1"),
        ("/api", {"path": "/../../etc/passwd"}, "/api/etc/passwd"),
        ("/api", {"path": "/%2e%2E/x/%2e"}, "/api/x/"),
        ("/api", {"path": "//evil.test/x"}, "/api//evil.test/x"),
        ("/api", {"path": "/a?b#c"}, "/api/a%3Fb%23c"),
        ("/api", {"path": "/\r\nX: y"}, "/api/%0D%0AX:%20y"),
        ("/a?x=1", {}, "/a?x=1"),
        ("/a?x=1&y", {"query": {"x": ["2", "3"], "z": "ü &="}}, "/a?x=2&x=3&z=%C3%BC+%26%3D&x=1&y"),
        ("?x=1", {"query": {}}, "/?x=1"),
        ("", {"query": {"a": 1, "b": True}}, "/?a=1&b=true"),
        ("/a#f", {"query": {"q": ""}}, "/a?q="),
    ],
)
def test_the_path_of_the_node_is_the_prefix_and_its_query_is_added(
    url: str, payload: Any, target: str
) -> None:
    with asked(OK, path=url) as one:
        one.call({"header": {}, **payload})
        assert one.line == f"GET {target}"


def test_scheme_and_host_of_the_node_override_those_of_the_payload() -> None:
    with asked(OK) as one:
        one.call({"scheme": "https", "host": "evil.test:99", "header": {"Host": "evil.test"}})
        assert one.server.header("Host") == f"127.0.0.1:{one.server.port}"


@pytest.mark.parametrize(
    ("url", "payload", "whole"),
    [
        ("", {"host": "a.test"}, "https://a.test/"),
        ("", {"scheme": "http", "host": "a.test:8080", "path": "/x"}, "http://a.test:8080/x"),
        ("", {"scheme": "http", "host": "[::1]:80"}, "http://[::1]/"),
        ("", {"host": "BÜCHER.test"}, "https://xn--bcher-kva.test/"),
        ("/api?k=v", {"host": "a.test", "path": "x"}, "https://a.test/api/x?k=v"),
        ("//a.test", {"scheme": "http", "host": "b.test"}, "http://a.test/"),
        ("//a.test:81", {"scheme": "http"}, "http://a.test:81/"),
        ("//a.test", {"path": "/"}, "https://a.test/"),
        ("http://a.test:80", {"scheme": "https"}, "http://a.test/"),
    ],
)
def test_what_the_node_leaves_open_the_payload_says(url: str, payload: Any, whole: str) -> None:
    found = to_request(parse_url(url), payload).url
    assert f"{found}{found.target}" == whole


# -- 11.3: headers and redirects ---------------------------------------------------------------


def test_headers_are_sent_less_those_of_a_hop() -> None:
    header: dict[str, Any] = {
        "accept": "text/html",
        "X-List": ["a", "b"],
        "X-Number": 7,
        "X-Empty": [],
        "Cookie": ["a=b", "c=d"],
        "Authorization": "Bearer x",
        "X-Latin": "\xe9",
        "X-Hop": "1",
        "Connection": "close, X-Hop",
        "Keep-Alive": "timeout=5",
        "Proxy-Authorization": "Basic x",
        "TE": "trailers",
        "Trailer": "X",
        "Upgrade": "h2c",
        "Transfer-Encoding": "gzip",
        "Content-Length": "1000",
        "Host": "evil.test",
        "Expect": "100-continue",
    }
    with asked(OK) as one:
        one.call({"header": header, "body": "x"})
        lines = one.server.requests[0].partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        assert sorted(lines[1:]) == [
            "Accept-Encoding: " + ", ".join(http.CODINGS),
            "Accept: text/html",
            "Authorization: Bearer x",
            "Content-Length: 1",
            "Content-Type: text/plain; charset=utf-8",
            "Cookie: a=b; c=d",
            f"Host: 127.0.0.1:{one.server.port}",
            "User-Agent: " + http._user_agent(),
            "X-Latin: \xe9",
            "X-List: a, b",
            "X-Number: 7",
        ]


@pytest.mark.parametrize(
    ("header", "stream", "asked_for"),
    [
        ({}, False, ", ".join(http.CODINGS)),
        ({}, True, "identity"),
        ({"Accept-Encoding": "gzip;q=0.5, zz, deflate"}, False, "gzip;q=0.5, deflate"),
        ({"Accept-Encoding": "zz"}, False, "identity"),
        ({"Accept-Encoding": "zz"}, True, "zz"),
        ({"Range": "bytes=0-9"}, False, "identity"),
    ],
)
def test_only_codings_that_can_be_decoded_are_asked_for(
    header: Any, stream: bool, asked_for: str
) -> None:
    request = to_request(parse_url("http://a.test"), {"header": header}, stream)
    assert request.headers["Accept-Encoding"] == asked_for


def test_credentials_of_the_url_are_sent_unless_the_payload_has_some() -> None:
    url = parse_url("http://me:s%3Acret@a.test/")
    assert to_request(url, None).headers["Authorization"] == "Basic bWU6czpjcmV0"
    own = {"header": {"authorization": "Bearer x"}}
    assert to_request(url, own).headers["Authorization"] == "Bearer x"


def test_redirects_are_followed() -> None:
    there = reply(b"", "Location: ../there?a", status=302)
    with asked(there, reply(b"ok", "Content-Type: text/plain"), *[there] * 11) as one:
        assert one.call({"path": "/a/b", "body": "x", "query": {"q": "1"}})["body"] == "ok"
        assert one.line == "GET /there?a"
        with pytest.raises(RequestFailed, match="more than 10 redirects"):
            one.call()


# -- 11.4: the answer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "raw", "body"),
    [
        ("application/json", b'{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ("application/problem+json", b"1", 1),
        ("text/plain; charset=latin-1", b"\xe9", "\xe9"),
        ("text/html", b"<p>", b"<p>"),
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
    return gzip.compress(bytes(size))


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
        (reply(bomb(10**9)[:100_000], "Content-Encoding: gzip"), "a body over 8388608 bytes"),
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


# -- requests that make no sense ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"method": 5}, "the method of a request"),
        ({"method": "GET / HTTP/1.1\r\nX: y"}, "the method of a request"),
        ({"method": "CONNECT"}, "the method of a request"),
        ({"path": 5}, "the path of a request is a string"),
        ({"path": "/\ud800"}, "the path of a request"),
        ({"query": "a=b"}, "the query of a request: a form is a map"),
        ({"query": {"a": {"b": 1}}}, "the query of a request"),
        ({"header": "X: y"}, "the header of a request is a map"),
        ({"header": {"X": None}}, "the header 'X' is no string"),
        ({"header": {"X": {"a": 1}}}, "the header 'X' is no string"),
        ({"header": {"X": [["a"]]}}, "the header 'X' is no string"),
        ({"header": {"X": True}}, "the header 'X' is no string"),
        ({"header": {"X": "a\r\nY: b"}}, "has characters that no header has"),
        ({"header": {"X": "a\nb"}}, "has characters that no header has"),
        ({"header": {"X": "\0"}}, "has characters that no header has"),
        ({"header": {"X Y": "a"}}, "has characters that no header has"),
        ({"header": {"X:": "a"}}, "has characters that no header has"),
        ({"header": {"": "a"}}, "has characters that no header has"),
        ({"header": {"X": "\u20ac"}}, "is not ISO-8859-1"),
    ],
)
def test_fields_that_make_no_request(payload: Any, reason: str) -> None:
    with asked() as one:
        with pytest.raises(InvalidArgument) as caught:
            one.call(payload)
        assert reason in "; ".join(messages(caught.value))
        assert one.server.accepted == 0


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, "no host"),
        ({"path": "/"}, "no host"),
        ({"host": ""}, "no host"),
        ({"host": 5}, "no host"),
        ({"host": "a.test", "scheme": "ftp"}, "http or https"),
        ({"host": "a.test", "scheme": ["http"]}, "http or https"),
        ({"host": "user@a.test"}, "it holds a user name"),
        ({"host": "a.test/x"}, "letters, digits"),
        ({"host": "a.test:0"}, "the port 0"),
        ({"host": "a b"}, "letters, digits"),
        ({"host": "a\r\nb"}, "letters, digits"),
    ],
)
def test_hosts_that_are_none(payload: Any, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        to_request(parse_url(""), payload)
    assert reason in "; ".join(messages(caught.value))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(http._REQUEST_KEYS)), VALUES), st.booleans())
def test_any_fields_make_a_request_or_an_error_of_their_sender(payload: Any, stream: bool) -> None:
    try:
        request = to_request(parse_url("http://a.test/x"), payload, stream)
    except (InvalidArgument, EncodeError):
        return
    assert request.url.host == "a.test"
    assert request.url.target.startswith("/x")
    written = [request.method, request.url.target, *request.headers, *request.headers.values()]
    assert not any(character in text for text in written for character in "\r\n\0")


# -- specs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"url": "host/path"}, r"\$\.url: a URL begins with http://"),
        ({"url": "ftp://host"}, r"\$\.url: the scheme is http or https, not ftp"),
        ({"url": "http://us er@host"}, r"\$\.url: a URL has no blanks"),
        ({"proxy": "https://host"}, r"\$\.proxy: a proxy is http://HOST:PORT"),
        ({"proxy": "http://host/path"}, r"\$\.proxy: a proxy is http://HOST:PORT"),
        ({"proxy": "//host"}, r"\$\.proxy: a proxy is http://HOST:PORT"),
        ({"proxy": "host:3128"}, r"\$\.proxy: "),
        ({"timeout": 0}, r"\$\.timeout: "),
        ({"limits": {"body": -1}}, r"\$\.limits\.body: "),
        ({"tls": {"key": "key.pem"}}, r"\$\.tls: tls\.key needs tls\.cert"),
        ({"tls": {"verfy": False}}, r"\$\.tls\.verfy: unknown field; did you mean 'verify'\?"),
    ],
)
def test_what_makes_no_sense_in_a_spec_is_told(fields: dict[str, Any], fault: str) -> None:
    with Runtime("memory://") as running, pytest.raises(Exception, match=fault):
        running.operations.apply({"kind": "http", "name": "a", **fields})


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        ({"ca": "/no/ca.pem"}, "/no/ca.pem: No such file or directory"),
        ({"ca": "/"}, "/: Is a directory"),
        ({"ca": "-----BEGIN x"}, "tls.ca: no certificates in PEM form: "),
        (
            {"cert": "-----BEGIN x"},
            "tls.cert and tls.key: no certificate with its key, which has no",
        ),
        ({"cert": "-----BEGIN x", "key": "no.pem"}, "no.pem: No such file"),
    ],
)
def test_certificates_that_cannot_be_used_keep_the_node_inactive(tls: Any, reason: str) -> None:
    spec = {"kind": "http", "name": "a", "url": "https://a.test", "tls": tls}
    with Runtime("memory://", specs=[spec]) as running:
        (status,) = running.status()
        assert status["reason"].startswith(reason)


# -- the life of a node ------------------------------------------------------------------------


def test_a_node_that_is_replaced_closes_its_connections_when_they_are_not_used() -> None:
    go = gevent.event.Event()

    def late(sock: Any) -> None:
        go.wait(DEADLINE_SECONDS)
        sock.sendall(reply(b"late", "Content-Type: text/plain"))

    with asked(OK, late, OK) as one:
        asking = gevent.spawn(one.call)
        asking.join()
        asking = gevent.spawn(one.call)
        until(lambda: len(one.server.requests) == 2)
        spec = {"kind": "http", "name": "http", "url": f"http://127.0.0.1:{one.server.port}/new"}
        one.flow.runtime.operations.apply(spec)
        until(lambda: one.flow.runtime.table.find("http").version.node.spec.url.endswith("new"))
        assert one.call()["status"] == 200
        assert one.line == "GET /new"
        go.set()
        assert asking.get()["body"] == "late"
        until(lambda: one.server.open == 1)
        assert one.server.accepted == 2


def test_a_process_that_exits_closes_its_connection() -> None:
    with asked(b"", b"HTTP/1.1 200 OK\r\n\r\nbegun") as one:
        for number in (1, 2):
            asking = gevent.spawn(one.call)
            until(lambda: len(one.server.requests) == number)  # noqa: B023
            (process,) = one.flow.runtime.services.processes
            process.exit()
            with pytest.raises(ProcessExited):
                asking.get(timeout=DEADLINE_SECONDS)
            until(lambda: one.server.open == 0)


def test_many_requests_at_once() -> None:
    with asked(*[reply(b"x")] * 200) as one:
        calls = [gevent.spawn(one.call) for _ in range(200)]
        assert all(call.get()["body"] == b"x" for call in calls)
        assert one.server.accepted <= 200
        until(lambda: one.server.open <= 64)


def test_urllib3_is_imported_by_the_first_node_that_opens() -> None:
    program = """
import sys
from greenflow import Runtime
spec = {"kind": "http", "name": "a", "url": "http://a.test/"}
with Runtime("memory://") as flow:
    from greenflow.nodes import http
    assert not {"urllib3", "http.client"} & set(sys.modules)
    flow.operations.apply(spec)
    import gevent
    while not flow.status():
        gevent.sleep(0.01)
    assert "urllib3" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# -- streams -----------------------------------------------------------------------------------


@contextmanager
def passing(*answers: Answer, **fields: Any) -> Iterator[tuple[Client, Scripted]]:
    """A client of a listener that passes requests on to a server, streamed both ways."""
    with scripted(*answers) as server:
        url = f"http://{server.host}:{server.port}"
        specs = [
            {"kind": "listener", "name": "in", "port": 0, "links": {"out": {"name": "up"}}},
            {"kind": "http", "name": "up", "url": url, **fields},
        ]
        for spec in specs:
            spec["stream"] = True
        with flow(json.dumps(specs)) as running:
            listener = running.runtime.table.find("in").version.node
            client = Client(listener.lease.address)
            try:
                yield client, server
            finally:
                client.socket.close()


def test_a_stream_passes_as_it_comes() -> None:
    steps = [gevent.event.Event() for _ in range(2)]

    def answer(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 201 X\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n")
        for step in steps:
            step.wait(DEADLINE_SECONDS)
            sock.sendall(b"3\r\none\r\n")
        sock.sendall(b"0\r\n\r\n")

    with passing(answer, OK) as (client, server):
        client.send("GET /x HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
        status, headers = client.head()
        assert (status, headers["x-a"], headers["transfer-encoding"]) == (201, "b", "chunked")
        assert server.header("Accept-Encoding") == "br"
        for step in steps:
            step.set()
            assert client._exactly(8) == b"3\r\none\r\n"
        assert client._exactly(5) == b"0\r\n\r\n"
        assert client.ask("/empty").body == b""
        assert server.accepted == 1


def test_a_body_passes_as_it_comes() -> None:
    with passing(reply(b"ok"), reply(b"ok")) as (client, server):
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        until(lambda: server.open == 1)
        client.send("3\r\ntwo\r\n0\r\n\r\n")
        assert client.answer().body == b"ok"
        assert server.body() == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        assert server.header("Content-Type") == "application/octet-stream"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\nbegun"])
def test_a_client_that_leaves_closes_the_connection_behind(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenflow.nodes.listener.AFTER_DISCONNECT", 0.01)
    with passing(answer) as (client, server):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: len(server.requests) == 1)
        if answer:
            assert client.head()[0] == 200
        client.reset()
        until(lambda: server.open == 0)


def test_a_server_that_fails_in_the_middle_breaks_the_answer_off() -> None:
    with passing(Closing(reply(b"begun", length=100))) as (client, _):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.head()
        with pytest.raises((ConnectionResetError, EOFError)):
            client._exactly(100)


def test_a_limit_breaks_a_stream() -> None:
    with passing(reply(b"x" * 100), limits={"body": 99}) as (client, _):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.head()
        with pytest.raises((ConnectionResetError, EOFError)):
            client._exactly(120)


def test_a_stream_that_is_not_read_is_given_up_with_its_process() -> None:
    with asked(reply(b"x" * 1_000_000), reply(b""), stream=True) as one:
        body = one.call()["body"]
        assert isinstance(body, Stream)
        until(lambda: one.server.open == 0)
        with pytest.raises(InvalidArgument):
            body.read(10)
        assert one.call()["body"] is None


def test_a_body_of_many_times_the_memory_passes_through() -> None:
    piece, count = b"x" * 2**20, 64

    def answer(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(piece)))
        for _ in range(count):
            sock.sendall(piece)

    with passing(answer) as (client, _):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.head()
        received, end = len(client.buffer), b""
        while not end.endswith(b"\r\n0\r\n\r\n"):
            data = client.socket.recv(2**20)
            received, end = received + len(data), (end + data)[-7:]
        assert count * len(piece) < received < 1.01 * count * len(piece)
