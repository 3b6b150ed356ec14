"""Hashes, signatures and hexadecimal, of our own: `hash.`, `hmac.`, `hex.`, `secure.`.

Lives here: hashes of data, keyed ones (RFC 2104), and a comparison whose time says nothing of where
two values differ. A text stands for its UTF-8. MD5 and SHA-1 are there for what others sign and
store with them; neither is safe against forgers any more, but as `hmac.sha1`. What it costs grows
with the lengths.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from itertools import product
from typing import Any

from greenflow.lang.cel.library import function
from greenflow.lang.cel.meter import Frame, charge
from greenflow.lang.cel.values import CelError

_HASHES = ("md5", "sha1", "sha256", "sha512")
_KEYED = ("sha1", "sha256", "sha512")


#: Bytes that are hashed in one go: at the worst some 4 ms, after which others may run.
_PIECE = 1 << 20


def _fed(frame: Frame, hashed: Any, data: bytes) -> bytes:
    """The digest of the data, by something that is fed it."""
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        charge(frame, len(piece) >> 4)
        hashed.update(piece)
    digest: bytes = hashed.digest()
    return digest


def _hash(name: str) -> Callable[[Frame, str | bytes], bytes]:
    def digest(frame: Frame, data: str | bytes) -> bytes:
        return _fed(frame, hashlib.new(name, usedforsecurity=False), _bytes(data))

    return digest


def _keyed_hash(name: str) -> Callable[[Frame, str | bytes, str | bytes], bytes]:
    def digest(frame: Frame, key: str | bytes, data: str | bytes) -> bytes:
        charge(frame, len(key) >> 4)
        return _fed(frame, hmac.new(_bytes(key), digestmod=name), _bytes(data))

    return digest


def equal(one: str | bytes, other: str | bytes) -> bool:
    """Whether both are the same, in a time that only depends on their lengths."""
    return hmac.compare_digest(_bytes(one), _bytes(other))


for _name in _HASHES:
    for _type in (str, bytes):
        function(f"hash.{_name}", _type, metered=True)(_hash(_name))

for _types in product((str, bytes), repeat=2):
    for _name in _KEYED:
        function(f"hmac.{_name}", *_types, metered=True)(_keyed_hash(_name))
    function("secure.equal hmac.equal", *_types, scans=True)(equal)


@function("hex.encode", bytes, scans=True)
def hex_encode(data: bytes) -> str:
    """The bytes in hexadecimal, in lower case."""
    return data.hex()


@function("hex.decode", str, scans=True)
def hex_decode(text: str) -> bytes:
    """The bytes that are in hexadecimal, in either case."""
    try:
        if not text.isalnum() and text:  # `fromhex` lets white space pass
            raise ValueError(text)
        return bytes.fromhex(text)
    except ValueError as error:
        raise CelError("the string is no hexadecimal: two digits are one byte") from error


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
