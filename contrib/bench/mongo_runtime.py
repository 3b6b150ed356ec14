"""A runtime that tells about itself: `python -m contrib.bench.mongo_runtime URL`.

It answers each line on standard input with one of JSON on standard output. When the spec with the
id `probe` has changed, that is told at once, in a line of its own, with the moment on the clock
that all OS processes of a machine share.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import hashlib
import json
import logging
import sys
import time
from typing import Any

import gevent

from greenflow import Node, Runtime, Scheme, Spec, node

TICK = 0.01  # seconds between the ticks of a greenlet that wants nothing but to run


class CountedSpec(Spec):
    """A node without a purpose but its text."""

    text: str = ""


@node("counted")
class Counted(Node[CountedSpec]):
    """Counts how often nodes of its kind were opened: what a change restarts."""

    opened = 0

    def open(self) -> None:
        Counted.opened += 1

    def handle(self, ctx: Any, payload: Any) -> Any:
        return self.spec.text


class Ticks:
    """How many ticks there were of those that there should have been."""

    def __init__(self) -> None:
        self.count, self.begin = 0, time.monotonic()
        gevent.spawn(self._tick)

    def _tick(self) -> None:
        due = self.begin + TICK
        while True:
            gevent.sleep(max(0.0, due - time.monotonic()))
            self.count += 1
            # What was missed stays missed.
            due = max(due, time.monotonic() - TICK) + TICK

    def share(self) -> float:
        """Since the last look."""
        now = time.monotonic()
        share = self.count * TICK / (now - self.begin)
        self.count, self.begin = 0, now
        return share


def scheme() -> Scheme:
    """The installed kinds, and `counted`."""
    installed = Scheme.installed()
    installed.register(Counted)
    return installed


def digest(documents: dict[str, Any]) -> str:
    """Of a table: `{id: document}`."""
    return hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()


def state(runtime: Runtime, ticks: Ticks) -> dict[str, Any]:
    symbols = runtime.table.symbols.values()
    return {
        "specs": len(symbols),
        "opened": Counted.opened,
        "digest": digest({each.id: (each.pending or each.version).document for each in symbols}),
        "connected": runtime.connected,
        "ticks": ticks.share(),
        "cpu_seconds": time.process_time(),
    }


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def watch(runtime: Runtime) -> None:
    seen = None
    while True:
        symbol = runtime.table.symbols.get("probe")
        text = None if symbol is None else symbol.version.document.get("text")
        if text != seen:
            seen = text
            tell(probe=text, at=time.monotonic())
        gevent.sleep(0.001)


def main() -> None:
    logging.getLogger("greenflow").setLevel(logging.ERROR)  # faults are what is asked for
    begin = time.monotonic()
    with Runtime(sys.argv[1], scheme=scheme()) as runtime:
        tell(started=time.monotonic() - begin)
        ticks, watching = Ticks(), gevent.spawn(watch, runtime)
        commands = gevent.get_hub().threadpool
        while commands.apply(sys.stdin.readline):
            tell(**state(runtime, ticks))
        watching.kill()


if __name__ == "__main__":
    main()
