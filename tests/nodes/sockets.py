"""Workflows that hold WebSocket connections, and whom they are connected to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from greenflow.engine.process import Process
from tests.flows import Flow, flow
from tests.net.websockets import Caller, Listening, Peer, listening

# The listener's requests reach the gateway; what the other end says passes the probe `heard`.
LISTENER = "- {kind: listener, name: http, port: 0, links: {out: {name: ws, port: io}LINKS}}\n"
GATEWAY = "- {kind: gateway, name: ws, links: {out: {name: heard}}}\n"
CLIENT = "- {kind: websocket, name: ws, url: 'URL'FIELDS, links: {out: {name: heard}}}\n"
HEARD = "- {kind: probe, name: heard}\n"
ECHO = "- {kind: probe, name: heard, links: {out: {name: ws}}}\n"

# Connects, and says so: `call` goes on when `io` was answered.
OPEN = """
- {kind: call, name: open, links: {out: {name: ws, port: io}, "out[1]": {name: opened}}}
- {kind: probe, name: opened}
"""


class Connected:
    """A workflow with connections."""

    def __init__(self, running: Flow) -> None:
        self.running, self.probes = running, running.probes

    @property
    def processes(self) -> set[Process]:
        """Every process that is not a child."""
        return self.running.runtime.services.processes

    def heard(self) -> list[Any]:
        return self.probes.of("heard")

    def edit(self, name: str = "ws", **fields: Any) -> None:
        (record,) = self.running.runtime.operations.update({"name": name, **fields})
        self.running.followed(record.revision)


class Served(Connected):
    """A workflow behind a listener, and its clients."""

    def __init__(self, running: Flow) -> None:
        super().__init__(running)
        self.peers: list[Peer] = []

    def client(self) -> Peer:
        """A connection that has not said anything yet."""
        listener = self.running.runtime.table.find("http").version.node
        self.peers.append(Peer(listener.lease.address))  # type: ignore[union-attr]
        return self.peers[-1]

    def peer(self, headers: str = "", target: str = "/") -> Peer:
        """A WebSocket."""
        peer = self.client()
        peer.upgrade(headers, target)
        return peer


class Outgoing(Connected):
    """A workflow with a `websocket` node, and the server that it connects to."""

    def __init__(self, running: Flow, server: Listening) -> None:
        super().__init__(running)
        self.server = server

    def open(self, payload: Any = None, headers: str = "") -> Caller:
        """Have the node connect, and return the server's end of it."""
        opening = gevent.spawn(self.running.call, "open", payload)
        caller = self.server.caller()
        caller.accept(headers)
        opening.get()
        return caller


@contextmanager
def served(text: str = GATEWAY + ECHO, links: str = "", grace: float = 5.0) -> Iterator[Served]:
    with flow(LISTENER.replace("LINKS", links) + text, grace) as running:
        found = Served(running)
        try:
            yield found
        finally:
            for peer in found.peers:
                peer.socket.close()


@contextmanager
def outgoing(fields: str = "", text: str = ECHO, url: str = "") -> Iterator[Outgoing]:
    with listening() as server:
        client = CLIENT.replace("URL", url or server.url).replace("FIELDS", fields)
        with flow(client + OPEN + text) as running:
            found = Outgoing(running, server)
            try:
                yield found
            finally:
                for caller in server.callers:
                    caller.socket.close()
                server.socket.close()
