"""Who may ask the admin interface: the token, and which hosts and origins a request may name.

Lives here: AdminGate, one for each way in. A browser is the danger of an interface without a login:
any page can send requests to an address of this machine, and with a name of its own that leads
there (DNS rebinding) it can read the answers. So a request must name a host that is an address, or
is known; no page of another origin may ask at all (the headers Origin and Sec-Fetch-Site); and what
changes something must be JSON, which a page of another origin cannot send unasked (the Fetch
standard, CORS-safelisted request headers).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from ipaddress import ip_address

from greenflow.admin.problem import Problem
from greenflow.net.message import Request
from greenflow.net.url import parse_authority

#: Names that lead to this machine wherever it is (RFC 6761 6.3).
LOCAL_NAMES = ("localhost",)

#: What browsers say in Sec-Fetch-Site of a request that no other site caused (Fetch Metadata 2.4).
_OWN_SITES = (None, "same-origin", "none")

_CHALLENGE = (("WWW-Authenticate", 'Bearer realm="greenflow"'),)


class AdminGate:
    """One way in. `tokens` are those of which one is asked for, none if there is none; `hosts` are
    names that a request may call it by, besides addresses and localhost."""

    def __init__(self, tokens: Collection[str] = (), hosts: Collection[str] = ()) -> None:
        self._tokens = [token.encode() for token in tokens]
        self._hosts = {*LOCAL_NAMES, *(host.lower().rstrip(".") for host in hosts)}

    def check_source(self, request: Request) -> None:
        """Raises Problem for a request that a page of somebody else's may have sent."""
        if not self._is_known(request.host):
            raise Problem(
                403,
                "the request names a host that is not known here: name an address, or put it into "
                "the setting admin.hosts",
            )
        origin = request.header("origin")
        if origin is not None and origin.lower() != f"{request.scheme}://{request.host}".lower():
            raise Problem(403, "a page of another origin may not ask")
        if request.header("sec-fetch-site") not in _OWN_SITES:
            raise Problem(403, "a page of another site may not ask")

    def check_token(self, request: Request) -> None:
        """Raises Problem for a request without one of the tokens."""
        if not self._tokens:
            return
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        given = token.strip().encode("latin-1", "replace")
        is_right = [hmac.compare_digest(given, each) for each in self._tokens]
        if scheme.lower() != "bearer" or not any(is_right):
            raise Problem(401, "a token is asked for: Authorization: Bearer TOKEN", _CHALLENGE)

    def _is_known(self, authority: str) -> bool:
        try:
            _, host, _ = parse_authority(authority)
        except ValueError:
            return False
        host = host.rstrip(".")
        if host in self._hosts:
            return True
        try:
            ip_address(host)
        except ValueError:
            return False
        return True


def check_json(request: Request) -> None:
    """Raises Problem for a request whose body does not say that it is JSON."""
    media_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "what changes something is JSON: Content-Type: application/json")
