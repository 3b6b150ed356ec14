"""Bodies and values: decoding, encoding, negotiation (BEHAVIOUR 10).

Lives here: what a Content-Type and an Accept say, JSON as greenflow writes and reads it, text and
forms. Multipart is in `greenflow.multipart`, compression in `greenflow.coding`. Functions of bytes
and values without state or I/O; nothing here knows a socket or a request.

A body that makes no sense is InvalidArgument with the reason as its cause; a value that its format
cannot hold is EncodeError. What comes again and again (a client's Accept, a Content-Type) is
remembered in bounded caches.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.value import MAX_DEPTH, MAX_INT, MIN_INT

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
BYTES = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

# Fields of one form. People fill in tens; each costs a hundred bytes or more, however short it is.
MAX_FIELDS = 10_000

# Parsed headers that are remembered, and how long one may be for that: browsers send a handful of
# different ones, of less than 200 characters.
REMEMBERED = 512
REMEMBERED_LENGTH = 512

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TYPE = re.compile(rf"[ \t]*({_TOKEN})/({_TOKEN})[ \t]*(?=;|$)")
_PARAMETER = re.compile(
    rf'[ \t]*;[ \t]*(?:({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*+)"))?[ \t]*(?=;|$)'
)
_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")

# Elements of a list header: commas inside quotes do not part them.
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+"?)+')

# Codecs of Python that read text but are no charsets of mail or HTTP; some take quadratic time.
_NO_CHARSETS = frozenset(
    ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7")
)

# To find 19 digits in a row, the least that an integer beyond 64 bits has, at the speed of C.
_DIGITS_TO_0 = bytes(ord("0") if chr(byte).isdecimal() else ord(" ") for byte in range(256))
_LONG_NUMBER = b"0" * 19

_Parsed = TypeVar("_Parsed")


def _remembered(parse: Callable[[str], _Parsed]) -> Callable[[str], _Parsed]:
    """The function with a bounded memory for arguments that are not too long."""
    cached = lru_cache(maxsize=REMEMBERED)(parse)

    def remembering(text: str) -> _Parsed:
        return cached(text) if len(text) <= REMEMBERED_LENGTH else parse(text)

    return remembering


class MediaType(NamedTuple):
    """A Content-Type, taken apart: `name` (`text/plain`) and the names of parameters in lower case."""

    name: str
    parameters: dict[str, str]

    @property
    def is_json(self) -> bool:
        return self.name in ("application/json", "text/json") or self.name.endswith("+json")


@_remembered
def media_type(text: str) -> MediaType:
    """The Content-Type (RFC 9110 8.3.1); one against the grammar has the empty name."""
    match = _TYPE.match(text)
    if match is None:
        return MediaType("", {})
    parameters: dict[str, str] = {}
    position = match.end()
    while position < len(text):
        found = _PARAMETER.match(text, position)
        if found is None:
            return MediaType("", {})
        name, token, quoted = found.groups()
        if name is not None:
            value = re.sub(r"\\(.)", r"\1", quoted) if token is None else token
            parameters.setdefault(name.lower(), value)
        position = found.end()
    return MediaType(f"{match[1]}/{match[2]}".lower(), parameters)


# Decoding


def decode(content_type: str | None, body: bytes) -> Any:
    """The value of a body (BEHAVIOUR 10.1). Raises InvalidArgument, with the reason as its cause."""
    kind = media_type(content_type or "")
    if kind.is_json:
        return loads(body)
    if kind.name == "text/plain":
        return decode_text(body, kind.parameters.get("charset"))
    if kind.name == FORM:
        return parse_form(body)
    if kind.name.startswith("multipart/"):
        from greenflow import multipart

        return multipart.decode(body, kind.parameters.get("boundary"))
    return body


def decode_text(body: bytes, charset: str | None) -> str:
    """Text in its charset, by default UTF-8. Raises InvalidArgument."""
    try:
        return body.decode(_codec(charset) if charset else "utf-8")
    except UnicodeError as error:
        raise InvalidArgument(error) from None


@_remembered
def _codec(charset: str) -> str:
    """Python's name of a charset."""
    try:
        codec = codecs.lookup(charset)
    except (LookupError, ValueError):
        codec = None
    if codec is None or codec.name in _NO_CHARSETS or not codec._is_text_encoding:
        raise InvalidArgument(f"unknown charset {charset!r}")
    return codec.name


def parse_form(form: str | bytes) -> dict[str, list[str]]:
    """A form or a query string: name to list of texts, in the order sent. Bytes that are no UTF-8
    become U+FFFD, as the URL standard has it. Raises InvalidArgument beyond MAX_FIELDS."""
    text = form if isinstance(form, str) else form.decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise InvalidArgument(f"more than {MAX_FIELDS} fields") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


# Encoding


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
        return chosen, _utf8(value) if chosen is TEXT else dumps(value), True
    if isinstance(value, bytes):
        return BYTES, value, False
    if isinstance(value, dict):
        chosen = choose(accept, _MAP_OFFERS)
        if chosen is MULTIPART:
            return *_encode_multipart(value, MULTIPART, None), True
        return chosen, dumps(value) if chosen is JSON else encode_form(value), True
    return JSON, dumps(value), False


_TEXT_OFFERS = (TEXT, JSON)
_MAP_OFFERS = (JSON, FORM, MULTIPART)


def _encode_as(value: Any, kind: MediaType) -> bytes:
    if kind.is_json:
        return dumps(value)
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        charset = kind.parameters.get("charset")
        try:
            return value.encode(_codec(charset) if charset else "utf-8")
        except (InvalidArgument, UnicodeError) as error:
            raise EncodeError(f"text cannot be written as {kind.name}; {charset=}") from error
    if value is None:
        return b""
    if kind.name == FORM:
        return encode_form(value)
    if kind.name == "text/plain":
        return dumps(value)
    raise EncodeError(
        f"{type(value).__name__} cannot be written as {kind.name}: give a string or bytes"
    )


