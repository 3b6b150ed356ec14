"""Requests counted: by route pattern, method and status, and how long they took.

Lives here: RequestTally, the numbers of a listener, and Counting, the part of a listener that each
request passes on its way in and out. Each answered request adds to the numbers once, which takes
half a microsecond; nothing in them is a client's to choose, so they stay as few as the routes of a
workflow.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from time import perf_counter

from greenflow.engine.origin import name_of
from greenflow.engine.services import Services
from greenflow.engine.source import Source
from greenflow.engine.tally import Tally
from greenflow.histogram import COARSE, Histogram
from greenflow.log.access import AccessEntry, AccessLog
from greenflow.net.answer import has_no_body
from greenflow.net.fields import REQUEST_ID
from greenflow.net.forwarded import Proxies, client_of
from greenflow.net.message import Address, ClientDisconnected, Request, Respond, Response
from greenflow.net.methods import METHODS
from greenflow.nodes.listener.spec import ListenerSpec
from greenflow.nodes.refusals import tell_refused

#: The status of a request whose client left before its answer, as nginx calls it.
LEFT = 499

#: The statuses of one that became a WebSocket, and of one that nobody answered.
UPGRADED, FAILED = 101, 500

#: A method that HTTP does not know.
OTHER_METHOD = "other"

# Seconds within which most requests are answered that wait for nobody: no search for them.
FIRST = COARSE[0]

_KNOWN = frozenset(METHODS)

_log = logging.getLogger("greenflow.nodes.listener")


class RequestTally(Tally):
    """What a listener has done. `answers` has for each route, method and status how long the
    requests took that were answered so: from the end of a request's head, or body, to the end of
    its answer. `refused` counts, by method and status, those that began nothing, of which the time
    says nothing; and those that became WebSockets, of which it says too much."""

    __slots__ = ("answers", "unmeasured")

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[tuple[str, str, int], Histogram] = {}
        self.unmeasured: dict[tuple[str, str, int], int] = {}

    def answered(self, route: str, method: str, status: int) -> Histogram:
        """Where the time of requests is counted that were answered so."""
        if status == UPGRADED:  # it was a conversation, which may have taken hours
            return Histogram()
        key = route, method if method in _KNOWN else OTHER_METHOD, status or FAILED
        return self.answers.setdefault(key, Histogram())

    def count(self, route: str, method: str, status: int) -> None:
        """A request was answered whose time is not measured."""
        key = route, method if method in _KNOWN else OTHER_METHOD, status
        self.unmeasured[key] = self.unmeasured.get(key, 0) + 1

    @property
    def latency(self) -> Histogram | None:
        if not self.answers:
            return None
        total = Histogram()
        for times in self.answers.values():
            total.merge(times)
        return total

    def merge(self, other: Tally) -> None:
        super().merge(other)
        if isinstance(other, RequestTally):
            for key, latency in other.answers.items():
                self.answers.setdefault(key, Histogram(latency.bounds)).merge(latency)
            for key, count in other.unmeasured.items():
                self.unmeasured[key] = self.unmeasured.get(key, 0) + count


class Sent:
    """Sends an answer on, and sees what is sent: the bytes of the body, None while they come later,
    and the name of the request."""

    __slots__ = ("_request", "_respond", "bytes", "request_id")

    def __init__(self, request: Request, respond: Respond) -> None:
        self._request, self._respond = request, respond
        self.bytes: int | None = None
        self.request_id: str | None = None

    def __call__(self, response: Response) -> None:
        """As greenflow.net.message.Respond says."""
        body = response.body
        self.request_id = next((v for k, v in response.headers if k == REQUEST_ID), None)
        if has_no_body(self._request.method, response.status):
            self.bytes = 0
        elif isinstance(body, bytes):
            self.bytes = len(body)
        elif not self._request.defers:
            self.bytes = 0
            pieces = Counted(body, self)
            response = Response(response.status, response.headers, pieces, response.length)
        self._respond(response)


class Counted:
    """The pieces of an answer, whose bytes are counted as they are taken."""

    __slots__ = ("_pieces", "_rest", "_sent")

    def __init__(self, pieces: Iterable[bytes], sent: Sent) -> None:
        self._pieces, self._rest, self._sent = pieces, iter(pieces), sent

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._rest)
        self._sent.bytes = (self._sent.bytes or 0) + len(piece)
        return piece

    def close(self) -> None:
        """Nobody wants the rest."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


