"""The workflows of contrib/docs/websocket.md, run as they stand but for their ports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.flows import Flow, flow
from tests.net.websockets import Peer, listening
from tests.test_docs import blocks
from tests.waiting import until

ECHO, CHAT, _, PROXY = blocks("yaml", "websocket.md")


@contextmanager
def running(text: str) -> Iterator[Flow]:
    with flow(text.replace("port: 8000", "port: 0")) as found:
        yield found


def connect(to: Flow, target: str = "/") -> Peer:
    peer = Peer(to.runtime.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
    peer.upgrade(target=target)
    return peer


def test_the_echo() -> None:
    with running(ECHO) as workflow:
        peer = connect(workflow)
        peer.text("hello")
        assert peer.heard() == "hello"
        peer.socket.close()


def test_the_chat() -> None:
    with running(CHAT) as workflow:
        ann, bob = connect(workflow, "/?name=ann"), connect(workflow, "/?name=bob")
        ann.text("hi")
        for name, peer in (("ann", ann), ("bob", bob)):
            assert json.loads(peer.heard()) == {"to": name, "text": "hi"}
        ann.end_with(1000)
        until(lambda: len(workflow.runtime.services.processes) == 1)
        bob.text("alone")
        assert json.loads(bob.heard()) == {"to": "bob", "text": "alone"}
        ann.socket.close()
        bob.socket.close()


def test_the_proxy() -> None:
    with (
        listening() as server,
        running(PROXY.replace("127.0.0.1:9000", f"127.0.0.1:{server.port}")) as workflow,
    ):
        near = connect(workflow)
        far = server.accepted()
        near.text("there")
        assert far.heard() == "there"
        far.text("back")
        assert near.heard() == "back"
        near.end_with(1000)
        assert far.frame().code == 1000
        near.socket.close()
        far.socket.close()
