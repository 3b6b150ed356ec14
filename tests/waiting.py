"""How tests wait for what another greenlet, thread or OS process is about to do.

It polls with a pause. A greenlet that spins on `gevent.sleep(0)` gives the interpreter up so often
and so briefly that a native thread may not get it for many seconds (26 s were seen), and takes the
core from the OS process that it waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gevent

DEADLINE = 60.0  # seconds after which something that should have come counts as missing
PAUSE = 0.001  # seconds between two looks


def until(condition: Callable[[], object]) -> None:
    """Lets everything else run until the condition holds. Raises gevent.Timeout at the deadline."""
    with gevent.Timeout(DEADLINE):
        while not condition():
            gevent.sleep(PAUSE)


def is_running(pid: int) -> bool:
    """Whether an OS process is there and has not ended; one that waits to be reaped has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False  # it was reaped before the file was opened, or between that and its reading
    return state != "Z"
