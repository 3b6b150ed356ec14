"""Files that a workflow reads and writes while everybody else goes on (BEHAVIOUR 14.3).

Lives here: Disk, which a runtime has one of, OpenFile, StandardOutput and its Stall. Which process
has which file open is __init__.py's.

A file on a disk is read and written in native threads, for there is no other way to wait for a
disk. They are threads of our own: disks that hang should not keep those of gevent busy, which look
up names. Pipes, terminals and devices are waited for by the hub. Who waits may be interrupted; what
a native thread has begun it ends, and only then the file is closed.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import select
import stat
import sys
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from gevent.lock import Semaphore
from gevent.monkey import get_original
from gevent.socket import wait_read, wait_write

from greenflow.hub.blocking import outcome
from greenflow.hub.blocking.threads import Task, Threads

#: Native threads of a runtime that wait for disks. More seldom make a disk faster.
THREADS = 8

#: Seconds that `print` waits for a reader of the standard output who takes nothing. A service must
#: not stand still because its output does; a reader who is slow has this long for each piece.
STALLED = 1.0

#: Bytes of a pipe or device that are read in one go; what a pipe holds, by default (pipe(7)).
CHUNK_BYTES = 64 * 1024

T = TypeVar("T")

# Native ones in a monkey-patched program, too.
_start_thread = get_original("_thread", "start_new_thread")
_poll = get_original("select", "poll")

_log = logging.getLogger("greenflow.disk")


class Disk:
    """Native threads for files, and locks for what several handles write to."""

    def __init__(self) -> None:
        self.threads = Threads(THREADS)
        self.stall = Stall()
        self._locks: WeakValueDictionary[object, Semaphore] = WeakValueDictionary()

    def open(self, path: str, flags: int) -> OpenFile:
        """Raises OSError, and ValueError for what no path can be."""
        waits = True

        def opened(task: Task[tuple[int, os.stat_result]]) -> None:
            if not waits and task.value is not None:
                os.close(task.value[0])

        try:
            number, status = self.threads.run(_open, path, flags, ended=opened)
        finally:
            waits = False
        return OpenFile(self, number, status)

    def lock(self, status: os.stat_result) -> Semaphore:
        """The lock of all handles of a file."""
        key = (status.st_dev, status.st_ino)
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = Semaphore()
        return lock

    def close(self) -> None:
        """End the threads. One that still waits for its disk is left behind."""
        self.stall.end()
        if self.threads.under_way:
            left = self.threads.under_way
            _log.warning("%d files are still waited for, and left behind", left)
            self.threads.abandon()
        else:
            self.threads.close()


class OpenFile:
    """An open file, used by one greenlet at a time."""

    def __init__(self, disk: Disk, number: int, status: os.stat_result) -> None:
        self._disk, self._number = disk, number
        self._is_on_disk = stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)
        self._lock = disk.lock(status)
        self._is_busy = self._is_closed = False

    def read(self, count: int | None, limit: int) -> bytes:
        """The next `count` bytes: fewer where the file ends, or a pipe has no more by now, and none
        at the end. Without a count all that is left. Raises OSError, and ValueError for more than
        `limit` bytes."""
        if self._is_on_disk:
            return bytes(self._native(_read, self._number, count, limit))
        found = bytearray()
        while part := self._read_pipe(min(count or CHUNK_BYTES, CHUNK_BYTES)):
            if count is not None:
                return part
            found += part
            _check_size(len(found), limit)
        return bytes(found)

    def _read_pipe(self, count: int) -> bytes:
        while True:
            wait_read(self._number)
            try:
                return os.read(self._number, count)
            except BlockingIOError:
                continue  # somebody else was quicker

    def write(self, data: bytes) -> int:
        """Write all of it, and nothing of others in between as far as the system allows; how many
        bytes that were. Raises OSError."""
        if self._is_on_disk:
            self._native(_write, self._number, data)
            return len(data)
        with self._lock:
            left = memoryview(data)
            while left:
                wait_write(self._number)
                try:
                    left = left[os.write(self._number, left) :]
                except BlockingIOError:
                    continue  # there is room, but not for a piece that must not be torn apart
        return len(data)

    def close(self) -> None:
        """Wait until it is closed. Raises OSError for what the system found out only now."""
        self._is_closed = True
        self._disk.threads.run(os.close, self._number)

    def abandon(self) -> None:
        """Have it closed when what is under way is over, and wait for nothing."""
        self._is_closed = True
        if not self._is_busy:
            _start_thread(outcome, (os.close, self._number))

    def _native(self, function: Callable[..., T], *args: Any) -> T:
        task = self._disk.threads.begin(function, *args, ended=self._ended)
        self._is_busy = True
        return task.outcome()

    def _ended(self, _: object) -> None:
        self._is_busy = False
        if self._is_closed:
            self.abandon()


class Stall:
    """Whether a reader of the standard output takes nothing, and how much was dropped for it."""

    def __init__(self) -> None:
        self.is_known, self.dropped = False, 0
        self.task: Task[None] | None = None  # a write that hangs: the room was another's

    def drop(self, size: int) -> None:
        """So many bytes are lost."""
        if not self.is_known:
            self.is_known = True
            _log.warning(
                "nobody reads the standard output; what is printed is dropped until somebody does"
            )
        self.dropped += size

    def end(self) -> None:
        """It is read again, or nothing will be printed any more."""
        if self.dropped:
            _log.warning("%d bytes for the standard output were dropped", self.dropped)
        self.is_known, self.dropped = False, 0


class StandardOutput:
    """The standard output of the OS process, or what a program has put in its place.

    It may be shared with other OS processes, so it stays blocking; each piece is written when there
    is room for it, and in a native thread, for another may be quicker. Where there is no room for
    STALLED seconds, pieces are dropped at once until there is.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def write(self, data: bytes) -> int:
        """Write all of it, or what is read of it; how many bytes that were. Raises OSError;
        BrokenPipeError when nobody has it open for reading any more."""
        output: Any = sys.stdout
        if output is None or output.closed:
            raise OSError(errno.EBADF, "it is closed")
        try:
            number = output.fileno()
        except (OSError, AttributeError):  # a program, or a test, keeps what is printed
            output.write(data.decode(errors="replace"))
            return len(data)
        status = os.fstat(number)
        is_on_disk = stat.S_ISREG(status.st_mode)
        piece = len(data) if is_on_disk else select.PIPE_BUF
        with self._disk.lock(status):
            for start in range(0, len(data), piece):
                if not is_on_disk and not self._has_room(number):
                    self._disk.stall.drop(len(data) - start)
                    return start
                self._write(number, data[start : start + piece])
        return len(data)

    def _has_room(self, number: int) -> bool:
        """Wait until there is room; not where there was none before."""
        stall = self._disk.stall
        seconds = 0.0 if stall.is_known else STALLED
        if stall.task is not None and not stall.task.wait(seconds):
            return False
        stall.task = None
        if stall.is_known:
            looks = _poll()
            looks.register(number, select.POLLOUT)
            if not looks.poll(0):
                return False
            stall.end()
            return True
        try:
            wait_write(number, timeout=seconds, timeout_exc=TimeoutError())
        except TimeoutError:
            return False
        return True

    def _write(self, number: int, piece: bytes) -> None:
        task = self._disk.threads.begin(_write_all, number, piece)
        if task.wait(STALLED):
            task.outcome()
        else:
            self._disk.stall.task = task

    def close(self) -> None:
        """It is not ours to close."""

    abandon = close


