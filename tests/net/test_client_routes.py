"""The HTTP client's ways to a server: redirects and proxies."""

from __future__ import annotations

import pytest

from greenflow.errors import AddressForbidden, RequestFailed, RequestTimedOut
from greenflow.net.address import Allowed
from greenflow.net.outgoing import ClientRequest
from greenflow.net.url import Url
from greenflow.payload.stream import Stream
from tests.net.asking import SECRETS, ask, client_of, moved, proxy_of
from tests.net.scripted import Closing, reply, scripted
from tests.waiting import until

# -- redirects ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (301, "PUT", "PUT"),
        (301, "HEAD", "HEAD"),
        (302, "POST", "GET"),
        (302, "DELETE", "DELETE"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "GET", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "GET", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ],
)
def test_the_method_of_a_redirected_request(status: int, method: str, then: str) -> None:
    body = b"body" if method in ("POST", "PUT", "PATCH") else None
    first = moved("/new", status, b"" if method == "HEAD" else b"see there")
    with scripted(first, reply(b"")) as server, client_of(server) as asking:
        headers = {"Content-Type": "text/plain", "Content-Language": "en", "X-A": "b", **SECRETS}
        assert ask(asking, server.url("/old"), method, headers, body).status == 200
        assert server.requests[1].startswith(f"{then} /new HTTP/1.1\r\n".encode())
        sent = body if then == method else None
        assert server.body() == (sent or b"")
        assert server.header("Content-Length") == (None if sent is None else "4")
        kept = then == method
        assert server.header("Content-Type") == ("text/plain" if kept else None)
        assert server.header("Content-Language") == ("en" if kept else None)
        for name, value in {"X-A": "b", **SECRETS}.items():
            assert server.header(name) == value
        assert server.accepted == 1


@pytest.mark.parametrize("status", [300, 304, 305, 201, 404])
def test_other_statuses_are_answers_with_a_location(status: int) -> None:
    with scripted(moved("/new", status)) as server, client_of(server) as asking:
        assert ask(asking, server.url()).status == status
        assert len(server.requests) == 1


def test_a_redirect_without_a_location_is_an_answer() -> None:
    with scripted(reply(b"where?", status=302)) as server, client_of(server) as asking:
        assert ask(asking, server.url())[0::2] == (302, b"where?")


def test_relative_locations_and_the_host_header() -> None:
    with scripted(moved("../c?d=e#f"), moved("//127.0.0.1:1/"), reply(b"")) as server:
        locations = [moved(f"//{server.host}:{server.port}"), reply(b"ok")]
        server.answers[1:] = locations
        with client_of(server) as asking:
            assert ask(asking, server.url("/a/b/x", query="y=z")).body == b"ok"
        lines = [request.split(b" ")[1] for request in server.requests]
        assert lines == [b"/a/b/x?y=z", b"/a/c?d=e", b"/"]
        assert server.header("Host") == f"{server.host}:{server.port}"


def test_ten_redirects_are_followed_and_an_eleventh_is_an_error() -> None:
    with scripted(*[moved("/")] * 10, reply(b"there"), *[moved("/")] * 11) as server:
        with client_of(server) as asking:
            assert ask(asking, server.url()).body == b"there"
            with pytest.raises(RequestFailed, match="more than 10 redirects"):
                ask(asking, server.url())
        assert len(server.requests) == 22
        assert server.accepted == 1


def test_what_proves_who_we_are_stays_with_the_origin() -> None:
    with scripted(reply(b"there"), reply(b"back"), host="127.0.0.2") as other:
        with scripted(moved(f"http://127.0.0.2:{other.port}/")) as server:
            with client_of(server, other) as asking:
                headers = {"X-A": "b", **SECRETS, "authorization": "again"}
                assert ask(asking, server.url(), headers=headers).body == b"there"
            assert server.header("Cookie") == "a=b"
        assert (other.header("X-A"), other.header("Host")) == ("b", f"127.0.0.2:{other.port}")
        assert other.header("Authorization") is None
        assert other.header("Cookie") is None


def test_another_port_and_another_scheme_are_other_origins() -> None:
    with scripted(reply(b"there")) as other:
        moving = scripted(moved(f"http://127.0.0.1:{other.port}/"))
        with moving as server, client_of(server, other) as asking:
            ask(asking, server.url(), headers=dict(SECRETS))
        assert other.header("Cookie") is None


