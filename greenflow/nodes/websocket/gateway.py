"""`gateway`: HTTP requests that become WebSockets (BEHAVIOUR 12.2, 12.3).

The request's process P, which upgraded it, is answered and settled like any other, but no response
is written. Messages are taken up when P has settled, so what P committed is there for them; pings
are answered before. If P fails, its commit included, the connection is closed with 1011. P is
answered then, and holds up no change and no shutdown; but it ends, and lets go of what hangs on its
life (a session, a hook), only after its children, and so after the connection. When its listener
stops, the connection is closed with 1001, after the message that it has in hand.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context
from greenflow.engine.packet import NOTHING
from greenflow.engine.process import Process
from greenflow.engine.services import Compiler, Services
from greenflow.errors import SpecFault
from greenflow.net.cors import ORIGIN
from greenflow.net.message import Request
from greenflow.net.upgrade import Upgrade
from greenflow.net.websocket.channel import INTERNAL_ERROR, Channel
from greenflow.net.websocket.handshake import HandshakeRefused, Offer, agree, upgrade_required
from greenflow.nodes.websocket.peer import ConnectionSpec, Peer


class GatewaySpec(ConnectionSpec):
    protocol: Annotated[str, Meta(pattern="^websocket$", description="websocket")] = "websocket"
    origins: Annotated[
        list[str],
        Meta(description="such as https://app.example.com: whose pages may connect; none: all"),
    ] = []


@node("gateway", inputs=("io", "in"), outputs=("out",), reads_only=True)
class Gateway(Peer[GatewaySpec]):
    """`io` upgrades the HTTP request of its process to a WebSocket, and answers nothing.

    Each message leaves by `out` as `{type, data}`, in a process of its own: 1 text, 2 binary, 8
    close. `in` sends on the connection of its process. A request that cannot be upgraded gives a
    response with status 400, 403 or 426 to `error`, else as answer.
    """

    def __init__(self, spec: GatewaySpec, services: Services) -> None:
        super().__init__(spec, services)
        self.offer = Offer(tuple(spec.subprotocols), spec.compression, tuple(spec.origins))

    @classmethod
    def check(cls, spec: GatewaySpec, compiler: Compiler) -> list[SpecFault]:
        faults = super().check(spec, compiler)
        for i, origin in enumerate(spec.origins):
            if ORIGIN.fullmatch(origin) is None:
                reason = f"{origin!r} is no origin: write scheme://host, with a port if it has one"
                faults.append(SpecFault(f"$.origins[{i}]", reason))
        return faults

    def connect(self, ctx: Context, payload: Any) -> Any:
        data = ctx.process.data
        upgrade: Upgrade[Request] | None = data.get(Upgrade)
        try:
            if upgrade is None:
                raise upgrade_required("this process has no request for a WebSocket to upgrade")
            agreement = agree(upgrade.request, self.offer)
        except HandshakeRefused as refused:
            return ctx.to("error", _response(refused))
        data.take(Upgrade)
        channel = Channel.accept(upgrade, agreement, self.options)
        opener = ctx.process.owner
        process = self.connections.begin(opener, channel, opener, ctx.packet.hops)
        upgrade.converse = partial(self._converse, process, channel)
        return NOTHING

    def _converse(self, process: Process, channel: Channel, error: BaseException | None) -> None:
        """Called by the listener when the request is done with."""
        if error is not None:
            channel.leave(INTERNAL_ERROR)
        self.connections.converse(process, channel)


def _response(refused: HandshakeRefused) -> dict[str, Any]:
    header = {name: [value] for name, value in refused.headers.items()}
    return {"status": refused.status, "header": header, "body": str(refused)}
