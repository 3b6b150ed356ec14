"""One client's connection: requests in, answers out, in order, until one side has had enough.

The connection's greenlet reads a request whole, calls the server's handler, and reads the next when
the handler has returned. Framing is decided here and in `head`, `chunked` and `answer`; the
bytes and the waiting are `wire`'s. Whatever a handler does, a request gets one whole answer or a
connection that is visibly broken off.
"""

from __future__ import annotations

import logging
import re
from _socket import socket as Socket
from collections.abc import Iterable, Iterator
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from gevent import Greenlet, getcurrent

from greenflow.errors import BodyTooLarge, InvalidArgument
from greenflow.hub.breathing import let_others_run
from greenflow.net.answer import NO_BODY, answer_head, has_no_body, refusal
from greenflow.net.chunked import ChunkedDecoder
from greenflow.net.head import check_start
from greenflow.net.limits import Limits
from greenflow.net.message import (
    Address,
    ClientDisconnected,
    Request,
    Response,
)
from greenflow.net.refusal import Refused
from greenflow.net.upgrade import Taken, Upgrade
from greenflow.net.wire import (
    BODY_RECV_BYTES,
    CLOSED,
    IDLE,
    READING,
    RECV_BYTES,
    RUNNING,
    Home,
    Patience,
    Wire,
)
from greenflow.payload.stream import Stream

if TYPE_CHECKING:
    from greenflow.net.tls import Certificate

# Requests of one connection that were all sent ahead and are handled without letting others in;
# at 50 µs each a stretch of 3 ms.
STREAK = 64

# A piece of a body shorter than this is joined with the next one: a client that sends bytes one at
# a time must not make a body take many times its size. The others are joined at the end: a growing
# buffer takes many times as long.
PIECE_BYTES = 4 * 1024

# A body up to this many bytes is joined with its header section for one send; copying more costs
# more than the second buffer of sendmsg.
JOIN_BYTES = 16 * 1024

logger = logging.getLogger("greenflow.net")


# How much of an answer was sent.
_NOTHING, _BEGUN, _WHOLE = range(3)

# Empty lines before a request line (RFC 9112 2.2: a server SHOULD ignore them).
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_CR = ord("\r")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_FAILED = (("Content-Type", "text/plain; charset=utf-8"),)


