"""The listening socket of one address: accepting, limits, time-outs, a graceful end.

The server owns its connections and their greenlets; after `stop` none is left. Its handler and
its limits are attributes, which may change while connections are open: the next request uses them.
While there is no handler, requests wait.

One timer sweeps over the connections and ends the waits whose deadline has passed; that is cheaper
than a timer for each connection, and exact enough for limits of seconds. It writes the Date header
too.

Accepting is our own few lines and not gevent's StreamServer, which prints a traceback for each
failed accept where the log should have one line, and gives each socket two watchers.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from _socket import (
    AF_INET6,
    AF_UNIX,
    AI_NUMERICHOST,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_V6ONLY,
    SO_KEEPALIVE,
    SO_REUSEADDR,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_NODELAY,
)
from _socket import getaddrinfo as numeric_address
from _socket import socket as Socket
from collections.abc import Container, Sequence
from contextlib import closing, suppress
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent
from gevent import get_hub, getcurrent
from gevent.event import Event
from gevent.socket import getaddrinfo

from greenflow.errors import AddressInUse
from greenflow.hub.backoff import Backoff
from greenflow.net.answer import date_line
from greenflow.net.connection import Connection
from greenflow.net.head import HeadParser
from greenflow.net.home import Member, Unwatched
from greenflow.net.limits import Limits
from greenflow.net.message import Address, Handler
from greenflow.net.refusal import HeadersFor, TellRefused
from greenflow.net.wire import CLOSED, READABLE, RUNNING

if TYPE_CHECKING:
    from greenflow.net.tls import Certificate

# What a host begins with that is the path of a Unix socket.
UNIX = "unix:"

# Connections that may wait to be accepted: with 128, gevent's default, 10,000 took 45 s to get in
# instead of 3 (measured by contrib/bench/connections.py). The kernel's net.core.somaxconn caps it.
BACKLOG = 4096

# Connections accepted in one go before others run: a few milliseconds.
ACCEPTS = 64

# Seconds between two sweeps: how late a time-out may be. A sweep over 10,000 connections takes 1
# ms.
SWEEP_SECONDS = 0.25

# Seconds without accepting after a failed accept (no file descriptors left): the first, doubled
# each time up to the last.
BACKOFF_SECONDS = 0.05
BACKOFF_MOST_SECONDS = 1.0

# How the kernel asks silent clients whether they are there: after so many seconds, each so many, so
# often in vain. A client whose program has ended sent a FIN, as one does that waits for its answer;
# but its kernel forgets the connection after 60 s (Linux: net.ipv4.tcp_fin_timeout), and resets it
# when it is asked then. So this is how long a workflow may outlive a client to which it sends
# nothing.
KEEPALIVE = ((TCP_KEEPIDLE, 60), (TCP_KEEPINTVL, 15), (TCP_KEEPCNT, 4))

# Connections over the limit that are answered 503 and linger at one time; more are closed
# unanswered.
TURNED_AWAY = 1000

# Seconds that interrupted handlers have to clean up after the grace of `stop`.
ABORT_SECONDS = 5.0

logger = logging.getLogger("greenflow.net")


class Place(NamedTuple):
    """An address to listen on, resolved; of a Unix socket `host` is its path."""

    family: int
    host: str
    port: int

    def __str__(self) -> str:
        return f"{UNIX}{self.host}" if self.family == AF_UNIX else f"{self.host}:{self.port}"


def resolve(host: str, port: int) -> Place:
    """The address of a host name or numeric address, or the Unix socket of `unix:PATH`; an empty
    host is every IPv4 address. Only a name may switch greenlets. Raises OSError for a name that
    nobody knows."""
    if host.startswith(UNIX):
        return Place(AF_UNIX, host.removeprefix(UNIX), 0)
    try:
        found: Sequence[Any] = numeric_address(
            host or "0.0.0.0", port, 0, SOCK_STREAM, 0, AI_NUMERICHOST
        )
    except OSError:
        try:
            found = getaddrinfo(host, port, 0, SOCK_STREAM)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on {host}:{port}: {error.strerror}"
            ) from error
    family, _, _, _, address = found[0]
    return Place(int(family), str(address[0]), port)


def _bind_path(listener: Socket, path: str) -> None:
    """Binds a Unix socket. A file that an ended server left there is replaced. Raises OSError."""
    try:
        listener.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not stat.S_ISSOCK(os.stat(path).st_mode):
            raise
        with closing(Socket(AF_UNIX, SOCK_STREAM)) as probe:
            probe.setblocking(False)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                listener.bind(path)
                return
            except BlockingIOError:
                pass  # somebody listens, and is busy
        raise


class Server:
    """Serves HTTP/1.1 on one address. Used from one thread, the one that made it."""

    def __init__(self, listener: Socket, address: Address) -> None:
        self.address = address
        self.limits = Limits()
        self.parser = HeadParser()
        self.date_line = date_line(time())
        self.stopping = False
        # What new connections are encrypted with; None for plain ones.
        self.certificate: Certificate | None = None
        # Peers that begin a connection with a PROXY header.
        self.proxies: Container[Address] = ()
        # Whether handlers get the body of a request as a stream.
        self.streams = False
        self.connections: set[Member] = set()
        # Those of which nothing is read, as their clients have ended their side, or sent too much
        # ahead, while a request was under way.
        self.unwatched: set[Unwatched] = set()
        self._listener: Any = listener
        is_file = listener.family == AF_UNIX
        self._inode = os.stat(listener.getsockname()).st_ino if is_file else 0
        self._handler: Handler | None = None
        self.tell_refused: TellRefused | None = None
        self.headers_for: HeadersFor | None = None
        self._ready = Event()
        self._gone = Event()
        self._started = False
        # Seconds of the present pause in accepting; 0 while it works.
        self._backoff = Backoff(BACKOFF_MOST_SECONDS, first=BACKOFF_SECONDS, jitter=0.0)
        loop = get_hub().loop
        self._acceptor = loop.io(listener.fileno(), READABLE)
        self._retry: Any = None
        self._sweeper = loop.timer(SWEEP_SECONDS, SWEEP_SECONDS)

    @classmethod
    def bind(cls, place: Place) -> Server:
        """A server that has the address, but does not accept yet: clients wait in the backlog. With
        port 0 the system chooses one; `address` tells it.

        Raises AddressInUse, or OSError for an address that this machine does not have or may not
        use.
        """
        listener = Socket(place.family, SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            if place.family == AF_UNIX:
                _bind_path(listener, place.host)
            else:
                # Accepted sockets inherit these. Small answers must not wait for acknowledgements.
                listener.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                listener.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
                for option, value in KEEPALIVE:
                    listener.setsockopt(IPPROTO_TCP, option, value)
                if place.family == AF_INET6:
                    listener.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
                listener.bind((place.host, place.port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(
                    f"cannot listen on {place}: something listens there already; "
                    "stop it, or choose another port"
                ) from error
            raise OSError(error.errno, f"cannot listen on {place}: {error.strerror}") from error
        if place.family == AF_UNIX:
            return cls(listener, (str(place), 0))
        return cls(listener, listener.getsockname()[:2])

    @property
    def handler(self) -> Handler | None:
        """What answers the requests; None lets them wait."""
        return self._handler

    @handler.setter
    def handler(self, handler: Handler | None) -> None:
        self._handler = handler
        if handler is None:
            self._ready.clear()
        else:
            self._ready.set()

    def wait_for_handler(self) -> Handler:
        while self._handler is None:
            self._ready.wait()
        return self._handler

    def start(self) -> None:
        """Begins to accept; a second time does nothing."""
        if not self._started and not self.stopping:
            self._started = True
            self._acceptor.start(self._accept)
            self._sweeper.start(self._sweep)

    def retire(self) -> None:
        """Begins to end: accepts no more, has idle connections close, and waits for nothing. `stop`
        has to follow."""
        if not self.stopping:
            self.stopping = True
            if self._started:
                self._empty_backlog()
            self._close_listener()
            for connection in self.connections:
                get_hub().loop.run_callback(connection.retire)

    def stop(self, grace: float) -> None:
        """Ends: accepts no more, closes idle connections at once, lets requests under way finish
        for up to `grace` seconds, then breaks them off. Afterwards no connection or greenlet is
        left, save the caller's own if a handler calls this. A second call waits with the first.
        """
        self.retire()
        if not self._wait_until_gone(grace):
            self._break_off()
        self._close_sweeper()

    def _empty_backlog(self) -> None:
        """Takes in who waits there: the kernel told them that their connection stands."""
        for _ in range(BACKLOG // ACCEPTS):
            if not self._accept():
                return

    def _close_listener(self) -> None:
        self._acceptor.stop()
        self._acceptor.close()
        if self._retry is not None:
            self._retry.close()
        if self._listener.family == AF_UNIX:
            with suppress(OSError):  # somebody took it away, or put another in its place
                path = self._listener.getsockname()
                if os.stat(path).st_ino == self._inode:
                    os.unlink(path)
        self._listener.close()

    def _close_sweeper(self) -> None:
        if not self.connections:
            self._sweeper.stop()
            self._sweeper.close()

    def _others(self) -> list[Member]:
        """The connections but that of the present greenlet."""
        own = getcurrent()
        return [connection for connection in self.connections if connection.greenlet is not own]

    def _wait_until_gone(self, grace: float) -> bool:
        deadline = monotonic() + grace
        while self._others():
            self._gone.clear()
            if not self._gone.wait(max(0.0, deadline - monotonic())):
                return not self._others()
        return True

    def _break_off(self) -> None:
        """Ends what is left, by interrupting its handlers."""
        others = self._others()
        logger.warning("%s:%s: %d connections broken off", *self.address, len(others))
        greenlets = [other.greenlet for other in others if other.greenlet is not None]
        gevent.killall(greenlets, block=False)
        gevent.joinall(greenlets, timeout=ABORT_SECONDS)
        for other in others:
            if other.greenlet is not None and not other.greenlet.dead:
                logger.error("%s:%s: a handler does not end", *self.address)
            other.close()

    def forget(self, connection: Member) -> None:
        """Called by a connection that has closed."""
        self.connections.discard(connection)
        if self.stopping:
            self._gone.set()
            self._close_sweeper()

    # The hub's side.

    def _accept(self) -> bool:
        """Takes in clients that wait; True if there may be more."""
        listener = self._listener
        for _ in range(ACCEPTS):
            try:
                descriptor, client = listener._accept()
            except BlockingIOError:
                return False
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._back_off(error)
                return False
            self._backoff.reset()
            socket = Socket(listener.family, listener.type, listener.proto, descriptor)
            socket.setblocking(False)
            # A client of a Unix socket has no address.
            peer = client[:2] if client else self.address
            connection = Connection(self, socket, peer, self.certificate)
            count = len(self.connections)
            self.connections.add(connection)
            if count < self.limits.connections:
                connection.start()
            elif count < self.limits.connections + TURNED_AWAY:
                connection.turn_away()
            else:
                connection.close()
        return True

    def _back_off(self, error: OSError) -> None:
        """Stops accepting for a while: there are no file descriptors, or no memory, for more."""
        if not self._backoff.failures:
            logger.warning(
                "%s:%s: cannot accept connections, trying again: %s", *self.address, error.strerror
            )
        self._acceptor.stop()
        if self._retry is not None:
            self._retry.close()
        self._retry = get_hub().loop.timer(self._backoff.next())
        self._retry.start(self._accept_again)

    def _accept_again(self) -> None:
        self._acceptor.start(self._accept)

    def _sweep(self) -> None:
        """Ends the waits that are over, and finds out who has left."""
        self.date_line = date_line(time())
        now = monotonic()
        late = [connection for connection in self.connections if connection.deadline < now]
        for connection in late:
            # A deadline means nothing while the greenlet runs; and what an earlier one of them did
            # may have changed this one.
            if connection.deadline < now and connection.state not in (RUNNING, CLOSED):
                connection.expire()
        for connection in list(self.unwatched):
            connection.look_for_reset()
