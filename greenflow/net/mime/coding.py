"""Content codings: gzip, deflate, and br and zstd where their libraries are (BEHAVIOUR 10.4).

Lives here: compressing and decompressing whole bodies, and what Accept-Encoding asks for. A coding
is one entry of a table, which is made when the first body needs it. Decompression never makes more
than its limit, whatever a small body claims to hold, and no body makes it copy the same bytes again
and again.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from greenflow.errors import BodyTooLarge, EncodeError, InvalidArgument, UnsupportedCoding
from greenflow.extras import install
from greenflow.net.grammar import BLANKS, elements
from greenflow.net.mime.types import media_type

# Bytes under which a body is left alone: a header says more than it saves (BEHAVIOUR 10.4).
LEAST_BYTES = 1024

# How hard each tries. They run in the hub's thread, so time decides. 1 MB of JSON rows (repeated
# names, random words and numbers) takes gzip 7.9 ms at level 4 and 12.7 at its default 6, to leave
# 244 KB and 229; br 5.9 ms at 4 and 10.4 at 5 (209 KB, 194); zstd 2.0 ms at 3 (209 KB).
GZIP_LEVEL = 4
BROTLI_QUALITY = 4
ZSTD_LEVEL = 3

# Codings of one body on top of each other. One is usual, two happen by mistake, more are an attack.
MAX_CODINGS = 2

# Members of one gzip body (RFC 1952 2.2), frames of one of zstd (RFC 8878 3). Parallel compressors
# write one for each 64 KiB or more.
MAX_MEMBERS = 1000

# The largest window of a zstd body, as a power of 2: 8 MiB (RFC 9659 3). Brotli's own is 16 MiB.
ZSTD_WINDOW_LOG = 23

# Bytes that a decompressor is given at a time, and brotli asked for: what it leaves is copied.
PIECE_BYTES = 64 * 1024

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
    """A content coding: `decompress` takes the most bytes that it may make, and raises `error` for
    bytes that are none of it."""

    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]
    error: type[Exception]


@cache
def known_codings() -> dict[str, Coding]:
    """The codings by name, in the order of preference among those that a client likes equally."""
    found = {}
    zstd = _library("compression.zstd", "ZstdDecompressor") or _library(
        "backports.zstd", "ZstdDecompressor"
    )
    if zstd is not None:
        found["zstd"] = Coding(
            partial(zstd.compress, level=ZSTD_LEVEL), partial(_unzstd, zstd), zstd.ZstdError
        )
    # Before 1.2 it cannot be stopped at a limit.
    brotli = _library("brotli", "Decompressor.can_accept_more_data")
    if brotli is not None:
        found["br"] = Coding(
            partial(brotli.compress, quality=BROTLI_QUALITY),
            partial(_unbrotli, brotli),
            brotli.error,
        )
    found["gzip"] = Coding(partial(_deflate, _GZIP), _gunzip, zlib.error)
    found["deflate"] = Coding(partial(_deflate, _ZLIB), _undeflate, zlib.error)
    return found


def _library(name: str, needed: str) -> ModuleType | None:
    """The module, if it is installed and has what is needed of it."""
    try:
        library: Any = import_module(name)
    except ImportError:
        return None
    found = library
    for attribute in needed.split("."):
        found = getattr(found, attribute, None)
    return None if found is None else library


class _Content:
    """What a body decompresses to, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = self.room = limit
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """Raises BodyTooLarge."""
        self.room -= len(piece)
        if self.room < 0:
            raise BodyTooLarge(f"a body over {self._limit} bytes once it is decompressed")
        self._pieces.append(piece)

    def whole(self) -> bytes:
        return b"".join(self._pieces)


def _add(stream: Any, body: bytes, start: int, content: _Content) -> int:
    """Decompresses one stream of zlib's or zstd's; the place behind its end."""
    while not stream.eof:
        piece = body[start : start + PIECE_BYTES]
        if not piece:
            raise InvalidArgument("a compressed body that was cut off")
        content.add(stream.decompress(piece, content.room + 1))
        start += len(piece) - len(stream.unused_data)
    return start