class Connection(Wire):
    """A connection of a server, which starts it and stops it."""

    __slots__ = ("_certificate", "_client", "_keep_alive", "_peer", "_request", "_sent", "_streak")

    def __init__(
        self, server: Home, socket: Socket, peer: Address, certificate: Certificate | None
    ) -> None:
        super().__init__(server, socket)
        # Who opened the connection, and for whom if it is a proxy that says so.
        self._peer = self._client = peer
        # What it is encrypted with; None for plain text.
        self._certificate = certificate
        # The request that its handler has in hand, how much of its answer was sent, and whether
        # another may follow.
        self._request: Request | None = None
        self._sent = _NOTHING
        self._keep_alive = True
        # Requests handled since the greenlet last waited for one.
        self._streak = 0

    # Called by the server.

    def start(self) -> None:
        """Serves requests, in a greenlet of its own."""
        self.greenlet = Greenlet(self._run)
        self.greenlet.start()

    def turn_away(self) -> None:
        """Answers 503 without reading a request, and closes. Runs in the hub."""
        if self._certificate is not None:  # an answer would need a handshake first
            self.close()
            return
        try:
            self._socket.send(refusal(503, self._server.date_line))
        except OSError:
            self.close()
        else:
            self._unread = True
            self._finish()

    # The hub's side.

    def _tell_ended(self) -> None:
        """The client has gone: whoever handles its request may want to know."""
        request = self._request
        if request is None or self._sent == _WHOLE:
            return
        request.disconnected = True
        if request.on_disconnect is not None:
            try:
                request.on_disconnect()
            except Exception:
                logger.exception("on_disconnect of %r raised", request)

    # The greenlet's side.

    def _run(self) -> None:
        ending = self._abort
        self._reader.start(self._readable)
        try:
            self._begin()
            first = True
            while self._exchange(first):
                first = False
            ending = self._finish
        except Refused as refused:
            logger.debug("%s: refused with %d: %s", self._client[0], refused.status, refused)
            self._refuse(refused)
            ending = self._finish
        except ClientDisconnected as error:
            logger.debug("%s: %s", self._client[0], error)
        finally:
            ending()

    def _begin(self) -> None:
        """Reads what stands before the first request. Raises Refused."""
        if self._server.proxies and self._peer in self._server.proxies:
            from greenflow.net.forwarded import preface

            deadline = monotonic() + self._server.limits.header_timeout
            self._readable()
            while (found := preface(self._buffer)) is None:
                self._read_more(deadline, "PROXY header")
            length, client = found
            self._buffer = self._buffer[length:]
            self._client = client or self._peer
        if self._certificate is not None:
            self._socket = self._certificate.wrap(self._socket, self._buffer)
            self._buffer = b""
        self._readable()  # most clients have sent by now; an answer at once needs no poll at all

    def _exchange(self, first: bool) -> bool:
        """Reads one request and has it answered; False if it was the last."""
        head = self._read_head(first)
        if head is None:
            return False
        server = self._server
        limits = server.limits
        request = None
        try:
            request = server.parser.parse(head, limits)
            if self._certificate is not None:
                request.scheme = "https"
            elif request.scheme != "http":
                raise Refused(421, "a target of https over plain text (RFC 9110 7.4)")
            if request.chunked or request.content_length:
                if request.content_length > limits.body:
                    raise Refused(413, f"body over {limits.body} bytes")
                if server.streams:
                    request.unread = True
                    request.body = Stream(self._pieces(request, limits))
                else:
                    request.body = self._read_body(request, limits)
        except Refused as refused:
            refused.bodiless = head.startswith(b"HEAD ")
            if request is not None:
                refused.method, refused.path = request.method, request.path
            raise
        handler = server.handler or server.wait_for_handler()
        request.client = self._client
        request.peer = self._peer
        request.server = server.address
        request.disconnected = self._ended
        self._request = request
        self._sent = _NOTHING
        if request.wants_upgrade:
            request.upgrade = Upgrade(request, partial(self._switch, request))
        try:
            handler(request, partial(self._respond, request))
            if self._sent == _NOTHING:
                raise RuntimeError("the handler returned without an answer")
        except ClientDisconnected:
            raise
        except Exception:
            logger.exception("the handler of %s:%s failed", *server.address)
            if self._sent == _NOTHING:
                self._respond(request, Response(500, _FAILED, b"Internal Server Error"))
        if self._sent != _WHOLE:
            raise ClientDisconnected("the answer was broken off")
        self._request = None
        return self._keep_alive

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
        will (RFC 9112 8)."""
        if not self._ended and not self._wait(READING, deadline):
            raise Refused(408, f"the {what} took too long")
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
            raise InvalidArgument(str(refused)) from None

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
            self._sent != _NOTHING and getcurrent() is not self.greenlet
        ):
            raise ClientDisconnected("the request was answered before its body was read")
        if self.state != RUNNING:
            raise InvalidArgument("the stream is being read by another branch")
        if request.expects_continue and self._sent == _NOTHING:
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

    def _respond(self, request: Request, response: Response) -> None:
        """Sends the answer of the request in hand; see greenflow.net.message.Respond."""
        if request is not self._request or self._sent != _NOTHING:
            raise RuntimeError("a request is answered once, before its handler returns")
        server = self._server
        ends = server.stopping
        if request.unread:  # nobody can tell where the next request would begin
            self._stop_reader(request)
            ends = True
        head, keep_alive = answer_head(request, response, server.date_line, ends)
        self._keep_alive = keep_alive
        self._unread = request.keep_alive and not keep_alive
        self._sent = _BEGUN
        body = response.body
        if not isinstance(body, bytes):
            self._send(head)
            self._stream(request, response, body)
        elif request.method == "HEAD" or response.status in NO_BODY:
            self._send(head)
        elif len(body) <= JOIN_BYTES:
            self._send(head + body)
        else:
            self._send_both(head, body)
        self._sent = _WHOLE

    def _switch(self, request: Request) -> Taken:
        """The socket goes to another protocol, whose first bytes answer the request; the greenlet
        stays with the handler. See greenflow.net.upgrade."""
        if request is not self._request or self._sent != _NOTHING or self.state != RUNNING:
            raise RuntimeError("a connection changes its protocol instead of an answer, and once")
        self._sent = _WHOLE
        self._keep_alive = False
        received, self._buffer = self._buffer, b""
        self._reader.stop()
        self._reader.close()
        self.state = CLOSED
        self._server.connections.discard(self)
        assert self.greenlet is not None
        return Taken(self._server, self._socket, received, self.greenlet)

    def _stream(self, request: Request, response: Response, body: Iterable[bytes]) -> None:
        """Sends a body piece by piece; whatever its iterator raises breaks the answer off, and so
        do more or fewer bytes than were announced."""
        try:
            if has_no_body(request.method, response.status):
                return
            left = response.length
            chunked = request.version == "1.1" and left is None
            for piece in body:
                if left is not None:
                    left -= len(piece)
                    if left < 0:
                        raise ClientDisconnected("the answer is longer than its length")
                if piece:
                    self._send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                self._send(b"0\r\n\r\n")
            elif left:
                raise ClientDisconnected("the answer is shorter than its length")
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def _refuse(self, refused: Refused) -> None:
        """Answers for the server itself."""
        self._unread = True
        if refused.method and self._server.tell_refused is not None:
            self._server.tell_refused(refused.method, refused.path, refused.status, str(refused))
        try:
            self._send(refusal(refused.status, self._server.date_line, bodiless=refused.bodiless))
        except ClientDisconnected as error:
            logger.debug("%s: %s", self._client[0], error)
