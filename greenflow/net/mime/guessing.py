"""What a body without Content-Type looks like: JSON, a form, text, or bytes.

Lives here: `guessed`, for listeners that are told to guess (BEHAVIOUR 10.8); nobody else does. The
order and the signs are those of uniflow's release of 2025, whose workflows count on them: JSON is
tried first, then what has the signs of a form, then text as browsers sniff it (WHATWG MIME
Sniffing, section 5.1).
"""

from __future__ import annotations

import re
from typing import Any

from greenflow.errors import InvalidArgument
from greenflow.net.mime.text import read_text
from greenflow.net.mime.types import media_type
from greenflow.net.mime.urlencoded import parse_form
from greenflow.payload.json import loads
from greenflow.payload.large import LARGE_BYTES, loads_in_turns

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
BYTES = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"

#: Bytes that browsers look at.
SNIFFED_BYTES = 512

_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")

# How documents begin that are no plain text, behind white space.
_MARKUP = re.compile(
    rb"\s*(?:<(?:!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|H1|DIV|FONT|TABLE|A|STYLE|TITLE|B|BODY|BR|P)"
    rb"[\s>]|<!--|<\?xml|%PDF-|%!PS-Adobe-)",
    re.IGNORECASE,
)

# What a form has and other text seldom; an escape that is none, or a semicolon, tells against it.
_FORM = re.compile(rb"[=&+%]")
_NO_FORM = re.compile(rb";|%(?![0-9A-Fa-f]{2})")


def guessed(body: bytes) -> tuple[str, Any]:
    """The Content-Type that a body seems to have, and its value. An empty one is an empty text."""
    try:
        return JSON, loads(body) if len(body) < LARGE_BYTES else loads_in_turns(body)
    except InvalidArgument:
        pass
    is_utf8 = _is_utf8(body)
    if is_utf8 and _FORM.search(body) and not _NO_FORM.search(body):
        return FORM, parse_form(body)
    head = body[:SNIFFED_BYTES]
    if is_utf8 and not _BINARY.search(head) and not _MARKUP.match(head):
        return TEXT, read_text(body, media_type(TEXT))
    return BYTES, body


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
