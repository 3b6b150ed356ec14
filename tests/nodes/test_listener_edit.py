"""listener: its spec is edited while connections are open; the next request obeys the new one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from greenflow.net.wire import READING
from greenflow.runtime import Runtime
from tests.net.loopback import Client
from tests.waiting import until

ORIGIN = "Origin: https://app.test\r\n"


class Edited:
    """A runtime whose listener is edited, and its clients."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.clients: list[Client] = []

    @property
    def node(self) -> Any:
        return self.runtime.table.find("http").version.node

    def connect(self) -> Client:
        client = Client(self.node.lease.address)
        self.clients.append(client)
        return client

    def edit(self, **fields: Any) -> None:
        """Give the listener these fields, and wait until it has them."""
        before = self.node
        self.runtime.operations.apply(specs(**fields))
        until(lambda: self.node is not before)


def specs(**fields: Any) -> list[dict[str, Any]]:
    links = {"out": {"name": "a"}}
    return [
        {"kind": "listener", "name": "http", "port": 0, "links": links, **fields},
        {"kind": "snippet", "name": "a", "language": "cel", "code": "self.path"},
    ]


@contextmanager
def served(**fields: Any) -> Iterator[Edited]:
    with Runtime("memory://", specs=specs(**fields)) as runtime:
        edited = Edited(runtime)
        try:
            yield edited
        finally:
            for client in edited.clients:
                client.socket.close()


def post(length: int) -> str:
    return f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n" + "x" * length


def test_the_next_request_obeys_new_limits() -> None:
    with served(limits={"body": 10}) as listener:
        first, second = listener.connect(), listener.connect()
        first.send(post(10))
        assert first.answer().status == 200
        listener.edit(limits={"body": 20})
        first.send(post(20))
        assert first.answer().status == 200
        assert second.ask().status == 200
        listener.edit(limits={"body": 5})
        first.send(post(20))
        assert (first.answer().status, first.closed()) == (413, True)
        second.send(post(5))
        assert second.answer().status == 200


def test_connections_that_are_open_stay_when_fewer_are_allowed() -> None:
    with served() as listener:
        old = [listener.connect() for _ in range(3)]
        for client in old:
            client.ask()
        listener.edit(limits={"connections": 3})
        new = listener.connect()
        assert (new.answer().status, new.closed()) == (503, True)
        assert [client.ask().status for client in old] == [200, 200, 200]
        new.socket.close()
        until(lambda: listener.node.lease.connections == 3)
        listener.edit(limits={"connections": 4})
        assert listener.connect().ask().status == 200


def test_a_shorter_patience_counts_for_the_next_wait() -> None:
    with served() as listener:
        waiting, next_time = listener.connect(), listener.connect()
        waiting.ask()
        next_time.ask()
        listener.edit(limits={"idle_timeout": "10ms"})
        next_time.ask()
        assert next_time.closed()
        assert waiting.ask().status == 200
        assert waiting.closed()


def test_the_next_request_obeys_a_new_cors_policy() -> None:
    def allowed(client: Client) -> str | None:
        return client.ask(headers=ORIGIN).headers.get("access-control-allow-origin")

    with served() as listener:
        client = listener.connect()
        assert allowed(client) is None
        listener.edit(cors={"origins": ["https://app.test"]})
        assert allowed(client) == "https://app.test"
        preflight = ORIGIN + "Access-Control-Request-Method: PUT\r\n"
        assert client.ask(method="OPTIONS", headers=preflight).status == 204
        listener.edit(cors={"origins": ["https://other.test"]})
        assert allowed(client) is None
        listener.edit()
        assert "origin" not in client.ask(headers=ORIGIN).headers["vary"].lower()


def test_a_request_that_is_coming_in_is_answered_by_the_new_version() -> None:
    with served() as listener:
        in_head, in_body = listener.connect(), listener.connect()
        in_head.send("GET /head HTTP/1.1\r\nHost: a\r\nOri")
        in_body.send("POST /body HTTP/1.1\r\nHost: a\r\n" + ORIGIN + "Content-Length: 4\r\n\r\nab")
        open_ones = listener.node.lease._shared.server.connections
        until(lambda: [each.state for each in open_ones] == [READING] * 2)
        listener.edit(cors={"origins": ["*"]}, limits={"body": 3})
        in_head.send(ORIGIN[3:] + "\r\n")
        in_body.send("cd")  # accepted under the old limit
        for client, path in ((in_head, "/head"), (in_body, "/body")):
            answer = client.answer()
            assert (answer.status, answer.text) == (200, path)
            assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "fields",
    [
        {"limits": {"body": 1000}},
        {"limits": {"header_timeout": "3s", "idle_timeout": 60}},
        {"cors": {"origins": ["*"], "expose": ["X-A"]}},
        {"proxies": ["10.0.0.0/8"]},
        {"stream": True},
        {"annotations": {"turn": "2"}},
    ],
)
def test_no_edit_refuses_or_breaks_a_connection(fields: dict[str, Any]) -> None:
    with served() as listener:
        kept, port = listener.connect(), listener.node.lease.address
        for turn in range(6):
            kept.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHo")
            new = listener.connect()
            listener.edit(**(fields if turn % 2 == 0 else {}))
            kept.send("st: a\r\n\r\n")
            assert [kept.answer().text, kept.answer().text, new.ask("/c").text] == [
                "/a",
                "/b",
                "/c",
            ]
        assert listener.node.lease.address == port
        assert len(listener.node.lease._shared.leases) == 1
