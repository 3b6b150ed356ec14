"""200,000 requests after a warm-up: memory and descriptors must stay where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contrib.bench.tools import ab, descriptors, ping, resident_kib, run

REQUESTS = 200_000


def keep_alive(port: int, requests: int) -> None:
    run("ab", "-q", "-k", "-n", str(requests), "-c", "64", f"http://127.0.0.1:{port}/ping")


def measure(folder: Path) -> dict[str, Any]:
    with ping(folder) as (process, port, _):
        keep_alive(port, REQUESTS // 4)
        ab(port, 2000, 64)
        memory, open_before = resident_kib(process.pid), descriptors(process.pid)
        keep_alive(port, REQUESTS - 20_000)
        ab(port, 20_000, 64)
        return {
            "requests": REQUESTS,
            "rss_growth_mib": (resident_kib(process.pid) - memory) / 1024,
            "descriptors_growth": descriptors(process.pid) - open_before,
        }
