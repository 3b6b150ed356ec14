"""URL-encoded forms, which query strings are too: a map of name to list of texts (BEHAVIOUR 10.1).

Lives here: both ways of it. urllib has them, but looks at each escape and each byte by itself: a
form of 8 MiB held the hub for 2 s, and took many times its size. So escapes are decoded and encoded
in runs, and a long text in slices, between which others run.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub.breathing import Breath
from greenflow.net.mime.types import codec_of, utf8
from greenflow.payload.json import dumps

# Fields of one form. People fill in tens; each costs a hundred bytes or more, however short it is.
MAX_FIELDS = 10_000

# Bytes that are decoded or encoded in one go. Where every second one is by itself, it takes 3 ms.
SLICE_BYTES = 16 * 1024

_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})++")

# What a byte is written as an escape for: all but unreserved characters (RFC 3986 2.3) and blanks.
_RESERVED = re.compile(rb"[^A-Za-z0-9_.~ -]++")


def parse_form(form: str | bytes, charset: str | None = None) -> dict[str, list[str]]:
    """A form or a query string: name to list of texts, in the order sent. Bytes that are no UTF-8,
    or not in the charset that is named, become U+FFFD, as the URL standard has it. Raises
    InvalidArgument beyond MAX_FIELDS, and for a charset that is not known."""
    fields: dict[str, list[str]] = {}
    if isinstance(form, str):  # of a head, and so never long
        for name, value in _pairs(form):
            fields.setdefault(name, []).append(value)
        return fields
    count = form.count(b"&") + 1
    if count > MAX_FIELDS:
        raise InvalidArgument(f"more than {MAX_FIELDS} fields: {count}")
    codec = codec_of(charset) if charset else "utf-8"
    breath = Breath()
    for field in form.split(b"&"):
        if field:
            written, _, content = field.partition(b"=")
            texts = fields.setdefault(_decoded(written, codec, breath), [])
            texts.append(_decoded(content, codec, breath))
            breath.take()
    return fields


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise InvalidArgument() from ValueError(f"more than {MAX_FIELDS} fields: {error}")


def _decoded(written: bytes, codec: str, breath: Breath) -> str:
    if len(written) <= SLICE_BYTES:
        return _unescaped(written).decode(codec, "replace")
    decoder = getincrementaldecoder(codec)("replace")
    pieces = []
    start = 0
    while start < len(written):
        end = start + SLICE_BYTES
        # An escape stays whole.
        cut = written.rfind(b"%", max(start + 1, end - 2), end) if end < len(written) else -1
        end = end if cut < 0 else cut
        piece = _unescaped(written[start:end])
        start = end
        pieces.append(decoder.decode(piece, final=start >= len(written)))
        breath.take()
    return "".join(pieces)


def _unescaped(written: bytes) -> bytes:
    written = written.replace(b"+", b" ")
    return _ESCAPES.sub(_bytes_of, written) if b"%" in written else written


def _bytes_of(escapes: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escapes[0].replace(b"%", b"").decode("ascii"))


def encode_form(value: Any) -> bytes:
    """A map as a form: a list is a repeated field. Raises EncodeError."""
    breath = Breath()
    form = bytearray()
    for name, text in fields_of(value):
        if form:
            form += b"&"
        _encode(utf8(name), form, breath)
        form += b"="
        _encode(text, form, breath)
    return bytes(form)


def _encode(text: bytes, form: bytearray, breath: Breath) -> None:
    for start in range(0, len(text), SLICE_BYTES):
        piece = _RESERVED.sub(_escapes_of, text[start : start + SLICE_BYTES])
        form += piece.replace(b" ", b"+")
        breath.take()


def _escapes_of(reserved: re.Match[bytes]) -> bytes:
    return b"%" + reserved[0].hex("%").upper().encode("ascii")


def fields_of(value: Any) -> Iterator[tuple[str, bytes]]:
    """A map as the fields of a form: name and text in UTF-8. Lets others run. Raises
    EncodeError."""
    if not isinstance(value, dict):
        raise EncodeError(f"a form is a map of names, not {type(value).__name__}")
    breath = Breath()
    for name, items in value.items():
        for item in items if isinstance(items, list) else [items]:
            yield name, _field_text(name, item)
            breath.take()


def _field_text(name: str, item: Any) -> bytes:
    if isinstance(item, str):
        return utf8(item)
    if isinstance(item, bytes):
        return item
    if item is None:
        return b""
    if isinstance(item, dict | list):
        raise EncodeError(f"the field {name!r} of a form is a text or a list of texts")
    if isinstance(item, Exception):
        return utf8(str(item))
    return dumps(item).strip(b'"\n')
