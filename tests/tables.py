"""A symbol table for tests: kinds that note what is done to them, and short words for changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gevent.event import Event

from greenflow.config import Settings
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.port import OutPort
from greenflow.engine.process import Process
from greenflow.engine.services import Services
from greenflow.engine.source import Run, Source
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Spec
from greenflow.table.table import Table
from tests.waiting import until

log: list[str] = []


class ProbeSpec(Spec):
    say: str = ""
    fail: str = ""


@node("probe", outputs=("out[i]",), reads_only=True)
class Probe(Node[ProbeSpec]):
    """Adds what it says to a text; fails where it is told to."""

    gates: dict[str, Event] = {}

    def __init__(self, spec: ProbeSpec, services: Services) -> None:
        if spec.fail == "compile":
            raise ValueError("told to fail")
        super().__init__(spec, services)

    def open(self) -> None:
        if self.spec.fail == "open":
            raise OSError("cannot open")
        log.append(f"open {self.spec.say}")

    def close(self) -> None:
        log.append(f"close {self.spec.say}")

    def handle(self, ctx: Context, payload: Any) -> Any:
        if self.spec.say in self.gates:
            self.gates[self.spec.say].wait()
        return f"{payload}{self.spec.say}"


@node("feed", outputs=("out",))
class Feed(Source[ProbeSpec]):
    """A source that is told what to run."""

    runs: dict[str, Run] = {}

    def prepare(self) -> None:
        if self.spec.fail == "prepare":
            raise OSError("address in use")
        log.append(f"prepare {self.spec.say}")

    def abandon(self) -> None:
        log.append(f"abandon {self.spec.say}")

    def start(self, run: Run) -> None:
        if self.spec.fail == "start":
            raise OSError("cannot start")
        log.append(f"start {self.spec.say}")
        self.runs[self.spec.say] = run

    def stop(self) -> None:
        log.append(f"stop {self.spec.say}")


class Bench:
    """A table, and short words for what is done to it."""

    def __init__(self, grace: float = 5.0) -> None:
        self.scheme = Scheme({"probe": Probe, "feed": Feed})
        self.services = Services("default", Settings(grace=grace), self.scheme)
        self.table = Table(self.services)
        self.revision = itertools.count(1)

    def change(self, *documents: dict[str, Any], remove: tuple[str, ...] = ()) -> None:
        changes: dict[str, Any] = dict.fromkeys(remove)
        for document in documents:
            changes[document["id"]] = document, next(self.revision)
        self.table.change(changes)

    def drained(self) -> None:
        self.table.draining.join()

    def drained_of(self, say: str) -> None:
        until(lambda: f"close {say}" in log)

    def active(self) -> set[str]:
        return {id for id, symbol in self.table.symbols.items() if symbol.active}

    def reason(self, id: str) -> str:
        return self.table.symbols[id].reason

    def node(self, id: str) -> Any:
        return self.table.symbols[id].version.node

    def call(self, id: str, payload: str = "") -> Any:
        port = OutPort()
        port.links = (self.table.input(id),)
        process = Process(
            registry=self.services.processes, generation=self.services.generations.newest
        )
        try:
            return process.ask(port, payload)[0]
        finally:
            process.settle()
            process.finish()


def probe(id: str, *targets: str, **fields: Any) -> dict[str, Any]:
    links = {"out": [{"name": target} for target in targets]} if targets else {}
    return {"kind": "probe", "id": id, "name": id, "say": id, "links": links, **fields}


def feed(id: str, *targets: str, **fields: Any) -> dict[str, Any]:
    return {**probe(id, *targets, **fields), "kind": "feed"}


def check(bench: Bench, newest: dict[str, dict[str, Any]]) -> None:
    symbols = bench.table.symbols
    """Everything is as BEHAVIOUR 6.1, 6.2 and 6.6 say, given the newest documents."""
    assert symbols.keys() == newest.keys()
    running = {id: symbol.version for id, symbol in symbols.items()}
    for id, symbol in symbols.items():
        assert (symbol.pending or symbol.version).document == newest[id]
        assert symbol.active or symbol.reason
        assert symbol.pending is None or symbol.reason
    good = {id for id, version in running.items() if version.error is None}
    targets = {
        id: [bench.table.target(link) for _, link in version.links()]
        for id, version in running.items()
    }
    while True:  # the greatest set whose members link only to members
        bad = {id for id in good if any(t is None or t.id not in good for t in targets[id])}
        if not bad:
            break
        good -= bad
    assert bench.active() == good
    for id in good:
        node = bench.node(id)
        assert node.output("out").links == tuple(
            bench.table.target(link).version.node.input("in")
            for port, link in running[id].links()
            if port == "out"
        )
    for symbol in symbols.values():  # nothing is refused without need
        pending = symbol.pending
        # A version that also changes its name may have taken its own targets down.
        if pending is not None and pending.error is None and pending.name == symbol.name:
            missing = [bench.table.target(link) for _, link in pending.links()]
            assert any(t is None or t.id not in good for t in missing)


@contextmanager
def empty_table(grace: float = 5.0) -> Iterator[Bench]:
    """A table that must be empty again in the end."""
    log.clear()
    bench = Bench(grace)
    yield bench
    Probe.gates.clear()
    bench.table.close()
    assert bench.table.symbols == {}
    assert bench.table.referrers == {}
    assert bench.table.names == {}
    assert bench.table.namesakes == {}
    assert not bench.table.draining
    assert not bench.table.failed_to_load
    assert not bench.table._awaited
    assert not bench.table._unloading
