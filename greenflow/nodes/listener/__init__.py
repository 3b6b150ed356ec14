"""`listener`: HTTP requests become processes, answers become responses (BEHAVIOUR 8).

Lives here: the kind, and how a process is seen through for a request. Its fields are spec.py's, an
answer that is taken piece by piece later.py's, clients that leave leaving.py's, requests beyond the
limit crowd.py's, the headers of refusals refusing.py's, and what fails with a status failed.py's.
What a request is as a payload, and an answer as a response, is nodes/request.py's; HTTP itself is
net/'s.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
import msgspec

from greenflow.engine.declaring import node
from greenflow.engine.node import describe
from greenflow.engine.origin import identity_of
from greenflow.engine.packet import Fault
from greenflow.engine.process import Process
from greenflow.engine.scope import exit_after
from greenflow.engine.services import Compiler, Services
from greenflow.engine.source import Run, conclude, log_unhandled
from greenflow.errors import (
    Cancelled,
    Interrupt,
    InvalidArgument,
    NotPublished,
    SpecFault,
    TimedOut,
    noted,
)
from greenflow.net import mime
from greenflow.net.answer import has_no_body
from greenflow.net.limits import Limits
from greenflow.net.message import NOBODY, Address, ClientDisconnected, Request, Respond
from greenflow.net.pool import Ending, Lease, Servers
from greenflow.net.server import UNIX
from greenflow.net.upgrade import Upgrade
from greenflow.nodes.listener.counting import Counting, mark_left
from greenflow.nodes.listener.crowd import Crowd, Limited
from greenflow.nodes.listener.failed import StatusFailed
from greenflow.nodes.listener.later import Later
from greenflow.nodes.listener.leaving import leave, tell_left
from greenflow.nodes.listener.refusing import headers_of
from greenflow.nodes.listener.spec import ListenerSpec, addresses, faults_of, policy
from greenflow.nodes.refusals import tell_refused
from greenflow.nodes.request import (
    Received,
    believe,
    identify,
    plain,
    raw_body,
    respond_as,
    to_payload,
    to_response,
)
from greenflow.nodes.traced import trace_request
from greenflow.nodes.unlinked import leads_nowhere
from greenflow.payload.stream import Stream

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.engine.foresight import Claim
    from greenflow.net.tls import Certificate

_log = logging.getLogger("greenflow.nodes.listener")


@node("listener", outputs=("out",), reads_only=True)
class Listener(Limited[ListenerSpec], Counting):
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
        self.cors = None if spec.cors is None else policy(spec.cors)
        self.guess = spec.untyped == "guess"
        self.decoding = 0  # requests whose bodies are being decoded
        self.most = self.limits.in_flight
        self.crowd = Crowd(self.most)
        leaving = spec.on_disconnect
        self.exit_after = None if leaving == "finish" else leaving.exit_after

    @classmethod
    def check(cls, spec: ListenerSpec, compiler: Compiler) -> list[SpecFault]:
        return faults_of(spec)

    @classmethod
    def doubts(cls, spec: ListenerSpec, compiler: Compiler) -> list[SpecFault]:
        return leads_nowhere(spec)

    @classmethod
    def claims(cls, spec: ListenerSpec, settings: Settings) -> list[Claim]:
        return addresses(spec, settings.listener.host)

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

    def headers_for(
        self, origin: str | None, sent: str | None = None, peer: Address = NOBODY
    ) -> Sequence[tuple[str, str]]:
        """The headers of an answer that no workflow made."""
        return headers_of(self.spec, self.cors, self.proxies, origin, sent, peer)

    def prepare(self) -> None:
        if not self.services.listens:
            return
        if self.spec.tls is not None:
            from greenflow.net.tls import Certificate

            self.certificate = Certificate(self.spec.tls.cert, self.spec.tls.key)
        servers = self.services.share("servers", Servers, Servers.close)
        host = self.spec.host or self.services.settings.listener.host
        self.lease = servers.acquire(host, self.spec.port or 0, self, key=identity_of(self))

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
            self._empty()

    def _empty(self) -> None:
        if self.emptied is not None and not self.in_flight:
            self.emptied()

    @property
    def in_flight(self) -> int:
        """Also requests that a client of a server that ends has sent already."""
        return super().in_flight + (self.ending is not None) + self.decoding

    def start(self, run: Run) -> None:
        self.run = run
        listeners(self.services)[identity_of(self)] = self
        if self.lease is None:
            return
        self.lease.serve(
            self.serve,
            self.limits,
            streams=self.spec.stream,
            certificate=self.certificate,
            proxies=self.proxies if self.spec.proxy_protocol and self.proxies else (),
            tell_refused=self.tell_refused,
            headers_for=self.headers_for,
        )
        _log.info("listening on %s", self.address, extra=describe(self))

    def stop(self) -> None:
        running, identity = listeners(self.services), identity_of(self)
        if running.get(identity) is self:  # not yet the next version
            del running[identity]
        self.abandon()

    # -- one request ---------------------------------------------------------------------------

    def answer(self, request: Request, respond: Respond) -> None:
        request_id = None
        if self.spec.request_id:
            request_id = identify(request, self.proxies)
            respond = partial(respond_as, request_id, respond)
        if self.cors is not None:
            if (preflight := self.cors.preflight(request)) is not None:
                respond(preflight)
                return
            respond = self.cors.wrap(request, respond)
        if len(self.processes) + self.decoding >= self.most:
            self.crowd.shed(self, respond)
            return
        try:
            payload = self._decoded(request) if request.body else to_payload(request, 0, self.guess)
            if self.spec.raw:
                payload["raw"] = raw_body(request)
            if self.proxies is not None:
                believe(self.proxies, request, payload)
        except InvalidArgument as error:
            self._refuse(error, request, respond, request_id)
            return
        except (mime.UnsupportedCoding, mime.BodyTooLarge) as error:
            self._tell_refused(request, error.status, str(error), request_id)
            respond(plain(error.status))
            return
        run = self.run
        process = run.begin()
        if request_id is not None:
            payload["request_id"] = request_id
        process.event = request.method, request.path, request_id
        if (tracer := self.services.tracer) is not None:
            respond = trace_request(tracer, self, process, request, respond)
        if self.exit_after is not None:
            request.on_disconnect = partial(leave, process, self.exit_after)
        upgrade = request.upgrade
        if upgrade is not None:
            process.data.set(Upgrade, upgrade)  # for a node that knows the other protocol
        if self.services.keeps_requests:
            process.data.set(Received, Received(request, payload))
        later = False
        try:
            assert self.out is not None
            if self.spec.deadline is None:
                answer = run.ask(process, self.out, payload)
            else:
                seconds = self.spec.deadline
                call_off = exit_after(process, self.services.clock, seconds, TimedOut(seconds))
                answer = run.ask(process, self.out, payload)
                call_off()
            if upgrade is None or process.data.take(Upgrade) is not None:
                later = self._respond(process, request, answer, respond)
            else:
                self._hand_over(process, answer, upgrade)
        except ClientDisconnected as error:
            # Another of its kind: the process keeps it, and this one the frames with the answer.
            process.settle(ClientDisconnected(str(error)))  # unless it did so before the answer
            mark_left(request)
            if not request.disconnected:  # it was told of nothing yet
                tell_left(self, process)
                if self.exit_after is not None:
                    leave(process, self.exit_after)
        except Interrupt as interrupt:  # while the answer was streamed
            if interrupt.process is not process:
                raise
            raise ClientDisconnected("the process exited") from None
        finally:
            request.route = process.route
            answer = None  # this frame is one of those that an error refers to
            del payload
            if not later:
                run.end(process)

    def _decoded(self, request: Request) -> dict[str, Any]:
        """The payload of a request with a body. Others run where that is large."""
        self.decoding += 1
        try:
            return to_payload(request, self.limits.body, self.guess)
        finally:
            self.decoding -= 1
            if self.emptied is not None and not self.in_flight:
                gevent.get_hub().loop.run_callback(self._empty)  # unless a process begins now

    def _respond(self, process: Process, request: Request, answer: Any, respond: Respond) -> bool:
        """Settle, then send: a commit precedes the answer it belongs to. True when the answer is
        taken later; it ends the process then."""
        reason: BaseException | None = None
        unhandled: BaseException | None = None
        answers = self.spec.answers
        if type(answer) is Fault:
            unhandled = answer.error
            if answers == "body":  # else no error could have the status of one
                answers = "auto"
            if self.error.leads(process.generation):
                answer = self.ask(process, self.error, answer.error)
                unhandled = answer.error if type(answer) is Fault else None
        if unhandled is None:
            try:
                response = to_response(answer, request, answers)
            except Exception as error:
                unhandled = error
            else:
                if response.status >= 400:
                    reason = StatusFailed(response.status)
        if unhandled is not None:
            status = 500 if request.refusal is None else request.refusal.status
            if isinstance(process.error, TimedOut | Cancelled):  # by its deadline, or a person
                unhandled, status = process.error, process.error.status
            response = plain(status)
            reason = unhandled
        if type(response.body) is Stream:
            if has_no_body(request.method, response.status):
                response.body.close()
                response.body = ()
            elif request.defers:
                pieces = self._settled(process, response.body, reason)
                response.body = Later(process, self.run, response.body, pieces)
                respond(response)
                return True
            else:
                response.body = self._settled(process, response.body, reason)
                process.run(respond, response)
                return False
        failure = process.settle(reason)
        if (
            failure is not None
            and failure is not reason
            and not (
                process.error is not None and reason is process.error  # it had ended before
            )
        ):
            unhandled, response = failure, plain(500)
        if unhandled is not None:
            given_up = isinstance(process.error, ClientDisconnected)
            if not given_up or isinstance(unhandled, NotPublished):
                log_unhandled(self, process, unhandled, response.status)
        if request.disconnected:
            tell_left(self, process)
        respond(response)
        return False

    def _hand_over(self, process: Process, answer: Any, upgrade: Upgrade[Request]) -> None:
        """A node has taken the connection: there is no response (BEHAVIOUR 12.3). The process
        settles, and counts as answered, before the other protocol goes on."""
        error = conclude(self, process, answer)
        self.run.answered(process)
        upgrade.request.route = process.route
        self.tell_upgraded(upgrade.request)
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

    def _tell_refused(
        self, request: Request, status: int, reason: str, request_id: str | None
    ) -> None:
        """The log gets a line for a request that starts no process."""
        method, path = request.method, request.path
        tell_refused(_log, self, method, path, status, reason, request_id=request_id)

    def _refuse(
        self, error: InvalidArgument, request: Request, respond: Respond, request_id: str | None
    ) -> None:
        """A body that cannot be decoded: to `error`, else 400 (BEHAVIOUR 8.8)."""
        if not self.error.links_for(None):
            reason = noted(error.__cause__ or error)
            self._tell_refused(request, error.status, reason, request_id)
            respond(plain(400))
            return
        process = self.run.begin()
        process.event = request.method, request.path, request_id
        try:
            self._respond(process, request, Fault(error, (self,)), respond)
        finally:
            self.run.end(process)


def listeners(services: Services) -> dict[str, Listener]:
    """The running listeners of a runtime, by id."""
    running: dict[str, Listener] = services.share("listeners", dict, lambda running: None)
    return running
