"""Ping over HTTP beside a bare httptools server and gevent's pywsgi, all in one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from contrib.bench.tools import ab, free_port, ping, server, wrk

SECONDS = 6
ROUNDS = 3  # interleaved, and the best of each is compared: other load comes and goes


def measure(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    bare, pywsgi = free_port(), free_port()
    with (
        server(bare, sys.executable, "-m", "contrib.bench.http_bare", str(bare)),
        server(pywsgi, sys.executable, "-m", "contrib.bench.http_pywsgi", str(pywsgi)),
        ping(folder) as (_, port, _),
    ):
        ports = {"greenflow": port, "bare": bare, "pywsgi": pywsgi}
        for name, at in ports.items():
            wrk(at, 1)
            rounds = [wrk(at, SECONDS) for _ in range(1 if name == "pywsgi" else 0)]
            found[name] = {"keep_alive": rounds}
        for _ in range(ROUNDS):
            for name in ("greenflow", "bare"):
                found[name]["keep_alive"].append(wrk(ports[name], SECONDS))
        for name in ports:
            best = max(found[name]["keep_alive"], key=lambda r: r["requests_per_second"])
            found[name]["keep_alive"] = best
        for name in ("greenflow", "bare"):
            runs = [ab(ports[name], 20_000, 1024) for _ in range(ROUNDS)]
            found[name]["new_connections"] = max(runs, key=lambda r: r["requests_per_second"])
            found[name]["new_connections"]["failed"] = sum(run["failed"] for run in runs)
    for what in ("keep_alive", "new_connections"):
        ours, theirs = found["greenflow"][what], found["bare"][what]
        found[f"{what}_ratio"] = ours["requests_per_second"] / theirs["requests_per_second"]
    return found
