"""The HTTP client's ways to a server: redirects, proxies, TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from gevent import socket
from gevent.ssl import SSLContext

from greenflow.errors import AddressForbidden, RequestFailed, RequestTimedOut
from greenflow.net import transport
from greenflow.net.address import Allowed
from greenflow.net.client import Client, Tls
from greenflow.net.outgoing import ClientRequest, ClientResponse
from greenflow.net.tls import CertificateError
from greenflow.net.url import Url, parse_url
from greenflow.stream import Stream
from tests.net.loopback import DEADLINE_SECONDS, until
from tests.net.scripted import Closing, Scripted, listening, reply, scripted

SECRETS = {"Authorization": "Basic eDp5", "Cookie": "a=b"}


@contextmanager
def client(*servers: Scripted, **options: Any) -> Iterator[Client]:
    """A client that may ask these servers."""
    homes = [(server.host, server.port) for server in servers]
    made = Client(options.pop("homes", homes), **options)
    try:
        yield made
    finally:
        made.close()


def ask(
    asking: Client,
    url: Url,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | Stream | None = None,
    stream: bool = False,
) -> ClientResponse:
    request = ClientRequest(method, url, headers or {}, body)
    return asking.exchange(request, DEADLINE_SECONDS, 1_000_000, stream)


def moved(location: str, status: int = 302, body: bytes = b"") -> bytes:
    return reply(body, f"Location: {location}", status=status)


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
    with scripted(first, reply(b"")) as server, client(server) as asking:
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
    with scripted(moved("/new", status)) as server, client(server) as asking:
        assert ask(asking, server.url()).status == status
        assert len(server.requests) == 1


def test_a_redirect_without_a_location_is_an_answer() -> None:
    with scripted(reply(b"where?", status=302)) as server, client(server) as asking:
        assert ask(asking, server.url())[0::2] == (302, b"where?")


def test_relative_locations_and_the_host_header() -> None:
    with scripted(moved("../c?d=e#f"), moved("//127.0.0.1:1/"), reply(b"")) as server:
        locations = [moved(f"//{server.host}:{server.port}"), reply(b"ok")]
        server.answers[1:] = locations
        with client(server) as asking:
            assert ask(asking, server.url("/a/b/x", query="y=z")).body == b"ok"
        lines = [request.split(b" ")[1] for request in server.requests]
        assert lines == [b"/a/b/x?y=z", b"/a/c?d=e", b"/"]
        assert server.header("Host") == f"{server.host}:{server.port}"


def test_ten_redirects_are_followed_and_an_eleventh_is_an_error() -> None:
    with scripted(*[moved("/")] * 10, reply(b"there"), *[moved("/")] * 11) as server:
        with client(server) as asking:
            assert ask(asking, server.url()).body == b"there"
            with pytest.raises(RequestFailed, match="more than 10 redirects"):
                ask(asking, server.url())
        assert len(server.requests) == 22
        assert server.accepted == 1


def test_what_proves_who_we_are_stays_with_the_origin() -> None:
    with scripted(reply(b"there"), reply(b"back"), host="127.0.0.2") as other:
        with scripted(moved(f"http://127.0.0.2:{other.port}/")) as server:
            with client(server, other) as asking:
                headers = {"X-A": "b", **SECRETS, "authorization": "again"}
                assert ask(asking, server.url(), headers=headers).body == b"there"
            assert server.header("Cookie") == "a=b"
        assert (other.header("X-A"), other.header("Host")) == ("b", f"127.0.0.2:{other.port}")
        assert other.header("Authorization") is None
        assert other.header("Cookie") is None


def test_another_port_and_another_scheme_are_other_origins() -> None:
    with scripted(reply(b"there")) as other:
        moving = scripted(moved(f"http://127.0.0.1:{other.port}/"))
        with moving as server, client(server, other) as asking:
            ask(asking, server.url(), headers=dict(SECRETS))
        assert other.header("Cookie") is None


def test_a_body_of_a_redirect_does_not_matter() -> None:
    chunked = (
        b"HTTP/1.1 302 X\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    )
    large = moved("/", body=b"x" * 1_000_000)
    with scripted(chunked, large, reply(b"ok")) as server, client(server) as asking:
        assert ask(asking, server.url()).body == b"ok"
        assert server.accepted == 2  # one that has much to say is closed


def test_a_stream_is_not_sent_again() -> None:
    answers = moved("/", 307), moved("/", 303), reply(b"ok")
    with scripted(*answers) as server, client(server) as asking:
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
    with scripted(moved(location)) as server, client(server) as asking:
        with pytest.raises(RequestFailed, match="its Location cannot be followed: ") as caught:
            ask(asking, server.url("/secret"))
        assert "secret" not in str(caught.value)
        assert "evil" not in str(caught.value)


def test_a_redirect_to_a_host_that_is_not_public_is_forbidden() -> None:
    with scripted(reply(b"secret"), reply(b"allowed")) as inside:
        answers = [moved(f"http://127.0.0.1:{inside.port}/")] * 2
        with scripted(*answers) as server:
            with client(server) as asking, pytest.raises(AddressForbidden, match=r"http\.allow"):
                ask(asking, server.url())
            assert inside.accepted == 0
            with client(server, allowed=Allowed.parse(["loopback"])) as asking:
                assert ask(asking, server.url()).body == b"secret"


# -- proxies -----------------------------------------------------------------------------------


def proxy_of(server: Scripted, user: str = "") -> Url:
    return parse_url(f"http://{user}{server.host}:{server.port}")


def test_a_proxy_is_asked_for_the_whole_url() -> None:
    with scripted(reply(b"1"), reply(b"2"), moved("http://b.test/y"), reply(b"3")) as proxy:
        homes = [("a.test", 80), ("b.test", 80), ("c.test", 8080)]
        with client(homes=homes, proxy=proxy_of(proxy, "me:s%3Acret@")) as asking:
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


def tunnel_to(server: Scripted) -> Callable[[Any], None]:
    """A proxy's answer to CONNECT: it connects through, to this server."""

    def answer(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 Connected\r\nX: y\r\n\r\n")
        with socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET) as upstream:
            upstream.connect((server.host, server.port))
            back = gevent.spawn(_pump, upstream, sock)
            _pump(sock, upstream)
            back.join()

    return answer


