"""The processes that run: what they are, and finding one.

Lives here: ProcessInfo, `listed`, `ended`. How one ends is engine/process.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from greenflow.engine.origin import name_of
from greenflow.engine.process import Process
from greenflow.engine.services import Services
from greenflow.errors import Cancelled
from greenflow.table.table import Table


class ProcessInfo(NamedTuple):
    """A process: its number; its source, None for a call or a child; its parent's number; method,
    path and id of the request it began with, if it did; how many packets are under way."""

    id: int
    source: str | None
    parent: int | None
    request: tuple[str, str, str | None] | None
    packets: int


def listed(table: Table, services: Services) -> list[ProcessInfo]:
    """Every process that has not ended."""
    sources = {
        process: name_of(node)
        for symbol in table.symbols.values()
        if (node := symbol.version.node) is not None
        for process in node.processes
    }
    return [
        ProcessInfo(
            process.id,
            sources.get(process),
            None if process.parent is None else process.parent.id,
            process.event,
            len(process.open),
        )
        for process in _all(services)
    ]


def ended(services: Services, process_id: int) -> bool:
    """End the process of that number; whether there was one."""
    process = next((each for each in _all(services) if each.id == process_id), None)
    if process is not None:
        process.exit(Cancelled())
    return process is not None


def _all(services: Services) -> Iterator[Process]:
    # By their numbers, which are given when they are asked for; those that have one are older.
    pending = sorted(services.processes, key=lambda process: process.id, reverse=True)
    while pending:
        process = pending.pop()
        yield process
        pending.extend(sorted(process.children, key=lambda child: child.id, reverse=True))
