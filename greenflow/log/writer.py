"""A native thread that writes the log, so that a reader who stopped reading holds up nobody
(BEHAVIOUR 17.13).

Lives here: Writer. What a record is, and how it looks, is the package's.

Records wait in a queue of at most QUEUE bytes. When it is full, new ones are dropped and counted
until it has been written; then one record says how many there were. So it is with what the system
does not take, as a full disk. Whoever logs never waits, but for `flush`, which has a limit.

Everything here is native, in a monkey-patched program too, and nothing of gevent's: the thread must
not have a hub. A fork has no such thread, and writes by itself; so does who logs after the end.
"""

from __future__ import annotations

import _thread
import os
import select
import sys
from _queue import Empty, SimpleQueue
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol
from weakref import WeakSet

#: Bytes of records that wait: some 20,000. A burst finds room, and memory does not notice.
QUEUE = 4 * 1024 * 1024

#: Seconds that `flush` waits for a reader that takes nothing, and for one that takes something.
STALLED, LATEST = 1.0, 5.0

# Seconds between looks whether there is room again, or `flush` is to go on.
_LOOK = 0.05

# Bytes written in one go: a pipe takes that much whole or not at all, and has room for it when it
# says that it has any (pipe(7)).
_PIECE = select.PIPE_BUF


def _native(module: Any, name: str) -> Any:
    """What the module had there before gevent's patches. gevent is not imported for it: the command
    line logs before it needs gevent."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return getattr(module, name)
    return monkey.get_original(module.__name__, name)


def native_lock() -> _thread.LockType:
    """A lock for OS threads, in a patched program, too."""
    lock: _thread.LockType = _native(_thread, "allocate_lock")()
    return lock


class WriteTarget(Protocol):
    """What is written to: a file, a pipe or a terminal."""

    @property
    def closed(self) -> bool:
        """Whether it is no more."""

    def fileno(self) -> int:
        """Its descriptor."""


class Writer:
    """Writes to the descriptor of `stream`. `notice` makes the record that says how many others
    were dropped. `put` is called by one thread at a time, or under a lock."""

    def __init__(self, stream: WriteTarget, notice: Callable[[int], bytes]) -> None:
        self._stream, self._notice = stream, notice
        self._queue: SimpleQueue[bytes | _thread.LockType | None] = SimpleQueue()
        self._poll = self._polling()
        self._is_started = self._is_alone = False
        # Each number has one thread that changes it: who puts, or who writes. Bytes that were put
        # and taken; those that must be taken before more is put, after the queue was full.
        self._put = self._resume = self._refused = 0
        self._taken = self._lost = self._told = self._written = 0
        self._is_torn = self._failed = False
        self._waited_at = -1  # what was written when `flush` gave up
        _writers.add(self)

    def put(self, record: bytes) -> None:
        """Have the record, with the end of its line, written soon, after those before it."""
        if self._is_alone:
            self._write([record], _LOOK)
            return
        if self._put - self._taken > QUEUE:
            self._resume = self._put
        if self._taken < self._resume:
            self._refused += 1
        else:
            self._put += len(record)
            self._queue.put(record)
        if not self._is_started:
            self._is_started = True
            _native(_thread, "start_new_thread")(self._run, ())

    @property
    def dropped(self) -> int:
        """How many records were dropped until now."""
        return self._refused + self._lost

    def flush(self) -> bool:
        """Wait until all is written; False if that does not come to an end."""
        if not self._is_started or self._is_alone:
            return True
        if self._waited_at == self._written:
            return False  # nothing was taken since somebody waited in vain
        done = _native(_thread, "allocate_lock")()
        done.acquire()
        self._queue.put(done)
        now = since = monotonic()
        latest, written = now + LATEST, self._written
        while not done.acquire(True, _LOOK):
            now = monotonic()
            if written != self._written:
                since, written = now, self._written
            if now > latest or now - since > STALLED:
                self._waited_at = written
                return False
        return True

    def close(self) -> None:
        """Flush, and end the thread; it stays where nobody reads what it writes."""
        self.flush()
        if self._is_started and not self._is_alone:
            self._queue.put(None)
        self.leave()

    def end(self) -> None:
        """End the thread when it has written what waits, and wait for nothing."""
        if self._is_started and not self._is_alone:
            self._queue.put(None)

    def leave(self) -> None:
        """Forget the thread, and what waits: in a fork both are the parent's."""
        self._is_alone = True
        self._poll = self._polling()  # one may be used by one thread only

    def _polling(self) -> Any:
        poll = _native(select, "poll")()
        if not self._stream.closed:
            poll.register(self._stream.fileno(), select.POLLOUT)
        return poll

    # -- in the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        queue, records, size = self._queue, list[bytes](), 0
        item: bytes | _thread.LockType | None
        while True:
            try:
                item = queue.get_nowait()
            except Empty:
                self._finish(records)
                records, size = [], 0
                item = queue.get()
            if isinstance(item, bytes):
                if size + len(item) > _PIECE:
                    self._take(records)
                    records, size = [], 0
                records.append(item)
                size += len(item)
                continue
            self._finish(records)
            records, size = [], 0
            if item is None:
                return
            item.release()

    def _finish(self, records: list[bytes]) -> None:
        """Write these, which are the last ones, and say what was dropped."""
        self._take(records)
        if not self._failed:
            self._tell()

    def _take(self, records: list[bytes]) -> None:
        if records:
            if self._failed and not self._tell():
                self._lost += len(records)
            else:
                self._write(records)
            self._taken += sum(map(len, records))

    def _tell(self) -> bool:
        """Write how many were dropped, if there were any; whether that could be written."""
        dropped = self._refused + self._lost
        if dropped == self._told:
            return True
        if not self._put_out(self._notice(dropped - self._told)):
            return False
        self._told = dropped
        return True

    def _write(self, records: list[bytes], seconds: float | None = None) -> None:
        if not self._put_out(b"".join(records), seconds):
            self._lost += len(records)

    def _put_out(self, data: bytes, seconds: float | None = None) -> bool:
        """Write it, once there is room, within `seconds` if it has a limit; whether that was
        possible."""
        left = memoryview(b"\n" + data if self._is_torn else data)
        try:
            while left:
                if not self._has_room(seconds):
                    return False
                try:
                    count = os.write(self._stream.fileno(), left[:_PIECE])
                except BlockingIOError:  # another was quicker
                    continue
                self._written += count
                self._is_torn = left[count - 1] != ord("\n")
                left = left[count:]
        except (OSError, ValueError):  # it is full, gone or closed
            self._failed = True
            return False
        self._failed = False
        return True

    def _has_room(self, seconds: float | None) -> bool:
        # Not without end: the stream may be closed meanwhile. An error is found by the write.
        poll = self._poll
        while not poll.poll((_LOOK if seconds is None else seconds) * 1000):
            if seconds is not None or self._stream.closed:
                return False
        return True


_writers: WeakSet[Writer] = WeakSet()


def _forked() -> None:
    for writer in list(_writers):
        writer.leave()


os.register_at_fork(after_in_child=_forked)
