"""What is kept of a process that has ended: RunRecord and its parts. All of it may be shown.

Lives here: the values, as they go into memory, files and answers; times of a record are seconds
since 1970, those in it seconds since its start. What makes one is writing.py's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from greenflow.records.shown import Shown

#: Why a process is recorded.
FAILED, SLOW, SAMPLE = "failed", "slow", "sample"

#: How one ended. `left`: its client did, or the connection that it served; `refused`: it answered
#: with a status from 400 to 499, and so rolled back.
OK, LEFT, REFUSED, CANCELLED = "ok", "left", "refused", "cancelled"


class RunHop(msgspec.Struct, frozen=True, omit_defaults=True):
    """A packet that came to a port: from where, as far as that is known, when, how long the node
    had it in hand (None: it still has), and what it was. `same`: the payload of the hop before."""

    node: str
    kind: str
    port: str
    start: float
    duration: float | None
    by: str = ""
    payload: Shown | None = None
    same: bool = False


class RunFailure(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error, in words with its causes, and the node that it arose in: its name and kind, where
    its spec stands, and the line and column in its code, or file and line of somebody's Python."""

    type: str
    message: str
    node: str = ""
    kind: str = ""
    at: str = ""
    code: str = ""
    input: Shown | None = None


class RunPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """A child of the process, such as a round of a loop: its number, and its way. One that is no
    part of the process has a record of its own, if it failed."""

    number: int
    start: float
    hops: list[RunHop]
    error: RunFailure | None = None
    parts: list[RunPart] = []


class RunRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process that has ended. `number` is that of the process in the log, `parent` the id that a
    record of its parent has, `change` the number of the change that was running when it began,
    `entry` the id of a node and its port where it came in. `forgotten` counts packets that passed
    before those of `hops`, `waiting` payloads that had no room in the record."""

    id: str
    number: int
    namespace: str
    started: float
    duration: float
    outcome: str
    why: tuple[str, ...]
    source: str = ""
    source_kind: str = ""
    request: tuple[str, str, str | None] | None = None
    status: int | None = None
    change: int | None = None
    parent: str | None = None
    entry: tuple[str, str] | None = None
    event: Shown | None = None
    error: RunFailure | None = None
    hops: list[RunHop] = []
    forgotten: int = 0
    parts: list[RunPart] = []


class RunSummary(NamedTuple):
    """What a list of records shows, and is asked for. `nodes` are the names of all that it
    passed."""

    id: str
    started: float
    duration: float
    outcome: str
    why: tuple[str, ...]
    source: str
    request: str
    error: str
    node: str
    nodes: frozenset[str]


def summary(record: RunRecord) -> RunSummary:
    """A record in a line."""
    request, error = record.request, record.error
    return RunSummary(
        record.id,
        record.started,
        record.duration,
        record.outcome,
        record.why,
        record.source,
        "" if request is None else f"{request[0]} {request[1]}",
        "" if error is None else error.message,
        "" if error is None else error.node,
        frozenset(_names(record)),
    )


def _names(record: RunRecord) -> set[str]:
    names = {hop.node for hop in record.hops}
    pending = list(record.parts)
    while pending:
        part = pending.pop()
        names.update(hop.node for hop in part.hops)
        pending += part.parts
    if record.source:
        names.add(record.source)
    if record.error is not None and record.error.node:
        names.add(record.error.node)
    return names


_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(RunRecord)


def encode(record: RunRecord) -> bytes:
    """A record as JSON."""
    return _encoder.encode(record)


def decode(data: bytes | str) -> RunRecord:
    """What `encode` made."""
    return _decoder.decode(data)


def plain(value: Any) -> Any:
    """A record or a summary as maps and lists, for an answer."""
    if isinstance(value, RunSummary):
        return {**value._asdict(), "nodes": sorted(value.nodes)}
    return msgspec.to_builtins(value)