def _members(begin: Callable[[], Any], body: bytes, limit: int, filler: bytes = b"") -> bytes:
    """A body of one stream, or several behind each other. No stream begins with `filler`, a byte
    that may stand behind the last one as often as it likes: zeros behind gzip are of blocks that
    were filled up, and gunzip ignores them, too."""
    content, start = _Content(limit), 0
    for _ in range(MAX_MEMBERS):
        start = _add(begin(), body, start, content)
        if start == len(body):
            return content.whole()
        if filler and body.startswith(filler, start) and not body[start:].strip(filler):
            return content.whole()
    raise InvalidArgument(f"a compressed body of more than {MAX_MEMBERS} members")


def _deflate(bits: int, body: bytes) -> bytes:
    stream = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, bits)
    return stream.compress(body) + stream.flush()


def _gunzip(body: bytes, limit: int) -> bytes:
    return _members(partial(zlib.decompressobj, _GZIP), body, limit, filler=b"\0")


def _undeflate(body: bytes, limit: int) -> bytes:
    """RFC 9110 8.4.1.2 means the zlib format; some clients send the bare stream."""
    content = _Content(limit)
    try:
        end = _add(zlib.decompressobj(_ZLIB), body, 0, content)
    except zlib.error:
        content = _Content(limit)
        end = _add(zlib.decompressobj(_RAW), body, 0, content)
    if end != len(body):
        raise InvalidArgument("bytes behind the end of a deflate body")
    return content.whole()


def _unzstd(zstd: Any, body: bytes, limit: int) -> bytes:
    options = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    return _members(partial(zstd.ZstdDecompressor, options=options), body, limit)


def _unbrotli(brotli: Any, body: bytes, limit: int) -> bytes:
    stream, content = brotli.Decompressor(), _Content(limit)
    content.add(stream.process(body, output_buffer_limit=PIECE_BYTES))
    while not stream.is_finished():
        # It may have taken all the input and still have output.
        piece = stream.process(b"", output_buffer_limit=PIECE_BYTES)
        if not piece:
            raise InvalidArgument("a compressed body that was cut off")
        content.add(piece)
    return content.whole()


# Those whose libraries need not be there.
_OPTIONAL = frozenset(("br", "zstd"))

# RFC 9110 8.4.1.3: the old name of gzip.
_OLD_NAMES = {"x-gzip": "gzip"}


def _names(header: str) -> list[str]:
    """The codings of a Content-Encoding, in the order they were applied; identity is none."""
    names = elements(header)
    return [_OLD_NAMES.get(name, name) for name in names if name not in ("", "identity")]


def _unknown(name: str) -> str:
    """What to say of a coding that is not known, or not installed."""
    message = f"the content coding {name!r} is not one of {', '.join(known_codings())}"
    return f"{message}; {install('compression')}" if name in _OPTIONAL else message


def decompress(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The body without its content codings.

    Raises UnsupportedCoding for one that is not known, BodyTooLarge beyond `limit` bytes, and
    InvalidArgument for bytes that are not what they claim to be.
    """
    names, codings = _names(content_encoding), known_codings()
    for name in names:
        if name not in codings:
            raise UnsupportedCoding(_unknown(name))
    if len(names) > MAX_CODINGS:
        raise UnsupportedCoding(f"more than {MAX_CODINGS} content codings on top of each other")
    for name in reversed(names):
        coding = codings[name]
        try:
            body = coding.decompress(body, limit)
        except coding.error as error:
            raise InvalidArgument() from ValueError(f"the body is not {name}: {error}")
    return body


def compress(body: bytes, content_encoding: str) -> tuple[bytes, str | None]:
    """The body in the codings that a workflow has set, and the header to send, None without any.
    Raises EncodeError for a coding that is not known."""
    names, codings = _names(content_encoding), known_codings()
    for name in names:
        if name not in codings:
            raise EncodeError(_unknown(name))
        body = codings[name].compress(body)
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
        smaller = known_codings()[name].compress(body)
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
        name = name.strip(BLANKS).lower()
        weight = _WEIGHT.fullmatch(parameter)
        if name and weight is not None:
            weights.setdefault(_OLD_NAMES.get(name, name), float(weight[1] or 1))
    others = weights.get("*", 0.0)
    best, best_weight = None, weights.get("identity", 0.0)
    for name in known_codings():
        weight_of = weights.get(name, others)
        if weight_of > best_weight or (weight_of == best_weight > 0 and best is None):
            best, best_weight = name, weight_of
    return best
