"""`/api/v1/processes`: what runs now, and its end by hand."""

from __future__ import annotations

from time import monotonic
from typing import Annotated

import msgspec
from msgspec import Meta

from greenflow.admin.cancelling import CancelledProcess, cancel
from greenflow.admin.declaring import get, post
from greenflow.admin.engine import Engine
from greenflow.admin.finding import find_node
from greenflow.admin.paging import PageQuery, page
from greenflow.admin.problem import Problem
from greenflow.engine.origin import name_of
from greenflow.engine.process import Process
from greenflow.hub.breathing import unhurried


class ProcessState(msgspec.Struct):
    """A process: its number; its source, if it has one; its parent's number; method, path and id of
    the request that it began with; how many packets and children are under way; for how many
    seconds it has run, and in which node it is, if a packet of it came to one."""

    id: int
    source: str | None
    parent: int | None
    method: str | None
    path: str | None
    request_id: str | None
    packets: int
    children: int
    seconds: float | None
    node: str | None


#: Processes that one request ends, at most.
MOST_CANCELLED = 1000

ProcessNumber = Annotated[int, Meta(ge=0, le=2**63 - 1, description="number of a process")]
Grace = Annotated[
    float,
    Meta(ge=0, le=86_400, description="seconds that calls have which must not be interrupted"),
]


class CancelOrder(msgspec.Struct, forbid_unknown_fields=True):
    """How a process is ended."""

    grace: Grace | None = None


class CancelManyOrder(CancelOrder, forbid_unknown_fields=True):
    """Which processes are ended: those of these numbers, and those of a source."""

    ids: Annotated[list[ProcessNumber], Meta(max_length=MOST_CANCELLED)] = []
    source: Annotated[str | None, Meta(description="name or id of a source")] = None


class CancelledProcesses(msgspec.Struct):
    """What became of each, and the numbers of those that had ended already."""

    items: list[CancelledProcess]
    unknown: list[int]


class ProcessesPage(msgspec.Struct):
    """A part of the processes, by number; `next` is the cursor of the next one, if there is one."""

    items: list[ProcessState]
    next: str | None


@get("/api/v1/processes", problems=(409,))
def processes(engine: Engine, query: PageQuery) -> ProcessesPage:
    """The processes that run, children too, by number, in pages."""
    living = {process.id: process for process in family(engine.services.processes)}
    found, after = page(living, int, query, living.__getitem__)
    return ProcessesPage([_shown(process) for process in found], after)


@post("/api/v1/processes/{id}/cancel", problems=(404, 409))
def cancel_process(engine: Engine, id: ProcessNumber, body: CancelOrder) -> CancelledProcess:
    """End a process and its children, rolled back: within the grace, or it is given up."""
    done = _cancelled(engine, [id], body.grace)
    if not done.items:
        raise Problem(404, f"no process has the number {id}: it has ended")
    return done.items[0]


@post("/api/v1/processes/cancel", problems=(404, 409))
def cancel_processes(engine: Engine, body: CancelManyOrder) -> CancelledProcesses:
    """End many processes side by side: those named, and those of a source."""
    ids = list(body.ids)
    if body.source is not None:
        running = find_node(engine, body.source).version.node
        if running is not None:
            ids += [process.id for process in list(running.processes)[:MOST_CANCELLED]]
    return _cancelled(engine, ids, body.grace)


def _cancelled(engine: Engine, ids: list[int], grace: float | None) -> CancelledProcesses:
    wanted = dict.fromkeys(ids)
    living = {process.id: process for process in family(engine.services.processes)}
    found = [living[id] for id in wanted if id in living]
    return CancelledProcesses(cancel(found, grace), [id for id in wanted if id not in living])


def family(processes: set[Process]) -> list[Process]:
    """These processes and all that descends from them."""
    found = list(processes)
    for process in unhurried(found):
        found.extend(process.children)
    return found


def _shown(process: Process) -> ProcessState:
    method, path, request_id = process.event or (None, None, None)
    trail = process.trail
    return ProcessState(
        process.id,
        None if process.source is None else name_of(process.source),
        None if process.parent is None else process.parent.id,
        method,
        path,
        request_id,
        len(process.open),
        len(process.children),
        None if trail is None or not trail.began else monotonic() - trail.began,
        at_node(process),
    )


def at_node(process: Process) -> str | None:
    """The node that a packet of a process came to last."""
    if process.trail is None or not process.trail.passed:
        return None
    *_, last = process.trail
    return None if last.port.node is None else name_of(last.port.node)
