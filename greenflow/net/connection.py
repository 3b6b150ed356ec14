"""One client's connection: requests in, answers out, in order, until one side has had enough.

The connection's greenlet reads a request whole, calls the server's handler, and reads the next when
the handler has returned. Reading is receiving.py's. Framing is decided there, here, and in `head`,
`chunked` and `answer`; the bytes and the waiting are `wire`'s. Whatever a handler does, a request
gets one whole answer or a connection that is visibly broken off.
"""

from __future__ import annotations

import logging
from _socket import socket as Socket
from collections.abc import Iterable, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from gevent import Greenlet

from greenflow.hub.breathing import is_late, let_others_run
from greenflow.net.answer import NO_BODY, answer_head, has_no_body, refusal
from greenflow.net.fields import REQUEST_ID
from greenflow.net.home import Home
from greenflow.net.message import Address, ClientDisconnected, Request, Response, again
from greenflow.net.receiving import BEGUN, UNSENT, WHOLE, Receiver
from greenflow.net.refusal import Refused, name_in, origin_in
from greenflow.net.upgrade import Taken, Upgrade
from greenflow.net.wire import CLOSED, RUNNING
from greenflow.payload.stream import Stream

if TYPE_CHECKING:
    from greenflow.net.tls import Certificate

# A body up to this many bytes is joined with its header section for one send; copying more costs
# more than the second buffer of sendmsg.
JOIN_BYTES = 16 * 1024

# A header section up to this many bytes is parsed once for all requests in a row that have it.
# Browsers send 500 to 1,000 bytes; more is kept for nobody.
REPEATED_BYTES = 1024

logger = logging.getLogger("greenflow.net")

_FAILED = (("Content-Type", "text/plain; charset=utf-8"),)


