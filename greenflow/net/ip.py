"""IP addresses as text, read and written alike by every Python.

Lives here: the text of an address that a person reads, a rule names or a URL is compared by. What
an address may be asked for is address.py's.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

# Two groups of zeros and more; the first of the longest is left out (RFC 5952 4.2).
_ZEROS = re.compile(r"(?<![0-9a-f])0(?::0)+(?![0-9a-f])")


def read_ipv6(text: str) -> IPv6Address:
    """Raises ValueError, in words that are the same everywhere."""
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise ValueError("what stands in brackets is no IPv6 address") from None


def write(address: IPv4Address | IPv6Address) -> str:
    """The text of RFC 5952, always in hexadecimal groups, as URLs have it (URL standard 3.5).
    Python writes the last two groups of `::ffff:0:0/96` as IPv4 from 3.13 on."""
    if isinstance(address, IPv4Address):
        return str(address)
    packed = address.packed
    groups = ":".join(f"{packed[at] << 8 | packed[at + 1]:x}" for at in range(0, 16, 2))
    zeros = max(_ZEROS.finditer(groups), key=lambda run: len(run[0]), default=None)
    if zeros is not None:
        groups = f"{groups[: zeros.start()].rstrip(':')}::{groups[zeros.end() :].lstrip(':')}"
    return groups if address.scope_id is None else f"{groups}%{address.scope_id}"
