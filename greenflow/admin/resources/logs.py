"""`/api/v1/logs`: the log as it is written, for as long as somebody reads.

Lives here: the handler that feeds a stream. Records are formatted and redacted as on standard
error, and only while there is a reader. What a reader does not take in time is dropped and counted
(streaming.py); whoever logs waits for nobody.
"""

from __future__ import annotations

import logging
from typing import Annotated, Any

import msgspec
from gevent import get_hub
from msgspec import Meta

from greenflow.admin.bounds import LEASE, LONGEST_LEASE
from greenflow.admin.declaring import get
from greenflow.admin.engine import Engine
from greenflow.admin.problem import Problem
from greenflow.admin.resources.loggers import Level
from greenflow.admin.streaming import EventStream
from greenflow.hub.breathing import unhurried
from greenflow.log import LEVELS, JSONFormatter, recent

#: Readers at one time: each has every record formatted once more.
MOST_READERS = 16

Lease = Annotated[
    float, Meta(gt=0, le=LONGEST_LEASE, description="seconds after which the stream ends")
]


class LogsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which records."""

    node: Annotated[str | None, Meta(description="only those about this node")] = None
    level: Annotated[Level | None, Meta(description="only those of this level or above")] = None
    lease: Lease = LEASE


class RecentQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which of the last records."""

    node: Annotated[str | None, Meta(description="only those about this node")] = None
    level: Annotated[Level | None, Meta(description="only those of this level or above")] = None


class RecentRecord(msgspec.Struct):
    """A record of the log, as it was written: a line of JSON, or of text where the log is text."""

    level: str
    node: str | None
    line: str


class RecentRecords(msgspec.Struct):
    """The last records, the oldest first."""

    items: list[RecentRecord]


class _Reading(logging.Handler):
    """Has the records of the log sent to one reader."""

    def __init__(self, stream: EventStream[Any], node: str | None) -> None:
        super().__init__()
        self.setFormatter(JSONFormatter())
        self._stream, self._node, self._loop = stream, node, get_hub().loop

    def emit(self, record: logging.LogRecord) -> None:
        if self._node not in (None, getattr(record, "node", None), getattr(record, "source", None)):
            return
        line = self.format(record).encode()
        # Whoever logs may be in another OS thread.
        self._loop.run_callback_threadsafe(self._stream.put_encoded, "record", line)


@get("/api/v1/logs/recent")
def recent_logs(engine: Engine, query: RecentQuery) -> RecentRecords:
    """The last records of the log, 500 at most; of a program that logs in its own way there are
    none."""
    least = LEVELS[query.level or "debug"]
    return RecentRecords(
        [
            RecentRecord(
                logging.getLevelName(each.level).lower(),
                each.node,
                each.line.decode("utf-8", "replace").rstrip("\n"),
            )
            for each in unhurried(recent.written())
            if each.level >= least and query.node in (None, each.node, each.source)
        ]
    )


_readers: set[_Reading] = set()


@get("/api/v1/logs", problems=(409,))
def logs(engine: Engine, query: LogsQuery) -> EventStream[dict[str, str]]:
    """The records of the log from now on, as JSON, one event each."""
    if len(_readers) >= MOST_READERS:
        raise Problem(409, f"{MOST_READERS} others read the log already")
    stream: EventStream[dict[str, str]] = EventStream(query.lease)
    reading = _Reading(stream, query.node)
    if query.level is not None:
        reading.setLevel(LEVELS[query.level])
    _readers.add(reading)
    logging.getLogger().addHandler(reading)

    def end() -> None:
        _readers.discard(reading)
        logging.getLogger().removeHandler(reading)

    stream.on_end = end
    return stream
