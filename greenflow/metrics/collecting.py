"""The values of all metrics, taken from the parts of a runtime.

Lives here: `collect`. It reads plain numbers, in pieces that let others run: of 10,000 nodes it is
a tenth of a second of work. What the metrics are is catalogue.py's.
"""

from __future__ import annotations

import time
from collections import defaultdict
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

from greenflow import log
from greenflow.broker.counting import failures
from greenflow.engine.services import Services
from greenflow.engine.source import Source
from greenflow.engine.tally import Tally
from greenflow.histogram import Histogram
from greenflow.hub import guard, pools
from greenflow.hub.breathing import unhurried
from greenflow.hub.lag import Lag
from greenflow.metrics import catalogue as the
from greenflow.metrics.declaring import Metric, Samples, Value
from greenflow.nodes.listener import Listener
from greenflow.nodes.listener.counting import RequestTally
from greenflow.records import Records
from greenflow.table.loader import Loader
from greenflow.table.symbol import Symbol, Version
from greenflow.table.table import Table

#: The route of requests that met no router, or no route of one.
NO_ROUTE = "none"


class Parts(NamedTuple):
    """What the metrics of a runtime are taken from. `store` is what a person calls its store,
    `began` when it began, by time.time()."""

    table: Table
    services: Services
    loader: Loader
    lag: Lag
    records: Records
    store: str
    began: float


