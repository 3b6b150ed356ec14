"""The socket of one connection: buffered reading, sending, waiting, and a decent end.

A connection has one greenlet, and the hub has one watcher for the socket's readable side, always
on: what it reads goes into the buffer, and wakes the greenlet if that waits for it. So a request
that is handled without blocking costs one recv, one send and no watcher or timer; and while a
handler blocks, the same watcher sees the client reset. Bytes sent ahead are buffered up to a bound,
then reading pauses.

A client that ends its sending side has not left (RFC 9112 9.6). The watcher would report that end
on and on, so it is stopped, and the server's sweep asks the kernel whether a reset came after it;
so it does where reading pauses.

Time-outs are deadlines that the server's sweep looks at; a connection only writes them down. How
long a client that sends or takes a little at a time is waited for is a matter of Patience. After
an answer that a client might miss because it still sends, the connection lingers, without its
greenlet: half closed, discarding (RFC 9112 9.6).

The socket is the C type below Python's: never monkey-patched, and without watchers of its own. What
wraps it later (TLS) has to offer its methods. Nothing here knows HTTP.
"""

from __future__ import annotations

import struct
import sys
from _socket import SHUT_WR, SO_LINGER, SOL_SOCKET
from _socket import socket as Socket
from fcntl import ioctl
from termios import TIOCOUTQ
from time import monotonic, time
from typing import Any

from gevent import Greenlet, get_hub, getcurrent
from gevent.monkey import get_original

from greenflow.hub.breathing import STRETCH, in_turn
from greenflow.net.home import Home
from greenflow.net.message import ClientDisconnected

# Bytes asked of one recv: what the kernel usually has at most for one reader of a fast client.
RECV_BYTES = 64 * 1024

# The same while the rest of a body is awaited: fewer turns of the hub for each MiB of it.
BODY_RECV_BYTES = 256 * 1024

# Bytes that a client may send ahead while a request is handled: a thousand small requests. Beyond
# it the kernel's buffer fills, and the client has to wait.
AHEAD_BYTES = 64 * 1024

# Seconds and bytes for which a closing connection goes on reading, so that the client can read the
# answer before its unread bytes make the kernel reset the connection (RFC 9112 9.6). Twice the
# limit of a body: an upload that was refused for its size can usually be read to its end.
LINGER_SECONDS = 2.0
LINGER_BYTES = 16 * 1024 * 1024

READABLE, WRITABLE = 1, 2

# What a connection does: waits for a request, for the rest of one, for room to write; runs in its
# greenlet; discards what still comes; nothing any more.
IDLE, READING, WRITING, RUNNING, LINGERING, CLOSED = range(6)

# SO_LINGER on, 0 seconds: close resets the connection, so that a broken answer is no short one.
RESET = struct.pack("ii", 1, 0)


# What ioctl writes its answer to: a C int.
_NO_COUNT = bytes(4)

# gevent's, which stands in its place in a patched program, lets others run first.
_poll = get_original("select", "poll")


class Patience:
    """How many seconds a client may still be waited for, in one direction. Waiting takes them, and
    `rate` bytes give one back, up to as many as there were (Limits.least_rate)."""

    __slots__ = ("_most", "_rate", "left")

    def __init__(self, seconds: float, rate: int) -> None:
        self.left = self._most = seconds
        self._rate = rate

    def spend(self, seconds: float, moved: int) -> bool:
        """So long was waited, for so many bytes; False if it is used up."""
        earned = moved / self._rate if self._rate else self._most * (moved > 0)
        self.left = min(self._most, self.left - seconds + earned)
        return self.left > 0.0


