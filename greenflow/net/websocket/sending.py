"""Sending on a connection that many greenlets share, frame by frame.

What is sent goes to the kernel at once, or waits in a queue that the hub empties: a frame is never
cut by the end of the greenlet that sent it. While too much waits, senders do, and are let in one by
one. Nothing here knows what a frame is.
"""

from __future__ import annotations

import sys
from collections import deque
from fcntl import ioctl
from math import inf
from termios import TIOCOUTQ
from typing import Any

from gevent import get_hub
from gevent.hub import Waiter

from greenflow.net.wire import WRITABLE

# Bytes that may wait to be sent before senders do: enough to keep a connection busy.
QUEUE_BYTES = 64 * 1024

# What ioctl writes its answer to: a C int.
_NO_COUNT = bytes(4)


class Sender:
    """The sending side of a socket, which has to be one that never blocks."""

    __slots__ = (
        "_hub",
        "_queue",
        "_queued",
        "_senders",
        "_socket",
        "_taken_before",
        "_writer",
        "_written",
        "deadline",
    )

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._hub = get_hub()
        # Frames that the kernel had no room for, their bytes, and the watcher that sends them.
        self._queue: deque[bytes | memoryview] = deque()
        self._queued = 0
        self._writer: Any = None
        # Who waits to add some.
        self._senders: deque[Waiter[None]] = deque()
        # Bytes that were queued since the queue began, and what the peer had taken when that was
        # last looked at.
        self._written = self._taken_before = 0
        # When the sweep has to look at the connection, on time.monotonic().
        self.deadline = inf

    # -- for the connection --------------------------------------------------------------------

    def _lose(self, reason: str) -> None:
        """The socket is of no use any more."""
        raise NotImplementedError

    def _queue_sent(self) -> None:
        """The kernel has all of the queue. Called in the hub."""
        raise NotImplementedError

    def _begin_queue(self) -> None:
        """The kernel has no room: a queue begins."""
        self._writer = self._hub.loop.io(self._socket.fileno(), WRITABLE)
        self._writer.start(self._writable)
        self._written = 0
        self._taken_before = self._taken()

    # -- frames --------------------------------------------------------------------------------

    def _put(self, frame: bytes) -> None:
        """Sends the frame, or queues what the kernel has no room for. Does not wait."""
        rest: bytes | memoryview = frame
        if not self._queue:
            try:
                sent = self._socket.send(frame)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._lose(str(error))
                return
            if sent == len(frame):
                return
            rest = memoryview(frame)[sent:]
            self._begin_queue()
        self._queue.append(rest)
        self._queued += len(rest)
        self._written += len(rest)

    def _writable(self) -> None:
        """Sends what is queued as far as there is room."""
        queue = self._queue
        try:
            while queue:
                first = queue[0]
                sent = self._socket.send(first)
                self._queued -= sent
                if sent == len(first):
                    queue.popleft()
                else:
                    queue[0] = memoryview(first)[sent:]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(str(error))
            return
        if not queue:
            self._stop_writing()
            self._queue_sent()
        self._admit_next()

    def _stop_writing(self) -> None:
        if self._writer is not None:
            self._writer.stop()
            self._writer.close()
            self._writer = None

    def _drop_queue(self) -> None:
        """Nothing more is sent."""
        self._stop_writing()
        self._queue.clear()
        self._queued = 0

    def _taken(self) -> int:
        """Bytes that the peer has acknowledged, less a number that is the same until a queue
        begins. The kernel says that it has room only when much of its buffer is free, for which a
        slow peer may need minutes."""
        in_kernel = ioctl(self._socket.fileno(), TIOCOUTQ, _NO_COUNT)
        return self._written - self._queued - int.from_bytes(in_kernel, sys.byteorder)

    # -- who sends -----------------------------------------------------------------------------

    @property
    def _is_full(self) -> bool:
        """Whether who wants to send has to wait for room, or for others who do."""
        return self._queued > QUEUE_BYTES or bool(self._senders)

    def _wait_for_room(self) -> None:
        """Who was let in has to let the next one in."""
        waiter: Waiter[None] = Waiter()
        self._senders.append(waiter)
        try:
            waiter.get()
        except BaseException:
            if waiter in self._senders:
                self._senders.remove(waiter)
            else:  # it had its turn already, which is the next one's now
                self._admit_next()
            raise

    def _admit_next(self) -> None:
        """Lets in the first that waits, if there is room."""
        if self._senders and self._queued <= QUEUE_BYTES:
            self._hub.loop.run_callback(self._senders.popleft().switch, None)

    def _admit_all(self) -> None:
        """Lets in all that wait, for there is nothing to wait for any more."""
        while self._senders:
            self._hub.loop.run_callback(self._senders.popleft().switch, None)
