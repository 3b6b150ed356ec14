"""IP addresses as text: the same on every Python."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.ip import read_ipv6, write

few = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xA00]), min_size=8, max_size=8)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("::", "::"),
        ("::1", "::1"),
        ("1::", "1::"),
        ("::127.0.0.1", "::7f00:1"),
        ("::ffff:127.0.0.1", "::ffff:7f00:1"),
        ("::FFFF:0:10.0.0.1", "::ffff:0:a00:1"),
        ("64:ff9b::8.8.8.8", "64:ff9b::808:808"),
        ("2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1"),
        ("1:0:0:2:0:0:3:4", "1::2:0:0:3:4"),  # the first of two that are equally long
        ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"),  # one alone is not left out
        ("10:0:0:1000:0:0:0:100", "10:0:0:1000::100"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_ipv6_is_written_as_rfc_5952_says(text: str, written: str) -> None:
    assert write(IPv6Address(text)) == written


def test_ipv4_is_written_in_dots() -> None:
    assert write(IPv4Address("127.0.0.1")) == "127.0.0.1"


@given(few.map(lambda groups: IPv6Address(":".join(f"{group:x}" for group in groups))))
def test_what_is_written_is_read_as_the_same(address: IPv6Address) -> None:
    written = write(address)
    assert read_ipv6(written) == address
    if address.ipv4_mapped is None:  # which Python writes so until 3.12
        assert written == str(address)


@pytest.mark.parametrize("text", ["", ":", "1", ":::", "1::2::3", "::12345", "::1.2.3", "1:" * 40])
def test_what_is_no_ipv6_address_is_told_in_our_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"^what stands in brackets is no IPv6 address$"):
        read_ipv6(text)
