"""`listener`: HTTP requests become processes, answers become responses (BEHAVIOUR 8).

Lives here: the kind, and what a request is as a payload and an answer as a response. HTTP itself is
net/'s, bodies are mime.py's.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Generator, Iterable, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import gevent
import msgspec
from msgspec import Meta

from greenflow import mime
from greenflow.errors import Interrupt, InvalidArgument, SpecFault
from greenflow.net.answer import TOKEN, has_no_body
from greenflow.net.cors import METHODS, ORIGIN, Cors
from greenflow.net.forwarded import FIELDS, Proxies, origin
from greenflow.net.limits import Limits
from greenflow.net.message import ClientDisconnected, Request, Respond, Response, canonical_name
from greenflow.net.pool import Ending, Lease, Servers
from greenflow.net.server import UNIX
from greenflow.net.upgrade import Upgrade
from greenflow.node import Compiler, Services, describe, node
from greenflow.packet import NOTHING, Fault
from greenflow.process import Process
from greenflow.source import Run, Source, conclude, log_unhandled
from greenflow.spec import Duration, Spec
from greenflow.stream import Stream, Verbatim

if TYPE_CHECKING:
    from greenflow.net.tls import Certificate

# Content-Types remembered with the headers of answers that have no others.
ALONE = 256

# Seconds that a request whose client has left may still take (BEHAVIOUR 8.12): enough for a short
# commit to end, too short to be worth an attack.
AFTER_DISCONNECT = 0.5

# What makes a map a response, and the keys it may then have (BEHAVIOUR 8.3).
_RESPONSE_MARKS = frozenset(("status", "body", "header"))
_RESPONSE_KEYS = frozenset(
    ("method", "scheme", "host", "path", "query", "protocol", "header", "body", "status", "params")
)

# Headers of an answer that are not the workflow's to set, in lower case (BEHAVIOUR 8.5): those
# that frame a message or concern one hop (RFC 9110 7.6.1), and those of requests only.
_IGNORED = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "content-length", "http2-settings", "proxy-authenticate"),
        *("host", "user-agent", "accept", "accept-charset", "accept-encoding", "accept-language"),
        *("cookie", "origin", "authorization", "proxy-authorization", "expect", "from"),
        *("max-forwards", "range", "referer"),
        *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"),
    )
)

_PROTOCOLS = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1"}

_log = logging.getLogger("greenflow.nodes.listener")


class LimitsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes, times in seconds."""

    body: Annotated[int, Meta(ge=0, description="bytes of a body, also decompressed")] = (
        Limits().body
    )
    connections: Annotated[int, Meta(ge=1, description="open connections")] = Limits().connections
    header_timeout: Annotated[float, Meta(gt=0, extra={"format": "duration"})] = (
        Limits().header_timeout
    )
    body_timeout: Annotated[float, Meta(gt=0, extra={"format": "duration"})] = Limits().body_timeout
    idle_timeout: Annotated[float, Meta(gt=0, extra={"format": "duration"})] = Limits().idle_timeout
    write_timeout: Annotated[float, Meta(gt=0, extra={"format": "duration"})] = (
        Limits().write_timeout
    )
    least_rate: Annotated[
        int,
        Meta(ge=0, description="bytes a second that a client has to send or take; 0: any"),
    ] = Limits().least_rate


class TlsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each is PEM text or the path of a file. A file that changes is read again."""

    cert: Annotated[str, Meta(min_length=1, description="certificate, with its chain")]
    key: Annotated[str, Meta(min_length=1, description="private key, without a password")]

    def __repr__(self) -> str:
        return "<TlsSpec>"  # the key is a secret


class CorsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which pages of other origins may use it; a preflight starts no process."""

    origins: Annotated[
        list[str], Meta(min_length=1, description="such as https://app.example.com, or * for all")
    ]
    methods: Annotated[tuple[str, ...], Meta(description="methods that pages may use")] = METHODS
    headers: Annotated[list[str], Meta(description="headers that pages may send; none: all")] = []
    expose: Annotated[list[str], Meta(description="headers of answers that pages may read")] = []
    credentials: Annotated[bool, Meta(description="whether pages may send cookies")] = False
    max_age: Annotated[
        Duration, Meta(description="how long a browser may remember a preflight")
    ] = 600.0


