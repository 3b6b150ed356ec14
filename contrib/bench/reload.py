"""100 changes a second on the nodes in the path of requests, under load: nothing may fail."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from contrib.bench.tools import free_port, server, wrk
from greenflow.store.base import open_store

SECONDS = 20
CHANGES_A_SECOND = 100


def specs(port: int, turn: int) -> list[dict[str, Any]]:
    """The ping workflow, every node of it different at every turn."""
    named = {"namespace": "default", "annotations": {"turn": str(turn)}}
    return [
        {
            **named,
            "kind": "listener",
            "name": "http",
            "port": port,
            "links": {"out": {"name": "router"}},
        },
        {
            **named,
            "kind": "router",
            "name": "router",
            "routes": [{"method": "GET", "path": "/ping", "port": "out[0]"}],
            "links": {"out[0]": {"name": "pong"}},
        },
        {**named, "kind": "snippet", "name": "pong", "code": f"pong {turn}"},
    ]


def measure(folder: Path) -> dict[str, Any]:
    port, url = free_port(), f"sqlite:///{folder}/reload.db"
    changes = 0
    with open_store(url + "?synchronous=NORMAL") as store:
        store.specs.apply(specs(port, 0))
        command = (sys.executable, "-m", "greenflow", "run", "--database", url)
        with server(port, *command, "--log-level", "warning") as process:
            before = wrk(port, 3)
            load: dict[str, float] = {}
            client = threading.Thread(target=lambda: load.update(wrk(port, SECONDS)))
            client.start()
            begin = monotonic()
            while client.is_alive() and monotonic() - begin < SECONDS:
                changes += 1
                document = specs(port, changes)[changes % 3]
                store.specs.apply([document])
                sleep(max(0.0, begin + changes / CHANGES_A_SECOND - monotonic()))
            client.join()
            seconds = monotonic() - begin
            alive = process.poll() is None
    return {
        "changes_per_second": changes / seconds,
        "undisturbed": before,
        "changing": load,
        "server_alive": alive,
    }
