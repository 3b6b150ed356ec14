"""What a request to another server is, what its answer is, and where a redirect leads.

Lives here: values and functions of them; no I/O. They know bytes and headers; payloads are the
node's.
"""

from __future__ import annotations

from base64 import b64encode
from typing import NamedTuple

from greenflow.errors import RequestFailed
from greenflow.net.message import canonical_name
from greenflow.net.url import Url, join
from greenflow.payload.stream import Stream

#: Statuses that redirect, if there is a Location (RFC 9110 15.4). Not 300 and 304: the first is a
#: choice for people, the second no redirect.
REDIRECTS = frozenset((301, 302, 303, 307, 308))

# What describes a body, and leaves with it (Fetch standard 4.4, "request-body-header name").
_OF_BODY = frozenset(("content-encoding", "content-language", "content-location", "content-type"))

# What must not reach an origin that was not asked.
_CREDENTIALS = frozenset(("authorization", "cookie"))


class ClientRequest(NamedTuple):
    """What to send: whole URL, headers less those that frame a message, and a body or None. A
    stream is sent as it comes, in chunks."""

    method: str
    url: Url
    headers: dict[str, str]
    body: bytes | Stream | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.url}"

    def __repr__(self) -> str:
        return f"<ClientRequest {self}>"  # headers and body may be secrets


class ClientResponse(NamedTuple):
    """What came: the headers as sent, and the body without its transfer coding: whole, or as a
    stream if that was asked for and there is one."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Stream

    def __repr__(self) -> str:
        return f"<ClientResponse {self.status}>"  # headers and body may be secrets

    def header(self, name: str) -> str | None:
        """The header's value, its repetitions joined; None if it was not sent. In lower case."""
        values = [value for sent, value in self.headers if sent.lower() == name]
        return ", ".join(values) if values else None

    def header_lists(self) -> dict[str, list[str]]:
        """The headers, name in canonical case to the list of values."""
        lists: dict[str, list[str]] = {}
        for name, value in self.headers:
            lists.setdefault(canonical_name(name), []).append(value)
        return lists


def redirected(request: ClientRequest, status: int, location: str) -> ClientRequest:
    """The request that a redirect asks for (RFC 9110 15.4, Fetch standard 4.4). What proves who we
    are stays behind when it leads to another origin.

    Raises RequestFailed for a Location that cannot be followed, and for a body that is gone.
    """
    try:
        url = join(request.url, location)
    except ValueError as error:
        raise RequestFailed(f"{request}: its Location cannot be followed: {error}") from None
    method, body = request.method, request.body
    dropped: frozenset[str] = frozenset()
    if (status in (301, 302) and method == "POST") or (
        status == 303 and method not in ("GET", "HEAD")
    ):
        method, body, dropped = "GET", None, _OF_BODY
    if isinstance(body, Stream):
        raise RequestFailed(f"{request}: redirected, but a stream cannot be sent twice")
    if url.origin != request.url.origin:
        dropped |= _CREDENTIALS
    headers = {name: text for name, text in request.headers.items() if name.lower() not in dropped}
    return ClientRequest(method, url, headers, body)


def basic(user: str) -> str:
    """`name:password` as credentials (RFC 7617)."""
    pair = user if ":" in user else f"{user}:"
    return f"Basic {b64encode(pair.encode()).decode()}"
