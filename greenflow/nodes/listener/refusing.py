"""Requests that the server of a listener refuses by itself (BEHAVIOUR 8.14).

Lives here: the headers of the answer. What the log says is nodes/refusals.py's; when a request is
refused, the server says.
"""

from __future__ import annotations

from collections.abc import Sequence

from greenflow.net.cors import Cors
from greenflow.net.fields import REQUEST_ID
from greenflow.net.forwarded import Proxies
from greenflow.net.message import Address
from greenflow.nodes.listener.spec import ListenerSpec
from greenflow.nodes.request import name_of_request


def headers_of(
    spec: ListenerSpec,
    cors: Cors | None,
    proxies: Proxies | None,
    origin: str | None,
    sent: str | None,
    peer: Address,
) -> Sequence[tuple[str, str]]:
    """What lets a page of that origin read the answer, and what names its request, for which a
    peer sent a name."""
    allowed = [] if cors is None else cors.headers_for(origin)
    if not spec.request_id:
        return allowed
    return [*allowed, (REQUEST_ID, name_of_request(sent, peer, proxies))]
