"""listener: what becomes of a process whose client has left, and who has left (BEHAVIOUR 8.12)."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from gevent.event import Event

from greenflow.errors import SpecInvalid
from greenflow.nodes.listener import Listener
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from tests.flows import Flow
from tests.net.loopback import DEADLINE_SECONDS, Client
from tests.nodes.test_listener import connect, served
from tests.nodes.test_listener_tls import Pair, address
from tests.waiting import until

GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHAIN = """
- {kind: probe, name: a, resource: true, links: {"out[0]": {name: b}}}
- {kind: probe, name: b, answer: pong}
"""
FINISH = "on_disconnect: finish"
SOON = "on_disconnect: {exit_after: 1ms}"
NEVER = "on_disconnect: {exit_after: 1h}"


def hold(running: Flow, client: Client) -> Event:
    """Sends a request, and has it wait in `b`."""
    gate = running.probes.gates["b"] = Event()
    running.probes.reached["b"] = Event()
    client.send(GET)
    assert running.probes.reached["b"].wait(DEADLINE_SECONDS)
    return gate


@pytest.mark.parametrize("fields", ["", FINISH, SOON])
def test_a_client_that_ends_its_side_is_answered(fields: str) -> None:
    with served(CHAIN, fields=fields) as (running, client):
        gate = hold(running, client)
        client.end()
        node: Any = running.runtime.table.find("http").version.node  # type: ignore[union-attr]
        server = node.lease._shared.server
        until(lambda: server.unwatched)
        gate.set()
        assert client.answer().text == "pong"
        assert client.closed()
        assert ("a", "committed") in running.probes.seen


def test_it_exits_when_its_client_has_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with served(CHAIN, fields=SOON) as (running, client):
        hold(running, client)
        client.reset()
        until(lambda: ("a", "rolled back") in running.probes.seen)
        until(lambda: "the client left before its answer" in caplog.text)
    assert "unhandled" not in caplog.text


@pytest.mark.parametrize("fields", [FINISH, NEVER])
def test_it_does_its_work_when_its_client_has_left(
    fields: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with served(CHAIN, fields=fields) as (running, client):
        gate = hold(running, client)
        client.reset()
        node: Any = running.runtime.table.find("http").version.node  # type: ignore[union-attr]
        (connection,) = node.lease._shared.server.connections
        until(lambda: connection._gone)
        gate.set()
        until(lambda: ("a", "committed") in running.probes.seen)
        until(lambda: not running.runtime.services.processes)
    assert caplog.text.count("the client left before its answer") == 1


def test_what_fails_meanwhile_is_told(caplog: pytest.LogCaptureFixture) -> None:
    text = CHAIN.replace("answer: pong", "raises: no such order")
    with served(text, fields=FINISH) as (running, client):
        gate = hold(running, client)
        client.reset()
        gate.set()
        until(lambda: ("a", "rolled back") in running.probes.seen)
        until(lambda: "no such order" in caplog.text)


def test_a_client_that_left_unnoticed_costs_no_work() -> None:
    """It closed, which looks like an end of its side, and the answer is what finds out."""
    with served(CHAIN, fields=SOON) as (running, client):
        gate = hold(running, client)
        client.socket.close()
        gate.set()
        until(lambda: ("a", "committed") in running.probes.seen)
        until(lambda: not running.runtime.services.processes)


@pytest.mark.parametrize("fields", [FINISH, SOON])
def test_an_answer_of_nobody_leaves_the_children_time(fields: str) -> None:
    text = """
- {kind: fork, name: a, links: {out: {name: b}}}
- {kind: probe, name: b, resource: true, answer: pong}
"""
    with served(text, fields=fields) as (running, client):
        gate = hold(running, client)
        assert client.answer().status == 200  # of the fork, at once
        client.reset()
        gate.set()
        until(lambda: ("b", "committed") in running.probes.seen)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("finis", "allowed are 'finish'"),
        ({"exit_after": "-1s"}, "negative"),
        ({"exit_afte": 1}, "did you mean 'exit_after'"),
        (5, "on_disconnect"),
    ],
)
def test_what_it_may_be_is_checked(value: Any, reason: str) -> None:
    spec = {"kind": "listener", "port": 0, "on_disconnect": value}
    with pytest.raises(SpecInvalid, match=reason):
        Scheme({"listener": Listener}).decode(spec, "default")


@pytest.mark.parametrize("goodbye", [True, False])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_so_it_is_over_tls(version: ssl.TLSVersion, goodbye: bool, tmp_path: Path) -> None:
    """With a close_notify or without, which a reader of an answer could not tell from a cut."""
    authority = trustme.CA()
    specs: list[dict[str, Any]] = [
        {"kind": "listener", "name": "http", "port": 0, "links": {"out": {"name": "a"}}},
        {"kind": "sleep", "name": "a", "interval": "10ms", "links": {"out": {"name": "b"}}},
        {"kind": "snippet", "name": "b", "language": "text", "code": "pong"},
    ]
    specs[0]["tls"] = Pair(authority, tmp_path).files
    context = ssl.create_default_context()
    context.maximum_version = version
    authority.configure_trust(context)
    with Runtime("memory://", specs=specs) as running:
        client = Client(address(running))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        side = context.wrap_bio(incoming, outgoing, server_hostname="a.test")
        try:
            while True:
                try:
                    side.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.send(outgoing.read())
                    incoming.write(client.socket.recv(65536))
            side.write(GET.encode())
            if goodbye:
                with pytest.raises(ssl.SSLWantReadError):
                    side.unwrap()
            client.send(outgoing.read())
            if not goodbye:
                client.end()
            incoming.write(client.rest())
            answer = b""
            while not answer.endswith(b"pong"):
                answer += side.read(65536)
        finally:
            client.socket.close()


def test_a_client_may_end_its_side_at_once() -> None:
    with served("- {kind: snippet, name: a, language: text, code: pong}") as (running, _):
        client = connect(running)
        client.send(GET * 3)
        client.end()
        assert client.rest().count(b"pong") == 3
        client.socket.close()