def _encode_multipart(value: Any, content_type: str, boundary: str | None) -> tuple[str, bytes]:
    if isinstance(value, bytes):
        return content_type, value
    from greenflow import multipart

    used, body = multipart.encode(value, boundary)
    return content_type if boundary else f"{content_type}; boundary={used}", body


def encode_form(value: Any) -> bytes:
    """A map as a form: a list is a repeated field. Raises EncodeError."""
    return urlencode(list(fields_of(value))).encode("ascii")


def fields_of(value: Any) -> list[tuple[str, bytes]]:
    """A map as the fields of a form: name and text in UTF-8. Raises EncodeError."""
    if not isinstance(value, dict):
        raise EncodeError(f"a form is a map of names, not {type(value).__name__}")
    return [
        (name, _field_text(name, item))
        for name, items in value.items()
        for item in (items if isinstance(items, list) else [items])
    ]


def _field_text(name: str, item: Any) -> bytes:
    if isinstance(item, str):
        return _utf8(item)
    if isinstance(item, bytes):
        return item
    if item is None:
        return b""
    if isinstance(item, dict | list):
        raise EncodeError(f"the field {name!r} of a form is a text or a list of texts")
    text = dumps(item)[:-1]
    return text[1:-1] if text.startswith(b'"') else text


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EncodeError("a string with a lone surrogate cannot be written as UTF-8") from error


# Negotiation


class _Range(NamedTuple):
    """An element of Accept: how exactly it must match, the range, and its weight."""

    exactness: tuple[int, int]
    main: str
    sub: str
    quality: float


def choose(accept: str | None, offers: tuple[str, ...]) -> str:
    """The offer that the client likes best (BEHAVIOUR 10.3); the first if it likes none."""
    if accept is None or accept == "*/*":
        return offers[0]
    best, best_rank = offers[0], (0.0, 0, 0)
    ranges = _ranges(accept)
    for place, offer in enumerate(offers):
        main, _, sub = offer.partition(";")[0].partition("/")
        matching = [
            (one.exactness, -written, one.quality)
            for written, one in enumerate(ranges)
            if one.main in ("*", main) and one.sub in ("*", sub)
        ]
        if matching:
            _, written, quality = max(matching)
            rank = (quality, written, -place)
            if quality and (rank > best_rank or not best_rank[0]):
                best, best_rank = offer, rank
    return best


@_remembered
def _ranges(accept: str) -> tuple[_Range, ...]:
    """The ranges of Accept; those against the grammar are left out (RFC 9110 12.5.1)."""
    ranges = []
    for element in _ELEMENT.findall(accept):
        name, parameters = media_type(element)
        quality = parameters.pop("q", "1")
        if name and _QUALITY.fullmatch(quality):
            main, _, sub = name.partition("/")
            exactness = (main != "*") + (sub != "*"), len(parameters)
            ranges.append(_Range(exactness, main, sub, float(quality)))
    return tuple(ranges)


# JSON


def _plain(item: Any) -> str:
    """What msgspec does not know: an error is its message (BEHAVIOUR 10.6)."""
    if isinstance(item, Exception):
        return str(item)
    raise TypeError(f"{type(item).__name__} has no form in JSON")


_encode_json = msgspec.json.Encoder(enc_hook=_plain).encode
_decode_json = msgspec.json.Decoder().decode


def dumps(value: Any) -> bytes:
    """JSON in UTF-8 that ends in a newline (BEHAVIOUR 10.6): keys in their order, bytes in base64, timestamps
    by RFC 3339, errors as their message. Raises EncodeError for NaN, infinity, integers beyond 64
    bits, and what is no payload."""
    try:
        text = _encode_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"no JSON: {error}") from error
    # msgspec writes null for what is no number, and integers of any size; both are rare.
    if b"null" in text or _has_long_number(text):
        _check_numbers(value)
    return text + b"\n"


def _has_long_number(text: bytes) -> bool:
    return len(text) >= len(_LONG_NUMBER) and _LONG_NUMBER in text.translate(_DIGITS_TO_0)


def _check_numbers(value: Any) -> None:
    kind = type(value)
    if kind is dict:
        for item in value.values():
            _check_numbers(item)
    elif kind is list:
        for item in value:
            _check_numbers(item)
    elif kind is float:
        if value - value != 0.0:
            raise EncodeError(f"no JSON: {value} is no number of JSON")
    elif kind is int and not MIN_INT <= value <= MAX_INT:
        raise EncodeError("no JSON: an integer must fit 64 bits")


def loads(text: bytes | str) -> Any:
    """The value of a JSON text (RFC 8259), read strictly; of equal keys the last one counts. A
    number without fraction and exponent is an int if it fits 64 bits, else a float.

    Raises InvalidArgument, also for more than MAX_DEPTH lists and maps inside each other.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        value = _decode_json(data)
        if _has_long_number(data):
            value = _fitting(value)
    except RecursionError:
        raise InvalidArgument(_TOO_DEEP) from None
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise InvalidArgument(ValueError(f"no JSON: {error}")) from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


_TOO_DEEP = f"no JSON for a payload: nested deeper than {MAX_DEPTH} lists and maps"


def _fitting(value: Any) -> Any:
    """The value with integers beyond 64 bits as floats."""
    kind = type(value)
    if kind is int:
        return value if MIN_INT <= value <= MAX_INT else float(value)
    if kind is dict:
        return {key: _fitting(item) for key, item in value.items()}
    if kind is list:
        return [_fitting(item) for item in value]
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return
    raise InvalidArgument(_TOO_DEEP)
