"""Content-Type, charsets and Accept: what a body is, and what a client would like it to be.

Functions of header values. What comes again and again (a client's Accept, a Content-Type) is
remembered in bounded caches.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache
from itertools import islice
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub.breathing import Breath
from greenflow.net.grammar import QUOTED_TEXT, TOKEN, unquoted

# Parsed headers that are remembered, and how long one may be for that: browsers send a handful of
# different ones, of less than 200 characters.
REMEMBERED = 512
REMEMBERED_LENGTH = 512

# Parameters of a Content-Type, and ranges of an Accept that are looked at: usual ones have three,
# and ten. A header section of 64 KiB could have thousands, each a microsecond or more.
MAX_PARAMETERS = 100
MAX_RANGES = 100

# XML by other names (RFC 7303).
_XML = frozenset(
    ("application/xml", "text/xml", "application/xml-dtd", "application/xml-external-parsed-entity")
)

# What is text though its name does not say so.
_TEXTS = frozenset(
    (
        *("application/javascript", "application/x-javascript", "application/ecmascript"),
        *("application/yaml", "application/x-yaml", "application/toml", "application/sql"),
        "application/graphql",
    )
)

# Bytes of a text that are decoded in one go: the slowest codec of Python takes 5 ms for them.
DECODED_BYTES = 512 * 1024

_TYPE = re.compile(rf"[ \t]*({TOKEN})/({TOKEN})[ \t]*(?=;|\Z)")
_PARAMETER = re.compile(
    rf'[ \t]*;[ \t]*(?:({TOKEN})=(?:({TOKEN})|"({QUOTED_TEXT})"))?[ \t]*(?=;|\Z)'
)
_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")

# Elements of a list header: commas inside quotes do not part them.
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+"?)+')

# The names that are charsets here, as `encodings` normalizes them. Asking Python for any other
# would make it remember the name for ever.
_CHARSETS = frozenset(aliases) | frozenset(aliases.values())

# Codecs of Python that read text but are no charsets of mail or HTTP.
_NO_CHARSETS = frozenset(("mbcs", "oem", "utf-7"))

_Rest = ParamSpec("_Rest")
_Parsed = TypeVar("_Parsed")


def _remembered(
    parse: Callable[Concatenate[str, _Rest], _Parsed],
) -> Callable[Concatenate[str, _Rest], _Parsed]:
    """The function with a bounded memory for texts that are not too long."""
    cached: Callable[..., _Parsed] = lru_cache(maxsize=REMEMBERED)(parse)

    def remembering(text: str, /, *rest: _Rest.args, **named: _Rest.kwargs) -> _Parsed:
        return (cached if len(text) <= REMEMBERED_LENGTH else parse)(text, *rest, **named)

    return remembering


# Content-Type


class MediaType(NamedTuple):
    """A Content-Type, taken apart: `name` (`text/plain`) and the names of parameters in lower
    case."""

    name: str
    parameters: dict[str, str]

    @property
    def is_json(self) -> bool:
        return self.name in ("application/json", "text/json") or self.name.endswith("+json")

    @property
    def is_xml(self) -> bool:
        return self.name in _XML or self.name.endswith("+xml")

    @property
    def is_text(self) -> bool:
        """Whether it is read as a string; JSON is, too, where it is not read as a value."""
        name = self.name
        return name.startswith("text/") or name in _TEXTS or self.is_xml or name.endswith("+yaml")


@_remembered
def media_type(text: str) -> MediaType:
    """The Content-Type (RFC 9110 8.3.1); one against the grammar has the empty name."""
    match = _TYPE.match(text)
    if match is None:
        return MediaType("", {})
    parameters: dict[str, str] = {}
    position = match.end()
    count = 0
    while position < len(text):
        found = _PARAMETER.match(text, position)
        count += 1
        if found is None or count > MAX_PARAMETERS:
            return MediaType("", {})
        name, token, quoted = found.groups()
        if name is not None:
            value = unquoted(quoted) if token is None else token
            parameters.setdefault(name.lower(), value)
        position = found.end()
    return MediaType(f"{match[1]}/{match[2]}".lower(), parameters)


# Charsets


def decode_text(body: bytes, charset: str | None) -> str:
    """Text in its charset, by default UTF-8; a byte order mark is kept. Lets others run where it is
    long. Raises InvalidArgument."""
    codec = codec_of(charset) if charset else "utf-8"
    try:
        if len(body) <= DECODED_BYTES:
            return body.decode(codec)
        return _decoded_in_turns(body, codec)
    except UnicodeError as error:
        raise InvalidArgument() from error


def _decoded_in_turns(body: bytes, codec: str) -> str:
    """A long text. Lets others run. Raises UnicodeError."""
    decoder = codecs.getincrementaldecoder(codec)()
    breath = Breath()
    pieces = []
    for start in range(0, len(body), DECODED_BYTES):
        end = start + DECODED_BYTES
        before = len(decoder.getstate()[0])  # bytes of a character that was cut
        try:
            pieces.append(decoder.decode(body[start:end], end >= len(body)))
        except UnicodeDecodeError as error:
            place = start - before + error.start
            until = start - before + error.end
            raise UnicodeDecodeError(codec, body, place, until, error.reason) from None
        breath.take()
    return "".join(pieces)


@_remembered
def codec_of(charset: str) -> str:
    """Python's name of a charset. Raises InvalidArgument for one that is not known."""
    name = normalize_encoding(charset).lower()
    if name in _CHARSETS:
        try:
            codec = codecs.lookup(name)
        except LookupError as error:
            raise InvalidArgument() from error
        if codec._is_text_encoding and codec.name not in _NO_CHARSETS:
            return codec.name
    raise InvalidArgument(f"unknown charset {charset!r}")


def utf8(text: str) -> bytes:
    """Text as bytes. Raises EncodeError."""
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
    return _best(accept, offers)


@_remembered
def _best(accept: str, offers: tuple[str, ...]) -> str:
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
            if quality and rank > best_rank:
                best, best_rank = offer, rank
    return best


def _ranges(accept: str) -> list[_Range]:
    """The ranges of Accept; those against the grammar are left out (RFC 9110 12.5.1)."""
    ranges = []
    for element in islice(_ELEMENT.finditer(accept), MAX_RANGES):
        name, parameters = media_type(element[0])
        quality = parameters.get("q", "1")
        if name and _QUALITY.fullmatch(quality):
            main, _, sub = name.partition("/")
            exactness = (main != "*") + (sub != "*"), len(parameters.keys() - {"q"})
            ranges.append(_Range(exactness, main, sub, float(quality)))
    return ranges
