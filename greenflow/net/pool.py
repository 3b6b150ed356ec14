"""Listening sockets shared by address, so that a replaced listener loses no connection.

Whoever wants to serve an address acquires a lease on it. The server of an address lives as long as
it has leases; which lease answers is switched in one step, while connections stay open. Two
holders at one time are only allowed while the older ones retire: two listeners of one address
are a mistake of the second (BEHAVIOUR 6.8). A server that nobody has a lease on any more ends in a
greenlet of the pool, so that what is under way in it holds nobody up (6.12).
"""

from __future__ import annotations

from _socket import AF_UNIX
from collections.abc import Container
from typing import TYPE_CHECKING, Protocol, TypeAlias

import gevent

from greenflow.errors import AddressInUse
from greenflow.net.limits import Limits
from greenflow.net.message import Address, Handler
from greenflow.net.refusal import HeadersFor, TellRefused
from greenflow.net.server import Place, Server, resolve

if TYPE_CHECKING:
    from greenflow.net.tls import Certificate


Ending: TypeAlias = "gevent.Greenlet[[float], None]"
"""The greenlet in which a server ends."""


class Owner(Protocol):
    """Who holds a lease."""

    retiring: bool
    """Whether it is being replaced or removed, so that another may take its address."""


class _Shared:
    """A server and its leases. `key` tells apart those that asked for any port."""

    def __init__(self, server: Server, place: Place, key: object) -> None:
        self.server = server
        self.place = place
        self.key = key
        self.leases: list[Lease] = []
        self.serving: Lease | None = None


class Lease:
    """The right to answer on an address, until it is released."""

    def __init__(self, servers: Servers, shared: _Shared, owner: Owner) -> None:
        self._servers = servers
        self._shared = shared
        self.owner = owner

    @property
    def address(self) -> Address:
        """Host and port that are listened on; the real port if 0 was asked for."""
        return self._shared.server.address

    @property
    def connections(self) -> int:
        """Open connections of the address."""
        return len(self._shared.server.connections)

    def serve(
        self,
        handler: Handler,
        limits: Limits | None = None,
        *,
        streams: bool = False,
        certificate: Certificate | None = None,
        proxies: Container[Address] = (),
        tell_refused: TellRefused | None = None,
        headers_for: HeadersFor | None = None,
    ) -> None:
        """From the next request on, of old connections too, this lease's handler answers; with
        `streams` it gets bodies as streams. New connections are encrypted if there is a
        `certificate`, and have to begin with a PROXY header if their peer is in `proxies`. Does not
        switch greenlets."""
        server = self._shared.server
        server.certificate = certificate
        server.proxies = proxies
        server.streams = streams
        server.limits = limits or Limits()
        server.tell_refused = tell_refused
        server.headers_for = headers_for
        server.handler = handler
        self._shared.serving = self
        server.start()

    def release(self, grace: float) -> Ending | None:
        """Gives the lease back; a second time does nothing, and nothing is waited for. After the
        last one the server stops: it finishes what is under way for up to `grace` seconds, in the
        greenlet that is returned. If another lease answers already, clients notice nothing; if none
        does yet, their requests wait for it."""
        shared = self._shared
        if self not in shared.leases:
            return None
        shared.leases.remove(self)
        if not shared.leases:
            return self._servers.end(shared, grace)
        if shared.serving is self:
            shared.serving = None
            shared.server.handler = None
        return None


class Servers:
    """The servers of one runtime, by address. Used from one thread."""

    def __init__(self) -> None:
        self._shared: list[_Shared] = []
        self._ending: set[Ending] = set()

    def acquire(self, host: str, port: int, owner: Owner, key: object = None) -> Lease:
        """A lease on the address, which is bound now if it was not. Port 0 binds a port of its own,
        unless `key` is that of a lease which asked for port 0 before: then that one is shared.

        Raises AddressInUse if another holder is not retiring, or another OS process listens there;
        OSError if this machine does not have the address or may not use it.
        """
        place = resolve(host, port)
        shared = self._find(place, key)
        if shared is None:
            shared = _Shared(Server.bind(place), place, key)
            self._shared.append(shared)
        elif not all(lease.owner.retiring for lease in shared.leases):
            raise AddressInUse(
                f"cannot listen on {place}: another listener of this runtime does; "
                "give one of them another address"
            )
        lease = Lease(self, shared, owner)
        shared.leases.append(lease)
        return lease

    def _find(self, place: Place, key: object) -> _Shared | None:
        for shared in self._shared:
            has_name = place.port or place.family == AF_UNIX
            if shared.place == place and (has_name or (key is not None and shared.key == key)):
                return shared
        return None

    def end(self, shared: _Shared, grace: float) -> Ending:
        """Called by the last lease. The address is free when this returns."""
        self._shared.remove(shared)
        shared.server.retire()
        ending = gevent.spawn(shared.server.stop, grace)
        self._ending.add(ending)
        ending.rawlink(self._ending.discard)
        return ending

    def close(self) -> None:
        """Wait for the servers that are ending."""
        gevent.joinall(list(self._ending))