class ListenerSpec(Spec):
    port: Annotated[
        int | None,
        Meta(ge=0, le=65535, description="TCP port; 0 takes a free one; none for a Unix socket"),
    ] = None
    protocol: Annotated[str, Meta(pattern="^http$", description="http")] = "http"
    host: Annotated[
        str | None,
        Meta(description="address, or unix:PATH; default: setting listener.host"),
    ] = None
    tls: Annotated[TlsSpec | None, Meta(description="encrypts, with this certificate")] = None
    limits: Annotated[LimitsSpec, Meta(description="what a client may ask")] = LimitsSpec()
    cors: Annotated[CorsSpec | None, Meta(description="for pages of other origins")] = None
    proxies: Annotated[
        list[str],
        Meta(
            description="networks of proxies whose Forwarded and X-Forwarded-... headers are"
            " believed (`unix`: peers of a Unix socket); from others they are then removed"
        ),
    ] = []
    proxy_protocol: Annotated[
        bool, Meta(description="connections of `proxies` begin with a PROXY header, version 1 or 2")
    ] = False
    stream: Annotated[
        bool, Meta(description="start the process before the body is there; it is a stream then")
    ] = False


@node("listener", outputs=("out",), reads_only=True)
class Listener(Source[ListenerSpec]):
    """Answers HTTP requests: each leaves by `out` in a process of its own.

    An error answer goes to `error`; if nobody takes it the response is a 500 without its message.
    """

    def __init__(self, spec: ListenerSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.run = Run(self)
        self.lease: Lease | None = None
        self.ending: Ending | None = None  # its server has to finish what is under way
        self.certificate: Certificate | None = None
        self.limits = Limits(**msgspec.structs.asdict(spec.limits))
        self.proxies = Proxies(spec.proxies) if spec.proxies else None
        self.cors = None if spec.cors is None else Cors(**msgspec.structs.asdict(spec.cors))

    @classmethod
    def check(cls, spec: ListenerSpec, compiler: Compiler) -> list[SpecFault]:
        faults = []
        is_path = (spec.host or "").startswith(UNIX)
        if is_path and spec.port is not None:
            faults.append(SpecFault("$.port", "a Unix socket has none"))
        if not is_path and spec.port is None:
            faults.append(SpecFault("$.port", "missing"))
        for i, network in enumerate(spec.proxies):
            try:
                Proxies([network])
            except ValueError as error:
                faults.append(SpecFault(f"$.proxies[{i}]", f"{error}, and not `unix`"))
        if spec.proxy_protocol and not spec.proxies:
            faults.append(SpecFault("$.proxies", "missing: who sends PROXY headers?"))
        if spec.cors is not None:
            faults += _cors_faults(spec.cors)
        return faults

    @property
    def address(self) -> str:
        """Where it listens: `http://host:port`, `https://...`, or `unix:PATH`."""
        host = self.spec.host or self.services.settings.listener.host
        if host.startswith(UNIX):
            return host
        port = self.lease.address[1] if self.lease is not None else self.spec.port
        return f"http{'s' if self.spec.tls is not None else ''}://{host}:{port}"

    @property
    def streams(self) -> bool:
        """Whether a process starts before the body of its request is there."""
        return self.spec.stream

    def prepare(self) -> None:
        if not self.services.listens:
            return
        if self.spec.tls is not None:
            from greenflow.net.tls import Certificate

            self.certificate = Certificate(self.spec.tls.cert, self.spec.tls.key)
        servers = self.services.share("servers", Servers, Servers.close)
        host = self.spec.host or self.services.settings.listener.host
        self.lease = servers.acquire(host, self.spec.port or 0, self, key=self.spec.id)

    def abandon(self) -> None:
        if self.lease is not None:
            ending = self.lease.release(self.services.settings.grace)
            self.lease = None
            if ending is not None:
                self.ending = ending
                ending.rawlink(self._ended)

    def _ended(self, ending: Ending) -> None:
        """In the hub: its server has ended."""
        if self.ending is ending:
            self.ending = None
            if self.emptied is not None and not self.in_flight:
                self.emptied()

    @property
    def in_flight(self) -> int:
        """Also requests that a client of a server that ends has sent already."""
        return super().in_flight + (self.ending is not None)

    def start(self, run: Run) -> None:
        self.run = run
        listeners(self.services)[self.spec.id] = self
        if self.lease is None:
            return
        self.lease.serve(
            self.serve,
            self.limits,
            streams=self.spec.stream,
            certificate=self.certificate,
            proxies=self.proxies if self.spec.proxy_protocol and self.proxies else (),
        )
        _log.info("listening on %s", self.address, extra=describe(self))

    def stop(self) -> None:
        running = listeners(self.services)
        if running.get(self.spec.id) is self:  # not yet the next version
            del running[self.spec.id]
        self.abandon()

    # -- one request ---------------------------------------------------------------------------

    def serve(self, request: Request, respond: Respond) -> None:
        """Answer one request. Called in the greenlet of its connection."""
        if self.cors is not None:
            preflight = self.cors.preflight(request)
            if preflight is not None:
                respond(preflight)
                return
            respond = self.cors.wrap(request, respond)
        try:
            payload = to_payload(request, self.limits.body)
            if self.proxies is not None:
                _believe(self.proxies, request, payload)
        except InvalidArgument as error:
            self._refuse(error, request, respond)
            return
        except (mime.UnsupportedCoding, mime.BodyTooLarge) as error:
            respond(plain(error.status))
            return
        run = self.run
        process = run.begin()
        request.on_disconnect = partial(_leave, process)
        upgrade = request.upgrade
        if upgrade is not None:
            process.data.set(Upgrade, upgrade)  # for a node that knows the other protocol
        if self.services.keeps_requests:
            process.data.set(Received, Received(request, payload))
        later = False
        try:
            assert self.out is not None
            answer = run.ask(process, self.out, payload)
            if upgrade is None or process.data.take(Upgrade) is not None:
                later = self._respond(process, request, answer, respond)
            else:
                self._hand_over(process, answer, upgrade)
        except ClientDisconnected as error:
            # Another of its kind: the process keeps it, and this one the frames with the answer.
            process.exit(ClientDisconnected(str(error)))
        except Interrupt as interrupt:  # while the answer was streamed
            if interrupt.process is not process:
                raise
            raise ClientDisconnected("the process exited") from None
        finally:
            if not later:
                run.end(process)

    def _respond(self, process: Process, request: Request, answer: Any, respond: Respond) -> bool:
        """Settle, then send: a commit precedes the answer it belongs to. True when the answer is
        taken later; it ends the process then."""
        reason: BaseException | None = None
        unhandled: BaseException | None = None
        if type(answer) is Fault:
            unhandled = answer.error
            if self.error.links:
                answer = self.ask(process, self.error, answer.error)
                unhandled = answer.error if type(answer) is Fault else None
        if unhandled is None:
            try:
                response = to_response(answer, request)
            except Exception as error:
                unhandled = error
            else:
                if response.status >= 400:
                    reason = _Failed(response.status)
        if unhandled is not None:
            response = plain(500 if request.refusal is None else request.refusal.status)
            reason = unhandled
        if type(response.body) is Stream:
            if has_no_body(request.method, response.status):
                response.body.close()
                response.body = ()
            elif request.defers:
                pieces = self._settled(process, response.body, reason)
                response.body = _Later(process, self.run, response.body, pieces)
                respond(response)
                return True
            else:
                response.body = self._settled(process, response.body, reason)
                process.run(respond, response)
                return False
        failure = process.settle(reason)
        if failure is not None and failure is not reason:
            unhandled, response = failure, plain(500)
        if request.disconnected:
            # Nobody waits for the answer, and that it was given up is no error of the workflow.
            _log.info("the client left before its answer", extra=describe(self, process))
        elif unhandled is not None:
            log_unhandled(self, process, unhandled)
        respond(response)
        return False

    def _hand_over(self, process: Process, answer: Any, upgrade: Upgrade) -> None:
        """A node has taken the connection: there is no response (BEHAVIOUR 12.3). The process
        settles, and counts as answered, before the other protocol goes on."""
        error = conclude(self, process, answer)
        self.run.answered(process)
        assert upgrade.converse is not None
        upgrade.converse(error)

    def _settled(
        self, process: Process, stream: Stream, reason: BaseException | None
    ) -> Generator[bytes]:
        """The pieces of an answer. Its process settles at their end, before the client can know of
        it; when that fails, or the pieces do, the answer is broken off (BEHAVIOUR 8.6)."""
        try:
            yield from stream
        except Exception as error:
            process.settle(error)
            log_unhandled(self, process, error)
            raise ClientDisconnected("the streamed answer failed") from error
        except BaseException:
            process.settle(ClientDisconnected("the answer was not sent to its end"))
            raise
        finally:
            stream.close()
        failure = process.settle(reason)
        if failure is not None and failure is not reason:
            log_unhandled(self, process, failure)
            raise ClientDisconnected("the streamed answer failed") from failure

    def _refuse(self, error: InvalidArgument, request: Request, respond: Respond) -> None:
        """A body that cannot be decoded: to `error`, else 400 (BEHAVIOUR 8.8)."""
        if not self.error.links:
            respond(plain(400))
            return
        process = self.run.begin()
        try:
            self._respond(process, request, Fault(error, (self,)), respond)
        finally:
            self.run.end(process)


def _leave(process: Process) -> None:
    """In the hub: the client has gone, so its process has little time left."""
    timer = gevent.get_hub().loop.timer(AFTER_DISCONNECT)

    def close() -> None:
        timer.stop()
        timer.close()

    def end() -> None:
        close()
        process.spawn(process.exit, ClientDisconnected("the client has left"))

    timer.start(end)
    process.on_exit(close)


class Received(NamedTuple):
    """In the data of a process, once `Services.keeps_requests` was set: the request as it came, and
    the payload that was made of it. So a node can tell what the workflow left as it was, and has
    the bytes of it."""

    request: Request
    payload: dict[str, Any]


def listeners(services: Services) -> dict[str, Listener]:
    """The running listeners of a runtime, by id."""
    running: dict[str, Listener] = services.share("listeners", dict, lambda running: None)
    return running


class _Later:
    """The pieces of an answer that are asked for after the handler has returned. Its process goes
    on until they are closed."""

    def __init__(
        self, process: Process, run: Run, stream: Stream, pieces: Generator[bytes]
    ) -> None:
        self._process, self._run, self._stream, self._pieces = process, run, stream, pieces
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._process.run(self._pieces.__next__)
        except Interrupt as interrupt:
            if interrupt.process is not self._process:
                raise
            self.close()
            raise ClientDisconnected("the process exited") from None
        except BaseException:  # the end, too
            self.close()
            raise

    def close(self) -> None:
        """The answer was taken, or nobody wants the rest of it."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._process.run(self._end)
        finally:
            self._run.end(self._process)

    def _end(self) -> None:
        self._pieces.close()
        self._stream.close()  # the generator does that only if it was begun
        self._process.settle(ClientDisconnected("the answer was not sent to its end"))


def _cors_faults(cors: CorsSpec) -> Iterator[SpecFault]:
    for i, each in enumerate(cors.origins):
        if each != "*" and ORIGIN.fullmatch(each) is None:
            reason = f"{each!r} is no origin: write scheme://host, with a port if it has one"
            yield SpecFault(f"$.cors.origins[{i}]", reason)
    if cors.credentials and "*" in cors.origins:
        yield SpecFault("$.cors.credentials", "browsers want origins by name with it, not *")
    for field in ("methods", "headers", "expose"):
        for i, name in enumerate(getattr(cors, field)):
            if TOKEN.fullmatch(name) is None:
                yield SpecFault(f"$.cors.{field}[{i}]", f"{name!r} is no token (RFC 9110 5.6.2)")


def _believe(proxies: Proxies, request: Request, payload: dict[str, Any]) -> None:
    """What a proxy says of the request counts if it is one of those; else nobody gets to see it."""
    header = payload["header"]
    if request.peer not in proxies:
        for name in FIELDS:
            header.pop(name, None)
        return
    said = origin(request)
    payload["scheme"] = said.scheme or payload["scheme"]
    payload["host"] = said.host or payload["host"]
    if request.client is not request.peer:
        header["X-Forwarded-For"] = [request.client[0]]


class _Failed(Exception):
    """The workflow answered with an error status: what it did is rolled back (BEHAVIOUR 8.6)."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered with status {status}")


