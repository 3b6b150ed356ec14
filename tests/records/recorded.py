"""Runs workflows and looks at what is recorded of them."""

from __future__ import annotations

from typing import Any

import gevent

from greenflow.config import Settings
from greenflow.config.groups import RecordsSettings
from greenflow.nodes.listener import Listener
from greenflow.records.record import RunRecord
from greenflow.runtime import Runtime
from greenflow.spec.document import read

#: So many that a test sees all.
ALL = RecordsSettings(sample=1.0, rate=1000)
FAILURES = RecordsSettings(sample=0.0)


def running(text: str, records: RecordsSettings = FAILURES, **options: Any) -> Runtime:
    """A runtime of these specs, to be entered."""
    specs = [document.data for document in read(text, "test")]
    chosen = Settings(grace=5.0, records=records)
    return Runtime("memory://", specs=specs, settings=chosen, **options)


def calls(runtime: Runtime, node: str, payload: Any = None) -> BaseException | None:
    """What the call fails with."""
    try:
        runtime.call(node, payload)
    except Exception as error:
        return error
    return None


def newest(runtime: Runtime, **asked: Any) -> RunRecord:
    """The newest record of these."""
    about = runtime.records.find(**asked).records[0]
    record = runtime.records.get(about.id)
    assert record is not None
    assert record.id == about.id
    return record


def asks(runtime: Runtime, line: str, *headers: str) -> int:
    """The status of a request to the listener `web`."""
    node = runtime.table.find("web").version.node
    assert isinstance(node, Listener)
    host, _, port = node.address.rpartition("://")[2].rpartition(":")
    client: Any = gevent.socket.create_connection((host, int(port)))  # type: ignore[attr-defined]
    with client, gevent.Timeout(30.0):
        head = (f"{line} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", "")
        client.sendall("\r\n".join(head).encode())
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return int(answer.split()[1])