class Connection(Receiver):
    """A connection of a server, which starts it and stops it."""

    __slots__ = ("_certificate", "_client", "_keep_alive", "_last_head", "_model", "_peer")

    def __init__(
        self, server: Home, socket: Socket, peer: Address, certificate: Certificate | None
    ) -> None:
        super().__init__(server, socket)
        # Who opened the connection, and for whom if it is a proxy that says so.
        self._peer = self._client = peer
        # What it is encrypted with; None for plain text.
        self._certificate = certificate
        # Whether another request may follow.
        self._keep_alive = True
        # The header section of the last request, and that request as it was parsed, once it came
        # twice: most clients of a kept connection send the same lines again.
        self._last_head = b""
        self._model: Request | None = None

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
            self._socket.send(refusal(503, self._server.date_line, self._headers_for(b"")))
        except OSError:
            self.close()
        else:
            self._tell_refused("", "", 503, "too many connections")
            self._unread = True
            self._finish()

    # The hub's side.

    def _tell_gone(self) -> None:
        """The client has left: whoever handles its request may want to know."""
        request = self._request
        if request is None or self._sent == WHOLE or request.disconnected:
            return
        request.disconnected = True
        if request.on_disconnect is not None:
            try:
                request.on_disconnect()
            except Exception:
                logger.exception("on_disconnect of %r raised", request)

    def _may_idle(self) -> bool:
        self._last_head, self._model = b"", None  # who idles keeps nothing
        return super()._may_idle()

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
        if is_late():  # many have come at once, and their requests are more than a line
            let_others_run()
            self._give_up_if_gone()  # and read nothing of it
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

    def _give_up_if_gone(self) -> None:
        """Raises ClientDisconnected if the client has left before its turn."""
        self.look_for_reset()
        if self._gone:
            raise ClientDisconnected("the client left before its turn")

    def _exchange(self, first: bool) -> bool:
        """Reads one request and has it answered; False if it was the last."""
        head = self._read_head(first)
        if head is None:
            return False
        server = self._server
        limits = server.limits
        request = None
        try:
            if head == self._last_head:
                if self._model is None:
                    self._model = server.parser.parse(head, limits)
                request = again(self._model)
            else:
                self._last_head = head if len(head) <= REPEATED_BYTES else b""
                self._model = None
                request = server.parser.parse(head, limits)
            if self._certificate is not None:
                request.scheme = "https"
            elif request.scheme != "http":
                raise Refused(421, "a target of https over plain text (RFC 9110 7.4)")
            if request.chunked or request.content_length:
                self._may_have_left = True  # meanwhile, and it is more than a line
                if request.content_length > limits.body:
                    raise Refused(413, f"body over {limits.body} bytes")
                if server.streams:
                    request.unread = True
                    request.body = Stream(self._pieces(request, limits))
                else:
                    request.body = self._read_body(request, limits)
        except Refused as refused:
            refused.head = head
            refused.bodiless = head.startswith(b"HEAD ")
            if request is not None:
                refused.method, refused.path = request.method, request.path
            raise
        handler = server.handler or server.wait_for_handler()
        if self._may_have_left:
            self._may_have_left = False
            self._give_up_if_gone()
        request.client = self._client
        request.peer = self._peer
        request.server = server.address
        self._request = request
        self._sent = UNSENT
        if request.wants_upgrade:
            request.upgrade = Upgrade(request, partial(self._switch, request))
        try:
            handler(request, partial(self._respond, request))
            if self._sent == UNSENT:
                raise RuntimeError("the handler returned without an answer")
        except ClientDisconnected:
            raise
        except Exception:
            logger.exception("the handler of %s:%s failed", *server.address)
            if self._sent == UNSENT:
                allowed = self._headers_of(request)
                failed = Response(500, (*_FAILED, *allowed), b"Internal Server Error")
                self._respond(request, failed)
        if self._sent != WHOLE:
            raise ClientDisconnected("the answer was broken off")
        self._request = None
        return self._keep_alive

    def _respond(self, request: Request, response: Response) -> None:
        """Sends the answer of the request in hand; see greenflow.net.message.Respond."""
        if request is not self._request or self._sent != UNSENT:
            raise RuntimeError("a request is answered once, before its handler returns")
        server = self._server
        ends = server.stopping
        if request.unread:  # nobody can tell where the next request would begin
            self._stop_reader(request)
            ends = True
        head, keep_alive = answer_head(request, response, server.date_line, ends)
        self._keep_alive = keep_alive
        self._unread = request.keep_alive and not keep_alive
        self._sent = BEGUN
        body = response.body
        request.status = response.status
        if not isinstance(body, bytes):
            self._send(head)
            self._stream(request, response, body)
        elif request.method == "HEAD" or response.status in NO_BODY:
            self._send(head)
        elif len(body) <= JOIN_BYTES:
            self._send(head + body)
        else:
            self._send_both(head, body)
        self._sent = WHOLE

    def _switch(self, request: Request) -> Taken:
        """The socket goes to another protocol, whose first bytes answer the request; the greenlet
        stays with the handler. See greenflow.net.upgrade."""
        if request is not self._request or self._sent != UNSENT or self.state != RUNNING:
            raise RuntimeError("a connection changes its protocol instead of an answer, and once")
        self._sent = WHOLE
        request.status = 101
        self._keep_alive = False
        received, self._buffer = self._buffer, b""
        self._reader.stop()
        self._reader.close()
        self.state = CLOSED
        self._server.connections.discard(self)
        self._server.unwatched.discard(self)
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
        allowed = self._headers_for(refused.head or self._buffer)
        named = dict(allowed).get(REQUEST_ID)
        self._tell_refused(refused.method, refused.path, refused.status, str(refused), named)
        answer = refusal(refused.status, self._server.date_line, allowed, bodiless=refused.bodiless)
        try:
            self._send(answer)
        except ClientDisconnected as error:
            logger.debug("%s: %s", self._client[0], error)

    def _tell_refused(
        self, method: str, path: str, status: int, reason: str, named: str | None = None
    ) -> None:
        if self._server.tell_refused is not None:
            self._server.tell_refused(method, path, status, reason, self._client, named)

    def _headers_for(self, head: bytes) -> Sequence[tuple[str, str]]:
        """The headers of an answer of the server itself to what was sent: what lets its page read
        it, and what names it."""
        headers_for = self._server.headers_for
        if headers_for is None:
            return ()
        return headers_for(origin_in(head), name_in(head), self._peer)

    def _headers_of(self, request: Request) -> Sequence[tuple[str, str]]:
        headers_for = self._server.headers_for
        if headers_for is None:
            return ()
        return headers_for(request.header("origin"), request.header(REQUEST_ID), self._peer)
