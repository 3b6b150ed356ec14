"""An open WebSocket connection: messages in and out, pings, the closing handshake, a decent end.

A channel belongs to the hub. Its watcher reads as bytes come, answers pings, and keeps messages
that are sent ahead, up to a bound; so a client that asks whether we are there is answered while a
message is handled, and one that leaves is noticed. Sending is sending.py's. Closing is the hub's
work too, so `leave` returns at once.

One greenlet receives; any number may send. Time-outs are a deadline that a sweep looks at, that
of the server or of the clients (wire.py). Both ends of a connection are the same here, but for who
ends TCP: the server does (RFC 6455 7.1.1).
"""

from __future__ import annotations

import logging
from _socket import SHUT_WR, SO_LINGER, SOL_SOCKET
from collections import deque
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any, Protocol

from gevent import Greenlet, getcurrent

from greenflow.errors import NotConnected
from greenflow.hub.breathing import let_others_run
from greenflow.net.home import Member
from greenflow.net.message import Request
from greenflow.net.upgrade import Upgrade
from greenflow.net.websocket.frames import (
    BINARY,
    CLOSE,
    NORMAL_CLOSURE,
    PING,
    PONG,
    Failure,
    Frames,
    Message,
    close_payload,
)
from greenflow.net.websocket.handshake import Agreement
from greenflow.net.websocket.sending import Sender
from greenflow.net.wire import (
    CLOSED,
    LINGER_BYTES,
    LINGER_SECONDS,
    LINGERING,
    READABLE,
    RESET,
)

# Codes of a Close (RFC 6455 7.4.1): the server goes away; nothing was said; the workflow failed.
GOING_AWAY, ABNORMAL, INTERNAL_ERROR = 1001, 1006, 1011

# Seconds that the peer has for its own Close once it was sent ours: it may have a queue to empty.
CLOSE_SECONDS = 5.0

# Bytes asked of one recv: in so many fragments of nothing, which wsproto reads one by one in
# Python, they take 18 ms.
RECV_BYTES = 16 * 1024

# What a message that was sent ahead costs beyond its bytes.
MESSAGE_BYTES = 128

# Messages received in one go before others run; at 50 µs each a stretch of 3 ms.
STREAK = 64

# What a channel does, besides LINGERING and CLOSED: all, or wait for the peer's Close.
OPEN, CLOSING = 6, 7

_DONE = NORMAL_CLOSURE.to_bytes(2, "big")

logger = logging.getLogger("greenflow.net")


@dataclass(frozen=True, slots=True)
class Options:
    """What one connection may ask, and when it is taken for dead."""

    # Bytes of a message, fragments joined and decompressed: a Close with 1009. What most servers
    # and proxies take.
    message: int = 1024 * 1024

    # Bytes that may be sent ahead while a message is handled; then the peer has to wait. They are
    # not lost, and a ping behind them is answered when they were handled.
    ahead: int = 64 * 1024

    # Seconds without a byte after which a ping is sent, 0 for none. Proxies often give up a silent
    # connection after 60.
    ping_interval: float = 30.0

    # Seconds that the answer to a ping may take. It is a round trip, over a bad network.
    ping_timeout: float = 20.0

    # Seconds in which the peer takes not a single byte of what is sent.
    write_timeout: float = 30.0


class ChannelHome(Protocol):
    """Who looks at the deadlines: a server, or the clients of a runtime."""

    connections: set[Member]

    def forget(self, connection: Member) -> None:
        """The connection has closed."""


