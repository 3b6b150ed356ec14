"""Processes that are stuck in every kind that waits: each ends when it is cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import pytest
from gevent import socket

from greenflow import Runtime
from greenflow.engine.process import EXITED
from greenflow.errors import Cancelled, ProcessExited
from tests.admin.asking import engine
from tests.waiting import until

#: How many are stuck in each kind.
MANY = 8


@contextmanager
def silent_server() -> Iterator[int]:
    """A server that takes connections and says nothing; its port."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1000)
        yield server.getsockname()[1]


def stuck(port: int) -> dict[str, list[dict[str, Any]]]:
    """For each way to wait: specs whose node `stuck` does not answer."""
    url = f"http://127.0.0.1:{port}/"
    slow = {"kind": "sleep", "name": "slow", "interval": "1h"}
    leads = {"links": {"out": [{"name": "slow"}]}}
    sleeps = {"kind": "python", "name": "stuck", "call": "time:sleep", "timeout": "1h"}
    return {
        "sleep": [{**slow, "name": "stuck"}],
        "call": [{"kind": "call", "name": "stuck", **leads}, slow],
        "fork": [{"kind": "fork", "name": "stuck", **leads}, slow],
        "http": [{"kind": "http", "name": "stuck", "url": url}],
        "websocket": [{"kind": "websocket", "name": "stuck", "url": url, "timeout": "1h"}],
        "javascript": [
            {
                "kind": "snippet",
                "name": "stuck",
                "language": "javascript",
                "code": "export default () => { for (;;) {} }",
                "timeout": "1h",
            }
        ],
        "process": [{**sleeps, "isolation": "process"}],
    }


#: Seconds for which Python's functions sleep: the payload.
LONG = 3600


@pytest.mark.parametrize("kind", stuck(0))
def test_all_that_are_stuck_end(kind: str) -> None:
    with silent_server() as port, engine(stuck(port)[kind], grace=1.0) as (runtime, ask):
        for _ in range(MANY):
            gevent.spawn(_call, runtime)
        until(lambda: len(runtime.services.processes) == MANY)
        until(lambda: all(each.runners or each.children for each in runtime.services.processes))
        processes = list(runtime.services.processes)
        told = ask.post("/api/v1/processes/cancel", {"ids": [each.id for each in processes]})
        assert {each["outcome"] for each in told["items"]} == {"ended"}
        assert {each.state for each in processes} == {EXITED}
        assert ask.get("/api/v1/processes")["items"] == []


def _call(runtime: Runtime) -> None:
    with suppress(Cancelled, ProcessExited):
        runtime.call("stuck", LONG)
