"""What the workers of a hub may use.

Lives here: WorkerLimits, for whoever holds the workers and for the pool that keeps to them.
"""

from __future__ import annotations

from typing import NamedTuple


class WorkerLimits(NamedTuple):
    """What a pool may use: OS processes, seconds of a call, memory of a call in MiB (15.8)."""

    workers: int = 2
    timeout: float = 1.0
    memory_mib: int = 128