def _pump(source: Any, target: Any) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_a_proxy_that_is_away_or_refuses(authority: trustme.CA) -> None:
    with scripted() as gone:
        away = proxy_of(gone)
    url = Url("https", "a.test", 443, "/")
    refused = pytest.raises(RequestFailed, match=r"GET https://a\.test: Connection refused")
    with client(homes=[("a.test", 443)], proxy=away) as asking, refused:
        ask(asking, url)
    with scripted(Closing(reply(b"", status=407)), b"SSH\r\n", b"HTTP/1.1 200 OK\r\n") as proxy:
        with client(homes=[("a.test", 443)], proxy=proxy_of(proxy, "me@")) as asking:
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
        with client(proxy=proxy_of(proxy)) as asking:
            for scheme in ("http", "https"):
                for host in ("127.0.0.1", "2130706433", "::1"):
                    with pytest.raises(AddressForbidden):
                        ask(asking, Url(scheme, host, 80, "/"))
        assert proxy.accepted == 0
        with client(proxy=proxy_of(proxy), allowed=Allowed.parse(["loopback"])) as asking:
            assert ask(asking, Url("http", "127.0.0.1", 80, "/")).body == b"allowed"


# -- TLS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def pem(blobs: Any) -> str:
    return b"".join(blob.bytes() for blob in blobs).decode()


def served(authority: trustme.CA, *names: str, asks: bool = False) -> SSLContext:
    """The server's side, for these names; one that `asks` wants to see a certificate."""
    context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("form", ["text", "file"])
