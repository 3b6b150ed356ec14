"""Content codings: gzip and deflate, with room for others (BEHAVIOUR 10.4).

Lives here: compressing and decompressing whole bodies, and what Accept-Encoding asks for. A coding
is one entry of a table; brotli and Zstandard join it where their libraries are. Decompression never
makes more than its limit, whatever a small body claims to hold.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

from greenflow.errors import BodyTooLarge, EncodeError, InvalidArgument, UnsupportedCoding
from greenflow.mime.types import media_type

# Bytes under which a body is left alone: a header says more than it saves (BEHAVIOUR 10.4).
LEAST_BYTES = 1024

# zlib's level. On 1 MiB of JSON 4 takes 4 ms and leaves 88 KB, its default 6 takes 5.3 and leaves
# 87; it runs in the hub's thread.
LEVEL = 4

# Codings of one body on top of each other. One is usual, two happen by mistake, more are an attack.
MAX_CODINGS = 2

# Members of one gzip body (RFC 1952 2.2). Parallel compressors write one for each 64 KiB.
MAX_MEMBERS = 1000

# zlib's window bits: the largest window, and which wrapper stands around the stream.
_GZIP, _ZLIB, _RAW = 31, 15, -15

# What is compressed already.
_COMPRESSED = re.compile(
    r"(?:audio|image|video)/(?!svg\+xml|bmp|x-ms-bmp|wav|x-wav).+|font/woff2?"
    r"|application/(?:font-woff2?|gzip|x-gzip|zip|zstd|x-7z-compressed|x-bzip2?|x-xz"
    r"|x-rar-compressed|vnd\.rar|java-archive|pdf|epub\+zip"
    r"|vnd\.(?:openxmlformats-officedocument|oasis\.opendocument)\..+)"
)

# What stands behind the semicolon of an element of Accept-Encoding (RFC 9110 12.4.2).
_WEIGHT = re.compile(r"[ \t]*(?:[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?")


class Coding(NamedTuple):
    """A content coding: `decompress` takes the most bytes that it may make."""

    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]


def _deflate(bits: int) -> Callable[[bytes], bytes]:
    def compress(body: bytes) -> bytes:
        stream = zlib.compressobj(LEVEL, zlib.DEFLATED, bits)
        return stream.compress(body) + stream.flush()

    return compress


def _inflate(body: bytes, bits: int, limit: int) -> tuple[bytes, bytes]:
    """One stream's content, and what follows it."""
    stream = zlib.decompressobj(bits)
    content = stream.decompress(body, limit + 1)
    if len(content) > limit:
        raise BodyTooLarge(f"a body over {limit} bytes once it is decompressed")
    if not stream.eof:
        raise InvalidArgument("a compressed body that was cut off")
    return content, stream.unused_data


def _gunzip(body: bytes, limit: int) -> bytes:
    content, rest = _inflate(body, _GZIP, limit)
    for _ in range(MAX_MEMBERS):
        if not rest:
            return content
        more, rest = _inflate(rest, _GZIP, limit - len(content))
        content += more
    raise InvalidArgument(f"a gzip body of more than {MAX_MEMBERS} members")


def _undeflate(body: bytes, limit: int) -> bytes:
    """RFC 9110 8.4.1.2 means the zlib format; some clients send the bare stream."""
    try:
        content, rest = _inflate(body, _ZLIB, limit)
    except zlib.error:
        content, rest = _inflate(body, _RAW, limit)
    if rest:
        raise InvalidArgument("bytes behind the end of a deflate body")
    return content


# In the order of preference among those that a client likes equally.
CODINGS: dict[str, Coding] = {
    "gzip": Coding(_deflate(_GZIP), _gunzip),
    "deflate": Coding(_deflate(_ZLIB), _undeflate),
}

# RFC 9110 8.4.1.3: the old name of gzip.
_OLD_NAMES = {"x-gzip": "gzip"}


def _names(header: str) -> list[str]:
    """The codings of a Content-Encoding, in the order they were applied; identity is none."""
    names = [name.strip(" \t").lower() for name in header.split(",")]
    return [_OLD_NAMES.get(name, name) for name in names if name not in ("", "identity")]


def decompress(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The body without its content codings.

    Raises UnsupportedCoding for one that is not known, BodyTooLarge beyond `limit` bytes, and
    InvalidArgument for bytes that are not what they claim to be.
    """
    names = _names(content_encoding)
    for name in names:
        if name not in CODINGS:
            known = ", ".join(CODINGS)
            raise UnsupportedCoding(f"the content coding {name!r} is not one of {known}")
    if len(names) > MAX_CODINGS:
        raise UnsupportedCoding(f"more than {MAX_CODINGS} content codings on top of each other")
    for name in reversed(names):
        try:
            body = CODINGS[name].decompress(body, limit)
        except zlib.error as error:
            raise InvalidArgument() from ValueError(f"the body is not {name}: {error}")
    return body


def compress(body: bytes, content_encoding: str) -> tuple[bytes, str | None]:
    """The body in the codings that a workflow has set, and the header to send, None without any.
    Raises EncodeError for a coding that is not known."""
    names = _names(content_encoding)
    for name in names:
        if name not in CODINGS:
            raise EncodeError(f"the content coding {name!r} is not one of {', '.join(CODINGS)}")
        body = CODINGS[name].compress(body)
    return body, ", ".join(names) or None


def negotiate(
    body: bytes, content_type: str, accept_encoding: str | None
) -> tuple[bytes, str | None, bool]:
    """The body as the client likes it best, the Content-Encoding or None, and whether
    Accept-Encoding had a say (BEHAVIOUR 10.5). Small and compressed bodies are left alone."""
    if len(body) < LEAST_BYTES or _COMPRESSED.fullmatch(media_type(content_type).name):
        return body, None, False
    name = _choose(accept_encoding)
    if name is not None:
        smaller = CODINGS[name].compress(body)
        if len(smaller) < len(body):
            return smaller, name, True
    return body, None, True


def _choose(accept_encoding: str | None) -> str | None:
    """The coding with the highest weight (RFC 9110 12.5.3); None for the body as it is. A client
    that says nothing gets it as it is, and so does one that would take none."""
    if accept_encoding is None:
        return None
    weights: dict[str, float] = {}
    for element in accept_encoding.split(","):
        name, _, parameter = element.partition(";")
        name = name.strip(" \t").lower()
        weight = _WEIGHT.fullmatch(parameter)
        if name and weight is not None:
            weights.setdefault(_OLD_NAMES.get(name, name), float(weight[1] or 1))
    others = weights.get("*", 0.0)
    best, best_weight = None, weights.get("identity", 0.0)
    for name in CODINGS:
        weight_of = weights.get(name, others)
        if weight_of > best_weight or (weight_of == best_weight > 0 and best is None):
            best, best_weight = name, weight_of
    return best
