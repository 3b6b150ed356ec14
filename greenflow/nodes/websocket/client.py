"""`websocket`: connections that workflows open to WebSocket servers (BEHAVIOUR 12.2).

`io` connects, and fails if that fails. With `reconnect` a connection that was lost is opened again,
in a process of its own, after a pause that grows with each failure; meanwhile `in` waits for it. A
process K, a child of P, then stands for the connection in all its lives: they are K's children. It
ends when the workflow closes the connection, when the server does with 1000 (all was said), when
the node is stopped, and with P.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property, partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, describe
from greenflow.engine.packet import NOTHING
from greenflow.engine.process import Process
from greenflow.engine.services import Compiler, Services
from greenflow.errors import CompileFailed, GreenflowError, InvalidArgument, SpecFault
from greenflow.hub.backoff import Backoff
from greenflow.net.address import Allowed, Place, look_up, look_up_public
from greenflow.net.fields import FRAMING, HOP_BY_HOP
from greenflow.net.grammar import BLANKS
from greenflow.net.message import canonical_name
from greenflow.net.mime.urlencoded import encode_form
from greenflow.net.outgoing import basic
from greenflow.net.url import PORTS, Url, parse_authority, parse_url, quote_path
from greenflow.net.websocket.channel import Channel
from greenflow.net.websocket.client import Asked, Clients
from greenflow.nodes.http import TlsSpec
from greenflow.nodes.websocket.peer import ConnectionSpec, Peer
from greenflow.spec.fields import Duration

# Headers of a payload that are not sent on, in lower case: those of one hop, of a body, and of the
# handshake, which is our own (RFC 9110 7.6.1, RFC 6455 4.1).
_NOT_SENT = (
    HOP_BY_HOP
    | FRAMING
    | {"proxy-authorization", "host", "expect", "content-type", "content-encoding"}
    | {"sec-websocket-key", "sec-websocket-version", "sec-websocket-accept"}
    | {"sec-websocket-extensions", "sec-websocket-protocol"}
)

# The schemes of WebSocket and of the handshake (RFC 6455 3); the first of them is the default.
_SCHEMES = {"wss": "https", "ws": "http", "https": "https", "http": "http"}

_log = logging.getLogger("greenflow.nodes.websocket")


class ReconnectSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait before a lost connection is opened again."""

    initial: Annotated[Duration, Meta(description="before the first try")] = 1.0
    factor: Annotated[float, Meta(ge=1, description="how much longer each time")] = 2.0
    max: Annotated[Duration, Meta(description="never longer than this")] = 30.0
    jitter: Annotated[float, Meta(ge=0, le=1, description="the share of it left to chance")] = 0.5

    def backoff(self) -> Backoff:
        """The seconds to wait before each further try."""
        first = min(self.initial, self.max)
        return Backoff(self.max, first=first, factor=self.factor, jitter=self.jitter)


class WebSocketSpec(ConnectionSpec):
    url: Annotated[
        str, Meta(description="ws:// or wss://; what it leaves out the payload on `io` says")
    ] = ""
    reconnect: Annotated[
        ReconnectSpec | None, Meta(description="open a lost connection again; default: no")
    ] = None
    tls: Annotated[TlsSpec, Meta(description="certificates")] = TlsSpec()


@node("websocket", inputs=("io", "in"), outputs=("out",), reads_only=True, reaches_outside=True)
class WebSocket(Peer[WebSocketSpec]):
    """`io` connects to a WebSocket server, within `timeout`, and answers nothing.

    Each message leaves by `out` as `{type, data}`, in a process of its own: 1 text, 2 binary, 8
    close. `in` sends on the connection of its process. The payload on `io` may be a request; its
    scheme, host, path and query count where the `url` has none. A host that a payload names must
    be public, unless the setting `http.allow` names it.
    """

    clients: Clients

    def __init__(self, spec: WebSocketSpec, services: Services) -> None:
        try:
            self.url = read_url(spec.url)
        except ValueError as error:
            raise CompileFailed(f"$.url: {error}") from None
        super().__init__(spec, services)
        self.allowed = Allowed.parse(services.settings.http.allow)

    @classmethod
    def check(cls, spec: WebSocketSpec, compiler: Compiler) -> list[SpecFault]:
        faults = super().check(spec, compiler)
        try:
            read_url(spec.url)
        except ValueError as error:
            faults.append(SpecFault("$.url", str(error)))
        return faults

    @cached_property
    def context(self) -> Any:
        """How TLS is spoken. Raises CertificateError."""
        from greenflow.net.transport import tls_context

        return tls_context(**msgspec.structs.asdict(self.spec.tls))

    def open(self) -> None:
        if self.spec.tls != TlsSpec() or self.url.scheme == "https":
            _ = self.context  # what is wrong with the certificates is said at once
        self.clients = self.services.share("websocket clients", Clients, Clients.close)
        super().open()

    def connect(self, ctx: Context, payload: Any) -> Any:
        channel = self.dial(payload)
        opener, hops, connections = ctx.process.owner, ctx.packet.hops, self.connections
        if self.spec.reconnect is None:
            process = connections.begin(opener, channel, opener, hops)
            process.spawn(connections.converse, process, channel)
        else:
            keeper = Process(opener, hops)
            keeper.let_go()  # no packet is in it
            process = connections.begin(opener, channel, keeper, hops)
            keeper.spawn(self._keep, keeper, opener, process, channel, payload)
        return NOTHING

    def dial(self, payload: Any) -> Channel:
        """A new connection. Raises RequestFailed, AddressForbidden, InvalidArgument."""
        asked = to_handshake(self.url, payload, self.spec)
        reach: Callable[[str, int], list[Place]] = look_up
        if not self.url.host:
            reach = partial(look_up_public, allowed=self.allowed)
        seconds = self.spec.timeout
        return self.clients.connect(asked, reach, lambda: self.context, self.options, seconds)

    def _keep(
        self, keeper: Process, opener: Process, process: Process, channel: Channel, payload: Any
    ) -> None:
        """See a connection through, and open it again as long as that makes sense."""
        connections = self.connections
        try:
            while True:
                connections.converse(process, channel)
                if not channel.was_lost:
                    return
                opener.data.delete(connections)  # `in` waits for the next one
                found = self._dial_again(payload)
                if found is None:
                    return
                channel = found
                process = connections.begin(opener, channel, keeper, keeper.hops)
        finally:
            keeper.exit()

    def _dial_again(self, payload: Any) -> Channel | None:
        """A new connection, by whatever version of the node there is then; None if none wants
        it."""
        known, backoff = None, Backoff()
        while True:
            newest = self._newest()
            pause = newest.spec.reconnect
            if newest.is_stopped or pause is None:
                return None
            if pause != known:
                known, backoff = pause, pause.backoff()
            if self.connections.stopped.wait(backoff.next()):
                return None
            newest = self._newest()
            try:
                return newest.dial(payload)
            except GreenflowError as error:
                _log.warning("not connected again yet: %s", error, extra=describe(newest))

    def _newest(self) -> WebSocket:
        found = self.connections.node
        assert isinstance(found, WebSocket)
        return found


