"""http: payloads become requests (BEHAVIOUR 11.1 to 11.3)."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import (
    EncodeError,
    InvalidArgument,
    RequestFailed,
    messages,
)
from greenflow.net.mime.coding import known_codings
from greenflow.net.url import parse_url
from greenflow.nodes import http
from greenflow.nodes.envelope import KEYS
from greenflow.nodes.http import to_request
from greenflow.runtime import Runtime
from tests.net.scripted import reply
from tests.nodes.upstream import OK, asked

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
            "Accept-Encoding: " + ", ".join(known_codings()),
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
        ({}, False, ", ".join(known_codings())),
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


def test_redirects_may_be_handed_on() -> None:
    there = reply(b"over there", "Location: /there", "Set-Cookie: a=b", status=302)
    for stream in (False, True):
        with asked(there, redirects="hand_on", stream=stream) as one:
            answer = one.call({"path": "/a"})
            assert (answer["status"], answer["header"]["Location"]) == (302, ["/there"])
            assert answer["header"]["Set-Cookie"] == ["a=b"]


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


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), VALUES), st.booleans())
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
