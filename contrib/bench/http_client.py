"""Requests a second to a bare server: through an `http` node, and by plain urllib3 beside it.

Both are asked in one program that is monkey-patched, one after another and by 64 greenlets at once;
the server has a core of its own. What the node adds is a process and a packet for each request, the
strict reading of the answer, and its body as a value.

The program is this file, run with the port of the server: it prints JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

from contrib.bench.tools import free_port, on_core, run, server

REQUESTS = 4000
UNDER_WAY = 64
ROUNDS = 5  # interleaved, and the best of each is compared: other load comes and goes


def measure() -> dict[str, Any]:
    port = free_port()
    with server(port, sys.executable, "-m", "contrib.bench.http_bare", str(port)):
        program = (sys.executable, "-m", "contrib.bench.http_client", str(port))
        found: dict[str, Any] = json.loads(run(*on_core(1, *program)))
    for greenlets in (1, UNDER_WAY):
        rates = found[f"{greenlets}_under_way"]
        rates["ratio"] = rates["http_node_per_second"] / rates["urllib3_per_second"]
    return found


def rate(ask: Callable[[], object], greenlets: int) -> float:
    """Requests a second."""
    import gevent

    def some() -> None:
        for _ in range(REQUESTS // greenlets):
            ask()

    begin = perf_counter()
    gevent.joinall([gevent.spawn(some) for _ in range(greenlets)], raise_error=True)
    return REQUESTS / (perf_counter() - begin)


def main(port: str) -> None:
    """Ask the server in both ways, and print how fast that was."""
    from gevent import monkey

    monkey.patch_all()
    from urllib3 import HTTPConnectionPool

    from greenflow import Runtime

    pool = HTTPConnectionPool("127.0.0.1", int(port), maxsize=UNDER_WAY)
    spec = {"kind": "http", "name": "ask", "url": f"http://127.0.0.1:{port}/"}
    with Runtime("memory://", specs=[spec]) as flow:
        ways: dict[str, Callable[[], object]] = {
            "http_node": lambda: flow.call("ask", None),
            "urllib3": lambda: pool.request("GET", "/", retries=False).data.decode(),
        }
        assert flow.call("ask", None)["body"] == ways["urllib3"]() == "pong"
        found: dict[str, Any] = {}
        for greenlets in (1, UNDER_WAY):
            best = dict.fromkeys(ways, 0.0)
            for _ in range(ROUNDS):
                for name, ask in ways.items():
                    best[name] = max(best[name], rate(ask, greenlets))
            found[f"{greenlets}_under_way"] = {
                f"{name}_per_second": value for name, value in best.items()
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
