"""Records that outlive the engine: a file of SQLite, or MongoDB, with an age and a size.

Lives here: Archive, what each of them does, and Archiving, who writes into one. Which one it is,
opening.py says; sqlite.py and mongo.py are the two.

Nobody waits for the archive. Records wait for it in a queue of so many bytes; what finds no room,
or cannot be written, is dropped and counted. One greenlet writes them, some at a time, and now and
then forgets what is too old or too much.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from time import monotonic, time
from typing import NamedTuple

import gevent
from gevent.event import Event

from greenflow.errors import GreenflowError
from greenflow.records.record import RunSummary

#: Records, and bytes of them, that wait to be written: some seconds of the most that are made.
WAITING, WAITING_BYTES = 1000, 16 * 1024 * 1024

#: Records that are written at once.
TOGETHER = 100

#: Seconds between two looks at what is too old or too much, and two lines that writing fails.
THIN, REMIND = 60.0, 60.0

#: Seconds that the stop waits for what is to be written.
PATIENCE = 5.0

_log = logging.getLogger("greenflow.records")


class Archived(NamedTuple):
    """A record as it is kept: its JSON, and what it is asked for."""

    about: RunSummary
    data: bytes


class Choice(NamedTuple):
    """Which records are meant. `below` is a time and an id: only what began before it, or then and
    has a lesser id."""

    failed: bool = False
    slow: bool = False
    node: str | None = None
    since: float | None = None
    below: tuple[float, str] | None = None
    limit: int = 50


class Archive(ABC):
    """Where records are kept. Every method blocks the calling greenlet alone, and raises
    StoreUnavailable where it is out of reach."""

    @abstractmethod
    def write(self, records: Sequence[Archived]) -> None:
        """Keep these."""

    @abstractmethod
    def find(self, choice: Choice) -> list[bytes]:
        """Those that are meant, the newest first."""

    @abstractmethod
    def get(self, id: str) -> bytes | None:
        """The record of that id."""

    @abstractmethod
    def thin(self, before: float, most_bytes: int) -> int:
        """Forget what began before a time, and the oldest beyond so many bytes; how many."""

    @abstractmethod
    def close(self) -> None:
        """End what it holds."""


class Archiving:
    """Writes records into an archive, and lets nobody wait. Belongs to one hub."""

    def __init__(self, archive: Archive, days: float, most_bytes: int) -> None:
        self.archive, self.dropped = archive, 0
        self._days, self._most_bytes = days, most_bytes
        self._waiting: deque[Archived] = deque()
        self._bytes = 0
        self._more, self._written = Event(), Event()
        self._written.set()
        self._is_closed = False
        self._remind_at, self._thin_at = 0.0, 0.0
        self._greenlet = gevent.spawn(self._run)

    def put(self, record: Archived) -> None:
        """Have it written, unless too much waits. Never blocks."""
        size = len(record.data)
        if len(self._waiting) >= WAITING or self._bytes + size > WAITING_BYTES:
            self.dropped += 1
            return
        self._waiting.append(record)
        self._bytes += size
        self._written.clear()
        self._more.set()

    def settle(self, seconds: float) -> None:
        """Wait until what was put is written, for so long at most."""
        self._written.wait(seconds)

    def close(self) -> None:
        """Write what waits, for PATIENCE at most, and end."""
        self._is_closed = True
        self._more.set()
        self._greenlet.join(PATIENCE)
        self._greenlet.kill()
        self.dropped += len(self._waiting)
        self.archive.close()

    def _run(self) -> None:
        while self._waiting or not self._is_closed:
            self._more.clear()
            if self._waiting:
                self._write()
            if monotonic() >= self._thin_at:
                self._thin_at = monotonic() + THIN
                self._thin()
            if not self._waiting:
                self._written.set()
                if not self._is_closed:
                    self._more.wait(THIN)

    def _write(self) -> None:
        together = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
        self._bytes -= sum(len(each.data) for each in together)
        try:
            self.archive.write(together)
        except GreenflowError as error:
            self.dropped += len(together)
            self._tell(error)

    def _thin(self) -> None:
        try:
            self.archive.thin(time() - self._days * 24 * 60 * 60, self._most_bytes)
        except GreenflowError as error:
            self._tell(error)

    def _tell(self, error: GreenflowError) -> None:
        if monotonic() >= self._remind_at:
            self._remind_at = monotonic() + REMIND
            _log.warning("records are not kept, %d so far: %s", self.dropped, error)
