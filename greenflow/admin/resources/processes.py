"""`/api/v1/processes`: what runs now."""

from __future__ import annotations

import msgspec

from greenflow.admin.declaring import get
from greenflow.admin.engine import Engine
from greenflow.admin.paging import PageQuery, page
from greenflow.engine.origin import name_of
from greenflow.engine.process import Process
from greenflow.hub.breathing import unhurried


class ProcessState(msgspec.Struct):
    """A process: its number; its source, if it has one; its parent's number; method, path and id of
    the request that it began with; how many packets and children are under way."""

    id: int
    source: str | None
    parent: int | None
    method: str | None
    path: str | None
    request_id: str | None
    packets: int
    children: int


class ProcessesPage(msgspec.Struct):
    """A part of the processes, by number; `next` is the cursor of the next one, if there is one."""

    items: list[ProcessState]
    next: str | None


@get("/api/v1/processes", problems=(409,))
def processes(engine: Engine, query: PageQuery) -> ProcessesPage:
    """The processes that run, children too, by number, in pages."""
    table, services = engine.table, engine.services
    living = {process.id: process for process in family(services.processes)}
    sources = {
        process: name_of(node)
        for symbol in unhurried(list(table.symbols.values()))
        if (node := symbol.version.node) is not None
        for process in node.processes
    }
    found, after = page(living, int, query, living.__getitem__)
    return ProcessesPage([_shown(process, sources.get(process)) for process in found], after)


def family(processes: set[Process]) -> list[Process]:
    """These processes and all that descends from them."""
    found = list(processes)
    for process in unhurried(found):
        found.extend(process.children)
    return found


def _shown(process: Process, source: str | None) -> ProcessState:
    method, path, request_id = process.event or (None, None, None)
    return ProcessState(
        process.id,
        source,
        None if process.parent is None else process.parent.id,
        method,
        path,
        request_id,
        len(process.open),
        len(process.children),
    )
