"""The core model alone: hops, blocking branches, deep chains, nested children."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import gevent

from greenflow.engine.node import Context, Node
from greenflow.engine.port import OutPort
from greenflow.engine.process import Process
from greenflow.engine.services import Services
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Spec

SERVICES = Services("bench", SimpleNamespace(grace=30.0), Scheme({}))  # type: ignore[arg-type]
REPEATS = 5  # the best of so many: what the machine can do when nobody else uses it


class Pass(Node[Spec]):
    """Passes its input on."""

    reads_only = True


class Block(Node[Spec]):
    """Blocks for 20 ms."""

    reads_only = True

    def handle(self, ctx: Context, payload: Any) -> Any:
        gevent.sleep(0.02)
        return payload


def make(kind: type[Node[Any]]) -> Node[Any]:
    return kind(Spec(kind="bench", id="bench"), SERVICES)


def source(*targets: Node[Any]) -> OutPort:
    port = OutPort()
    port.links = tuple(entry for t in targets if (entry := t.input("in")) is not None)
    return port


def chain(length: int) -> OutPort:
    nodes = [make(Pass) for _ in range(length)]
    for here, there in pairwise(nodes):
        entry = there.input("in")
        assert entry is not None
        here.link("out", (entry,))
    return source(nodes[0])


def per_request(port: OutPort, times: int) -> float:
    """Seconds for a process of its own, asked, settled and exited."""
    best = float("inf")
    for _ in range(REPEATS):
        begin = perf_counter()
        for _ in range(times):
            process = Process()
            process.ask(port, 1)
            process.settle()
            process.exit()
        best = min(best, (perf_counter() - begin) / times)
    return best


def measure() -> dict[str, Any]:
    one, hundred = per_request(chain(1), 20_000), per_request(chain(100), 500)
    begin = perf_counter()
    answer = Process().ask(chain(5000), 1)
    deep = perf_counter() - begin
    branches = Process()
    begin = perf_counter()
    branches.ask(source(*(make(Block) for _ in range(50))), 1)
    blocking = perf_counter() - begin
    root = child = Process()
    for _ in range(10_000):
        child = Process(child)
    begin = perf_counter()
    root.exit()
    nested = perf_counter() - begin
    return {
        "one_hop_us": one * 1e6,
        "hop_beyond_the_first_us": (hundred - one) / 99 * 1e6,
        "chain_of_5000_ms": deep * 1e3,
        "chain_of_5000_answers": answer == [1],
        "50_branches_blocking_20_ms_each_ms": blocking * 1e3,
        "exit_of_10000_nested_children_ms": nested * 1e3,
    }
