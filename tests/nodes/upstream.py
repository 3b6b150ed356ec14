"""Workflows of one http node, and the server that it asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.flows import Flow, flow
from tests.net.loopback import DEADLINE_SECONDS
from tests.net.scripted import Answer, Scripted, reply, scripted

OK = reply(b"")


class Asked:
    """A workflow of one http node, and the server that it asks."""

    def __init__(self, running: Flow, server: Scripted) -> None:
        self.flow, self.server = running, server

    def call(self, payload: Any = None) -> Any:
        return self.flow.call("http", payload, timeout=DEADLINE_SECONDS)

    @property
    def line(self) -> str:
        """Method and target of the last request."""
        return self.server.requests[-1].partition(b" HTTP/1.1\r\n")[0].decode()


@contextmanager
def asked(*answers: Answer, path: str = "", **fields: Any) -> Iterator[Asked]:
    """A node whose url names a server with these answers; `fields` are the node's own."""
    with scripted(*answers) as server:
        spec = {"kind": "http", "name": "http", "url": f"http://{server.host}:{server.port}{path}"}
        with flow(json.dumps([{**spec, **fields}])) as running:
            yield Asked(running, server)