def to_payload(request: Request, most: int) -> dict[str, Any]:
    """A request as a payload (BEHAVIOUR 8.2), its body decompressed to `most` bytes.

    Raises InvalidArgument for a body without sense, UnsupportedCoding, BodyTooLarge.
    """
    payload: dict[str, Any] = {
        "method": request.method,
        "scheme": request.scheme,
        "host": request.host,
        "path": request.path,
        "query": mime.parse_form(request.query) if request.query else {},
        "protocol": _PROTOCOLS[request.version],
        "header": request.header_lists(),
    }
    body = request.body
    if isinstance(body, Stream):
        payload["body"] = body  # as it comes: neither decompressed nor decoded
    elif body:
        coding = request.header("content-encoding")
        if coding is not None:
            body = mime.decompress(body, coding, most)
        payload["body"] = mime.decode(request.header("content-type"), body)
    return payload


def to_response(answer: Any, request: Request) -> Response:
    """An answer as a response (BEHAVIOUR 8.3 to 8.5). Raises what the encoding of its body does."""
    if type(answer) is not dict or not is_response(answer):
        if answer is NOTHING or answer is None or type(answer) is Stream:
            return _response(200, None, answer, request)
        return _encoded(200, [], answer, None, None, request)
    status = answer.get("status") or 200
    if type(status) is not int or not 200 <= status <= 599:
        raise ValueError(f"{status!r} is no HTTP status from 200 to 599")
    return _response(status, answer.get("header"), answer.get("body", NOTHING), request)


