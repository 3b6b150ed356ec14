"""What a proxy in front of a listener says of the client: PROXY headers and Forwarded fields.

Lives here: who may say it (`Proxies`), and reading it. Anybody can write such a header, so nothing
of it counts unless the peer that opened the connection is one of the proxies that were named; and a
listener that names proxies takes these fields away from all others, so that a workflow may believe
what it gets.

The PROXY protocol is HAProxy's (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt,
versions 1 and 2); Forwarded is RFC 7239, and the X-Forwarded fields are what came before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from greenflow.net.grammar import QUOTED_TEXT, TOKEN, unquoted
from greenflow.net.ip import write
from greenflow.net.message import Address, Request
from greenflow.net.refusal import Refused

# Bytes of a version 1 line at most, its end included (section 2.1).
V1_BYTES = 107

# What a version 2 header begins with (section 2.2), and the bytes up to its addresses.
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2_FIXED = 16

# Bytes of the addresses and further fields of a version 2 header; TLS certificates may be among
# them. The protocol would allow 64 KiB.
V2_BYTES = 4096

_PROXY, _LOCAL = 0x21, 0x20
_TCP4, _TCP6 = 0x11, 0x21

# Fields that only a proxy may set, in canonical case.
FIELDS = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-Ip",
)

_PAIR = re.compile(rf'\s*({TOKEN})=(?:"({QUOTED_TEXT})"|([^\s;,"]*+))\s*(;|,|$)')
_HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+=:\[\]-]+")


class Proxies:
    """The networks whose peers are believed; `unix` stands for every peer of a Unix socket. Raises
    ValueError for what is no network."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(each) for each in networks if each != "unix"]
        self._unix = "unix" in networks

    def __contains__(self, peer: object) -> bool:
        if not isinstance(peer, tuple):
            return False
        try:
            address = ip_address(peer[0].partition("%")[0])
        except ValueError:  # a Unix socket's
            return self._unix
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


class Origin(NamedTuple):
    """What the nearest proxy says: the scheme and the host that the client asked for."""

    scheme: str | None
    host: str | None


def origin(request: Request) -> Origin:
    """What the last proxy wrote, the one that is believed. What cannot be read says nothing."""
    field = request.header("forwarded")
    if field is not None:
        said = _last_element(field)
    else:
        said = {
            "proto": _last(request.header("x-forwarded-proto")),
            "host": _last(request.header("x-forwarded-host")),
        }
    scheme, host = said.get("proto", "").lower(), said.get("host", "")
    return Origin(
        scheme if scheme in ("http", "https") else None,
        host if _HOST.fullmatch(host) else None,
    )


def client_of(request: Request, proxies: Proxies | None) -> str:
    """Who asked: the nearest address on the way here that is none of the proxies that are believed.
    Each of them wrote down whom it was asked by; what one that is not believed wrote is its own
    word. A Unix socket, and what hides behind a name (RFC 7239 6.3), is `-`."""
    client = request.client
    if proxies is None or request.peer not in proxies:
        return client[0] or "-"
    if client is not request.peer and client not in proxies:
        return client[0]  # of a PROXY header
    found = client[0]
    for text in reversed(_forwarded_for(request)):
        address = numeric(text)
        if address is None:
            return "-"
        found = address
        if (address, 0) not in proxies:
            break
    return "-" if found.startswith("unix:") or not found else found


def _forwarded_for(request: Request) -> list[str]:
    """The addresses that proxies wrote down, the nearest last."""
    field = request.header("forwarded")
    if field is None:
        field = request.header("x-forwarded-for")
        return [] if field is None else [part.strip() for part in field.split(",")]
    return [_last_element(part).get("for", "") for part in _elements(field)]


def _elements(field: str) -> Iterator[str]:
    """The elements of a Forwarded field: a comma between quotes ends none."""
    start, is_quoted, is_escaped = 0, False, False
    for at, character in enumerate(field):
        if is_escaped:
            is_escaped = False
        elif is_quoted and character == "\\":
            is_escaped = True
        elif character == '"':
            is_quoted = not is_quoted
        elif character == "," and not is_quoted:
            yield field[start:at]
            start = at + 1
    yield field[start:]


def numeric(text: str) -> str | None:
    """The address of a node as proxies write it, with or without port and brackets; None for what
    is no address."""
    bare = text.partition("]")[0].removeprefix("[")
    if not text.startswith("[") and text.count(":") == 1:
        bare = text.partition(":")[0]
    try:
        return str(ip_address(bare))
    except ValueError:
        return None


def _last(field: str | None) -> str:
    return "" if field is None else field.rpartition(",")[2].strip()


def _last_element(field: str) -> dict[str, str]:
    """The pairs of the last element of a Forwarded field (RFC 7239 4)."""
    found: dict[str, str] = {}
    at = 0
    while at < len(field):
        match = _PAIR.match(field, at)
        if match is None:
            return {}
        name, quoted, token, end = match.groups()
        found[name.lower()] = token if quoted is None else unquoted(quoted)
        at = match.end()
        if end == "," and at < len(field):
            found = {}
    return found


def preface(data: bytes) -> tuple[int, Address | None] | None:
    """The length of the PROXY header that begins the bytes, and the client's address, None if the
    proxy speaks for itself. None while more bytes are needed. Raises Refused for what is none."""
    if data.startswith(V2_SIGNATURE[: len(data)]):
        return _version_2(data)
    if data.startswith(b"PROXY "[: len(data)]):
        return _version_1(data)
    raise Refused(400, "no PROXY header from a proxy that must send one")


def _version_1(data: bytes) -> tuple[int, Address | None] | None:
    end = data.find(b"\r\n", 0, V1_BYTES)
    if end < 0:
        if len(data) >= V1_BYTES:
            raise Refused(400, "PROXY line without an end")
        return None
    words = data[:end].decode("ascii", "replace").split(" ")
    if words[1] == "UNKNOWN":
        return end + 2, None
    try:
        _, family, source, target, source_port, target_port = words
        address, port = ip_address(source), _port(source_port)
        other = ip_address(target)
        _port(target_port)
    except ValueError:
        raise Refused(400, "PROXY line against its grammar") from None
    wanted = {"TCP4": IPv4Address, "TCP6": IPv6Address}.get(family)
    if wanted is None or not isinstance(address, wanted) or not isinstance(other, wanted):
        raise Refused(400, "PROXY line with an unknown family")
    return end + 2, (write(address), port)


def _port(text: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,4}", text) or int(text) > 65535:
        raise ValueError(text)
    return int(text)


def _version_2(data: bytes) -> tuple[int, Address | None] | None:
    if len(data) < V2_FIXED:
        return None
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    if command not in (_PROXY, _LOCAL) or length > V2_BYTES:
        raise Refused(400, "PROXY header of an unknown version or command")
    if len(data) < V2_FIXED + length:
        return None
    fields = data[V2_FIXED : V2_FIXED + length]
    end = V2_FIXED + length
    if command == _LOCAL:
        return end, None
    if family == _TCP4 and length >= 12:
        return end, (str(IPv4Address(fields[:4])), int.from_bytes(fields[8:10], "big"))
    if family == _TCP6 and length >= 36:
        return end, (write(IPv6Address(fields[:16])), int.from_bytes(fields[32:34], "big"))
    if family in (_TCP4, _TCP6):
        raise Refused(400, "PROXY header without its addresses")
    return end, None  # a family that says nothing of use here
