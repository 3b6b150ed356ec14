"""Reading the requests of one connection: their heads, and their bodies, whole or piece by piece.

A request is read from the buffer of wire.py, and what is missing is waited for, each time no longer
than the limits say. What a request is answered, and what becomes of one that is refused, is
connection.py's.
"""

from __future__ import annotations

import re
from _socket import socket as Socket
from collections.abc import Iterator
from time import monotonic

from gevent import getcurrent

from greenflow.errors import BodyTooLarge, InvalidArgument
from greenflow.hub.breathing import let_others_run
from greenflow.net.chunked import ChunkedDecoder
from greenflow.net.head import check_start
from greenflow.net.home import Home
from greenflow.net.limits import Limits
from greenflow.net.message import ClientDisconnected, Request
from greenflow.net.refusal import Refused
from greenflow.net.wire import (
    BODY_RECV_BYTES,
    IDLE,
    READING,
    RECV_BYTES,
    RUNNING,
    Patience,
    Wire,
)

# Requests of one connection that were all sent ahead and are handled without letting others in;
# at 50 µs each a stretch of 3 ms.
STREAK = 64

# A piece of a body shorter than this is joined with the next one: a client that sends bytes one at
# a time must not make a body take many times its size. The others are joined at the end: a growing
# buffer takes many times as long.
PIECE_BYTES = 4 * 1024

# How much of an answer was sent.
UNSENT, BEGUN, WHOLE = range(3)