def _response(status: int, header: Any, body: Any, request: Request) -> Response:
    """A response with headers of the workflow's own, or without a body to encode."""
    headers: list[tuple[str, str]] = []
    content_type = coding = None
    for name, value in _fields(header):
        lower = name.lower()
        if lower == "content-type":
            content_type = value
        elif lower == "content-encoding":
            coding = value
        elif lower not in _IGNORED:
            headers.append((canonical_name(name), value))
    if type(body) is Verbatim:
        if content_type is not None:
            headers.append(("Content-Type", content_type))
        if coding is not None:
            headers.append(("Content-Encoding", coding))
        return Response(status, headers, bytes(body))
    if type(body) is Stream:
        headers.append(("Content-Type", content_type or mime.BYTES))
        if coding is not None:
            headers.append(("Content-Encoding", coding))
        return Response(status, headers, body, body.length)
    if body is NOTHING or (body is None and content_type is None):
        if content_type is not None:
            headers.append(("Content-Type", content_type))
        return Response(status, headers, b"")
    return _encoded(status, headers, body, content_type, coding, request)


def _encoded(
    status: int,
    headers: list[tuple[str, str]],
    body: Any,
    content_type: str | None,
    coding: str | None,
    request: Request,
) -> Response:
    """A response whose body is written as its Content-Type, or the client, wants it."""
    content_type, encoded, negotiated = mime.encode(body, content_type, request.header("accept"))
    coded = False
    if coding is not None:  # the workflow's own word is carried out (BEHAVIOUR 10.4)
        encoded, coding = mime.compress(encoded, coding)
    elif len(encoded) >= mime.LEAST_BYTES and not _is_part(status, headers):
        accepted = request.header("accept-encoding")
        encoded, coding, coded = mime.negotiate(encoded, content_type, accepted)
        if coding is not None:
            headers = [_weakened(*field) for field in headers]
    if not headers and not coded and coding is None:
        # The same for every answer of its type, and so remembered by the server.
        return Response(status, _alone(content_type, negotiated), encoded)
    headers.append(("Content-Type", content_type))
    if coding is not None:
        headers.append(("Content-Encoding", coding))
    if negotiated or coded:
        asked = ("Accept",) * negotiated + ("Accept-Encoding",) * coded
        headers.append(("Vary", ", ".join(asked)))
    return Response(status, headers, encoded)


