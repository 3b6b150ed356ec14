"""Embedding: calls on the runtime's thread and from others, calls that raise, the hub guard."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any

import msgspec

from contrib.bench.tools import ping, wrk
from greenflow import GreenflowError, Runtime, Settings

CALLS = 10_000
REPEATS = 5  # the best of so many: what the machine can do when nobody else uses it
THREADS = 8
IDLE = 5.0  # seconds
SECONDS = 4  # of each load


def link(name: str) -> dict[str, Any]:
    return {"links": {"out": {"name": name}}}


SPECS: list[dict[str, Any]] = [
    {"kind": "snippet", "name": "a", "language": "text", "code": "x", **link("b")},
    {"kind": "snippet", "name": "b", "language": "cel", "code": "self", **link("c")},
    {"kind": "snippet", "name": "c", "language": "cel", "code": "self"},
    {"kind": "throw", "name": "throw"},
]


def per_call(runtime: Runtime, times: int, clock: Callable[[], float] = perf_counter) -> float:
    """Microseconds of a call, in the thread that calls this."""
    best = float("inf")
    for _ in range(REPEATS):
        begin = clock()
        for _ in range(times):
            runtime.call("a", 1)
        best = min(best, (clock() - begin) / times)
    return best * 1e6


def from_threads(runtime: Runtime) -> float:
    """Calls a second of several threads at once."""
    each = 500

    def work() -> None:
        for _ in range(each):
            runtime.call("a", 1)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    begin = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return THREADS * each / (perf_counter() - begin)


def objects_left(runtime: Runtime) -> int:
    """Objects that so many calls that raise leave behind."""

    def fail(times: int) -> int:
        raised = 0
        for _ in range(times):
            try:
                runtime.call("throw", "boom")
            except GreenflowError:
                raised += 1
        assert raised == times
        gc.collect()
        return len(gc.get_objects())

    before = runtime.run(fail, 10)
    return runtime.run(fail, CALLS) - before


def idle(settings: Settings) -> float:
    """Per cent of a core that a runtime takes when nothing happens."""
    with Runtime("memory://", specs=SPECS, settings=settings):
        begin = process_time()
        time.sleep(IDLE)
        return (process_time() - begin) / IDLE * 100


def guarded(folder: Path) -> float:
    """Processor time of a ping request with the guard to that without it, the best each."""
    best = {"--hub-guard=100ms": float("inf"), "--no-hub-guard": float("inf")}
    for _ in range(4):
        for option, least in best.items():
            with ping(folder, option) as (process, port, _):
                wrk(port, 1)
                before = ticks(process.pid)
                requests = wrk(port, SECONDS)["requests"]
                best[option] = min(least, (ticks(process.pid) - before) / requests)
    return best["--hub-guard=100ms"] / best["--no-hub-guard"]


def ticks(pid: int) -> int:
    """Processor time that an OS process took, in ticks of the kernel (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def measure(folder: Path) -> dict[str, Any]:
    settings = Settings()
    with Runtime("memory://", specs=SPECS, own_thread=True) as runtime:
        found = {
            "call_on_its_thread_us": runtime.run(per_call, runtime, 5_000),
            "call_on_its_thread_processor_us": runtime.run(per_call, runtime, 5_000, thread_time),
            "call_from_another_thread_us": per_call(runtime, 2_000),
            f"calls_a_second_from_{THREADS}_threads": from_threads(runtime),
            f"objects_left_by_{CALLS}_calls_that_raise": objects_left(runtime),
        }
    unguarded = msgspec.structs.replace(settings, hub_guard=0.0)
    return {
        **found,
        "idle_with_guard_percent": idle(settings),
        "idle_without_guard_percent": idle(unguarded),
        "ping_processor_time_with_guard_ratio": guarded(folder),
    }