# Empty lines before a request line (RFC 9112 2.2: a server SHOULD ignore them).
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_CR = ord("\r")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Receiver(Wire):
    """The reading side of a server's connection."""

    __slots__ = ("_request", "_sent", "_streak")

    def __init__(self, server: Home, socket: Socket) -> None:
        super().__init__(server, socket)
        # The request that its handler has in hand, and how much of its answer was sent.
        self._request: Request | None = None
        self._sent = UNSENT
        # Requests handled since the greenlet last waited for one.
        self._streak = 0

    def _read_head(self, first: bool) -> bytes | None:
        """The next header section, cut off the buffer; None if there will be none."""
        if self._buffer:
            self._streak += 1
            if self._streak >= STREAK:
                self._streak = 0
                let_others_run()
        scanned = 0
        deadline = idle = 0.0
        while True:
            buffer = self._buffer
            if not buffer:
                if not idle:  # the same for all empty lines that come instead
                    limits = self._server.limits
                    idle = monotonic() + (limits.header_timeout if first else limits.idle_timeout)
                if not self._wait_for_request(idle):
                    return None
                continue
            if buffer[0] == _CR and buffer.startswith(b"\r\n"):
                self._buffer = _EMPTY_LINES.sub(b"", buffer, count=1)
                scanned = 0
                continue
            end = buffer.find(b"\r\n\r\n", scanned)
            if end >= 0:
                self._buffer = buffer[end + 4 :]
                return buffer[: end + 4]
            limits = self._server.limits
            check_start(buffer, scanned, limits)
            scanned = max(0, len(buffer) - 3)  # the end may have begun
            deadline = deadline or monotonic() + limits.header_timeout
            self._read_more(deadline, "header section")

    def _wait_for_request(self, deadline: float) -> bool:
        """Waits for the first byte of a request; False if none will come. Raises ClientDisconnected
        if the last answer is not taken."""
        if self._server.stopping and not self._ended:
            self._readable()
            return self._buffer != b""
        if self._ended:
            return False
        self._streak = 0
        self._patience = self._untaken = None
        self._idle_until = deadline
        # Soon it is looked at whether the last answer was taken; see `_may_idle`.
        if self._wait(IDLE, 0.0):
            return self._buffer != b""
        if self._queued():
            raise ClientDisconnected("the client took too little of its answer in time")
        return False

    def _read_more(self, deadline: float, what: str) -> None:
        """Waits for more bytes of a request. Raises Refused: 408 if none come in time, 400 if none
        will (RFC 9112 8); ClientDisconnected."""
        if not self._ended and not self._wait(READING, deadline):
            raise Refused(408, f"the {what} took too long")
        if self._gone:
            raise ClientDisconnected(f"the client left inside the {what}")
        if self._ended:
            raise Refused(400, f"the client ended its side inside the {what}")

    def _read_more_body(self, patience: Patience) -> None:
        """Waits for more bytes of a body; the buffer is empty. Raises Refused as `_read_more`."""
        begin = monotonic()
        self._read_more(begin + patience.left, "body")
        if not patience.spend(monotonic() - begin, len(self._buffer)):
            raise Refused(408, "the body comes too slowly")

    def _read_body(self, request: Request, limits: Limits) -> bytes:
        """The body, whole. Raises Refused, and ClientDisconnected."""
        if request.expects_continue and not self._buffer:
            self._send(_CONTINUE)
        patience = Patience(limits.body_timeout, limits.least_rate)
        if request.chunked:
            decoder = ChunkedDecoder(limits)
            while not decoder.feed(self._buffer):
                self._buffer = b""
                self._read_more_body(patience)
            self._buffer = decoder.rest
            return decoder.body
        length = request.content_length
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        if len(body) < length:
            pieces, missing = [body], length - len(body)
            self._recv_bytes = BODY_RECV_BYTES
            while missing:
                self._read_more_body(patience)
                piece, self._buffer = self._buffer[:missing], self._buffer[missing:]
                missing -= len(piece)
                if len(pieces[-1]) < PIECE_BYTES:
                    pieces[-1] += piece
                else:
                    pieces.append(piece)
            self._recv_bytes = RECV_BYTES
            body = b"".join(pieces)
        return body

    def _pieces(self, request: Request, limits: Limits) -> Iterator[bytes]:
        """The body as it comes. Raises what a workflow can be told; `request.refusal` is what the
        client deserves."""
        patience = Patience(limits.body_timeout, limits.least_rate)
        try:
            if request.chunked:
                yield from self._chunks(request, limits, patience)
            else:
                left = request.content_length
                while left:
                    piece, self._buffer = self._buffer[:left], self._buffer[left:]
                    left -= len(piece)
                    request.unread = left > 0
                    if piece:
                        yield piece
                    elif left:
                        self._read_piece(request, patience)
        except Refused as refused:
            request.refusal = refused
            if refused.status == 413:
                raise BodyTooLarge(str(refused)) from None
            raise InvalidArgument() from ValueError(str(refused))

    def _chunks(self, request: Request, limits: Limits, patience: Patience) -> Iterator[bytes]:
        decoder = ChunkedDecoder(limits)
        while request.unread:
            done = decoder.feed(self._buffer)
            self._buffer = decoder.rest if done else b""
            request.unread = not done
            piece = decoder.take()
            if piece:
                yield piece
            elif not done:
                self._read_piece(request, patience)

    def _read_piece(self, request: Request, patience: Patience) -> None:
        """Waits for more bytes of a streamed body, in whatever greenlet reads it."""
        if request is not self._request or (
            self._sent != UNSENT and getcurrent() is not self.greenlet
        ):
            raise ClientDisconnected("the request was answered before its body was read")
        if self.state != RUNNING:
            raise InvalidArgument("the stream is being read by another branch")
        if request.expects_continue and self._sent == UNSENT:
            request.expects_continue = False
            self._send(_CONTINUE)
        try:
            self._read_more_body(patience)
        except Refused:
            if request.unread:
                raise
        if not request.unread:
            raise ClientDisconnected("the request was answered before its body was read")

    def _stop_reader(self, request: Request) -> None:
        """The answer is there while another greenlet still waits for the body: it waits in vain."""
        if self.state == READING:
            request.unread = False
            self._expired = True
            self._hub.loop.run_callback(self._wake)
            while self.state == READING:
                let_others_run()
