"""The HTTP client over TLS: who is trusted, and with which certificate."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from gevent import socket
from gevent.ssl import SSLContext

from greenflow.errors import RequestFailed
from greenflow.net import transport
from greenflow.net.client import Client, Tls
from greenflow.net.tls import CertificateError
from greenflow.net.url import Url
from greenflow.payload.stream import Stream
from tests.net.asking import ask, client_of, moved, proxy_of, tunnel_to
from tests.net.scripted import Scripted, listening, reply, scripted
from tests.waiting import until

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
        with client_of(server, tls=Tls(ca=ca)) as asking:
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
        with client_of(server, tls=Tls(ca=ca)) as asking, mismatch:
            ask(asking, server.url(scheme="https"))
        with client_of(server) as asking, pytest.raises(RequestFailed, match="CERTIFICATE_VERIFY"):
            ask(asking, server.url(scheme="https"))  # the system does not know it
        assert server.requests == []
        with client_of(server, tls=Tls(verify=False)) as asking:
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
        with client_of(homes=homes, tls=Tls(ca=ca)) as asking:
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
            with client_of(server, tls=tls) as asking:
                ask(asking, url)
        with client_of(server, tls=Tls(ca=ca)) as asking, pytest.raises(RequestFailed):
            ask(asking, url)
        with (
            scripted(moved(f"https://127.0.0.1:{server.port}/")) as first,
            client_of(first, server, tls=Tls(True, ca, cert, key)) as asking,
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
            with client_of(homes=homes, proxy=proxy_of(proxy), tls=Tls(ca=ca)) as asking:
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
        client_of(server, tls=tls) as asking,
    ):
        assert ask(asking, server.url(scheme="https")).body == b"whole"
        with pytest.raises(RequestFailed, match="EOF"):
            ask(asking, server.url(scheme="https"))


def test_who_is_killed_in_a_handshake_leaves_no_socket(authority: trustme.CA) -> None:
    with listening() as listener:
        host, port = listener.getsockname()
        with client_of(homes=[(host, port)]) as asking:
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
        with scripted(*answers, context=context) as server, client_of(server, tls=tls) as asking:
            asks = gevent.spawn(whole, asking, server)
            for _ in range(turns):
                gevent.sleep(0)
            asks.kill()
            assert asks.exception is None
            asking.close()
            until(lambda: server.open == 0)


def test_a_server_that_speaks_no_tls() -> None:
    with scripted(b"") as server, client_of(server) as asking:
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
