"""What `gateway` and `websocket` have in common (BEHAVIOUR 12).

Lives here: what a message is as a payload and back, whose child runs what, and how connections
outlive the version of a node that opened them. The protocol is net/websocket's.

A connection lives in a process C, a child of the process P in which `io` got its packet; each
message runs in a child of C, and the next one is taken up when that is answered and its children
have ended. A connection ends with a message of type 8. C exits when that is answered, the rest of
the closing handshake is the channel's own. If C ends otherwise, as when P exits, the connection is
closed with 1011. When the node is removed or becomes inactive its connections are closed with 1001,
each after the message that it has in hand.

Connections belong to the id of a node and not to one version of it: `Connections` is shared by all
versions, and the one that was started last serves them. Which connection `in` means is found in the
data of its process, by the same object as key.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Annotated, Any, TypeVar

import gevent
import msgspec
from gevent.event import Event
from msgspec import Meta

from greenflow.engine.node import Context, Handler, describe
from greenflow.engine.origin import identity_of
from greenflow.engine.packet import NOTHING, Fault
from greenflow.engine.process import RUNNING, Process
from greenflow.engine.services import Compiler, Services
from greenflow.engine.source import Run, Source, log_unhandled, takes_errors
from greenflow.errors import Interrupt, InvalidArgument, NotConnected, SpecFault
from greenflow.hub.clock import Clock
from greenflow.net.grammar import is_token
from greenflow.net.websocket.channel import INTERNAL_ERROR, Channel, Options
from greenflow.net.websocket.frames import (
    BINARY,
    CLOSE,
    NORMAL_CLOSURE,
    TEXT,
    checked_close,
    close_payload,
)
from greenflow.payload.json import dumps
from greenflow.spec.fields import Duration, Spec

# Seconds that `in` waits for a connection if the spec does not say: what a handshake over a bad
# network takes.
TIMEOUT = 10.0

_DEFAULTS = Options()

_log = logging.getLogger("greenflow.nodes.websocket")


class PingSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a peer that is silently gone is found out."""

    interval: Annotated[
        Duration, Meta(description="silence after which a ping is sent; 0: never")
    ] = _DEFAULTS.ping_interval
    timeout: Annotated[
        float,
        Meta(gt=0, extra={"format": "duration"}, description="how long its answer may take"),
    ] = _DEFAULTS.ping_timeout


class LimitsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes, times in seconds."""

    message: Annotated[
        int, Meta(ge=1, description="bytes of a message, decompressed; more is closed with 1009")
    ] = _DEFAULTS.message
    write_timeout: Annotated[
        float,
        Meta(
            gt=0,
            extra={"format": "duration"},
            description="how long the peer may take not a byte of what is sent",
        ),
    ] = _DEFAULTS.write_timeout


class ConnectionSpec(Spec):
    timeout: Annotated[
        Duration, Meta(description="how long `in` waits for a connection to be there")
    ] = TIMEOUT
    buffer: Annotated[
        int,
        Meta(ge=0, description="bytes that the peer may send ahead while a message is handled"),
    ] = _DEFAULTS.ahead
    subprotocols: Annotated[list[str], Meta(description="what is spoken, the best first")] = []
    compression: Annotated[
        bool, Meta(description="whether messages may be compressed (permessage-deflate)")
    ] = False
    ping: Annotated[PingSpec, Meta(description="whether the peer is there")] = PingSpec()
    limits: Annotated[LimitsSpec, Meta(description="what the peer may ask")] = LimitsSpec()


C = TypeVar("C", bound=ConnectionSpec)


class PeerConnections:
    """The open connections of one node, whatever its version, and who waits for one."""

    def __init__(self) -> None:
        self.node: Peer[Any] | None = None
        self.users = 0  # nodes that are open
        self.open: dict[Channel, Process] = {}
        self.stopped = Event()  # nobody goes on with them
        self._next = Event()  # set when the next connection is there

    def begin(self, opener: Process, channel: Channel, parent: Process, hops: int) -> Process:
        """The process of a new connection, a child of `parent`. `in` finds it from there, and from
        the process that opened it."""
        process = Process(parent, hops)
        process.let_go()  # each of its messages begins anew
        self.open[channel] = process
        process.on_exit(partial(self._end, channel))
        process.data.set(self, channel)
        opener.data.set(self, channel)
        there, self._next = self._next, Event()
        there.set()
        if self.node is not None and self.node.is_stopped:
            channel.retire()
        return process

    def _end(self, channel: Channel) -> None:
        del self.open[channel]
        channel.leave(INTERNAL_ERROR)
        if self.node is not None and self.node.emptied is not None and not self.node.in_flight:
            self.node.emptied()

    def of(self, process: Process, seconds: float, clock: Clock) -> Channel:
        """The connection of the process or its nearest ancestor that has one. Raises NotConnected
        when there is none for so long."""
        channel: Channel | None = process.data.get(self)
        if channel is None:
            try:
                with clock.timeout(seconds) as limit:
                    while (channel := process.data.get(self)) is None:
                        self._next.wait()
            except gevent.Timeout as expired:
                if expired is not limit:
                    raise
                reason = f"this process opened no WebSocket connection here within {seconds:g} s"
                raise NotConnected(reason) from None
        return channel

    def converse(self, process: Process, channel: Channel) -> None:
        """See a connection through in the calling greenlet: its messages, then its end."""
        try:
            process.run(self._converse, process, channel)
        except Interrupt as interrupt:
            if interrupt.process is not process:
                raise
        finally:
            process.exit()

    def _converse(self, process: Process, channel: Channel) -> None:
        kind = TEXT
        while kind != CLOSE and process.state == RUNNING:
            kind, data = channel.receive()
            assert self.node is not None
            self.node.deliver(process, channel, {"type": kind, "data": data})


class Peer(Source[C]):
    """What the two kinds have in common."""

    connections: PeerConnections

    def __init__(self, spec: C, services: Services) -> None:
        super().__init__(spec, services)
        self.run = Run(self)
        self.is_stopped = False
        self.options = Options(
            message=spec.limits.message,
            ahead=spec.buffer,
            ping_interval=spec.ping.interval,
            ping_timeout=spec.ping.timeout,
            write_timeout=spec.limits.write_timeout,
        )

    @classmethod
    def check(cls, spec: C, compiler: Compiler) -> list[SpecFault]:
        return [
            SpecFault(f"$.subprotocols[{i}]", f"{name!r} is no token (RFC 9110 5.6.2)")
            for i, name in enumerate(spec.subprotocols)
            if not is_token(name)
        ]

    def handler(self, port: str) -> Handler:
        return self.connect if port == "io" else self.send_message

    def connect(self, ctx: Context, payload: Any) -> Any:
        """Handle a packet on `io`."""
        raise NotImplementedError

    def send_message(self, ctx: Context, payload: Any) -> Any:
        """Handle a packet on `in`."""
        kind, data = to_message(payload)
        channel = self.connections.of(ctx.process, self.spec.timeout, self.services.clock)
        if kind == CLOSE:
            channel.leave_with(data)
        else:
            channel.send(kind, data)
        return NOTHING

    def deliver(self, connection: Process, channel: Channel, payload: dict[str, Any]) -> None:
        """Run a message in a child process, and return when it has ended with its children."""
        run = self.run
        process = run.begin(connection, connection.hops)
        try:
            assert self.out is not None
            answer = run.ask(process, self.out, payload)
            if type(answer) is Fault and takes_errors(self, process):
                answer = self.ask(process, self.error, answer.error)
            failure = process.settle(answer.error if type(answer) is Fault else None)
            if isinstance(failure, NotConnected) and not channel.is_open:
                # Nobody waits for what it wanted to say, and that is no error of the workflow.
                extra = describe(self, process)
                _log.info("the peer left before its message was answered", extra=extra)
            elif failure is not None:
                log_unhandled(self, process, failure)
        finally:
            run.answered(process)
            process.finish()

    # -- the life of a node --------------------------------------------------------------------

    def open(self) -> None:
        shared: dict[str, PeerConnections] = self.services.share("websockets", dict, lambda _: None)
        self.connections = shared.setdefault(identity_of(self), PeerConnections())
        self.connections.users += 1

    def close(self) -> None:
        self.connections.users -= 1
        if not self.connections.users:
            shared: dict[str, PeerConnections] = self.services.share(
                "websockets", dict, lambda _: None
            )
            shared.pop(identity_of(self), None)

    def start(self, run: Run) -> None:
        self.is_stopped = False
        self.connections.node = self
        self.connections.stopped.clear()
        for channel in self.connections.open:
            channel.options = self.options

    def stop(self) -> None:
        if self.connections.node is self:  # else another version goes on with the connections
            self.is_stopped = True
            self.connections.stopped.set()
            for channel in list(self.connections.open):
                channel.retire()

    @property
    def in_flight(self) -> int:
        """Open connections delay no change; but once stopped the node waits for their ends."""
        return super().in_flight + (len(self.connections.open) if self._has_last_word else 0)

    @property
    def _has_last_word(self) -> bool:
        """Whether it is stopped, and no other version goes on with the connections."""
        return self.is_stopped and self.connections.node is self

    def holds(self, process: Process) -> bool:
        ends = self._has_last_word and process in self.connections.open.values()
        return ends or super().holds(process)


def to_message(payload: Any) -> tuple[int, bytes]:
    """A payload as the type and the bytes of a message (BEHAVIOUR 12.7). Raises InvalidArgument,
    and EncodeError for what is no JSON."""
    if type(payload) is dict and type(payload.get("type")) is int:
        kind, keys = payload["type"], payload.keys()
        if keys == {"type", "data"} or (keys == {"type"} and kind == CLOSE):
            return kind, _data(kind, payload.get("data"))
    return (BINARY if type(payload) is bytes else TEXT), _bytes(payload)


def _data(kind: int, data: Any) -> bytes:
    if kind == CLOSE:
        if type(data) is str:
            return close_payload(NORMAL_CLOSURE, data)
        if data is not None and type(data) is not bytes:
            raise InvalidArgument("the data of a close is its payload as bytes, or a reason")
        try:
            return checked_close(data or b"")
        except ValueError as error:
            raise InvalidArgument() from error
    if kind not in (TEXT, BINARY):
        raise InvalidArgument("the type of a message is 1 text, 2 binary or 8 close")
    if type(data) is bytes and kind == TEXT:
        try:
            data.decode()
        except UnicodeDecodeError:
            raise InvalidArgument() from ValueError("the bytes of a text message are no UTF-8")
    return b"" if data is None else _bytes(data)


def _bytes(value: Any) -> bytes:
    """Bytes as they are, a string as UTF-8, another value as JSON."""
    if type(value) is bytes:
        return value
    if type(value) is not str:
        return dumps(value).removesuffix(b"\n")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidArgument() from ValueError("a string with half of a surrogate pair")
