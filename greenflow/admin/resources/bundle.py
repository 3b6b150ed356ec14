"""`/api/v1/bundle`: everything that somebody needs who is asked for help, and no secret.

Lives here: what is in it. Each part is what its own resource answers, or why it does not.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import Any

import msgspec

from greenflow.admin.bounds import MOST
from greenflow.admin.declaring import get
from greenflow.admin.engine import Engine
from greenflow.admin.paging import PageQuery
from greenflow.admin.resources.loggers import loggers
from greenflow.admin.resources.nodes import NodesQuery, nodes
from greenflow.admin.resources.processes import processes
from greenflow.admin.resources.stacks import stacks
from greenflow.admin.resources.status import status
from greenflow.config import fields, of, shown
from greenflow.errors import GreenflowError
from greenflow.hub.breathing import unhurried
from greenflow.records.record import RunRecord

#: Failed runs in a bundle: some 30 KiB each at most.
MOST_FAILURES = 50

#: Bytes of the metrics in a bundle.
MOST_METRICS = 4 * 1024 * 1024


class Bundle(msgspec.Struct):
    """What an engine is and does. `faults` says which parts are not there, and why."""

    made: float
    machine: dict[str, str]
    settings: dict[str, Any]
    parts: dict[str, Any]
    faults: dict[str, str]


@get("/api/v1/bundle")
def bundle(engine: Engine) -> Bundle:
    """The support bundle: settings without secrets, status, nodes, processes, loggers, stacks,
    metrics and the last runs that failed; of long lists the first page."""
    parts: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, part in _PARTS.items():
        try:
            parts[name] = part(engine)
        except GreenflowError as error:
            faults[name] = str(error)
    machine = {"python": platform.python_version(), "system": platform.platform()}
    settings = {field.name: shown(field, of(engine.settings, field.name)) for field in fields()}
    return Bundle(time.time(), machine, settings, parts, faults)


def _failures(engine: Engine) -> list[RunRecord]:
    """The last runs that failed, whole; payloads are redacted and cut already."""
    found = engine.records.find(failed=True, limit=MOST_FAILURES).records
    records = (engine.records.get(about.id) for about in unhurried(found))
    return [record for record in records if record is not None]


def _metrics(engine: Engine) -> str | None:
    if engine.metrics is None:
        return None
    _, pieces = engine.metrics()
    return b"".join(pieces)[:MOST_METRICS].decode()


_PARTS: dict[str, Callable[[Engine], Any]] = {
    "status": status.function,
    "nodes": lambda engine: nodes.function(engine, NodesQuery(MOST)),
    "inactive": lambda engine: nodes.function(engine, NodesQuery(MOST, state="inactive")),
    "processes": lambda engine: processes.function(engine, PageQuery(MOST)),
    "loggers": lambda engine: loggers.function(engine, PageQuery(MOST)),
    "stacks": stacks.function,
    "failures": _failures,
    "metrics": _metrics,
}