@lru_cache(maxsize=ALONE)
def _alone(content_type: str, negotiated: bool) -> tuple[tuple[str, str], ...]:
    """The headers of an answer that has none of its own but this."""
    varying = (("Vary", "Accept"),) if negotiated else ()
    return (("Content-Type", content_type), *varying)


def _is_part(status: int, headers: list[tuple[str, str]]) -> bool:
    """Whether the body is part of a larger one, whose bytes Content-Range counts (RFC 9110
    14.4)."""
    return status == 206 or any(name == "Content-Range" for name, _ in headers)


def _weakened(name: str, value: str) -> tuple[str, str]:
    """The field, of an answer that is compressed now: a strong ETag would claim that its bytes are
    those of the uncompressed one (RFC 9110 8.8.3.3)."""
    return name, f"W/{value}" if name == "Etag" and value.startswith('"') else value


def is_response(answer: dict[str, Any]) -> bool:
    """Whether a map is a response; any other is the body of a 200."""
    return not _RESPONSE_MARKS.isdisjoint(answer) and answer.keys() <= _RESPONSE_KEYS


def _fields(header: Any) -> Iterable[tuple[str, str]]:
    if header is None:
        return
    if type(header) is not dict:
        raise ValueError("the header of a response is a map")
    for name, values in header.items():
        for value in values if type(values) is list else [values]:
            if not isinstance(value, (str, int, float)):
                raise ValueError(f"the header {name} is no string")
            yield name, value if isinstance(value, str) else str(value)


def plain(status: int) -> Response:
    """A response that says no more than its status."""
    text = http.HTTPStatus(status).phrase.encode()
    return Response(status, [("Content-Type", "text/plain; charset=utf-8")], text)
