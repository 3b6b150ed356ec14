"""Ending a process by hand, so that it always comes to an end: within the grace, or given up.

Lives here: `cancel`. How a process ends is engine/process.py's: its greenlets are interrupted, and
calls that must not be interrupted have the grace, which may be made shorter. What it holds is
released then, and some of that may wait, too, as a rollback for a database that is gone: after the
grace nobody waits for it any more, and the answer and the log say that it was given up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import monotonic
from typing import Literal

import gevent
import gevent.event
import msgspec

from greenflow.engine.process import EXITED, Process
from greenflow.errors import Cancelled

#: Seconds beyond the grace that what a process holds has to be released.
RELEASE_SECONDS = 1.0

Outcome = Literal["ended", "given_up"]

_log = logging.getLogger("greenflow.admin")


class CancelledProcess(msgspec.Struct):
    """What became of a process that was cancelled. `given_up`: calls of it, so many as `left`, or
    what it holds, did not end within the grace, and are left behind."""

    id: int
    outcome: Outcome
    left: int


def cancel(processes: Iterable[Process], grace: float | None) -> list[CancelledProcess]:
    """End these processes and their children, side by side, rolled back. What waits for their
    answers gets the error `cancelled`. A grace shorter than their own counts instead of it."""
    processes = list(processes)
    for process in processes:
        if grace is not None:
            process.grace = min(process.grace, grace)
    end = monotonic() + max((process.grace for process in processes), default=0.0)
    exits = [gevent.spawn(process.exit, Cancelled()) for process in processes]
    gevent.joinall(exits, timeout=end + RELEASE_SECONDS - monotonic())
    for process in processes:
        _await(process, end + RELEASE_SECONDS)
    return [_told(process) for process in processes]


def _await(process: Process, end: float) -> None:
    """Somebody else may be ending it already."""
    left = end - monotonic()
    if process.state != EXITED and left > 0:
        gone = gevent.event.Event()
        process.on_exit(gone.set)
        gone.wait(left)


def _told(process: Process) -> CancelledProcess:
    left = process.left_behind
    if process.state == EXITED and not left:
        return CancelledProcess(process.id, "ended", 0)
    _log.warning(
        "the process was cancelled, and is given up: %s did not end within the grace",
        f"{left} calls" if left else "what it holds",
        extra={"process_id": process.id},
    )
    return CancelledProcess(process.id, "given_up", left)
