"""100 changes a second of two nodes that must agree, under load: no request may see both versions.

Every request waits for 0 to 500 ms between the two, so most are there when both change. Then 10,000
changes more, in a runtime in which something is always under way: memory stays where it is, and of
the old versions nothing is left when the last process has ended.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import gevent

from contrib.bench.tools import free_port, resident_kib, server, wrk
from greenflow import Runtime
from greenflow.store.base import open_store

SECONDS = 20
CHANGES_A_SECOND = 100
CONNECTIONS = 128
WAITS = range(0, 501, 50)  # milliseconds
EDITS = 10_000

# wrk asks for the paths in turn.
ASK = """
local waits = {%s}
local i = 0
request = function()
  i = i %% #waits + 1
  return wrk.format("GET", "/" .. waits[i])
end
"""


def agreeing(turn: int) -> list[dict[str, Any]]:
    """The two nodes that must agree: one writes the turn, the other compares."""
    return [
        {
            "kind": "snippet",
            "namespace": "default",
            "name": "writes",
            "language": "cel",
            "code": f'{{"method": self.method, "path": self.path, "turn": {turn}}}',
            "links": {"out": {"name": "waits"}},
        },
        {
            "kind": "snippet",
            "namespace": "default",
            "name": "compares",
            "language": "cel",
            "code": f'{{"status": self.turn == {turn} ? 200 : 500}}',
        },
    ]


def unchanging(port: int) -> list[dict[str, Any]]:
    """What stays: the listener, and the nodes between the two."""
    out = [f"out[{i}]" for i in range(len(WAITS))]
    routes = [
        {"method": "GET", "path": f"/{wait}", "port": out}
        for wait, out in zip(WAITS, out, strict=True)
    ]
    return [
        {
            "kind": "listener",
            "namespace": "default",
            "name": "http",
            "port": port,
            "links": {"out": {"name": "writes"}},
        },
        {
            "kind": "router",
            "namespace": "default",
            "name": "waits",
            "routes": routes,
            "links": {out[i]: {"name": f"wait{wait}"} for i, wait in enumerate(WAITS)},
        },
        *(
            {
                "kind": "sleep",
                "namespace": "default",
                "name": f"wait{wait}",
                "interval": f"{wait}ms",
                "links": {"out": {"name": "compares"}},
            }
            for wait in WAITS
        ),
    ]


def under_load(folder: Path) -> dict[str, Any]:
    """Requests that failed are those that saw both versions, and any others."""
    port, url = free_port(), f"sqlite:///{folder}/versions.db"
    script = folder / "ask.lua"
    script.write_text(ASK % ", ".join(f'"{wait}"' for wait in WAITS))
    changes = 0
    with open_store(url + "?synchronous=NORMAL") as store:
        store.specs.apply([*unchanging(port), *agreeing(0)])
        command = (sys.executable, "-m", "greenflow", "run", "--database", url)
        with server(port, *command, "--log-level", "warning"):
            load: dict[str, float] = {}

            def ask() -> None:
                load.update(wrk(port, SECONDS, CONNECTIONS, script=script))

            client = threading.Thread(target=ask)
            client.start()
            begin = monotonic()
            while client.is_alive():
                changes += 1
                store.specs.apply(agreeing(changes))
                sleep(max(0.0, begin + changes / CHANGES_A_SECOND - monotonic()))
            seconds = monotonic() - begin
    return {"changes_per_second": changes / seconds, **load}


def over_many() -> dict[str, Any]:
    """How much memory 10,000 changes cost, and what is kept after them."""
    runtime = Runtime("memory://")
    runtime.start()
    runtime.operations.create([*unchanging(0)[1:], *agreeing(0)])
    while "compares" not in runtime.table.names:
        gevent.sleep(0.001)
    writes = runtime.table.find("writes")
    asking, failed, most, memory = 0, 0, 0, 0

    def ask(wait: int) -> None:
        nonlocal asking, failed
        asking += 1
        answer = runtime.call("writes", {"method": "GET", "path": f"/{wait}"})
        failed += answer["status"] != 200
        asking -= 1

    for turn in range(1, EDITS + 1):
        records = runtime.operations.update(agreeing(turn))
        if asking < 20:
            gevent.spawn(ask, WAITS[turn % len(WAITS)])
        while writes.revision != records[0].revision:
            gevent.sleep(0.0005)
        most = max(most, len(runtime.table.draining))
        if turn == EDITS // 10:  # after the warm-up
            memory = resident_kib(os.getpid())
    grown = resident_kib(os.getpid()) - memory
    while asking:
        gevent.sleep(0.01)
    runtime.table.draining.join()
    kept = len(runtime.table.draining) + len(runtime.table.services.generations.old)
    runtime.stop()
    return {
        "changes": EDITS,
        "saw_both": failed,
        "most_kept": most,
        "kept_after_the_last_ended": kept,
        "rss_growth_mib": grown / 1024,
    }


def measure(folder: Path) -> dict[str, Any]:
    return {"under_load": under_load(folder), "over_many": over_many()}
