"""Loading 10,000 linked specs from SQLite, and changing one of few and of many."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import gevent

from greenflow.runtime import Runtime
from greenflow.store.base import open_store

CHANGES = 20


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


def measure(folder: Path) -> dict[str, Any]:
    return {str(size): one(folder, size) for size in (100, 10_000)}
