r"""What header fields are written in: tokens, quoted strings, blanks (RFC 9110 5.6).

Lives here: each expression once, as text to build other expressions of (`TOKEN`, `QUOTED`) and as a
question (`is_token`, `has_control`). What a field of its own has beside them, such as the
parameters of Content-Type or of an extension of WebSocket, is said where that field is read.

The expressions are possessive: what they have taken they do not give back, so that no input makes
them take more than one look at each character. For bytes, encode them: they are ASCII.
"""

from __future__ import annotations

import re

# RFC 9110 5.6.2: what may stand in a token, to be put between brackets.
TOKEN_CHARACTERS = r"!#$%&'*+\-.^_`|~0-9A-Za-z"

TOKEN = rf"[{TOKEN_CHARACTERS}]++"

# What no line of a field holds (RFC 9110 5.5): control characters, less the tab.
CONTROL_CHARACTERS = r"\x00-\x08\x0a-\x1f\x7f"

# RFC 9110 5.5: what the value of a field is made of, blanks and obs-text included.
FIELD_VALUE = r"[\t\x20-\x7e\x80-\xff]*+"

# RFC 9110 5.6.4: what stands between the quotes, and all of it.
QUOTED_TEXT = rf'(?:[^"\\{CONTROL_CHARACTERS}]++|\\[^{CONTROL_CHARACTERS}])*+'
QUOTED = rf'"{QUOTED_TEXT}"'

# RFC 9110 5.6.3: the blanks, to be put between brackets or stripped.
BLANKS = " \t"

_TOKEN = re.compile(TOKEN)
_CONTROL = re.compile(f"[{CONTROL_CHARACTERS}]")
_PAIR = re.compile(r"\\(.)")


def is_token(text: str) -> bool:
    """Whether it is a token: the name of a field, a method, a subprotocol."""
    return _TOKEN.fullmatch(text) is not None


def has_control(text: str) -> bool:
    """Whether a character is in it that would end a line of a field, or that none holds."""
    # Most texts are printable, and that question is the cheaper one.
    return not text.isprintable() and _CONTROL.search(text) is not None


def unquoted(text: str) -> str:
    """What a quoted string means, given without its quotes (RFC 9110 5.6.4)."""
    return _PAIR.sub(r"\1", text) if "\\" in text else text


def elements(field: str) -> list[str]:
    """The elements of a list without quoted strings in it, in lower case (RFC 9110 5.6.1)."""
    return [element.strip(BLANKS).lower() for element in field.split(",")]
