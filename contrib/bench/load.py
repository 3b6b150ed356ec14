"""Loading 10,000 linked specs from SQLite, and changing one of few and of many; loading as many
with 2,000 different conditions."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import gevent

from contrib.bench.tools import stalls
from greenflow import Runtime
from greenflow.store.base import open_store

CHANGES = 20
CONDITIONS = 2_000


def chain(length: int) -> list[dict[str, Any]]:
    """Specs that each link to the next."""
    specs = []
    for i in range(length):
        links = {"out": [{"name": f"n{i + 1}", "port": "in"}]} if i + 1 < length else {}
        specs.append(
            {
                "kind": "snippet",
                "namespace": "default",
                "name": f"n{i}",
                "code": f"code {i}",
                "links": links,
            }
        )
    return specs


def conditional(length: int) -> list[dict[str, Any]]:
    """Specs that each have a condition and link to the next."""
    specs = chain(length)
    for i, spec in enumerate(specs):
        del spec["code"]
        spec["kind"] = "if"
        spec["when"] = f"has(self.body) && self.body.items.exists(i, i.price > {i % CONDITIONS})"
        links = spec["links"].pop("out", [])
        spec["links"] = {"out[0]": links} if links else {}
    return specs


def one(folder: Path, size: int) -> dict[str, float]:
    url = f"sqlite:///{folder}/load-{size}.db"
    with open_store(url) as store:
        begin = perf_counter()
        store.specs.apply(chain(size))
        applied = perf_counter() - begin
    runtime = Runtime(url)
    begin = perf_counter()
    runtime.start()
    loaded = perf_counter() - begin
    assert all(symbol["active"] for symbol in runtime.status())
    written, visible = [], []
    for i in range(CHANGES):
        begin = perf_counter()
        (record,) = runtime.operations.update({"name": f"n{size // 2}", "code": f"new {i}"})
        written.append(perf_counter() - begin)
        symbol = runtime.table.find(f"n{size // 2}")
        begin = perf_counter()
        while symbol.revision != record.revision:
            gevent.sleep(0.0005)
        visible.append(perf_counter() - begin)
    runtime.stop()
    return {
        "apply_s": applied,
        "load_s": loaded,
        "change_written_ms": median(written) * 1e3,
        "change_visible_ms": median(visible) * 1e3,
    }


def conditions(folder: Path, size: int) -> dict[str, float]:
    """Seconds of loading, and the longest that the hub was held meanwhile."""
    url = f"sqlite:///{folder}/conditions-{size}.db"
    with open_store(url) as store:
        store.specs.apply(conditional(size))
    runtime = Runtime(url)
    begin = perf_counter()
    with stalls() as gaps:
        runtime.start()
    loaded = perf_counter() - begin
    assert all(symbol["active"] for symbol in runtime.status())
    runtime.stop()
    return {"load_s": loaded, "longest_stall_ms": max(gaps) * 1e3}


def measure(folder: Path) -> dict[str, Any]:
    sizes: dict[str, Any] = {str(size): one(folder, size) for size in (100, 10_000)}
    return {**sizes, "10000_conditional": conditions(folder, 10_000)}
