"""The last records of the log, as they were written: for who asks a running program what it said.

Lives here: those records. Who writes them is the package's; they are redacted and cut already.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import NamedTuple

#: Records that are kept, of 8 KiB at most (limits.py): 4 MiB.
KEPT = 500


class WrittenRecord(NamedTuple):
    """A record: its level, its node and source if it has some, and its line."""

    level: int
    node: str | None
    source: str | None
    line: bytes


_written: deque[WrittenRecord] = deque(maxlen=KEPT)


def keep(record: logging.LogRecord, line: bytes) -> None:
    """The record was written so."""
    node, source = getattr(record, "node", None), getattr(record, "source", None)
    _written.append(WrittenRecord(record.levelno, node, source, line))


def written() -> list[WrittenRecord]:
    """The last records, the oldest first."""
    return list(_written)