class Channel(Sender):
    """One connection, from the end of its handshake on."""

    __slots__ = (
        "_cost",
        "_discarded",
        "_ends_after_queue",
        "_farewell",
        "_frames",
        "_has_heard",
        "_has_left",
        "_home",
        "_is_client",
        "_is_paused",
        "_is_retired",
        "_messages",
        "_options",
        "_pinged",
        "_pong",
        "_reader",
        "_receiver",
        "_streak",
        "greenlet",
        "state",
    )

    def __init__(
        self,
        home: ChannelHome,
        socket: Any,
        frames: Frames,
        options: Options,
        *,
        is_client: bool = False,
        received: bytes = b"",
        greenlet: Greenlet[[], None] | None = None,
    ) -> None:
        super().__init__(socket)
        self._home = home
        self._frames = frames
        self._is_client = is_client
        self._reader: Any = self._hub.loop.io(socket.fileno(), READABLE)
        # Messages that were sent ahead, what they cost, and whether reading pauses for it.
        self._messages: deque[Message] = deque()
        self._cost = 0
        self._is_paused = False
        # The greenlet in `receive`, and how many messages it got without waiting for one.
        self._receiver: Any = None
        self._streak = 0
        # The pong that is owed; of several pings the last one is answered (RFC 6455 5.5.3).
        self._pong: bytes | None = None
        # Whether bytes came since the last look, and whether one waits for the answer to a ping.
        self._has_heard = self._pinged = False
        # The payload of the Close that came first, from either side, and whether it was ours.
        self._farewell: bytes | None = None
        self._has_left = False
        # The owner goes: the next `receive` closes. The queue is the last to be sent.
        self._is_retired = self._ends_after_queue = False
        self._discarded = 0
        self.state = OPEN
        # Who sees to the connection, if its end is to be waited for.
        self.greenlet = greenlet
        if greenlet is not None:
            greenlet.rawlink(self._released)
        self.options = options
        home.connections.add(self)
        frames.feed(received)
        self._reader.start(self._readable)

    @classmethod
    def accept(cls, upgrade: Upgrade[Request], agreement: Agreement, options: Options) -> Channel:
        """The channel of a request that is answered with 101 hereby."""
        home, socket, received, greenlet = upgrade.take()
        frames = Frames(is_client=False, limit=options.message, deflate=agreement.deflate)
        channel = cls(home, socket, frames, options, received=received, greenlet=greenlet)
        channel._put(agreement.head)
        if home.stopping:
            channel.retire()
        return channel

    @property
    def options(self) -> Options:
        """May be changed at any time."""
        return self._options

    @options.setter
    def options(self, options: Options) -> None:
        self._options = options
        self._frames.limit = options.message
        if self.state == OPEN and not self._pinged:
            self.deadline = monotonic() + (options.ping_interval or inf)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.state == OPEN

    @property
    def was_lost(self) -> bool:
        """Whether it ended though we did not close it, and the peer gave a code that does not say
        that all is done."""
        code = None if self._farewell is None or self._has_left else self._farewell[:2]
        return code not in (None, b"", _DONE)

    # -- for greenlets -------------------------------------------------------------------------

    def receive(self) -> Message:
        """The next message; waits for it. The last one is a CLOSE: what the first Close said, from
        either side, or 1006 if there was none. One greenlet at a time may call it."""
        if self._streak >= STREAK:
            self._streak = 0
            let_others_run()
        self._streak += 1
        while True:
            if self._is_retired:
                self.leave(GOING_AWAY)
            if self._messages:
                message = self._messages.popleft()
                self._cost -= len(message[1]) + MESSAGE_BYTES
                self._go_on_reading()
                return message
            if self._farewell is not None:
                return CLOSE, self._farewell
            next_message = self._advance()
            if next_message is not None:
                return next_message
            if self._farewell is None:
                self._go_on_reading()
                self._streak = 0
                self._receiver = getcurrent()
                try:
                    self._hub.switch()
                finally:
                    self._receiver = None

    def send(self, type: int, payload: bytes) -> None:
        """Send a TEXT or BINARY message; waits while too much waits already. Raises
        NotConnected."""
        if self._is_full:
            self._wait_for_room()
        if self.state == OPEN:
            self._put(self._frames.encode(type, payload))
        if self.state != OPEN:
            raise NotConnected("the WebSocket connection is closed")
        if self._senders:
            self._admit_next()

    # -- for anybody: nothing here waits -------------------------------------------------------

    def leave(self, code: int, reason: str = "") -> None:
        """Close the connection: the peer is told, and `receive` returns a CLOSE. What is queued is
        sent before, messages that came and were not received are dropped. Twice does nothing."""
        self.leave_with(close_payload(code, reason))

    def leave_with(self, payload: bytes) -> None:
        """The same, with the payload of the Close frame."""
        if self.state != OPEN:
            return
        self._has_left = True
        self._messages.clear()
        self._cost = 0
        self._part(payload)
        self.state = CLOSING
        self._taken_before = self._taken()
        self.deadline = monotonic() + CLOSE_SECONDS
        self._put(self._frames.encode(CLOSE, payload))
        self._go_on_reading()

    def close(self) -> None:
        """Close the socket at once; a second time does nothing."""
        if self.state == CLOSED:
            return
        self._part(close_payload(ABNORMAL))
        self.state = CLOSED
        self._reader.stop()
        self._reader.close()
        self._drop_queue()
        self._socket.close()
        if self.greenlet is None:
            self._home.forget(self)

    def retire(self) -> None:
        """The owner goes: close with 1001 as soon as no message is handled."""
        self._is_retired = True
        if self._receiver is not None:
            self.leave(GOING_AWAY)

    def expire(self) -> None:
        """The deadline has passed. Called in the hub."""
        options = self._options
        if self.state == LINGERING:
            self.close()
        elif self.state == CLOSING or self._queue:
            taken = self._taken()
            if taken <= self._taken_before:
                self._lose("the peer did not take what was sent, or did not close, in time")
                return
            self._taken_before = taken
            seconds = options.write_timeout if self.state == OPEN else CLOSE_SECONDS
            self.deadline = monotonic() + seconds
        elif self._has_heard or self._is_paused or not options.ping_interval:
            self._has_heard = self._pinged = False
            self.deadline = monotonic() + (options.ping_interval or inf)
        elif self._pinged:
            self._lose("the peer did not answer a ping in time")
        else:
            self._pinged = True
            self.deadline = monotonic() + options.ping_timeout
            self._put(self._frames.encode(PING, b""))

    # -- the hub's side ------------------------------------------------------------------------

    def _readable(self) -> None:
        """Reads once what the peer has sent."""
        try:
            data = self._socket.recv(RECV_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(str(error))
            return
        if self.state == LINGERING:
            self._discarded += len(data)
            if not data or self._discarded > LINGER_BYTES:
                self.close()
            return
        if not data:
            self._lose("the peer ended the connection without a Close")
            return
        self._has_heard = True
        self._frames.feed(data)
        if self._receiver is not None:
            self._wake()
        else:
            self._read_ahead()

    def _wake(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.switch()

    def _read_ahead(self) -> None:
        """Nobody waits for a message: keep some, and look for what is the engine's matter."""
        while self._cost <= self._options.ahead:
            message = self._advance()
            if message is None:
                return
            self._cost += len(message[1]) + MESSAGE_BYTES
            self._messages.append(message)
        self._is_paused = True
        self._reader.stop()

    def _go_on_reading(self) -> None:
        if self._is_paused and self._cost <= self._options.ahead and self.state in (OPEN, CLOSING):
            self._is_paused = False
            self._reader.start(self._readable)
            self._read_ahead()

    def _advance(self) -> Message | None:
        """The next message of what was received; all else in it is dealt with."""
        while self.state in (OPEN, CLOSING):
            try:
                message = self._frames.next()
            except Failure as failure:
                self._fail(failure)
                return None
            if message is None:
                return None
            type, payload = message
            if type <= BINARY:
                if self.state == OPEN:
                    return message
            elif type == PING:
                assert isinstance(payload, bytes)
                self._answer_ping(payload)
            elif type == CLOSE:
                assert isinstance(payload, bytes)
                self._peer_closes(payload)
            elif self._pinged and self.state == OPEN:  # a pong
                self._pinged = False
                self.deadline = monotonic() + (self._options.ping_interval or inf)
        return None

    def _answer_ping(self, payload: bytes) -> None:
        if self.state != OPEN:
            return
        if self._queue:
            self._pong = payload
        else:
            self._put(self._frames.encode(PONG, payload))

    def _peer_closes(self, payload: bytes) -> None:
        if self.state == OPEN:
            self._part(payload)
            self._put(self._frames.encode(CLOSE, payload[:2]))
        self._end()

    def _fail(self, failure: Failure) -> None:
        """What the peer sends is wrong (RFC 6455 7.1.7)."""
        logger.debug("a WebSocket connection is closed with %d: %s", failure.code, failure)
        if self.state == OPEN:
            payload = close_payload(failure.code, str(failure))
            self._part(payload)
            self._put(self._frames.encode(CLOSE, payload))
        self._end()

    def _part(self, payload: bytes) -> None:
        """From now on no message is sent, and none is received but those that are here; why."""
        if self._farewell is None:
            self._farewell = payload
        self._admit_all()
        if self._receiver is not None:
            self._hub.loop.run_callback(self._wake)

    def _end(self) -> None:
        """Both sides have closed, or one does not matter any more: it is time to end TCP."""
        if self.state == CLOSED:
            return
        self.state = LINGERING
        self.deadline = monotonic() + LINGER_SECONDS
        self._is_paused = False
        if not self._reader.active:
            self._reader.start(self._readable)
        if self._receiver is not None:
            self._hub.loop.run_callback(self._wake)
        if self._queue:
            self._ends_after_queue = True
        else:
            self._shut()

    def _shut(self) -> None:
        if not self._is_client:
            try:
                self._socket.shutdown(SHUT_WR)
            except OSError:
                self.close()

    def _lose(self, reason: str) -> None:
        """The connection is gone, whatever the peer thinks."""
        if self.state in (OPEN, CLOSING):
            logger.debug("a WebSocket connection was lost: %s", reason)
            self._part(close_payload(ABNORMAL, reason))
            self._socket.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
        self.close()

    def _begin_queue(self) -> None:
        super()._begin_queue()
        if self.state == OPEN:
            self.deadline = monotonic() + self._options.write_timeout

    def _queue_sent(self) -> None:
        if self._pong is not None:
            pong, self._pong = self._pong, None
            self._answer_ping(pong)
        if self._ends_after_queue and self.state == LINGERING:
            self._shut()

    def _released(self, greenlet: Greenlet[[], None]) -> None:
        """The greenlet that saw to the connection has ended."""
        self.greenlet = None
        if self.state == CLOSED:
            self._home.forget(self)
