"""Which processes are recorded: all that failed, a sample, and the slowest of the others in each
minute.

Lives here: ProcessRecorder, which the engine tells of each process that ends. It is on the way of
every request: one that went well, was not slow and is no sample costs a comparison.

Making a record is bounded work (writing.py), and only so many are made each second (shedding.py).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from random import Random
from time import monotonic, time
from typing import Any

from greenflow.engine.process import Process
from greenflow.engine.source import begins_alone, event_of
from greenflow.engine.trail import FORGOTTEN
from greenflow.errors import Cancelled, ProcessExited
from greenflow.log.limits import shown as redacted
from greenflow.net.message import ClientDisconnected
from greenflow.payload.origin import origin_of
from greenflow.records.record import CANCELLED, FAILED, LEFT, OK, REFUSED, SAMPLE, SLOW, RunRecord
from greenflow.records.shedding import SHARE, WELL, Shedding
from greenflow.records.shown import MOST
from greenflow.records.writing import Writing

#: Seconds of which the slowest process is recorded.
MINUTE = 60.0

#: Told of a record, what it began with as it was, the bytes of that, and whether it is the slowest
#: of the minute until now.
Keep = Callable[[RunRecord, Any, int, bool], object]

_log = logging.getLogger("greenflow.records")
_SLOW, _SAMPLE = ("", SLOW), ("", SAMPLE)


class ProcessRecorder:
    """Makes the records of one runtime. `sample` is the part of all processes that is recorded
    whatever becomes of them, `rate` the most records a second."""

    def __init__(self, namespace: str, keep: Keep, sample: float, rate: int) -> None:
        self.namespace, self.sample = namespace, sample
        self.shedding = Shedding(rate)
        self.change: int | None = None  # the number of the one that runs, where the store has it
        self.run = os.urandom(4).hex()  # of all ids, for a store may be shared
        self._keep = keep
        self._changes: list[tuple[float, int | None]] = []
        self._random = Random()
        self._next = self._gap()  # processes until the next of the sample
        self._slowest = 0.0  # seconds
        self.minute = monotonic() + MINUTE  # when this one is over

    def changed(self, number: int) -> None:
        """That change runs from now on."""
        if number != self.change:
            self._changes = [*self._changes[-99:], (monotonic(), self.change)]
            self.change = number

    def id_of(self, number: int) -> str:
        """The id of the record of a process, if there is one."""
        return f"r{self.run}-{number}"

    def ended(self, process: Process) -> None:
        """A process ends."""
        self._next -= 1
        trail = process.trail
        is_well = process.failure is None and process.error is None
        if trail is None or trail.before is not None or not trail.passed:
            if is_well and trail is None:
                return
            # One greenlet after the other is the rule; where several ran, any may be the last.
            end = monotonic()
            start = (0.0 if trail is None else trail.began) or end
        else:
            start, end = trail.first or trail.passed[1], trail.end
        if is_well and end - start <= self._slowest and self._next and end < self.minute:
            return
        try:
            self._look(process, start, end)
        except Exception as error:  # never the end of a request
            _log.error("a process could not be recorded: %s", error, exc_info=error)

    def _look(self, process: Process, start: float, end: float) -> None:
        why: list[str] = []
        outcome, error, status = _outcome(process)
        if outcome in (FAILED, CANCELLED):
            why.append(FAILED)
        if end >= self.minute:
            self.minute, self._slowest = end + MINUTE, 0.0
        if self._next <= 0:
            self._next = self._gap()
            why.append(SAMPLE)
        if not why and end - start > self._slowest:
            self._slowest = end - start
            why.append(SLOW)
        share = SHARE if FAILED in why else WELL
        if why and self.shedding.admits(_kind(why, error, process), end, share):
            self._write(process, start, end, tuple(why), outcome, error, status)

    def _write(
        self,
        process: Process,
        start: float,
        end: float,
        why: tuple[str, ...],
        outcome: str,
        error: BaseException | None,
        status: int | None,
    ) -> None:
        writing = Writing(process, start)
        # Payloads that it failed with come before those of its way.
        failure = None if error is None else writing.failure(error)
        hops, parts = writing.way(process.trail)
        source, parent = process.source, process.parent
        method, path, request_id = event_of(process)
        record = RunRecord(
            id=self.id_of(process.id),
            number=process.id,
            namespace=self.namespace,
            started=time() - (monotonic() - start),
            duration=round(end - start, 6),
            outcome=outcome,
            why=why,
            source=writing.name(source),
            source_kind="" if source is None else source.spec.kind,
            request=None
            if method is None or path is None
            else (method, redacted(path)[:MOST], request_id),
            status=status,
            change=self._change_at(start),
            parent=None if parent is None else self.id_of(parent.id),
            entry=_entry(source, writing),
            event=writing.event,
            error=failure,
            hops=hops,
            forgotten=writing.forgotten,
            parts=parts,
        )
        # What is shown whole is small: it can be kept as it was, to be sent again.
        event, is_slowest = writing.event, SLOW in why
        if event is None or event.cut:
            self._keep(record, FORGOTTEN, 0, is_slowest)
        else:
            self._keep(record, writing.raw, 2 * len(event.text), is_slowest)

    def _change_at(self, start: float) -> int | None:
        """The change that ran then."""
        number = self.change
        for until, before in reversed(self._changes):
            if until <= start:
                break
            number = before
        return number

    def _gap(self) -> int:
        """Processes from one of the sample to the next; 0 and less: there is none."""
        if self.sample <= 0:
            return 1 << 62
        return max(1, int(self._random.expovariate(self.sample)) + 1) if self.sample < 1 else 1


def _outcome(process: Process) -> tuple[str, BaseException | None, int | None]:
    """How a process ended, what it failed with, and the status that it answered, as far as it is an
    error's."""
    error = process.failure or process.error
    if error is None:
        return OK, None, None
    answered: int | None = getattr(error, "answered", None)
    if answered is not None:
        return (FAILED if answered >= 500 else REFUSED), error, answered
    reason = error.__cause__ if isinstance(error, ProcessExited) else error
    if reason is None or isinstance(reason, ClientDisconnected):
        return LEFT, error, None
    return (CANCELLED if isinstance(reason, Cancelled) else FAILED), error, None


def _entry(source: Any, writing: Writing) -> tuple[str, str] | None:
    """Where what it began with can be sent again: to its source, as an event of that, or where that
    sent it."""
    if source is not None and begins_alone(source):
        return source.spec.id, "in"
    return writing.entry


def _kind(why: list[str], error: BaseException | None, process: Process) -> tuple[str, str]:
    """What is counted where a record is not made."""
    if FAILED not in why or error is None:
        return _SLOW if SLOW in why else _SAMPLE
    origin = origin_of(error)
    if origin is None and process.met:
        error = process.met[-1]
        origin = origin_of(error)
    return ("" if origin is None else origin.node), type(error).__name__
