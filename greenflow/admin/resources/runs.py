"""`/api/v1/runs`: what ran and was recorded, and running one again.

Lives here: the resources. Which processes are recorded, and what of them, is records/'s.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from greenflow.admin.declaring import get, post
from greenflow.admin.engine import Engine
from greenflow.admin.paging import NO_CURSOR, Cursor, read, write
from greenflow.admin.problem import Problem
from greenflow.admin.resources.sources import LONGEST_TIMEOUT, TIMEOUT, CallAnswer, called
from greenflow.payload.stream import Stream
from greenflow.records import MOST_PAGE, PAGE
from greenflow.records.record import RunRecord

RunId = Annotated[str, Meta(min_length=1, max_length=100, description="id of a run")]


class RunState(msgspec.Struct):
    """A run in a line. `why` it is recorded; `node` is the one that its error arose in."""

    id: str
    started: float
    duration: float
    outcome: str
    why: tuple[str, ...]
    source: str
    request: str
    error: str
    node: str


class RunsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which runs, and which page of them."""

    failed: Annotated[bool, Meta(description="only those that failed")] = False
    slow: Annotated[bool, Meta(description="only the slowest of each minute")] = False
    node: Annotated[str | None, Meta(description="only those that passed this node")] = None
    since: Annotated[
        float | None, Meta(description="only those that began since, in seconds since 1970")
    ] = None
    limit: Annotated[int, Meta(ge=1, le=MOST_PAGE, description="runs of the page, at most")] = PAGE
    cursor: Cursor = ""


class RunsPage(msgspec.Struct):
    """A part of the recorded runs, the newest first; `next` is the cursor of the next one, if there
    is one. `shed` counts the runs of each node and type of error that were not recorded."""

    items: list[RunState]
    next: str | None
    shed: list[tuple[str, str, int]]


class RetryOrder(msgspec.Struct, forbid_unknown_fields=True):
    """How long it may take."""

    timeout: Annotated[float, Meta(gt=0, le=LONGEST_TIMEOUT, description="seconds it has")] = (
        TIMEOUT
    )


@get("/api/v1/runs", problems=(409,))
def runs(engine: Engine, query: RunsQuery) -> RunsPage:
    """The recorded runs, the newest first, in pages."""
    try:
        page = engine.records.find(
            failed=query.failed,
            slow=query.slow,
            node=query.node,
            since=query.since,
            cursor=read(query.cursor, str) if query.cursor else None,
            limit=query.limit,
        )
    except ValueError:
        raise Problem(400, NO_CURSOR) from None
    fields = RunState.__struct_fields__
    items = [RunState(*(getattr(about, name) for name in fields)) for about in page.records]
    after = None if page.cursor is None else write(page.cursor)
    shed = engine.records.counts().shed
    most = sorted(((*kind, count) for kind, count in shed.items()), key=lambda each: -each[2])
    return RunsPage(items, after, most[:MOST_PAGE])


@get("/api/v1/runs/{id}", problems=(404, 409))
def run_record(engine: Engine, id: RunId) -> RunRecord:
    """One recorded run: its way from node to node, its payloads without secrets, its error."""
    record = engine.records.get(id)
    if record is None:
        raise Problem(404, f"no run {id!r} is recorded: old ones are forgotten")
    return record


@post("/api/v1/runs/{id}/retry", problems=(404, 409))
def retry(engine: Engine, id: RunId, body: RetryOrder) -> CallAnswer:
    """Run it again: what it began with is sent again, as it was, by the graph that runs now."""
    record = run_record.function(engine, id)
    try:
        payload = engine.records.event_of(id)
    except LookupError as error:
        raise Problem(409, f"{error}: it cannot be sent again") from None
    if record.entry is None or (
        isinstance(payload, dict) and any(type(each) is Stream for each in payload.values())
    ):
        raise Problem(409, "what it began with cannot be sent a second time")
    node, port = record.entry
    return called(engine, node, payload, port, body.timeout)
