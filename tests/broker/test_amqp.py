"""What the URLs of AMQP say. What is done at a server is in test_remote.py."""

from __future__ import annotations

import ssl
import sys
from typing import Any

import pytest
import trustme
from amqp.exceptions import AMQPError
from gevent import get_hub
from gevent.server import StreamServer

from greenflow.broker.amqp import AmqpTransport, ServerPlace
from greenflow.config import BrokerSettings
from greenflow.errors import BrokerMisconfigured

GUEST = {
    "userid": "guest",
    "password": "guest",
    "virtual_host": "/",
    "login_method": "PLAIN",
    "heartbeat": 10,
}


@pytest.mark.parametrize(
    ("url", "host", "options"),
    [
        ("amqp://", "localhost:5672", {}),
        ("amqp://h", "h:5672", {}),
        ("amqp://h/", "h:5672", {}),
        ("amqp://h//", "h:5672", {}),
        ("amqp://h/%2F", "h:5672", {}),
        ("amqp://h:1/shop", "h:1", {"virtual_host": "shop"}),
        ("amqp://h/%2Fa%3Ab", "h:5672", {"virtual_host": "/a:b"}),
        ("amqp://a%40b:c%2Fd%3B@h", "h:5672", {"userid": "a@b", "password": "c/d;"}),
        ("amqp://user@h", "h:5672", {"userid": "user"}),
        ("amqp://[::1]:1/", "[::1]:1", {}),
        ("amqps://h", "h:5671", {"ssl": {"server_hostname": "h"}}),
        ("amqp://h?heartbeat=2.5", "h:5672", {"heartbeat": 2.5}),
        ("amqp://h/?login_method=EXTERNAL", "h:5672", {"login_method": "EXTERNAL"}),
    ],
)
def test_what_a_url_says(url: str, host: str, options: dict[str, Any]) -> None:
    assert ServerPlace.parse(url) == ServerPlace(host, {**GUEST, **options})


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("amqp://user:secret@h:port/", "Port could not be cast"),
        ("amqp://user:secret@h:99999/", "Port out of range"),
        ("amqp://user:secret@h/?heartbeat=often", "could not convert"),
        ("amqp://user:secret@h/?frame_max=1", "unknown option frame_max; known are"),
        ("amqp://user:secret@h/;other", "a whole URL"),
        ("amqp://user:secret@h/;http://other", "a whole URL"),
        ("amqp://user:secret@[h/", "Invalid IPv6 URL"),
    ],
)
def test_what_is_no_url_is_refused(url: str, reason: str) -> None:
    with pytest.raises(BrokerMisconfigured, match=reason) as raised:
        transport(url)
    assert "secret" not in str(raised.value)


class Scene:
    """Two servers that end each connection at once, and which of them was asked."""

    def __init__(self, **tls: Any) -> None:
        self.asked: list[int] = []
        self.servers = [
            StreamServer(("127.0.0.1", 0), lambda sock, _: self.end(sock), **tls) for _ in range(2)
        ]

    def end(self, sock: Any) -> None:
        self.asked.append(sock.getsockname()[1])
        sock.close()

    def __enter__(self) -> Scene:
        for server in self.servers:
            server.start()
        return self

    def __exit__(self, *error: object) -> None:
        for server in self.servers:
            server.stop()


def transport(url: str) -> AmqpTransport:
    return AmqpTransport(url, "test", BrokerSettings(url=url))


def connect(through: AmqpTransport) -> None:
    """In a thread, as workers do: the library blocks."""
    get_hub().threadpool.apply(through.connect)


def test_several_servers_are_tried_in_turn() -> None:
    with Scene() as scene:
        ports = [server.server_port for server in scene.servers]
        through = transport(";".join(f"amqp://127.0.0.1:{port}/" for port in ports))
        for _ in range(3):
            with pytest.raises((AMQPError, OSError)):
                connect(through)
    assert scene.asked == [ports[0], ports[1], ports[0]]


def test_nothing_of_kombu_is_imported() -> None:
    assert not any(name.partition(".")[0] == "kombu" for name in sys.modules)


@pytest.mark.parametrize(
    ("name", "reason"), [("127.0.0.1", "unexpectedly closed"), ("127.0.0.2", "not valid for")]
)
def test_a_certificate_is_checked_for_its_host(
    name: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    with Scene(ssl_context=context) as scene, pytest.raises(OSError, match=reason):
        connect(transport(f"amqps://127.0.0.1:{scene.servers[0].server_port}/"))
