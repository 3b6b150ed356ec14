"""Ping over HTTP beside a bare httptools server and gevent's pywsgi, all in one run.

Requests a second depend on who else uses the machine; what each takes of the server's core does so
less, and so does the ratio of two servers that were asked in turn.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

from contrib.bench.tools import ab, cpu_seconds, free_port, ping, server, wrk

SECONDS = 3
ROUNDS = 8  # interleaved: other load comes and goes
PYWSGI_SECONDS = 6
CONNECTIONS = 20_000  # new ones a round, one request each
AT_ONCE = 1024
CONNECTION_ROUNDS = 5


def measure(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    bare, pywsgi = free_port(), free_port()
    with (
        server(bare, sys.executable, "-m", "contrib.bench.http_bare", str(bare)) as bare_process,
        server(pywsgi, sys.executable, "-m", "contrib.bench.http_pywsgi", str(pywsgi)),
        ping(folder) as (process, port, _),
    ):
        servers = {"greenflow": (port, process.pid), "bare": (bare, bare_process.pid)}
        found["pywsgi"] = wrk(pywsgi, PYWSGI_SECONDS)
        for at, _ in servers.values():
            wrk(at, 1)
        kept: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, (at, pid) in servers.items():
                before = cpu_seconds(pid)
                run = wrk(at, SECONDS)
                run["cpu_us_each"] = (cpu_seconds(pid) - before) / run["requests"] * 1e6
                kept[name].append(run)
        new: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for _ in range(CONNECTION_ROUNDS):
            for name, (at, _) in servers.items():
                new[name].append(ab(at, CONNECTIONS, AT_ONCE))
    for what, runs in (("keep_alive", kept), ("new_connections", new)):
        found[what] = {name: summary(runs[name]) for name in servers}
        rates = [[run["requests_per_second"] for run in runs[name]] for name in servers]
        ratios = sorted(ours / theirs for ours, theirs in zip(*rates, strict=True))
        found[what] |= {"ratios": ratios, "ratio": median(ratios)}
    each = [median(run["cpu_us_each"] for run in kept[name]) for name in ("bare", "greenflow")]
    found["keep_alive"]["ratio_by_cpu"] = each[0] / each[1]
    return found


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    """The best of the rounds, the median of the time on the core, and every failure."""
    best = max(runs, key=lambda run: run["requests_per_second"])
    failed = sum(run["failed"] for run in runs)
    times = [run["cpu_us_each"] for run in runs if "cpu_us_each" in run]
    return {**best, **({"cpu_us_each": median(times)} if times else {}), "failed": failed}