def test_a_server_whose_certificate_is_verified(
    authority: trustme.CA, host: str, form: str, tmp_path: Path
) -> None:
    ca = pem([authority.cert_pem])
    if form == "file":
        (tmp_path / "ca.pem").write_text(ca)
        ca = str(tmp_path / "ca.pem")
    answers = reply(b"1"), reply(b"x" * 1_000_000)
    with scripted(*answers, context=served(authority, host), host=host) as server:
        with client(server, tls=Tls(ca=ca)) as asking:
            assert ask(asking, server.url(scheme="https")).body == b"1"
            response = ask(asking, server.url(scheme="https"), stream=True)
            assert b"".join(response.body) == b"x" * 1_000_000  # type: ignore[arg-type]
        assert server.accepted == 1
        authority_of_host = f"[{host}]" if ":" in host else host
        assert server.header("Host") == f"{authority_of_host}:{server.port}"


@pytest.mark.parametrize(
    ("names", "trusted", "reason"),
    [
        (["127.0.0.1"], False, "unable to get local issuer certificate|self-signed certificate"),
        (["127.0.0.2", "other.test"], True, "IP address mismatch|certificate is not valid"),
    ],
)
def test_a_certificate_that_does_not_prove_enough(
    authority: trustme.CA, names: list[str], trusted: bool, reason: str
) -> None:
    ca = pem([(authority if trusted else trustme.CA()).cert_pem])
    with scripted(reply(b"x"), context=served(authority, *names)) as server:
        mismatch = pytest.raises(RequestFailed, match=rf"GET https://127.*({reason})")
        with client(server, tls=Tls(ca=ca)) as asking, mismatch:
            ask(asking, server.url(scheme="https"))
        with client(server) as asking, pytest.raises(RequestFailed, match="CERTIFICATE_VERIFY"):
            ask(asking, server.url(scheme="https"))  # the system does not know it
        assert server.requests == []
        with client(server, tls=Tls(verify=False)) as asking:
            assert ask(asking, server.url(scheme="https")).body == b"x"


