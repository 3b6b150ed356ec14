"""Measures a store: `python contrib/bench/store.py [URL]` prints JSON. Default: a new SQLite file.

Times are in milliseconds: the median and the worst of a few runs. `hub_lag` is how late the hub
was, at the worst, with a greenlet that wanted to run every millisecond while the step was under
way. The change latency is that of single changes by another OS process, from its call of `apply`,
writing included, to the report of the feed here; so it needs a store that OS processes share.
"""

from __future__ import annotations

import json
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import gevent

from greenflow.store import Collection, open_store

BATCH = 500  # documents of one apply: the figure
MANY = 10_000  # documents of one find: the figure
RUNS = 10  # of each step
CHANGES = 100  # single changes by the other OS process
IDLE = 5.0  # seconds for which an idle feed's use of the processor is taken

# The other OS process makes a change each time it is told to, and says when it began. Both read the
# same clock: CLOCK_MONOTONIC is one for the machine.
CHANGER = """
import sys, time
from greenflow.store import open_store
with open_store(sys.argv[1]) as store:
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        started = time.monotonic()
        store.specs.apply([{"id": "changed", "namespace": "bench", "number": number}])
        print(started, flush=True)
"""


def documents(count: int, code: str) -> list[dict[str, Any]]:
    """Specs of an ordinary size, 300 bytes as JSON, and linked to each other."""
    return [
        {
            "id": f"0193{at:08x}-bench",
            "kind": "snippet",
            "namespace": "bench",
            "name": f"node-{at}",
            "language": "text",
            "code": code * 8,
            "annotations": {"team": "bench", "page": "https://example.org/nodes"},
            "links": {"out": [{"name": f"node-{at + 1}", "port": "in"}]},
        }
        for at in range(count)
    ]


class Heart:
    """A greenlet that beats every millisecond; `worst` is how late it was, in seconds."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._greenlet = gevent.spawn(self._beat)

    def _beat(self) -> None:
        while True:
            due = time.perf_counter() + 0.001
            gevent.sleep(0.001)
            self.worst = max(self.worst, time.perf_counter() - due)

    def stop(self) -> None:
        self._greenlet.kill()


def measure(
    step: Callable[[Any], object], prepare: Callable[[int], Any] = lambda run: run
) -> dict[str, float]:
    """Runs a step a few times, each with what was prepared beforehand for the run's number."""
    prepared = [prepare(run) for run in range(RUNS)]
    heart, times = Heart(), []
    gevent.sleep(0.01)
    heart.worst = 0.0
    for argument in prepared:
        start = time.perf_counter()
        step(argument)
        times.append(time.perf_counter() - start)
        gevent.sleep(0.005)
    heart.stop()
    return figures(times) | {"hub_lag": round(heart.worst * 1000, 2)}


def figures(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(median(seconds) * 1000, 2),
        "worst": round(max(seconds) * 1000, 2),
    }


def change_latency(url: str, specs: Collection) -> dict[str, float]:
    """From a change by another OS process to the feed's report here."""
    latencies = []
    with (
        specs.feed("bench") as feed,
        subprocess.Popen(
            [sys.executable, "-c", CHANGER, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as changer,
    ):
        assert changer.stdin is not None
        assert changer.stdout is not None
        changer.stdout.readline()
        for number in range(CHANGES):
            gevent.sleep(0.001 * (number % 25))  # changes come at any moment between two looks
            changer.stdin.write("\n")
            changer.stdin.flush()
            if feed.next(5.0) is None:
                raise SystemExit("a change was not reported within 5 s")
            seen = time.monotonic()
            latencies.append(seen - float(changer.stdout.readline()))
        changer.stdin.close()
    return figures(latencies)


def idle_feed(specs: Collection) -> float:
    """Percent of one core that an idle feed uses."""
    with specs.feed("bench") as feed:
        cpu, start = time.process_time(), time.perf_counter()
        feed.next(IDLE)
        used = (time.process_time() - cpu) / (time.perf_counter() - start)
        return round(100 * used, 3)


def bench(url: str) -> dict[str, Any]:
    with open_store(url) as store:
        specs, result = store.specs, dict[str, Any]()
        result["apply_500_new"] = measure(
            specs.apply,
            lambda run: [
                {**each, "id": f"{each['id']}-{run}", "name": f"{each['name']}-{run}"}
                for each in documents(BATCH, "a")
            ],
        )
        specs.delete(None)
        result["apply_500_changed"] = measure(specs.apply, lambda run: documents(BATCH, str(run)))
        result["apply_500_unchanged"] = measure(specs.apply, lambda run: documents(BATCH, "9"))
        specs.apply(documents(MANY, "a"))
        result["find_10000"] = measure(lambda run: specs.find({"namespace": "bench"}))
        result["revisions_10000"] = measure(lambda run: specs.revisions("bench"))
        result["find_by_name"] = measure(
            lambda run: specs.find({"namespace": "bench", "name": f"node-{run}"})
        )
        result["apply_1"] = measure(specs.apply, lambda run: documents(1, f"one {run}"))
        if not url.startswith("memory:"):
            result["change_latency"] = change_latency(url, specs)
        return {"milliseconds": result, "idle_feed_percent_of_a_core": idle_feed(specs)}


def main() -> None:
    with TemporaryDirectory() as folder:
        url = sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/bench.db"
        report = {
            "bench": "store",
            "store": url.partition(":")[0],
            **bench(url),
            "versions": {
                "python": platform.python_version(),
                "gevent": version("gevent"),
                "sqlite": sqlite3.sqlite_version,
                "system": platform.platform(),
            },
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