class Counting(Source[ListenerSpec]):
    """A source of requests, each of which is counted."""

    tally: RequestTally

    def __init__(self, spec: ListenerSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.tally = RequestTally()
        self._answers = self.tally.answers
        self.access: AccessLog | None = services.access
        self.proxies = Proxies(spec.proxies) if spec.proxies else None

    def answer(self, request: Request, respond: Respond) -> None:
        """Answer one request."""
        raise NotImplementedError

    def serve(self, request: Request, respond: Respond) -> None:
        """Answer one request, and count it. Called in the greenlet of its connection."""
        begin = perf_counter()
        if self.access is not None:
            self._serve_and_tell(request, respond, begin)
            return
        try:
            self.answer(request, respond)
        except BaseException as error:
            self._count_failed(request, error, perf_counter() - begin)
            raise
        # As `_serve_and_tell` counts, without its calls.
        try:
            times = self._answers[request.route, request.method, request.status]
        except KeyError:
            times = self.tally.answered(request.route, request.method, request.status)
        seconds = perf_counter() - begin
        times.counts[0 if seconds < FIRST else bisect_left(COARSE, seconds)] += 1
        times.seconds += seconds

    def _serve_and_tell(self, request: Request, respond: Respond, begin: float) -> None:
        """The same with a line of the access log."""
        sent = Sent(request, respond)
        try:
            self.answer(request, sent)
        except BaseException as error:
            seconds = perf_counter() - begin
            self._count_failed(request, error, seconds)
            self.tell_access(request, sent, seconds)
            raise
        seconds = perf_counter() - begin
        self.tally.answered(request.route, request.method, request.status).add(seconds)
        self.tell_access(request, sent, seconds)

    def _count_failed(self, request: Request, error: BaseException, seconds: float) -> None:
        """The request was not answered, or not to its end."""
        if isinstance(error, ClientDisconnected):
            mark_left(request)
        else:
            request.status = FAILED
        self.tally.answered(request.route, request.method, request.status).add(seconds)

    def tell_upgraded(self, request: Request) -> None:
        """A request goes on as a WebSocket."""
        self.tally.count(request.route, request.method, UPGRADED)

    def tell_access(self, request: Request, sent: Sent, seconds: float) -> None:
        """A line of the access log."""
        assert self.access is not None
        entry = AccessEntry(
            client_of(request, self.proxies),
            request.method,
            request.target,
            request.status or FAILED,
            sent.bytes,
            seconds,
            name_of(self),
            request.route,
            sent.request_id,
            request.version,
            request.header("referer"),
            request.header("user-agent"),
        )
        self.access.tell(entry)

    def tell_refused(
        self,
        method: str,
        path: str,
        status: int,
        reason: str,
        client: Address,
        request_id: str | None = None,
    ) -> None:
        """The server has answered a request for itself; method and path are empty if it could not
        be read."""
        self.tally.count("", method, status)
        if self.access is not None:
            self.access.tell(
                AccessEntry(
                    client[0] or "-",
                    method,
                    path,
                    status,
                    None,
                    0.0,
                    name_of(self),
                    request_id=request_id,
                )
            )
        if method:
            tell_refused(_log, self, method, path, status, reason, request_id=request_id)


def mark_left(request: Request) -> None:
    """The client of a request has not taken its answer whole."""
    if request.status != UPGRADED:
        request.status = LEFT
