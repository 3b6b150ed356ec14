"""urllib3's connections and pools, on gevent's sockets, to addresses that somebody else looked up.

Lives here: what stands in the place of urllib3's own. What is asked, and where, is client.py's.
Importing this imports urllib3, which takes 90 ms: whoever needs it does so late.

Of urllib3 it takes what is public, and three names that are not: `_new_conn` of a connection, where
its socket comes from, and `_proxy` and `_proxy_headers` of a pool. So setup.cfg says which versions
are known to have them, and tests/net/test_transport.py fails where they moved.

The sockets are gevent's whether or not the program is monkey-patched, and so is TLS. A connection
asks its `reach` for the addresses and connects to these and no others; the name of the host
is only what TLS verifies. What leaves a connection by an exception that is none of urllib3's, an
Interrupt say, closes its socket: urllib3 does that for a request, and here it is done for
connecting and for the TLS handshake.
"""

from __future__ import annotations

import os
import select
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from queue import LifoQueue
from time import monotonic
from typing import Any

import gevent.ssl
from gevent.monkey import get_original
from gevent.socket import IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY
from gevent.socket import socket as Socket
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from greenflow.net.address import Place
from greenflow.net.response import StrictResponse
from greenflow.net.tls import CertificateError

# Seconds for one address to accept a connection. A machine that is there does so in one round trip;
# the second try of a lost packet comes after 1 s, the third after 3.
CONNECT_SECONDS = 10.0

# Seconds that an idle connection is kept. Usual servers close theirs after 5 s or more; one that is
# closed in the very moment it is used again is an error, for nothing is sent twice.
IDLE_SECONDS = 4.0

Reach = Callable[[], list[Place]]
"""The addresses to connect to, best first. Raises OSError, and AddressForbidden."""

# gevent's, which stands in its place in a patched program, lets others run first, for whole turns
# of the hub: 0.1 ms or more for a look of 1 us.
_poll = get_original("select", "poll")


class Unreached(HTTPError):
    """No connection; the OSError is its argument. It is none itself, for urllib3 takes some of
    those for the end of a server that has answered already."""


class _Cooperative(HTTPConnection):
    """A connection by a gevent socket."""

    idle_since = 0.0

    def __init__(self, *arguments: Any, reach: Reach, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._reach = reach

    def response_class(  # type: ignore[override]
        self, sock: Any, *, method: str | None = None
    ) -> StrictResponse:
        """For http.client, which calls it for each answer."""
        return StrictResponse(sock, method, on_surplus=self.close)

    @property
    def is_connected(self) -> bool:
        """Whether a kept connection can be used: the server has neither closed it nor sent what
        nobody asked for, and it is not so old that it will soon."""
        if self.sock is None or self.is_old(monotonic()):
            return False
        poll = _poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def is_old(self, now: float) -> bool:
        """Whether it was idle for too long."""
        return now - self.idle_since > IDLE_SECONDS

    def _new_conn(self) -> Any:
        failure = OSError("the host has no address")
        try:
            for place in self._reach():
                try:
                    return _connect(place)
                except OSError as error:
                    failure = error
        except OSError as error:
            failure = error
        raise Unreached(failure)


class _CooperativeTls(_Cooperative, HTTPSConnection):
    """A TLS connection by a gevent socket; its context has to be a `_Context`."""

    @property
    def is_verified(self) -> bool:
        """For urllib3, which would warn of a server whose certificate is not checked: the author
        of the spec said so."""
        return True

    @is_verified.setter
    def is_verified(self, verified: bool) -> None:
        """Set by urllib3 when it has connected."""


def _connect(place: Place) -> Any:
    """A socket that is connected there. It has no time-out: the exchange has one."""
    sock = Socket(place.family, SOCK_STREAM)
    try:
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        sock.settimeout(CONNECT_SECONDS)
        sock.connect(place.address)
        sock.settimeout(None)
    except BaseException:
        sock.close()
        raise
    return sock


class _Kept(LifoQueue[Any]):
    """The idle connections of a pool, and None for each that may still be made."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        # More at one time than are kept is no reason for the warning that urllib3 would log.
        if self.full():
            if item is not None:
                item.close()
            return
        if item is not None:
            item.idle_since = monotonic()
        super().put(item, block, timeout)

    def close_old(self) -> None:
        """Close the connections that were idle for too long. Does not switch greenlets."""
        now = monotonic()
        for connection in self.queue:
            if connection is not None and connection.is_old(now):
                connection.close()


class Pool(HTTPConnectionPool):
    """The connections to one origin, or to a proxy. Takes `reach` beside what urllib3 takes."""

    ConnectionCls = _Cooperative
    QueueCls = _Kept

    def close_old(self) -> None:
        """Close the connections that were idle for too long. Does not switch greenlets."""
        if isinstance(self.pool, _Kept):
            self.pool.close_old()


class TlsPool(Pool, HTTPSConnectionPool):
    """The connections to one origin by TLS."""

    ConnectionCls = _CooperativeTls


class _Context(gevent.ssl.SSLContext):
    """gevent's, which leaves the socket open when a greenlet is killed in the handshake. A
    connection that ends without saying so is an error, for what came may be cut off (RFC 9112
    9.8)."""

    def wrap_socket(  # type: ignore[override]
        self, sock: Any, server_hostname: str | None = None, **named: Any
    ) -> Any:
        named |= {"do_handshake_on_connect": False, "suppress_ragged_eofs": False}
        wrapped = super().wrap_socket(sock, server_hostname=server_hostname, **named)
        try:
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped


def tls_context(
    verify: bool = True, ca: str | None = None, cert: str | None = None, key: str | None = None
) -> Any:
    """How TLS is spoken: 1.2 or newer. `ca`, `cert` and `key` are PEM texts or names of files;
    without `ca` the system's authorities are trusted, without `key` it is in `cert`.

    Raises CertificateError.
    """
    for text in (ca, cert, key):
        if text is not None and not is_pem(text):
            try:
                with open(text, "rb"):
                    pass
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise CertificateError(f"{text}: {reason}") from None
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # RFC 9525 6.3
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is None:
        context.load_default_certs()
    else:
        with _explained("tls.ca: no certificates"), _file(ca) as path:
            context.load_verify_locations(path)
    if cert is not None:
        what = "tls.cert and tls.key: no certificate with its key, which has no password,"
        with _explained(what), _file(cert) as path, _file(key or cert) as key_path:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(path, key_path, password="")
    return context


@cache
def system_context() -> Any:
    """The one that trusts the authorities of the system, for all who want no other: it takes 20 ms
    and 1 MB to make."""
    return tls_context()


def is_pem(text: str) -> bool:
    """Whether it is a PEM text (RFC 7468), and not the name of a file."""
    return "-----BEGIN " in text


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "OpenSSL cannot read it"
        raise CertificateError(f"{what} in PEM form: {reason}") from None


@contextmanager
def _file(text: str) -> Iterator[str]:
    """The name of a file with that: OpenSSL reads keys from files only, and a key must not be
    written to a disk."""
    if not is_pem(text):
        yield text
        return
    descriptor = os.memfd_create("greenflow")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