def read_url(text: str) -> Url:
    """The `url` of a spec, or of a part of one; its scheme as that of the handshake. Raises
    ValueError."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in _SCHEMES:
        text = f"{_SCHEMES[scheme.lower()]}:{rest}"
    elif colon and rest.startswith("//"):
        raise ValueError(f"the scheme is ws or wss, not {scheme}")
    return parse_url(text)


def to_handshake(url: Url, payload: Any, spec: WebSocketSpec) -> Asked:
    """What to ask for; the parts of the node's URL override the payload's (BEHAVIOUR 12.2). Raises
    InvalidArgument."""
    fields: dict[str, Any] = payload if type(payload) is dict else {}
    try:
        target = _whole_url(url, fields)
    except ValueError as error:
        raise InvalidArgument() from error
    headers, subprotocols = _headers(fields.get("header"))
    if url.user is not None and all(name != "Authorization" for name, _ in headers):
        headers.append(("Authorization", basic(url.user)))
    ours = tuple(spec.subprotocols) or subprotocols
    return Asked(target, tuple(headers), ours, spec.compression)


def _whole_url(url: Url, fields: dict[str, Any]) -> Url:
    """Raises ValueError, and EncodeError for a query that is none."""
    asked = fields.get("scheme") or next(iter(_SCHEMES))
    scheme = url.scheme or _SCHEMES.get(asked if type(asked) is str else "")
    if scheme is None:
        raise ValueError("the scheme of a WebSocket is ws or wss")
    host, port = url.host, url.port
    if not host:
        authority = fields.get("host")
        if type(authority) is not str or not authority:
            raise ValueError("no host: neither the url of the node nor the payload names one")
        user, host, port = parse_authority(authority)
        if user is not None:
            raise ValueError("the host holds a user name")
    path, query = url.path, url.query
    if not path:
        path = fields.get("path") or "/"
        if type(path) is not str:
            raise ValueError("the path is a string")
        path = quote_path(path if path.startswith("/") else f"/{path}")
    if query is None and fields.get("query"):
        query = encode_form(fields["query"]).decode("ascii")
    return Url(scheme, host, port or PORTS[scheme], path, query)


def _headers(header: Any) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """The headers of a payload that are sent on, and the subprotocols that it offers. Raises
    InvalidArgument."""
    if header is None:
        return [], ()
    if type(header) is not dict:
        raise InvalidArgument("the header of a request is a map")
    found: dict[str, list[str]] = {}
    for name, values in header.items():
        texts = values if type(values) is list else [values]
        if not all(type(text) in (str, int, float) for text in texts):
            raise InvalidArgument(f"the header {name!r} is no string")
        found.setdefault(canonical_name(name), []).extend(map(str, texts))
    offered = ",".join(found.get("Sec-Websocket-Protocol", ()))
    subprotocols = tuple(name.strip(BLANKS) for name in offered.split(",") if name.strip(BLANKS))
    for option in ",".join(found.get("Connection", ())).split(","):  # named there, of that hop
        found.pop(canonical_name(option.strip(BLANKS)), None)
    if "Cookie" in found:  # RFC 6265 5.4: there is one
        found["Cookie"] = ["; ".join(found["Cookie"])]
    sent = [
        (name, text)
        for name, texts in found.items()
        if name.lower() not in _NOT_SENT
        for text in texts
    ]
    return sent, subprotocols