class Wire:
    """A socket with its buffer, its waits and its state."""

    __slots__ = (
        "_buffer",
        "_discarded",
        "_ended",
        "_expired",
        "_gone",
        "_hub",
        "_idle_until",
        "_may_have_left",
        "_now",
        "_patience",
        "_paused",
        "_reader",
        "_recv_bytes",
        "_server",
        "_socket",
        "_unread",
        "_untaken",
        "_waiter",
        "deadline",
        "greenlet",
        "state",
    )

    def __init__(self, server: Home, socket: Socket) -> None:
        self._server = server
        self._socket: Any = socket  # or what encrypts it, with the methods of one
        self._hub = get_hub()
        self._now = self._hub.loop.now
        self._reader: Any = self._hub.loop.io(socket.fileno(), READABLE)
        self._buffer = b""
        self._recv_bytes = RECV_BYTES
        # Nothing more will come: the client has ended its side, or reset the connection.
        self._ended = False
        # Whether that is worth a look before its request is served: of a new one, and where
        # something came or waited since.
        self._may_have_left = True
        # It has reset it, and takes nothing any more.
        self._gone = False
        # The wait was ended by its deadline.
        self._expired = False
        # Reading pauses, too much was sent ahead.
        self._paused = False
        # The client may be sending what nobody will read, and the bytes of that.
        self._unread = False
        self._discarded = 0
        # How long the client may still leave its answers untaken; made when it does.
        self._patience: Patience | None = None
        # When an idle connection is over; and the bytes that its client had not taken when it was
        # looked at, and when that was.
        self._idle_until = 0.0
        self._untaken: tuple[int, float] | None = None
        self.state = RUNNING
        # When the sweep ends the wait of this state, on time.monotonic().
        self.deadline = 0.0
        self.greenlet: Greenlet[[], None] | None = None
        # The greenlet in `_wait`: the connection's, or one that reads a streamed body.
        self._waiter: Any = None

    # Called by the server, in the hub.

    def expire(self) -> None:
        """The deadline of the present state has passed."""
        if self.state == LINGERING:
            self.close()
        elif self.state != IDLE or not self._may_idle():
            self._expired = True
            self._wake()

    def retire(self) -> None:
        """The server stops: an idle connection closes, unless its next request is there already."""
        if self.state == IDLE:
            self._readable()
        if self.state == IDLE:
            self._ended = True
            self._wake()

    def close(self) -> None:
        """Closes the socket; a second time does nothing."""
        if self.state == CLOSED:
            return
        self.state = CLOSED
        self._reader.stop()
        self._reader.close()
        self._socket.close()
        self._buffer = b""
        self._server.unwatched.discard(self)
        self._server.forget(self)

    def look_for_reset(self) -> None:
        """Nothing is read: find out whether the client has left."""
        if not self._gone and self._is_reset():
            self._gone = True
            self._tell_gone()

    # The hub's side; nothing here may block.

    def _readable(self) -> None:
        """Reads once what the client has sent."""
        try:
            data = self._socket.recv(self._recv_bytes)
        except BlockingIOError:
            return
        except OSError:
            data = b""
            self._gone = True
        state = self.state
        if state == LINGERING:
            self._discarded += len(data)
            if not data or self._discarded > LINGER_BYTES:
                self.close()
            return
        if not data:
            self._ended = self._may_have_left = True
            self._reader.stop()
            if state != IDLE:
                self._server.unwatched.add(self)
                self._gone = self._gone or self._is_reset()
                if self._gone:
                    self._tell_gone()
        elif self._buffer:
            self._buffer += data
        else:
            self._buffer = data
        if state in (IDLE, READING):
            self.state = RUNNING  # as `_wake` does
            if time() - self._now() > STRETCH:  # as `is_late` says
                self._may_have_left = True
                in_turn(self._go_on)
            else:
                self._waiter.switch()
        elif len(self._buffer) > AHEAD_BYTES:
            self._paused = True
            self._reader.stop()
            self._server.unwatched.add(self)

    def _go_on(self) -> None:
        """Its turn has come, unless it was broken off meanwhile."""
        if self.state == RUNNING:
            self._waiter.switch()

    def _tell_gone(self) -> None:
        """The client has left, perhaps with a request under way. May not block."""
        raise NotImplementedError

    def _is_reset(self) -> bool:
        """Whether the kernel knows that the client takes nothing any more. It says so (POLLHUP,
        POLLERR) also before what came earlier has been read, and of a client of a Unix socket
        that has closed."""
        poll = _poll()
        poll.register(self._socket.fileno(), 0)
        return bool(poll.poll(0))

    def _may_idle(self) -> bool:
        """Whether an idle connection goes on, until a deadline that is set here: that of its last
        answer while the client has not taken it all, then that of the next request."""
        queued, now = self._queued(), monotonic()
        if not queued:
            self.deadline = self._idle_until
            return now < self._idle_until
        if self._patience is None or self._untaken is None:
            patience = self._begin_patience()
        else:
            patience = self._patience
            before, since = self._untaken
            if not patience.spend(now - since, before - queued):
                return False
        self._untaken = queued, now
        self.deadline = now + patience.left
        return True

    def _begin_patience(self) -> Patience:
        limits = self._server.limits
        self._patience = Patience(limits.write_timeout, limits.least_rate)
        return self._patience

    def _writable(self) -> None:
        if self.state == WRITING:
            self._wake()

    def _wake(self) -> None:
        """Lets the greenlet go on that waits in `_wait`."""
        self.state = RUNNING
        self._waiter.switch()

    # The greenlet's side.

    def _wait(self, state: int, deadline: float) -> bool:
        """Waits in that state until the hub's side wakes it; False if the deadline did."""
        if self._paused and state != WRITING:
            self._paused = False
            self._reader.start(self._readable)
            self._server.unwatched.discard(self)
        self._waiter = getcurrent()
        self.deadline = deadline
        self.state = state
        while self.state == state:
            self._hub.switch()
        expired, self._expired = self._expired, False
        return not expired

    def _send(self, data: bytes) -> None:
        """Returns when the kernel has the bytes. Raises ClientDisconnected."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientDisconnected(f"the client has gone: {error}") from error
        if sent != len(data):
            self._send_rest(memoryview(data)[sent:])

    def _send_both(self, head: bytes, body: bytes) -> None:
        """Sends both without joining them."""
        try:
            sent = self._socket.sendmsg((head, body))
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise ClientDisconnected(f"the client has gone: {error}") from error
        if sent < len(head):
            self._send(head[sent:])
            sent = len(head)
        if sent != len(head) + len(body):
            self._send_rest(memoryview(body)[sent - len(head) :])

    def _send_rest(self, rest: memoryview) -> None:
        """Sends what the kernel had no room for, as the client makes room."""
        patience = self._patience or self._begin_patience()
        writer = self._hub.loop.io(self._socket.fileno(), WRITABLE)
        writer.start(self._writable)
        try:
            while rest:
                queued, begin = self._queued(), monotonic()
                has_room = self._wait(WRITING, begin + patience.left)
                if not patience.spend(monotonic() - begin, queued - self._queued()):
                    raise ClientDisconnected("the client took too little of its answer in time")
                if not has_room:
                    # The kernel reports room only when much of its buffer is free, which a slow
                    # client may need minutes for.
                    continue
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise ClientDisconnected(f"the client has gone: {error}") from error
        finally:
            writer.stop()
            writer.close()

    def _queued(self) -> int:
        """Bytes that the kernel has and the client has not acknowledged."""
        answer = ioctl(self._socket.fileno(), TIOCOUTQ, _NO_COUNT)
        return int.from_bytes(answer, sys.byteorder)

    def _finish(self) -> None:
        """Closes, after a while if the client may miss the last answer otherwise."""
        if self._ended or not (self._unread or self._buffer):
            self.close()
            return
        try:
            self._socket.shutdown(SHUT_WR)
        except OSError:
            self.close()
            return
        self._buffer = b""
        self.greenlet = self._waiter = None
        self.deadline = monotonic() + LINGER_SECONDS
        self.state = LINGERING
        if not self._reader.active:
            self._reader.start(self._readable)

    def _abort(self) -> None:
        """Closes so that the client sees a reset, never the end of an answer."""
        if self.state != CLOSED:
            try:
                self._socket.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            finally:
                self.close()