class Collected:
    """The samples of each metric, by their labels."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.samples: dict[Metric, Samples] = {metric: {} for metric in the.METRICS}

    def add(self, metric: Metric, value: Value, *labels: str) -> None:
        """A value; what has the same labels is added up."""
        key = (self._namespace, *labels)
        samples = self.samples[metric]
        before = samples.get(key)
        samples[key] = value if before is None else added(before, value)


def added(one: Value, other: Value) -> Value:
    """The sum of two values of a metric, neither of which changes."""
    if isinstance(one, Histogram) and isinstance(other, Histogram):
        total = Histogram(one.bounds)
        total.merge(one)
        total.merge(other)
        return total
    assert not isinstance(one, Histogram)
    assert not isinstance(other, Histogram)
    return one + other


def collect(parts: Parts) -> dict[Metric, Samples]:
    """The samples of every metric, now. On the hub of the runtime, in a greenlet."""
    table, services = parts.table, parts.services
    found = Collected(services.namespace)
    found.add(the.INFO, 1, _version(), parts.store)
    found.add(the.STARTED, parts.began)
    found.add(the.PROCESSES_RUNNING, len(services.processes))
    found.add(the.CHANGES, table.changes)
    found.add(the.CHANGES_REFUSED, table.refused)
    found.add(the.DRAINING, len(table.draining))
    _of_nodes(found, table)
    _of_hub(found, parts)
    _of_outside(found, parts)
    found.add(the.LOG_DROPPED, log.dropped(), "log")
    if services.access is not None:
        found.add(the.LOG_DROPPED, services.access.dropped, "access")
    _of_records(found, parts.records)
    return found.samples


def _of_nodes(found: Collected, table: Table) -> None:
    draining: defaultdict[str, list[Version]] = defaultdict(list)
    for old in table.draining:
        draining[old.id].append(old)
    states = dict.fromkeys(("active", "inactive", "refused"), 0)
    for symbol in unhurried(list(table.symbols.values())):
        states["inactive" if not symbol.active else "refused" if symbol.pending else "active"] += 1
        counted = symbol.counted(draining.get(symbol.id, ()))
        for (name, kind), tally in counted.items():
            _of_node(found, name, kind, tally)
        _in_flight(found, symbol)
    for state, count in states.items():
        found.add(the.NODES, count, state)


def _of_node(found: Collected, name: str, kind: str, tally: Tally) -> None:
    found.add(the.PACKETS, tally.packets, name, kind)
    found.add(the.ERRORS, tally.errors, name, kind)
    if tally.times is not None:
        found.add(the.NODE_TIMES, tally.times, name, kind)
    if tally.begun:
        found.add(the.PROCESSES, tally.begun, name, kind)
        found.add(the.PROCESSES_FAILED, tally.failed, name, kind)
    if isinstance(tally, RequestTally):
        for (route, method, status), times in list(tally.answers.items()):
            route = route or NO_ROUTE
            found.add(the.REQUESTS, times.count, name, route, method, f"{status // 100}xx")
            found.add(the.REQUEST_TIMES, times, name, route)
        for (route, method, status), count in list(tally.unmeasured.items()):
            route = route or NO_ROUTE
            found.add(the.REQUESTS, count, name, route, method, f"{status // 100}xx")


def _in_flight(found: Collected, symbol: Symbol) -> None:
    node, version = symbol.version.node, symbol.version
    if node is None:
        return
    name, kind = version.name or version.id, node.spec.kind
    found.add(the.NODES_IN_FLIGHT, node.in_flight, name, kind)
    if isinstance(node, Listener):
        found.add(the.REQUESTS_IN_FLIGHT, len(node.processes) + node.decoding, name)
        if node.lease is not None:
            found.add(the.CONNECTIONS, node.lease.connections, name)
    if isinstance(node, Source) and symbol.active and not node.tally.begun:
        found.add(the.PROCESSES, 0, name, kind)
        found.add(the.PROCESSES_FAILED, 0, name, kind)


def _of_hub(found: Collected, parts: Parts) -> None:
    found.add(the.LAG, _copied(parts.lag.times))
    for (namespace, node), blocked in list(guard.blocked.items()):
        if namespace == parts.services.namespace and _is_there(parts.table, node):
            found.add(the.BLOCKED, blocked.times, node)
            found.add(the.BLOCKED_SECONDS, blocked.seconds, node)
        elif not node:
            found.add(the.BLOCKED, blocked.times, "")
            found.add(the.BLOCKED_SECONDS, blocked.seconds, "")
    for state in pools.states():
        labels = state.kind, state.name
        found.add(the.POOL_SIZE, state.size, *labels)
        found.add(the.POOL_BUSY, state.busy, *labels)
        found.add(the.POOL_WAITING, state.waiting, *labels)
        if (found.samples[the.POOL_AGE].get((parts.services.namespace, *labels)) or 0.0) == 0.0:
            found.add(the.POOL_AGE, state.age, *labels)


def _of_outside(found: Collected, parts: Parts) -> None:
    loader, state = parts.loader, parts.services.broker.state()
    found.add(the.STORE_CONNECTED, float(loader.connected))
    found.add(the.STORE_LOST, loader.lost)
    found.add(the.STORE_CHANGES, _copied(loader.times))
    found.add(the.STORE_COMPARED, time.time() - (time.monotonic() - loader.compared_at))
    found.add(the.BROKER_CONNECTED, float(state.is_connected))
    found.add(the.BROKER_LOST, state.lost)
    found.add(the.BROKER_UNPUBLISHED, state.unpublished)
    found.add(the.BROKER_WAITING, state.waiting)
    for (namespace, topic, node), failed in list(failures.items()):
        if namespace == parts.services.namespace and _is_there(parts.table, node):
            found.add(the.BROKER_REDELIVERED, failed.redelivered, topic, node)
            found.add(the.BROKER_DEAD, failed.dead, topic, node)


def _of_records(found: Collected, records: Records) -> None:
    counts = records.counts()
    found.add(the.RECORDS, counts.kept)
    found.add(the.RECORDS_BYTES, counts.size)
    found.add(the.RECORDS_DROPPED, counts.forgotten, "forgotten")
    found.add(the.RECORDS_DROPPED, sum(counts.shed.values()), "shed")
    found.add(the.RECORDS_DROPPED, counts.dropped, "unwritten")


def _is_there(table: Table, node: str) -> bool:
    """Whether a node of that name, or the one that it is a part of, is in the table: series end
    with their node."""
    name = node.partition(" > ")[0]
    return name in table.names or name in table.symbols


def _copied(times: Histogram) -> Histogram:
    """As it is now: others go on counting."""
    copied = Histogram(times.bounds)
    copied.merge(times)
    return copied


@cache
def _version() -> str:
    return version("greenflow")
