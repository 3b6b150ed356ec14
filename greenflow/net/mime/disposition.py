"""Content-Disposition: what a part of multipart is called, and the file in it (RFC 7578 4.2).

Lives here: the header field read, in all the ways in which it is written. Browsers write names in
quotes as they are and escape three characters; mail has encoded words (RFC 2047), which .NET uses
too, and long names in pieces (RFC 2231); HTTP has `filename*` (RFC 8187).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from greenflow.errors import InvalidArgument
from greenflow.net.grammar import TOKEN
from greenflow.net.mime.transfer import decode_words
from greenflow.net.mime.types import decode_text

# Parameters of one: forms have two or three.
MAX_PARAMETERS = 100

#: What browsers escape in quotes, after what escapes.
ESCAPES = (("\\", "\\\\"), ('"', "%22"), ("\r", "%0D"), ("\n", "%0A"))

# A type, and its parameters where no quote is escaped (see `_masked`). What has no quotes is taken
# up to the next semicolon, for some leave them out around what is no token.
_TYPE = re.compile(rf"({TOKEN})[ \t]*(?=;|\Z)")
_PARAMETER = re.compile(
    rf';[ \t]*(?:({TOKEN})[ \t]*=[ \t]*(?:"([^"]*+)"|([^\s";](?:[^";]*[^\s";])?))[ \t]*)?(?=;|\Z)'
)

# RFC 8187 3.2.1: charset, language and the text, percent-encoded.
_EXTENDED = re.compile(r"([^']+)'[^']*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*+)")

# RFC 2231 3 and 4: a piece of a value, percent-encoded if a `*` follows.
_PIECE = re.compile(r"(filename|name)\*([0-9]{1,2})(\*?)")


class Disposition(NamedTuple):
    """The name of a part, None if it has none; and that of the file in it, None if it is none."""

    name: str | None
    filename: str | None


def parse_disposition(text: str) -> Disposition:
    """The meaning of a Content-Disposition. Raises InvalidArgument."""
    masked = _masked(text)
    match = _TYPE.match(masked)
    parameters: dict[str, str] = {}
    count = 0
    while match is not None and match.end() < len(text):
        match = _PARAMETER.match(masked, match.end())
        count += 1
        if count > MAX_PARAMETERS:
            raise InvalidArgument(f"a Content-Disposition with over {MAX_PARAMETERS} parameters")
        if match is not None and match[1] is not None:
            quoted, (start, end) = match[2] is not None, match.span(3 if match[2] is None else 2)
            value = text[start:end]
            parameters.setdefault(match[1].lower(), _unquoted(value) if quoted else value)
    if match is None:
        raise InvalidArgument("a Content-Disposition against its grammar (RFC 7578)")
    return Disposition(_value(parameters, "name"), _value(parameters, "filename"))


def _masked(text: str) -> str:
    """The text with nothing in place of what is escaped: then each quote begins or ends something,
    and none of 8 MiB of escapes is looked at by itself. A backslash is one unless it stands before
    a quote or another, as browsers write."""
    return text.replace("\\\\", "\0\0").replace('\\"', "\0\0")


def _unquoted(text: str) -> str:
    """What browsers write in quotes."""
    for character, escape in ESCAPES[1:]:
        text = text.replace(escape, character)
    # No line of a header holds a zero byte.
    return text.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\")


def _value(parameters: dict[str, str], name: str) -> str | None:
    """The value of a parameter, in whichever way it is written; None if it is not there."""
    extended = parameters.get(f"{name}*")  # which forms should not have (RFC 7578 4.2), and some do
    if extended is not None:
        return _extended(extended)
    value = parameters.get(name)
    if value is not None:
        return decode_words(value)
    if f"{name}*0" in parameters or f"{name}*0*" in parameters:
        return _joined(parameters, name)
    return None


def _extended(text: str) -> str:
    """The meaning of a parameter whose name ends in `*` (RFC 8187)."""
    match = _EXTENDED.fullmatch(text)
    if match is None:
        raise InvalidArgument("a filename* against its grammar (RFC 8187)")
    return decode_text(unquote_to_bytes(match[2]), match[1])


def _joined(parameters: dict[str, str], name: str) -> str:
    """The meaning of a parameter that is written in pieces, of which the first may say the
    charset."""
    found = {
        int(match[2]): (value, bool(match[3]))
        for key, value in parameters.items()
        if (match := _PIECE.fullmatch(key)) is not None and match[1] == name
    }
    charset = "utf-8"
    joined = b""
    for number in range(len(found)):
        if number not in found:
            raise InvalidArgument(f"a {name} of which a piece is missing (RFC 2231 3)")
        value, is_encoded = found[number]
        if is_encoded and not number:
            charset, _, value = value.partition("'")
            value = value.partition("'")[2]
        joined += unquote_to_bytes(value) if is_encoded else value.encode("utf-8", "surrogatepass")
    return decode_text(joined, charset or "utf-8")
