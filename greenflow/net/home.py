"""What a connection and its server are to each other.

Lives here: protocols, and nothing that runs. So the modules of a connection need not import the
server's, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

from gevent import Greenlet

from greenflow.net.head import HeadParser
from greenflow.net.limits import Limits
from greenflow.net.message import Address, Handler
from greenflow.net.refusal import HeadersFor, TellRefused


class Member(Protocol):
    """A connection, as its server sees it."""

    state: int
    deadline: float
    greenlet: Greenlet[[], None] | None

    def expire(self) -> None:
        """The deadline of the present state has passed."""

    def retire(self) -> None:
        """The server stops: end as soon as nothing is under way."""

    def close(self) -> None:
        """Close the socket at once."""


class Unwatched(Member, Protocol):
    """One of which nothing is read for a while."""

    def look_for_reset(self) -> None:
        """Find out whether its client has left meanwhile."""


class Home(Protocol):
    """What a connection needs of its server."""

    address: Address
    limits: Limits
    handler: Handler | None
    tell_refused: TellRefused | None
    headers_for: HeadersFor | None
    parser: HeadParser
    date_line: str
    stopping: bool
    streams: bool
    proxies: Container[Address]
    connections: set[Member]
    unwatched: set[Unwatched]

    def wait_for_handler(self) -> Handler:
        """The handler, once there is one."""

    def forget(self, connection: Member) -> None:
        """The connection has closed."""
