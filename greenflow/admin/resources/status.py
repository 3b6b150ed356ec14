"""`/api/v1/status`: one engine at a glance."""

from __future__ import annotations

import os
import time
from functools import cache
from importlib.metadata import version

import msgspec

from greenflow.admin.declaring import get
from greenflow.admin.engine import Engine
from greenflow.admin.resources.health import missing_of


class Status(msgspec.Struct):
    """An engine. `nodes` has how many nodes are in each state, `processes` how many processes run
    that no other began, `missing` why it is not ready."""

    name: str
    namespace: str
    version: str
    pid: int
    began: float
    uptime: float
    store: str
    followed: bool
    draining: bool
    ready: bool
    missing: list[str]
    nodes: dict[str, int]
    processes: int
    paused: list[str]


@get("/api/v1/status")
def status(engine: Engine) -> Status:
    """The engine at a glance: version, uptime, namespace, store, and how many of everything."""
    counts, processes, paused = dict[str, int](), 0, list[str]()
    if engine.running is not None:
        table, services = engine.running
        counts = engine.glances.at(table, services).counts
        processes = len(services.processes)
        paused = sorted(id for id in services.paused if id in table.symbols)
    missing = missing_of(engine)
    return Status(
        engine.name,
        engine.namespace,
        _version(),
        os.getpid(),
        engine.began,
        max(0.0, time.time() - engine.began),
        engine.store,
        engine.is_followed,
        engine.is_draining or engine.is_leaving,
        not missing,
        missing,
        counts,
        processes,
        paused,
    )


@cache
def _version() -> str:
    return version("greenflow")
