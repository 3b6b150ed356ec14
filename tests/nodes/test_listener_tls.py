"""listener: TLS with certificates that change, and Unix sockets."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from gevent import socket as cooperative
from gevent.ssl import SSLContext

from greenflow.net import tls
from greenflow.runtime import Runtime
from tests.net.loopback import DEADLINE_SECONDS, Client
from tests.waiting import until

LARGE = "x" * 3_000_000


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Pair:
    """A certificate and its key in files."""

    def __init__(self, authority: trustme.CA, folder: Path) -> None:
        self.authority = authority
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.renew()

    def renew(self) -> None:
        made = self.authority.issue_cert("a.test", "127.0.0.1")
        self.cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        self.key.write_bytes(made.private_key_pem.bytes())

    @property
    def files(self) -> dict[str, str]:
        return {"cert": str(self.cert), "key": str(self.key)}

    @property
    def texts(self) -> dict[str, str]:
        return {"cert": self.cert.read_text(), "key": self.key.read_text()}


@pytest.fixture
def pair(authority: trustme.CA, tmp_path: Path) -> Pair:
    return Pair(authority, tmp_path)


def specs(code: str = "pong", language: str = "text", **fields: Any) -> list[dict[str, Any]]:
    listener = {"kind": "listener", "name": "http", "links": {"out": {"name": "a"}}, **fields}
    return [listener, {"kind": "snippet", "name": "a", "language": language, "code": code}]


def address(runtime: Runtime) -> tuple[str, int]:
    return runtime.table.find("http").version.node.lease.address  # type: ignore[union-attr]


def secure(authority: trustme.CA, at: tuple[str, int], **versions: ssl.TLSVersion) -> Client:
    """A client that trusts the authority."""
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    for name, version in versions.items():
        setattr(context, name, version)
    client = Client(at)
    try:
        client.socket = context.wrap_socket(
            client.socket, server_hostname="a.test", suppress_ragged_eofs=False
        )
    except BaseException:
        client.socket.close()
        raise
    return client


@contextmanager
def connected(client: Client) -> Iterator[Client]:
    try:
        yield client
    finally:
        client.socket.close()


@pytest.mark.parametrize("form", ["files", "texts"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_are_encrypted(
    authority: trustme.CA, pair: Pair, form: str, version: ssl.TLSVersion
) -> None:
    with (
        Runtime(
            "memory://", specs=specs("self.path", "cel", port=0, tls=getattr(pair, form))
        ) as flow,
        connected(secure(authority, address(flow), maximum_version=version)) as client,
    ):
        assert [client.ask("/here").text for _ in range(3)] == ["/here"] * 3
        assert client.ask("https://a/absolute").text == "/absolute"
        assert client.socket.version() == version.name.replace("v1_", "v1.")


def test_the_payload_says_https_and_large_bodies_pass_both_ways(
    authority: trustme.CA, pair: Pair
) -> None:
    code = '{"body": self.scheme + " " + self.body}'
    with (
        Runtime("memory://", specs=specs(code, "cel", port=0, tls=pair.files)) as flow,
        connected(secure(authority, address(flow))) as client,
    ):
        headers = f"Content-Type: text/plain\r\nContent-Length: {len(LARGE)}\r\n"
        for _ in range(2):
            client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
            client.send(LARGE)
            assert client.answer().text == f"https {LARGE}"
        client.send("GET / HTTP/1.0\r\n\r\n")
        assert client.answer().status == 500  # there is no body
        assert client.rest() == b""


@pytest.mark.parametrize("pieces", [1, 7])
def test_bytes_may_come_in_any_pieces(authority: trustme.CA, pair: Pair, pieces: int) -> None:
    with Runtime("memory://", specs=specs(port=0, tls=pair.files)) as flow:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        side = context.wrap_bio(incoming, outgoing, server_hostname="a.test")
        with connected(Client(address(flow))) as client:

            def pump() -> None:
                data = outgoing.read()
                for start in range(0, len(data), pieces):
                    client.socket.sendall(data[start : start + pieces])
                incoming.write(client.socket.recv(65536))

            while True:
                try:
                    side.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    pump()
            side.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b""
            while not answer.endswith(b"pong"):
                pump()
                try:
                    answer += side.read(65536)
                except ssl.SSLWantReadError:
                    continue


def test_what_is_not_tls_or_too_old_is_turned_away(authority: trustme.CA, pair: Pair) -> None:
    with Runtime("memory://", specs=specs(port=0, tls=pair.files)) as flow:
        at = address(flow)
        with connected(Client(at)) as client:
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"HTTP/1" not in client.rest()
        with connected(Client(at)) as client:
            client.send(b"\x16\x03\x01")
            client.end()
            assert b"HTTP/1" not in client.rest()
        context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with connected(Client(at)) as client, pytest.raises(OSError, match=r"(?i)ssl|tls|reset"):
            context.wrap_socket(client.socket, server_hostname="a.test")
        with connected(secure(authority, at)) as client:
            assert client.ask().text == "pong"


def test_an_answer_that_is_broken_off_says_no_goodbye(authority: trustme.CA, pair: Pair) -> None:
    with (
        Runtime("memory://", specs=specs(LARGE, port=0, tls=pair.files)) as flow,
        connected(secure(authority, address(flow))) as client,
    ):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.head()
        flow.table.find("http").version.node.abandon = lambda: None  # type: ignore[union-attr, method-assign]
        lease = flow.table.find("http").version.node.lease  # type: ignore[union-attr]
        lease.release(0)
        with pytest.raises(OSError, match=r"(?i)reset|eof"):
            client.rest()


def test_a_renewed_certificate_is_used_and_a_broken_one_is_not(
    authority: trustme.CA, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)

    def shown(at: tuple[str, int]) -> bytes:
        with connected(secure(authority, at)) as client:
            return bytes(client.socket.getpeercert(True))

    with Runtime("memory://", specs=specs(port=0, tls=pair.files)) as flow:
        at = address(flow)
        before = shown(at)
        assert shown(at) == before
        pair.renew()
        after = shown(at)
        assert after != before
        pair.key.write_text("half wri")
        assert shown(at) == after
        pair.key.unlink()
        assert shown(at) == after
        pair.renew()
        assert shown(at) not in (before, after)


def test_a_change_of_the_spec_changes_new_connections(authority: trustme.CA, pair: Pair) -> None:
    with Runtime("memory://", specs=specs(port=0, tls=pair.files)) as flow:
        at = address(flow)
        with connected(secure(authority, at)) as old:
            assert old.ask().text == "pong"
            flow.operations.apply(specs(port=0))

            def is_plain() -> bool:
                with connected(Client(at)) as client:
                    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    return client.rest().endswith(b"pong")

            until(is_plain)
            assert old.ask().text == "pong"


def test_every_new_handshake_shows_the_certificate_of_the_present_spec(
    authority: trustme.CA, pair: Pair, tmp_path: Path
) -> None:
    def shown(client: Client) -> bytes:
        return bytes(client.socket.getpeercert(True))

    with Runtime("memory://", specs=specs("self.path", "cel", port=0, tls=pair.files)) as flow:
        at = address(flow)
        (tmp_path / "other").mkdir()
        other = Pair(authority, tmp_path / "other")
        with connected(secure(authority, at)) as kept:
            first = shown(kept)
            seen = [first]
            for turn, files in enumerate((pair.texts, other.files, other.texts, pair.files)):
                before = flow.table.find("http").version
                flow.operations.apply(specs("self.path", "cel", port=0, tls=files))
                until(lambda before=before: flow.table.find("http").version is not before)
                assert kept.ask(f"/{turn}").text == f"/{turn}"
                with connected(secure(authority, at)) as new:
                    assert new.ask().text == "/"
                    seen.append(shown(new))
            assert shown(kept) == first
    assert seen[1] == seen[4] == first
    assert seen[2] == seen[3] != first


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("cert", "/no/such/file", "No such file"),
        ("cert", "-----BEGIN nonsense", "PEM"),
        ("key", "-----BEGIN nonsense", "PEM"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_told(
    pair: Pair, part: str, value: str, reason: str
) -> None:
    with Runtime("memory://", specs=specs(port=0, tls={**pair.files, part: value})) as flow:
        (status,) = [each for each in flow.status() if each["kind"] == "listener"]
        assert not status["active"]
        assert reason in status["reason"]


# -- Unix sockets ------------------------------------------------------------------------------


class UnixClient(Client):
    def __init__(self, path: Path) -> None:
        self.socket = cooperative.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.buffer = b""
        self.socket.connect(str(path))


def test_a_unix_socket_is_served_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with Runtime("memory://", specs=specs(host=f"unix:{path}")) as flow:
        assert stat.S_ISSOCK(os.stat(path).st_mode)
        with connected(UnixClient(path)) as client:
            assert [client.ask().text for _ in range(3)] == ["pong"] * 3
            flow.operations.apply(specs("ping", host=f"unix:{path}"))
            until(lambda: client.ask().text == "ping")
    assert not path.exists()


def test_the_socket_of_a_dead_server_is_replaced_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "web.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with Runtime("memory://", specs=specs(host=f"unix:{path}")):
        with connected(UnixClient(path)) as client:
            assert client.ask().text == "pong"
        with Runtime("memory://", specs=specs(host=f"unix:{path}")) as second:
            status = next(each for each in second.status() if each["kind"] == "listener")
            assert "something listens there already" in status["reason"]
        with connected(UnixClient(path)) as client:
            assert client.ask().text == "pong"
    path.write_text("a file of somebody")
    with Runtime("memory://", specs=specs(host=f"unix:{path}")) as flow:
        status = next(each for each in flow.status() if each["kind"] == "listener")
        assert f"unix:{path}" in status["reason"]
    assert path.read_text() == "a file of somebody"


def test_a_port_belongs_to_an_address_and_not_to_a_path(tmp_path: Path) -> None:
    for fields in ({"host": f"unix:{tmp_path}/a", "port": 1}, {}):
        with Runtime("memory://") as flow, pytest.raises(Exception, match=r"\$\.port: "):
            flow.operations.apply(specs(**fields))
