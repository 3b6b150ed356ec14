"""Which addresses a request may go to whose host was not named by the author of a spec.

Lives here: what a public address is, the rules that allow others, and the look-up that checks.
A host that comes from a payload or a redirect may be chosen by whoever sends requests to a
workflow. It must not become a way to what only this machine or its network can reach: databases,
administration pages, the metadata of a cloud (BEHAVIOUR 11.6).

The check is made on the addresses that the look-up gave, and these are what is connected to: the
spelling of a host does not matter, and neither does what DNS answers the next time.
"""

from __future__ import annotations

import re
from _socket import AI_NUMERICHOST, SOCK_STREAM
from _socket import getaddrinfo as numeric_address
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, NamedTuple

from gevent.socket import getaddrinfo

from greenflow.errors import AddressForbidden, CompileFailed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What is not public, from the registries of IANA for special purposes (RFC 6890) and others where
# it says so.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, RFC 791 3.2; Linux connects to itself
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # behind the NAT of a carrier, RFC 6598; Alibaba's metadata too
        "127.0.0.0/8",  # loopback, RFC 1122 3.2.1.3
        "168.63.129.16/32",  # Azure's platform service: public by number, in every Azure network
        "169.254.0.0/16",  # link-local, RFC 3927; the metadata of most clouds
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890; Oracle's metadata too
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112 4; broadcast, RFC 919
    )
)

# Of IPv6 only this is public at all (RFC 4291 2.4) ...
_GLOBAL_6 = IPv6Network("2000::/3")

# ... but for these.
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, RFC 2928: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4: an IPv4 address inside, RFC 3056
        "3fff::/20",  # documentation, RFC 9637
    )
)

# NAT64: an IPv4 address, seen from a network that has none (RFC 6052 2.1).
_NAT64 = IPv6Network("64:ff9b::/96")

#: What a rule may say besides hosts, addresses and networks.
WORDS: dict[str, tuple[str, ...]] = {
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
}

# A last label that makes a reader of addresses take the whole for a number (URL standard 3.5,
# "ends in a number").
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")


class Place(NamedTuple):
    """What a socket connects to: its family and its address."""

    family: int
    address: tuple[Any, ...]


class Allowed(NamedTuple):
    """Hosts and networks that need not be public."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, rules: Iterable[str]) -> Allowed:
        """Rules are words, host names, addresses, networks. Raises ValueError."""
        names: set[str] = set()
        networks: list[Network] = []
        for rule in rules:
            if rule in WORDS:
                networks += map(ip_network, WORDS[rule])
            elif "/" in rule or ":" in rule or _ends_in_number(rule):
                networks.append(ip_network(rule.strip("[]")))
            else:
                names.add(rule.lower().rstrip("."))
        return cls(frozenset(names), tuple(networks))

    @classmethod
    def of_setting(cls, rules: Iterable[str]) -> Allowed:
        """What the setting `http.allow` says, for a node that is opened. Raises CompileFailed."""
        try:
            return cls.parse(rules)
        except ValueError as error:
            raise CompileFailed(f"the setting http.allow: {error}") from None

    def holds(self, address: Address) -> bool:
        """Whether a rule names the address, or a network that it is in."""
        return any(address in network for network in self.networks)


def is_public(address: Address) -> bool:
    """Whether the address is one that anybody on the internet can reach."""
    address = _inner(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to by itself, else the address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:  # RFC 4291 2.5.5.2: the kernel speaks IPv4
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def look_up(host: str, port: int) -> list[Place]:
    """The addresses of a host, best first. Only the calling greenlet waits, and only for a name.
    Raises OSError."""
    places: list[Place] = []
    found: Sequence[Any]
    try:
        found = numeric_address(host, port, 0, SOCK_STREAM, 0, AI_NUMERICHOST)
    except OSError:
        found = getaddrinfo(host, port, 0, SOCK_STREAM)
    for family, _, _, _, address in found:
        place = Place(int(family), address)
        if place not in places:
            places.append(place)
    return places


def look_up_public(host: str, port: int, allowed: Allowed) -> list[Place]:
    """The addresses of a host that nobody vouches for, every one of them checked.

    Raises AddressForbidden if one of them is not public and no rule allows it, or if the host is a
    number that others would read differently (`0177.1`, `127.1`, `0x7f000001`); OSError.
    """
    if host.rstrip(".") in allowed.names:
        return look_up(host, port)
    if _ends_in_number(host) and not _is_plain(host):
        raise AddressForbidden(f"the host {host} is a number that can be read in several ways")
    places = look_up(host, port)
    for place in places:
        address = ip_address(str(place.address[0]).partition("%")[0])
        if not (is_public(address) or allowed.holds(address) or allowed.holds(_inner(address))):
            raise AddressForbidden(
                f"the host {host} has an address that is not public, and came from a payload or a "
                "redirect; name it in the url of the node, or allow it by the setting http.allow"
            )
    return places


def _ends_in_number(host: str) -> bool:
    last = host.lower().rstrip(".").rpartition(".")[2]
    return ":" not in host and _NUMBER.fullmatch(last) is not None  # IPv6 is read in one way


def _is_plain(host: str) -> bool:
    """Whether it is an IPv4 address of four decimal numbers without leading zeros."""
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False
