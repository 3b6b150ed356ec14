"""The part of python_node.py that runs patched, as `greenflow run` does; prints JSON."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from hashlib import sha256  # noqa: E402
from pathlib import Path  # noqa: E402
from time import perf_counter  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

from contrib.bench import python_functions  # noqa: E402
from contrib.bench.core import chain, per_request, source  # noqa: E402
from greenflow import Runtime  # noqa: E402
from greenflow.errors import WorkerDied  # noqa: E402

STEPS = 500_000  # of a computing call: some 30 ms
CALLS = 4  # computing calls in a burst
BURSTS = 30  # short ones, of which the best counts: other users of the machine leave some alone


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
    """How much quicker two workers are than one; the best of each, by turns."""
    best = {1: float("inf"), 2: float("inf")}
    with (
        calling("compute", isolation="process", concurrency=1) as one,
        calling("compute", isolation="process", concurrency=2) as two,
    ):
        for _ in range(BURSTS):
            for workers, call in ((1, one), (2, two)):
                best[workers] = min(best[workers], at_once(call, CALLS, STEPS))
    return best[1] / best[2]


def bare() -> float:
    """The same in threads of C code that hold no lock: what the machine can do."""
    best = {1: float("inf"), 2: float("inf")}
    data = b"x" * 32_000_000
    pool = gevent.get_hub().threadpool
    for _ in range(BURSTS):
        for threads in best:
            begin = perf_counter()
            for _ in range(2 // threads):
                gevent.joinall([pool.spawn(sha256, data) for _ in range(threads)])
            best[threads] = min(best[threads], perf_counter() - begin)
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
                "two_bare_threads_over_one": bare(),
                "killed_worker_is_an_error_and_the_next_call_works": killed(),
                "overhead_us": overhead() * 1e6,
            }
        )
    )


if __name__ == "__main__":
    main()