def test_the_name_of_the_host_is_what_is_verified(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = pem([authority.cert_pem])
    context = served(authority, "a.test")
    with scripted(reply(b"a"), reply(b"b"), context=context) as server:
        monkeypatch.setattr(
            "greenflow.net.address.getaddrinfo",
            lambda host, port, *rest: [(2, 1, 6, "", ("127.0.0.1", server.port))],
        )
        homes = [("a.test", 443), ("a.test.", 443), ("b.test", 443)]
        with client(homes=homes, tls=Tls(ca=ca)) as asking:
            assert ask(asking, Url("https", "a.test", 443, "/")).body == b"a"
            assert ask(asking, Url("https", "a.test.", 443, "/")).body == b"b"
            with pytest.raises(RequestFailed, match=r"Hostname mismatch.*b\.test"):
                ask(asking, Url("https", "b.test", 443, "/"))


def test_our_certificate_is_for_the_origin_that_was_asked(authority: trustme.CA) -> None:
    ours = authority.issue_cert("client@a.test")
    ca, cert, key = (
        pem([authority.cert_pem]),
        pem(ours.cert_chain_pems),
        pem([ours.private_key_pem]),
    )
    asks = served(authority, "127.0.0.1", asks=True)
    with scripted(reply(b"1"), reply(b"2"), context=asks) as server:
        url = server.url(scheme="https")
        for tls in (Tls(True, ca, cert, key), Tls(True, ca, key + cert)):
            with client(server, tls=tls) as asking:
                ask(asking, url)
        with client(server, tls=Tls(ca=ca)) as asking, pytest.raises(RequestFailed):
            ask(asking, url)
        with (
            scripted(moved(f"https://127.0.0.1:{server.port}/")) as first,
            client(first, server, tls=Tls(True, ca, cert, key)) as asking,
            pytest.raises(RequestFailed),
        ):
            ask(asking, first.url())
        assert len(server.requests) == 2


def test_a_tunnel_ends_at_the_server(authority: trustme.CA) -> None:
    ca = pem([authority.cert_pem])
    context = served(authority, "a.test", "::1")
    with scripted(reply(b"1"), reply(b"2"), reply(b"3"), context=context) as server:
        with scripted(tunnel_to(server), tunnel_to(server)) as proxy:
            homes = [("a.test", 443), ("::1", 443), ("b.test", 443)]
            with client(homes=homes, proxy=proxy_of(proxy), tls=Tls(ca=ca)) as asking:
                for host in ("a.test", "a.test", "::1"):
                    ask(asking, Url("https", host, 443, "/"))
            until(lambda: proxy.open == 0)
            lines = [request.partition(b" HTTP")[0] for request in proxy.requests]
            assert lines == [b"CONNECT a.test:443", b"CONNECT [::1]:443"]
        assert server.header("Host", 0) == "a.test"


def test_an_end_that_is_not_announced_is_no_end(authority: trustme.CA) -> None:
    def cut_off(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nbegun")
        socket.socket.shutdown(sock, socket.SHUT_WR)

    def announced(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nwhole")
        sock.unwrap()

    tls = Tls(ca=pem([authority.cert_pem]))
    with (
        scripted(announced, cut_off, context=served(authority, "127.0.0.1")) as server,
        client(server, tls=tls) as asking,
    ):
        assert ask(asking, server.url(scheme="https")).body == b"whole"
        with pytest.raises(RequestFailed, match="EOF"):
            ask(asking, server.url(scheme="https"))


def test_who_is_killed_in_a_handshake_leaves_no_socket(authority: trustme.CA) -> None:
    with listening() as listener:
        host, port = listener.getsockname()
        with client(homes=[(host, port)]) as asking:
            asks = gevent.spawn(ask, asking, Url("https", host, port, "/"))
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(1) == b"\x16"
                asks.kill()
                while accepted.recv(65536):
                    pass


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_socket_is_left_whatever_the_moment(authority: trustme.CA, scheme: str) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            gevent.sleep(0)
            yield b"x" * 1000

    def whole(asking: Client, server: Scripted) -> None:
        body = Stream(pieces())
        response = ask(asking, server.url(scheme=scheme), "POST", body=body, stream=True)
        assert b"".join(response.body) == b"y" * 100_000  # type: ignore[arg-type]

    context = served(authority, "127.0.0.1") if scheme == "https" else None
    answers = moved("/", 303, b"see there"), reply(b"y" * 100_000)
    tls = Tls(ca=pem([authority.cert_pem]))
    for turns in range(40):
        with scripted(*answers, context=context) as server, client(server, tls=tls) as asking:
            asks = gevent.spawn(whole, asking, server)
            for _ in range(turns):
                gevent.sleep(0)
            asks.kill()
            assert asks.exception is None
            asking.close()
            until(lambda: server.open == 0)


def test_a_server_that_speaks_no_tls() -> None:
    with scripted(b"") as server, client(server) as asking:
        server._server.set_handle(lambda sock, address: sock.sendall(b"220 mail.test\r\n"))
        with pytest.raises(RequestFailed, match="SSL"):
            ask(asking, server.url(scheme="https"))


@pytest.mark.parametrize(
    "tls",
    [
        Tls(ca="no.pem"),
        Tls(ca="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"),
        Tls(cert="no.pem"),
        Tls(cert="no\0.pem"),
        Tls(cert="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"),
    ],
)
def test_certificates_that_cannot_be_read(tls: Tls) -> None:
    with pytest.raises(CertificateError):
        Client(tls=tls)


def test_no_other_key_and_no_key_with_a_password(authority: trustme.CA, tmp_path: Path) -> None:
    one, other = authority.issue_cert("a.test"), authority.issue_cert("b.test")
    cert = pem(one.cert_chain_pems)
    with pytest.raises(CertificateError, match="KEY_VALUES_MISMATCH"):
        transport.tls_context(cert=cert, key=pem([other.private_key_pem]))
    secret = serialization.load_pem_private_key(one.private_key_pem.bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(CertificateError, match="which has no password"):
        transport.tls_context(cert=cert, key=secret.decode())
