"""The part of python_node.py that runs patched, as `greenflow run` does; prints JSON."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from time import perf_counter  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

from contrib.bench import python_functions  # noqa: E402
from contrib.bench.core import REPEATS, chain, per_request, source  # noqa: E402
from greenflow.errors import WorkerDied  # noqa: E402
from greenflow.runtime import Runtime  # noqa: E402

STEPS = 1_000_000  # of a computing call: some 60 ms
CALLS = 16  # computing calls


@contextmanager
def calling(function: str, **fields: Any) -> Iterator[Callable[[Any], Any]]:
    """A `python` node, to be called with a payload."""
    call = f"contrib.bench.python_functions:{function}"
    specs = [{"kind": "python", "name": "f", "call": call, **fields}]
    with Runtime("memory://", specs=specs) as runtime:
        yield lambda payload: runtime.call("f", payload)


def at_once(call: Callable[[Any], Any], count: int, payload: Any) -> float:
    """Seconds for so many calls at once."""
    begin = perf_counter()
    gevent.joinall([gevent.spawn(call, payload) for _ in range(count)], raise_error=True)
    return perf_counter() - begin


def slow(socket: Any, address: object) -> None:
    socket.recv(4096)
    gevent.sleep(0.1)
    socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def waiting() -> float:
    with StreamServer(("127.0.0.1", 0), slow, backlog=256) as server, calling("ask") as call:
        server.start()
        at_once(call, 100, server.server_port)
        return at_once(call, 100, server.server_port)


def blocking() -> tuple[float, float]:
    """Seconds for 50 calls that block in C, and the longest that the hub was late meanwhile."""
    lags: list[float] = []

    def look() -> None:
        while True:
            begin = perf_counter()
            gevent.sleep(0.001)
            lags.append(perf_counter() - begin - 0.001)

    with calling("block", isolation="thread", concurrency=50) as call:
        looking = gevent.spawn(look)
        seconds = at_once(call, 50, 100_000)
        looking.kill()
    return seconds, max(lags)


def computing() -> float:
    """How much quicker two workers are than one; the best of each, run by turns."""
    best = {1: float("inf"), 2: float("inf")}
    for _ in range(REPEATS):
        for workers in best:
            with calling("compute", isolation="process", concurrency=workers) as call:
                at_once(call, workers, STEPS)  # so that every worker has started
                best[workers] = min(best[workers], at_once(call, CALLS, STEPS))
    return best[1] / best[2]


def bare() -> float:
    """The same without greenflow: what the machine can do."""
    best = {1: float("inf"), 2: float("inf")}
    for _ in range(REPEATS):
        for workers in best:
            text = f"[compute({STEPS}) for _ in range({CALLS // workers})]"
            code = f"from contrib.bench.python_functions import compute; {text}"
            begin = perf_counter()
            running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(workers)]
            for process in running:
                process.wait()
            best[workers] = min(best[workers], perf_counter() - begin)
    return best[1] / best[2]


def killed() -> bool:
    """Whether a call whose worker is killed is an error, and the next one works."""
    with calling("compute", isolation="process", concurrency=1) as call:
        under_way = gevent.spawn(call, STEPS * 100)
        gevent.sleep(0.2)
        (pid,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        os.kill(int(pid), signal.SIGKILL)
        under_way.join()
        return isinstance(under_way.exception, WorkerDied) and call(2) == 1


def overhead() -> float:
    """Seconds of a node in a process of its own, less those of one that passes its input on."""
    specs = [
        {
            "kind": "python",
            "name": "f",
            "call": "contrib.bench.python_functions:nothing",
        }
    ]
    with Runtime("memory://", specs=specs) as runtime:
        node = runtime.table.find("f").version.node
        assert node is not None
        ours = per_request(source(node), 20_000)
    begin = perf_counter()
    for _ in range(100_000):
        python_functions.nothing(1)
    plain = (perf_counter() - begin) / 100_000
    return ours - per_request(chain(1), 20_000) - plain


def main() -> None:
    seconds, lag = blocking()
    print(
        json.dumps(
            {
                "100_calls_waiting_100_ms_in_sockets_ms": waiting() * 1e3,
                "50_calls_blocking_100_ms_in_threads_ms": seconds * 1e3,
                "hub_late_meanwhile_ms": lag * 1e3,
                "two_workers_over_one": computing(),
                "two_bare_processes_over_one": bare(),
                "killed_worker_is_an_error_and_the_next_call_works": killed(),
                "overhead_us": overhead() * 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
