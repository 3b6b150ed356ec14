"""What a handler sees of HTTP: the request, the response, and a client that went away.

Lives here: values and no I/O. Text is the bytes of the wire read as ISO-8859-1 (RFC 9110 5.5), so
nothing is lost or guessed; decoding further is the listener's matter. A response is only data:
the server owns its framing (length, transfer coding, keep-alive).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
from gevent import get_hub

from greenflow.errors import GreenflowError
from greenflow.payload.stream import Stream

if TYPE_CHECKING:
    from greenflow.net.refusal import Refused
    from greenflow.net.upgrade import Upgrade

# Header names remembered in canonical case. Clients of one service use a few dozen; a client that
# invents names only pushes others out.
CANONICAL_NAMES = 1024

Address = tuple[str, int]
"""A host as numeric text, and a port."""

NOBODY: Address = ("", 0)


class ClientDisconnected(GreenflowError):
    """The client reset the connection, or takes no bytes any more: nobody waits for the answer."""


class InvalidResponse(GreenflowError):
    """A response that must not be sent: a status that is not final, or a header that is not one
    line of RFC 9110 5 (a line break in a value would be another header, or another response)."""


@lru_cache(maxsize=CANONICAL_NAMES)
def canonical_name(name: str) -> str:
    """The header name as BEHAVIOUR 8.2 writes it: `content-type` becomes `Content-Type`."""
    return "-".join(part.capitalize() for part in name.split("-"))


class Request(msgspec.Struct, eq=False):
    """One request, whole: it is handed to the handler after the last byte of its body, unless the
    server streams: then `body` is a Stream, and may be read in any greenlet until the answer.

    `target` is as sent; `path` and `query` are its parts, not decoded, without the `?`. `host` is
    the authority asked for: that of an absolute target, else the Host header (RFC 9112 3.2.2).
    `client` is who asks, `peer` who opened the connection: another one behind a proxy that said so.
    `headers` keeps names, order and repetitions as sent.

    A Struct, as each object that every request makes: it is made in a third of the time.
    """

    method: str
    target: str
    path: str
    query: str
    version: str
    host: str
    headers: list[tuple[str, str]]
    scheme: str = "http"
    client: Address = NOBODY
    peer: Address = NOBODY
    server: Address = NOBODY
    body: bytes | Stream = b""
    # Framing, read by the connection: bytes announced, or chunked; what comes after.
    content_length: int = 0
    chunked: bool = False
    expects_continue: bool = False
    keep_alive: bool = True
    # Whether the body is a stream that has not been read to its end, and why it cannot be.
    unread: bool = False
    refusal: Refused | None = None
    # Whether it asks for another protocol; then `upgrade` is what can be done about it.
    wants_upgrade: bool = False
    upgrade: Upgrade[Request] | None = None
    # Whether a streamed answer is taken after the handler has returned (a WSGI server does so);
    # its iterable is closed then.
    defers: bool = False
    # The status of its answer, once that is known, and the pattern of the route that a workflow
    # found for it.
    status: int = 0
    route: str = ""
    # Whether the client is known to be gone.
    disconnected: bool = False
    _on_disconnect: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if self.version != "1.1":
            self.keep_alive = False

    def header(self, name: str) -> str | None:
        """The header's value, its repetitions joined as RFC 9110 5.3 and RFC 6265 5.4 say; None if
        it was not sent. Any case will do."""
        name, length = name.lower(), len(name)
        found = None
        for sent, value in self.headers:
            if len(sent) == length and sent.lower() == name:
                if found is not None:
                    value = f"{found}{'; ' if name == 'cookie' else ', '}{value}"
                found = value
        return found

    def header_lists(self) -> dict[str, list[str]]:
        """The headers as BEHAVIOUR 8.2 has them: name in canonical case to the list of values."""
        lists: dict[str, list[str]] = {}
        for sent, value in self.headers:
            name = canonical_name(sent)
            if name in lists:
                lists[name].append(value)
            else:
                lists[name] = [value]
        return lists

    @property
    def on_disconnect(self) -> Callable[[], None] | None:
        """Called once when the client resets the connection before the answer was sent whole;
        that it ends its side is none of that (BEHAVIOUR 8.12, RFC 9112 9.6). It runs in the hub: it
        must not block and must not raise. Set after the client has gone, it is called at the hub's
        next turn."""
        return self._on_disconnect

    @on_disconnect.setter
    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        self._on_disconnect = callback
        if callback is not None and self.disconnected:
            get_hub().loop.run_callback(callback)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path} from {self.client[0]}>"


again: Callable[[Request], Request] = msgspec.Struct.__copy__  # type: ignore[attr-defined]
"""The same request once more, for a client that repeats it; what it holds is shared."""


class Response(msgspec.Struct, eq=False):
    """One answer. A body of bytes is sent with its length; any other iterable of bytes is sent as
    it comes, chunked, or to an HTTP/1.0 client until the connection closes. The iterable's `close`,
    if it has one, is called in any case. Headers that frame the message (Content-Length,
    Transfer-Encoding, Connection and their kin) are the server's and ignored, except `Connection:
    close`, which is honoured. Headers given as a tuple are remembered in their encoded form: give
    one only for what is sent again and again, and a list for all else. `length` is the number of
    bytes that an iterable will give, if it is known: they are sent with it."""

    status: int = 200
    headers: Iterable[tuple[str, str]] = ()
    body: bytes | Iterable[bytes] = b""
    length: int | None = None

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


Respond = Callable[[Response], None]
"""Sends the answer, exactly once. Returns when the kernel has its bytes.

Raises ClientDisconnected, InvalidResponse (nothing was sent, another response may be), RuntimeError
for a second answer, and whatever a streamed body raises.
"""

Handler = Callable[[Request, Respond], None]
"""Answers a request. Called in the greenlet of the request's connection; what it does after the
answer is done before the connection's next request is read."""