def test_a_body_of_a_redirect_does_not_matter() -> None:
    chunked = (
        b"HTTP/1.1 302 X\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    )
    large = moved("/", body=b"x" * 1_000_000)
    with scripted(chunked, large, reply(b"ok")) as server, client_of(server) as asking:
        assert ask(asking, server.url()).body == b"ok"
        assert server.accepted == 2  # one that has much to say is closed


def test_a_stream_is_not_sent_again() -> None:
    answers = moved("/", 307), moved("/", 303), reply(b"ok")
    with scripted(*answers) as server, client_of(server) as asking:
        with pytest.raises(RequestFailed, match="redirected, but a stream cannot be sent twice"):
            ask(asking, server.url(), "POST", body=Stream([b"x"]))
        assert ask(asking, server.url(), "POST", body=Stream([b"x"])).body == b"ok"


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http:///",
        "http://user@127.0.0.1/",
        "//127.0.0.1:99999/",
        "/\\evil",
        "http://\xff/",
        "http:x",
    ],
)
def test_a_location_that_cannot_be_followed(location: str) -> None:
    with scripted(moved(location)) as server, client_of(server) as asking:
        with pytest.raises(RequestFailed, match="its Location cannot be followed: ") as caught:
            ask(asking, server.url("/secret"))
        assert "secret" not in str(caught.value)
        assert "evil" not in str(caught.value)


def test_a_redirect_to_a_host_that_is_not_public_is_forbidden() -> None:
    with scripted(reply(b"secret"), reply(b"allowed")) as inside:
        answers = [moved(f"http://127.0.0.1:{inside.port}/")] * 2
        with scripted(*answers) as server:
            with client_of(server) as asking, pytest.raises(AddressForbidden, match=r"http\.allow"):
                ask(asking, server.url())
            assert inside.accepted == 0
            with client_of(server, allowed=Allowed.parse(["loopback"])) as asking:
                assert ask(asking, server.url()).body == b"secret"


# -- proxies -----------------------------------------------------------------------------------


def test_a_proxy_is_asked_for_the_whole_url() -> None:
    with scripted(reply(b"1"), reply(b"2"), moved("http://b.test/y"), reply(b"3")) as proxy:
        homes = [("a.test", 80), ("b.test", 80), ("c.test", 8080)]
        with client_of(homes=homes, proxy=proxy_of(proxy, "me:s%3Acret@")) as asking:
            a, b = Url("http", "a.test", 80, "/x", "y"), Url("http", "c.test", 8080, "")
            assert [ask(asking, url).body for url in (a, b, a)] == [b"1", b"2", b"3"]
        lines = [request.partition(b"\r\n")[0] for request in proxy.requests]
        assert lines == [
            b"GET http://a.test/x?y HTTP/1.1",
            b"GET http://c.test:8080/ HTTP/1.1",
            b"GET http://a.test/x?y HTTP/1.1",
            b"GET http://b.test/y HTTP/1.1",
        ]
        assert proxy.header("Host", 1) == "c.test:8080"
        assert proxy.header("Proxy-Authorization") == "Basic bWU6czpjcmV0"
        assert proxy.accepted == 1


def test_a_proxy_that_is_away_or_refuses() -> None:
    with scripted() as gone:
        away = proxy_of(gone)
    url = Url("https", "a.test", 443, "/")
    refused = pytest.raises(RequestFailed, match=r"GET https://a\.test: Connection refused")
    with client_of(homes=[("a.test", 443)], proxy=away) as asking, refused:
        ask(asking, url)
    with scripted(Closing(reply(b"", status=407)), b"SSH\r\n", b"HTTP/1.1 200 OK\r\n") as proxy:
        with client_of(homes=[("a.test", 443)], proxy=proxy_of(proxy, "me@")) as asking:
            with pytest.raises(RequestFailed, match="Tunnel connection failed: 407"):
                ask(asking, url)
            assert proxy.requests[0].startswith(b"CONNECT a.test:443 HTTP/1.")
            assert proxy.header("Proxy-Authorization") == "Basic bWU6"
            with pytest.raises(RequestFailed, match=r"no HTTP/1\.1"):
                ask(asking, url)
            request = ClientRequest("GET", url, {})
            with pytest.raises(RequestTimedOut):
                asking.exchange(request, 0.05, 100)
        until(lambda: proxy.open == 0)


def test_a_proxy_is_told_no_host_that_is_not_public() -> None:
    with scripted(reply(b"allowed")) as proxy:
        with client_of(proxy=proxy_of(proxy)) as asking:
            for scheme in ("http", "https"):
                for host in ("127.0.0.1", "2130706433", "::1"):
                    with pytest.raises(AddressForbidden):
                        ask(asking, Url(scheme, host, 80, "/"))
        assert proxy.accepted == 0
        with client_of(proxy=proxy_of(proxy), allowed=Allowed.parse(["loopback"])) as asking:
            assert ask(asking, Url("http", "127.0.0.1", 80, "/")).body == b"allowed"
