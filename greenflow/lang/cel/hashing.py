"""Signatures: `hmac.sha256`, `hmac.equal`, `hex.encode`, for requests that others sign.

Lives here: a keyed hash (RFC 2104), and a comparison whose time says nothing of where two values
differ. A text stands for its UTF-8.
"""

from __future__ import annotations

import hmac
from itertools import product

from greenflow.lang.cel.library import function


def sha256(key: str | bytes, data: str | bytes) -> bytes:
    """The HMAC of the data with SHA-256 (FIPS 180-4), 32 bytes."""
    return hmac.digest(_bytes(key), _bytes(data), "sha256")


def equal(one: str | bytes, other: str | bytes) -> bool:
    """Whether both are the same, in a time that only depends on their lengths."""
    return hmac.compare_digest(_bytes(one), _bytes(other))


for _types in product((str, bytes), repeat=2):
    function("hmac.sha256", *_types, scans=True)(sha256)
    function("hmac.equal", *_types, scans=True)(equal)


@function("hex.encode", bytes, scans=True)
def hex_encode(data: bytes) -> str:
    """The bytes in hexadecimal, in lower case."""
    return data.hex()


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
