"""Bodies and values: decoding, encoding, negotiation, compression (BEHAVIOUR 10).

Lives here: the way from a body to a value and back. What it needs is beside it: `types`
(Content-Type, charsets, Accept), `text`, `lines` (JSON in lines), `urlencoded` and `multipart`
(forms), `coding` (gzip and its kin). Functions of bytes and values without state or I/O; nothing
here knows a socket or a request.

A body that makes no sense is InvalidArgument with the reason as its cause; a value that its format
cannot hold is EncodeError.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from typing import Any

from greenflow.errors import BodyTooLarge, EncodeError, InvalidArgument, UnsupportedCoding
from greenflow.hub import collector
from greenflow.net.mime.coding import LEAST_BYTES, compress, decompress, negotiate
from greenflow.net.mime.lines import LINE, RECORD, parse_lines, write_lines
from greenflow.net.mime.multipart import encode_multipart, parse_multipart
from greenflow.net.mime.text import MARK, read_text, write_text
from greenflow.net.mime.types import MediaType, choose, decode_text, media_type, utf8
from greenflow.net.mime.urlencoded import encode_form, parse_form
from greenflow.payload.json import dumps, loads
from greenflow.payload.large import LARGE_BYTES, loads_in_turns

__all__ = (
    "LEAST_BYTES",
    "BodyTooLarge",
    "UnsupportedCoding",
    "choose",
    "compress",
    "decode",
    "decompress",
    "dumps",
    "encode",
    "loads",
    "media_type",
    "negotiate",
    "parse_form",
)

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
BYTES = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

# What a value of each kind may be written as, best first (BEHAVIOUR 10.2).
_TEXT_OFFERS = (TEXT, JSON)
_MAP_OFFERS = (JSON, FORM, MULTIPART)

# A multipart whose boundary is no token and has no quotes either, as `----=_Part_1_2` of mail.
_UNQUOTED = re.compile(
    r"[ \t]*(multipart/[\w-]+)[ \t]*;(?:[^\"]*;)?[ \t]*boundary=([^\s;\"]+)[ \t]*(?:;|\Z)",
    re.ASCII | re.IGNORECASE,
)

# Types that are JSON texts behind each other, with what stands between these.
_SEPARATORS = {
    "application/json-seq": RECORD,
    **dict.fromkeys(
        (
            *("application/x-ndjson", "application/ndjson", "text/x-ndjson", "text/ndjson"),
            *("application/jsonl", "application/x-jsonl", "text/jsonl"),
            *("application/jsonlines", "application/x-jsonlines", "application/json-lines"),
        ),
        LINE,
    ),
}


def decode(content_type: str | None, body: bytes) -> Any:
    """The value of a body (BEHAVIOUR 10.1). Raises InvalidArgument, with the reason as its
    cause."""
    if len(body) >= LARGE_BYTES:
        collector.begin()
    kind = media_type(content_type or "")
    if kind.is_json:
        return _decode_json(body, kind)
    if kind.name == FORM:
        return parse_form(body, kind.parameters.get("charset"))
    if kind.name.startswith("multipart/"):
        return parse_multipart(body, kind.parameters.get("boundary"), kind.name)
    separator = _SEPARATORS.get(kind.name)
    if separator is not None:
        return parse_lines(body, separator)
    if kind.is_text:
        return read_text(body, kind)
    unquoted = None if kind.name else _UNQUOTED.match(content_type or "")
    if unquoted is not None:
        return parse_multipart(body, unquoted[2], unquoted[1].lower())
    return body


def _decode_json(body: bytes, kind: MediaType) -> Any:
    """JSON is UTF-8, whatever charset is claimed (RFC 8259 8.1). Where it is not, the claim may be
    true."""
    text = body.removeprefix(BOM_UTF8)
    try:
        return loads(text) if len(text) < LARGE_BYTES else loads_in_turns(text)
    except InvalidArgument:
        charset = kind.parameters.get("charset", "utf-8").lower()
        if charset in ("utf-8", "utf8", "us-ascii", "ascii"):
            raise
        try:
            text = decode_text(body, charset).removeprefix(MARK).encode()
        except (InvalidArgument, UnicodeError):
            text = body
        if text == body:
            raise
    return loads(text) if len(text) < LARGE_BYTES else loads_in_turns(text)


def encode(
    value: Any, content_type: str | None = None, accept: str | None = None
) -> tuple[str, bytes, bool]:
    """The Content-Type of a value's body, the body, and whether Accept had a say (BEHAVIOUR 10.2 to
    10.5). A Content-Type that is given decides; else the best offer of the value's kind does.

    Raises EncodeError for a value that the format cannot hold.
    """
    if content_type is not None:
        kind = media_type(content_type)
        if kind.name.startswith("multipart/"):
            return *_encode_multipart(value, content_type, kind.parameters.get("boundary")), False
        return content_type, _encode_as(value, kind), False
    if isinstance(value, str):
        chosen = choose(accept, _TEXT_OFFERS)
        return chosen, utf8(value) if chosen == TEXT else dumps(value), True
    if isinstance(value, bytes):
        return BYTES, value, False
    if isinstance(value, dict):
        return *_encode_map(value, choose(accept, _MAP_OFFERS)), True
    return JSON, dumps(value), False


def _encode_map(value: dict[str, Any], chosen: str) -> tuple[str, bytes]:
    """A map in the chosen form, or in JSON if it does not fit that: no client's wish makes an
    answer fail."""
    try:
        if chosen == FORM:
            return FORM, encode_form(value)
        if chosen == MULTIPART:
            return _encode_multipart(value, MULTIPART, None)
    except EncodeError:
        return JSON, dumps(value)
    return JSON, dumps(value)


def _encode_as(value: Any, kind: MediaType) -> bytes:
    if kind.is_json:
        return dumps(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return write_text(value, kind)
    if value is None:
        return b""
    if kind.name == FORM:
        return encode_form(value)
    if kind.name == "text/plain":
        return dumps(value)
    separator = _SEPARATORS.get(kind.name)
    if separator is not None:
        return write_lines(value, separator)
    raise EncodeError(
        f"{type(value).__name__} cannot be written as {kind.name}: give a string or bytes"
    )


def _encode_multipart(value: Any, content_type: str, boundary: str | None) -> tuple[str, bytes]:
    if isinstance(value, bytes):
        return content_type, value
    used, body = encode_multipart(value, boundary)
    return content_type if boundary else f"{content_type}; boundary={used}", body
