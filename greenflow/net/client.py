"""The HTTP client: one exchange, with its redirects, within its time, its limits and its guard.

Lives here: Client. Importing this imports urllib3: the first node of the kind does so.

A host that the spec names may be any address; every other one, of a payload or a redirect, has to
be public or allowed, and the connection goes to the addresses that were checked (address.py).
Redirects are therefore followed here, hop by hop, and not by urllib3. What proves who we are goes
to the origin that was asked and to no other: Authorization, Cookie, the client certificate.

Nothing is read from environment variables, and nothing is sent twice: a kept connection is looked
at before it is used again, but a request that fails on it has failed.

Through a proxy, it is the proxy that looks hosts up. A host that nobody vouches for is looked up
and checked here all the same, so that the proxy is handed no name of an address that is not public,
and no number that it might read otherwise. That the proxy finds the same addresses cannot be
guaranteed: what it may reach has to be limited at the proxy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from http.client import HTTPException, IncompleteRead
from typing import Any, NamedTuple

import gevent
from gevent import get_hub
from urllib3 import Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import Url as ProxyUrl

from greenflow.errors import RequestFailed, RequestTimedOut
from greenflow.net.address import Allowed, look_up, look_up_public
from greenflow.net.outgoing import REDIRECTS, ClientRequest, ClientResponse, basic, redirected
from greenflow.net.transport import Pool, TlsPool, system_context, tls_context
from greenflow.net.url import Url
from greenflow.payload.stream import Stream

# Redirects that are followed (BEHAVIOUR 11.3).
MAX_REDIRECTS = 10

# Connections to one origin that are kept when idle. More may be open at one time.
KEPT_CONNECTIONS = 64

# Origins whose connections are kept, the least recently used go first: payloads and redirects may
# name any number of them.
KEPT_ORIGINS = 64

# Seconds between two looks for connections that were idle for too long.
SWEEP_SECONDS = 1.0

# Bytes read at a time where the length of a body is not known.
READ_BYTES = 64 * 1024

# Bytes of a redirect's body that are read to keep its connection; they are thrown away.
DRAINED_BYTES = 64 * 1024


class Tls(NamedTuple):
    """See `transport.tls_context`."""

    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"<Tls verify={self.verify}>"  # the key may be PEM text


class Client:
    """Sends requests, and keeps connections for the next ones. Used from one thread.

    `homes` are the hosts and ports that need not be public, for the author of the spec named them.
    `proxy` is the URL of a proxy.
    """

    def __init__(
        self,
        homes: Iterable[tuple[str, int]] = (),
        allowed: Allowed = Allowed(),  # noqa: B008 - a tuple
        proxy: Url | None = None,
        tls: Tls = Tls(),  # noqa: B008 - a tuple
    ) -> None:
        """Raises CertificateError."""
        self._homes = frozenset(homes)
        self._allowed, self._proxy, self._tls = allowed, proxy, tls
        self._contexts: dict[bool, Any] = {}
        self._pools: OrderedDict[object, Pool] = OrderedDict()
        if tls != Tls():
            self._context(certified=True)
        self._sweeper = get_hub().loop.timer(SWEEP_SECONDS, SWEEP_SECONDS, ref=False)
        self._sweeper.start(self._sweep)

    def close(self) -> None:
        """Close the kept connections; those in use close when their exchange ends."""
        self._sweeper.close()
        while self._pools:
            self._pools.popitem()[1].close()

    def _sweep(self) -> None:
        """In the hub: close what was idle for too long, which is sockets that the servers have
        closed."""
        for pool in self._pools.values():
            pool.close_old()

    def exchange(
        self,
        request: ClientRequest,
        seconds: float,
        limit: int | None,
        stream: bool = False,
        *,
        follows: bool = True,
    ) -> ClientResponse:
        """Send the request, follow where it is redirected, return the answer; without `follows` the
        redirect is the answer.

        All of it takes at most `seconds`; the body of the answer has at most `limit` bytes, None is
        no limit. With `stream` the body is a stream, which has to be read or closed: then the
        seconds are for what comes before it, and again for each piece, and the limit breaks the
        read.

        Raises RequestTimedOut, AddressForbidden, and RequestFailed for all else that can go wrong;
        and what a stream that is the request's body raises.
        """

        def take(hop: ClientRequest, response: Any) -> bytes | Stream:
            if stream and response.length_remaining != 0:
                return Stream(_Pieces(hop, response, seconds, limit))
            return _whole(hop, response, limit)

        try:
            with gevent.Timeout(seconds) as expired:
                return self._follow(request, take, MAX_REDIRECTS if follows else None)
        except gevent.Timeout as timeout:
            if timeout is not expired:
                raise
            raise RequestTimedOut(f"{request}: no answer within {seconds:g} s") from None

    def _follow(
        self,
        request: ClientRequest,
        take: Callable[[ClientRequest, Any], bytes | Stream],
        most: int | None,
    ) -> ClientResponse:
        """The answer behind so many redirects at most; with None one is an answer like others."""
        asked = request.url.origin
        hop = request
        for _ in range((most or 0) + 1):
            try:
                response = self._send(hop, certified=hop.url.origin == asked)
                body: bytes | Stream = b""
                try:
                    location = response.headers.get("Location")
                    if most is None or response.status not in REDIRECTS or location is None:
                        body = take(hop, response)
                        return ClientResponse(response.status, list(response.headers.items()), body)
                    response.read(DRAINED_BYTES, decode_content=False)
                finally:
                    # One that was read to its end has given its connection back.
                    if not isinstance(body, Stream):
                        response.close()
            except (HTTPError, HTTPException, OSError) as error:
                raise _failed(hop, error) from _innermost_os_error(error)
            hop = redirected(hop, response.status, location)
        raise RequestFailed(f"{request}: more than {MAX_REDIRECTS} redirects")

    def _send(self, request: ClientRequest, certified: bool) -> Any:
        """The answer, its body not read yet."""
        url = request.url
        target = url.target
        vouched = (url.host, url.port) in self._homes
        if self._proxy is not None:
            if not vouched:
                look_up_public(url.host, url.port, self._allowed)
            if url.scheme == "http":
                target = f"{url}{target}"
        pool = self._pool(url, vouched, certified)
        body: Any = request.body
        if isinstance(body, Stream):
            body = iter(body)
        return pool.urlopen(
            request.method,
            target,
            body,
            {"Host": url.authority, **request.headers},
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )

    def _pool(self, url: Url, vouched: bool, certified: bool) -> Pool:
        proxied = self._proxy is not None and url.scheme == "http"
        key = "proxy" if proxied else (url.origin, vouched, certified)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._make_pool(url, vouched, certified)
            if len(self._pools) > KEPT_ORIGINS:
                self._pools.popitem(last=False)[1].close()
        elif len(self._pools) > 1:
            self._pools.move_to_end(key)
        return pool

    def _make_pool(self, url: Url, vouched: bool, certified: bool) -> Pool:
        options: dict[str, Any] = {"timeout": Timeout(), "maxsize": KEPT_CONNECTIONS}
        proxy = self._proxy
        host, port = url.host, url.port
        if proxy is None:
            options["reach"] = (
                partial(look_up, host, port)
                if vouched
                else partial(look_up_public, host, port, self._allowed)
            )
        else:
            options["reach"] = partial(look_up, proxy.host, proxy.port)
            options["_proxy"] = ProxyUrl(proxy.scheme, None, proxy.host, proxy.port)
            if proxy.user is not None:
                options["_proxy_headers"] = {"Proxy-Authorization": basic(proxy.user)}
            if url.scheme == "http":
                host, port = proxy.host, proxy.port
        if url.scheme == "https":
            return TlsPool(host, port, ssl_context=self._context(certified), **options)
        return Pool(host, port, **options)

    def _context(self, certified: bool) -> Any:
        if self._tls == Tls():
            return system_context()
        certified = certified and self._tls.cert is not None
        if certified not in self._contexts:
            verify, ca, cert, key = self._tls
            self._contexts[certified] = (
                tls_context(verify, ca, cert, key) if certified else tls_context(verify, ca)
            )
        return self._contexts[certified]


def _whole(request: ClientRequest, response: Any, limit: int | None) -> bytes:
    """The body, read to its end."""
    left = response.length_remaining
    if left is not None and (limit is None or left <= limit):
        body: bytes = response.read(decode_content=False)
        return body
    size, pieces = 0, list[bytes]()
    while left is None:
        piece = response.read(READ_BYTES, decode_content=False)
        if not piece:
            return b"".join(pieces)
        size += len(piece)
        if limit is not None and size > limit:
            break
        pieces.append(piece)
    raise RequestFailed(f"{request}: the body of the answer is over {limit} bytes")


class _Pieces:
    """The body of an answer, piece by piece as it comes. Closing it closes the connection, unless
    the body was read to its end; who reads it then gets an error, and no end."""

    def __init__(
        self, request: ClientRequest, response: Any, seconds: float, limit: int | None
    ) -> None:
        self._request, self._response = request, response
        self._seconds, self._limit = seconds, limit
        self._is_read = self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        try:
            while piece := self._next():
                size += len(piece)
                if self._limit is not None and size > self._limit:
                    reason = f"the body of the answer is over {self._limit} bytes"
                    raise RequestFailed(f"{self._request}: {reason}")
                yield piece
        finally:
            self.close()

    def _next(self) -> bytes:
        if self._is_closed:
            raise self._given_up()
        self._is_read = True
        try:
            with gevent.Timeout(self._seconds) as expired:
                piece: bytes = self._response.read1(READ_BYTES, decode_content=False)
                return piece
        except gevent.Timeout as timeout:
            if timeout is not expired:
                raise
            reason = f"no more of the answer within {self._seconds:g} s"
            raise RequestTimedOut(f"{self._request}: {reason}") from None
        except (HTTPError, HTTPException, OSError) as error:
            if self._is_closed:
                raise self._given_up() from None
            raise _failed(self._request, error) from _innermost_os_error(error)
        finally:
            self._is_read = False

    def _given_up(self) -> RequestFailed:
        return RequestFailed(f"{self._request}: the answer was given up before its end")

    def close(self) -> None:
        self._is_closed = True
        if self._is_read:
            self._response.shutdown()  # wakes who reads it, and that closes it
        else:
            self._response.close()


def _failed(request: ClientRequest, error: BaseException) -> RequestFailed:
    """The error for people."""
    inner = _innermost(error)
    reason = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    if isinstance(inner, IncompleteRead):
        reason = "the answer was cut off"
    return RequestFailed(f"{request}: {reason}")


def _innermost(error: BaseException) -> BaseException:
    """What urllib3 has wrapped, in one layer or two."""
    while error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    return error


def _innermost_os_error(error: BaseException) -> OSError | None:
    inner = _innermost(error)
    return inner if isinstance(inner, OSError) else None
