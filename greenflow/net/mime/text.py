"""Bodies that are texts: what charset they are in, and back (BEHAVIOUR 10.1).

Lives here: whose word counts about the charset. That of the Content-Type does; without one a byte
order mark, then the declaration of XML, then UTF-8. `text/plain` in none of them makes no sense.
Other types, of which HTTP says nothing of the kind, stay the bytes that came: pages and tables in
an old charset arrive, and who knows the charset can read them.

A byte order mark says how a text is written and is no part of it, so it is taken off.
"""

from __future__ import annotations

import codecs
import re

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.net.mime.types import MediaType, codec_of, decode_text

MARK = "\ufeff"

# Byte order marks; that of UTF-32, little end first, begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# What most texts do not begin with is looked at no further.
_FIRST_OF_MARKS = frozenset(mark[:1] for mark, _ in _MARKS)

# Characters in which the declaration of XML ends, which has three short attributes.
_DECLARATION_LENGTH = 200

# XML 1.0 2.8 and 4.3.3.
_DECLARATION = re.compile(
    r"<\?xml\s[^>]*?encoding\s*=\s*(?:\"([A-Za-z][\w.-]*)\"|'([A-Za-z][\w.-]*)')", re.ASCII
)


def read_text(body: bytes, kind: MediaType) -> str | bytes:
    """The text of a body of that type; its bytes where nobody says what charset it is in, and it is
    not UTF-8. Raises InvalidArgument for what is not in the charset that it claims."""
    charset = kind.parameters.get("charset") or None
    if charset is None and body[:1] in _FIRST_OF_MARKS:
        charset = marked(body)
    if charset is None and kind.is_xml:
        charset = _declared(body[:_DECLARATION_LENGTH].decode("latin-1"))
    try:
        return decode_text(body, charset).removeprefix(MARK)
    except InvalidArgument:
        if charset is not None or kind.name in ("", "text/plain"):
            raise
        return body


def marked(body: bytes) -> str | None:
    """The charset that a byte order mark tells."""
    return next((name for mark, name in _MARKS if body.startswith(mark)), None)


def write_text(text: str, kind: MediaType) -> bytes:
    """The text in the charset of the type; without one XML is in that which it declares, and
    anything else in UTF-8. Raises EncodeError."""
    charset = kind.parameters.get("charset")
    if charset is None and kind.is_xml:
        charset = _declared(text[:_DECLARATION_LENGTH])
    try:
        return text.encode(codec_of(charset) if charset else "utf-8")
    except (InvalidArgument, UnicodeError) as error:
        raise EncodeError(f"text cannot be written as {kind.name}; {charset=}") from error


def _declared(text: str) -> str | None:
    """The charset that the declaration of XML names, if it is one that is known."""
    match = _DECLARATION.match(text)
    if match is None:
        return None
    charset = match[1] or match[2]
    try:
        codec_of(charset)
    except InvalidArgument:
        return None
    return charset
