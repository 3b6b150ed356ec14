"""Which addresses are public, what rules allow, and what a look-up lets pass."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import AddressForbidden
from greenflow.net.address import Allowed, Place, is_public, look_up, look_up_public

PRIVATE = """
    0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254
    169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1
    192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255
    240.0.0.1 255.255.255.255 168.63.129.16
    :: ::1 ::2 ::127.0.0.1 ::8.8.8.8 ::ffff:10.0.0.1 ::ffff:0:8.8.8.8 64:ff9b::10.0.0.1
    64:ff9b:1::8.8.8.8 100::1 2001::1 2001:0:a00:1:: 2001:db8::1 2002:a00:1::1 2002:808:808::1
    3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1
"""
PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    172.15.255.255 172.32.0.0 192.0.1.0 223.255.255.255
    2001:200::1 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8
"""


AMBIGUOUS = "127.1 0177.0.0.1 08.8.8.8 2130706433 0x7f.1 8.8.8.8. 0x8080808 a.1 1"


@pytest.mark.parametrize("text", PRIVATE.split())
def test_an_address_that_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC.split())
def test_an_address_that_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_what_python_calls_private_is_not_public(four: IPv4Address) -> None:
    if is_public(four):
        assert four.is_global
        assert not four.is_multicast
    assert is_public(IPv6Address(f"::ffff:{four}")) == is_public(four)
    assert is_public(IPv6Address(f"64:ff9b::{four}")) == is_public(four)


@given(st.ip_addresses(v=6))
def test_what_python_calls_private_of_ipv6_is_not_public(six: IPv6Address) -> None:
    if is_public(six) and six.ipv4_mapped is None:
        assert six.is_global
        assert not six.is_multicast


def test_rules() -> None:
    allowed = Allowed.parse(
        ["Db.Internal.", "10.0.0.0/8", "192.168.1.5", "[::1]", "fd00::/8", "link-local"]
    )
    assert allowed.names == {"db.internal"}
    for text in ("10.1.2.3", "192.168.1.5", "::1", "fd12::1", "169.254.1.1", "fe80::1"):
        assert allowed.holds(ip_address(text))
    for text in ("11.0.0.1", "192.168.1.6", "127.0.0.1", "::2", "fc00::1"):
        assert not allowed.holds(ip_address(text))
    words = Allowed.parse(["private", "loopback"])
    assert words.holds(IPv4Address("172.16.0.1"))
    assert words.holds(IPv6Address("::1"))
    assert not words.holds(IPv4Address("169.254.169.254"))
    assert IPv4Network("127.0.0.0/8") in words.networks
    assert IPv6Network("fc00::/7") in words.networks


@pytest.mark.parametrize("rule", ["10.0.0.1/8", "127.1", "::g", "1.2.3.4/33", "0x7f000001"])
def test_a_rule_that_is_none(rule: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)network|host bits"):
        Allowed.parse([rule])


def resolves(monkeypatch: pytest.MonkeyPatch, **names: Sequence[str]) -> list[str]:
    """A resolver that knows these names (with `_` for a dot), and what it was asked."""
    asked = []

    def getaddrinfo(host: str, port: int, *rest: Any) -> list[Any]:
        asked.append(host)
        found = names.get(host.rstrip(".").replace(".", "_"), [host])
        return [(10 if ":" in one else 2, 1, 6, "", (one, port)) for one in found]

    monkeypatch.setattr("greenflow.net.address.getaddrinfo", getaddrinfo)
    return asked


def test_all_addresses_of_a_host_must_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, a_test=["8.8.8.8", "2606:4700::1", "8.8.8.8"], b_test=["8.8.8.8", "::1"])
    places = look_up_public("a.test", 80, Allowed())
    assert places == [Place(2, ("8.8.8.8", 80)), Place(10, ("2606:4700::1", 80))]
    with pytest.raises(AddressForbidden, match=r"the host b\.test has an address .*http\.allow"):
        look_up_public("b.test", 80, Allowed())
    assert len(look_up("b.test", 80)) == 2


def test_allowed_names_and_networks_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, a_test=["10.0.0.1"], b_test=["::ffff:10.0.0.1"], c_test=["fe80::1%eth0"])
    for host, rules in (
        ("a.test", ["a.test"]),
        ("a.test.", ["A.test."]),
        ("a.test", ["10.0.0.0/24"]),
        ("b.test", ["private"]),
        ("c.test", ["link-local"]),
    ):
        assert len(look_up_public(host, 80, Allowed.parse(rules))) == 1
    for host, rules in (("a.test", ["loopback"]), ("b.test", ["a.test"]), ("xa.test", ["a.test"])):
        resolves(monkeypatch, a_test=["10.0.0.1"], b_test=["10.0.0.1"], xa_test=["10.0.0.1"])
        with pytest.raises(AddressForbidden):
            look_up_public(host, 80, Allowed.parse(rules))


@pytest.mark.parametrize("host", AMBIGUOUS.split())
def test_a_number_that_may_be_read_in_two_ways_is_not_even_looked_up(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolves(monkeypatch)
    with pytest.raises(AddressForbidden, match="several ways"):
        look_up_public(host, 80, Allowed.parse(["127.0.0.0/8"]))
    assert asked == []
