"""Content-Transfer-Encoding (RFC 2045 6): how mail writes bytes, and forms that learned from it.

Lives here: what such a part holds, and words in headers that are encoded likewise (RFC 2047). RFC
7578 4.7 wants no such encoding in a form, and some send one all the same. Others run in between.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, a2b_qp

from greenflow.errors import InvalidArgument
from greenflow.hub.breathing import Breath
from greenflow.net.mime.types import decode_text

# Bytes that are decoded in one go: a multiple of 4 characters, which are 3 bytes of base64.
SLICE_BYTES = 256 * 1024

_BLANKS = b"\r\n\t "

_WORD = re.compile(r"=\?([^\s?*]+)(?:\*[^\s?]*)?\?([bBqQ])\?([^\s?]*)\?=", re.ASCII)
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t]+(?==\?)")


def decode_transfer(data: bytes, encoding: str) -> bytes:
    """The bytes that were encoded so; as they are if it is no encoding (`8bit`, `binary`), or one
    that nobody knows. Raises InvalidArgument."""
    name = encoding.lower()
    if name == "base64":
        return _base64(data)
    if name == "quoted-printable":
        return _quoted_printable(data)
    return data


def _base64(data: bytes) -> bytes:
    breath = Breath()
    written = data.translate(None, _BLANKS)
    pieces = []
    for start in range(0, len(written), SLICE_BYTES):
        try:
            pieces.append(a2b_base64(written[start : start + SLICE_BYTES], strict_mode=True))
        except Error as error:
            raise InvalidArgument() from ValueError(f"a part that is no base64: {error}")
        breath.take()
    return b"".join(pieces)


def _quoted_printable(data: bytes) -> bytes:
    breath = Breath()
    pieces = []
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + SLICE_BYTES) + 1  # an escape is within a line
        end = end or (data.find(b"\n", start + SLICE_BYTES) + 1) or len(data)
        pieces.append(a2b_qp(data[start:end]))
        start = end
        breath.take()
    return b"".join(pieces)


def decode_words(text: str) -> str:
    """A text with its encoded words decoded, as senders of mail and .NET write file names; one that
    makes no sense stays as it is."""
    if "=?" not in text:
        return text
    return _WORD.sub(_decoded, _BETWEEN_WORDS.sub("", text))


def _decoded(word: re.Match[str]) -> str:
    charset, encoding, written = word.groups()
    try:
        data = written.encode("ascii")
        if encoding in "bB":
            return decode_text(a2b_base64(data), charset)
        return decode_text(a2b_qp(data, header=True), charset)
    except (UnicodeError, Error, InvalidArgument):
        return word[0]
