"""A connection that goes over from HTTP to another protocol (RFC 9110 7.8).

Lives here: what a request that asks for it offers to whoever knows the protocol. The connection
gives up its socket; its greenlet stays with the handler of the request, which returns when the
other protocol has come to its end. Nothing here knows a protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from gevent import Greenlet

R = TypeVar("R")


class Connections(Protocol):
    """What a connection that goes on by itself needs of its server."""

    stopping: bool
    connections: set[Any]

    def forget(self, connection: Any) -> None:
        """The connection has closed."""


class Taken(NamedTuple):
    """What the other protocol gets: the server, which has to know the connection that goes on; a
    socket with the methods of one; what the client has sent ahead; and the greenlet."""

    home: Connections
    socket: Any
    received: bytes
    greenlet: Greenlet[[], None]


class Upgrade(Generic[R]):
    """The offer of one request, to be taken before it is answered.

    Who takes it sets `converse`: the handler calls it when it is done with the request, with the
    error that it ended with if there is one, and returns when `converse` does.
    """

    __slots__ = ("converse", "request", "take")

    def __init__(self, request: R, take: Callable[[], Taken]) -> None:
        self.request = request
        # Hands the connection over; from then on the request cannot be answered. Raises
        # RuntimeError if it was answered, or handed over, before.
        self.take = take
        self.converse: Callable[[BaseException | None], None] | None = None