# -- in a native thread ----------------------------------------------------------------------------


def _open(path: str, flags: int) -> tuple[int, os.stat_result]:
    # Not blocking: a pipe would be waited for until somebody opens its other end.
    number = os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK, 0o666)
    status = os.fstat(number)
    if stat.S_ISDIR(status.st_mode):
        os.close(number)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return number, status


def _read(number: int, count: int | None, limit: int) -> bytearray:
    found = bytearray()
    while count is None or len(found) < count:
        left = limit + 1 if count is None else count
        part = os.read(number, min(left - len(found), _most(number)))
        if not part:
            break
        found += part
        if count is None:
            _check_size(len(found), limit)
    return found


def _most(number: int) -> int:
    """Bytes to ask for: what is there, for a buffer of that size is made first."""
    there = os.fstat(number).st_size - os.lseek(number, 0, os.SEEK_CUR)
    return max(there + 1, CHUNK_BYTES)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f"more than {limit:,} bytes at a time; read pieces, or raise `limit`")


def _write(number: int, data: bytes) -> None:
    """Append, whole or not at all; under a lock that others who append here take, too."""
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
    except OSError:
        _write_all(number, data)  # a file system without locks
        return
    try:
        before = os.fstat(number).st_size
        try:
            _write_all(number, data)
        except OSError:
            if os.fstat(number).st_size <= before + len(data):
                os.ftruncate(number, before)
            raise
    finally:
        fcntl.flock(number, fcntl.LOCK_UN)


def _write_all(number: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(number, left) :]
