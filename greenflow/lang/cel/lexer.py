"""From code to tokens.

Lives here: the shape of numbers, strings, names and operators, and the escapes of strings. Tokens
are made one at a time, so the parser stops a bomb before the rest of it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from greenflow.lang.cel.values import MAX_UINT, UInt

_TOKEN = re.compile(
    r"""
      (?P<skip>   (?: [ \t\r\n\f]+ | //[^\n]* )+ )
    | (?P<float>  [0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+
                | \.[0-9]+(?:[eE][+-]?[0-9]+)? )
    | (?P<int>    (?: 0[xX][0-9a-fA-F]+ | [0-9]+ ) [uU]? )
    | (?P<string> (?: [bB][rR]? | [rR][bB]? )? (?= ['"] ) )
    | (?P<name>   [A-Za-z_][A-Za-z0-9_]* )
    | (?P<quoted> `[A-Za-z0-9_.\-/ ]+` )
    | (?P<op>     && | \|\| | == | != | <= | >= | [-+*/%!<>?:.,()\[\]{}] )
    """,
    re.VERBOSE,
)

# What follows the opening quote, through the closing one, by the quote and whether it is raw. A
# short string ends on its line.
_REST = {
    (quote, raw): re.compile(
        (r".*?" if raw else r"(?:[^\\]|\\.)*?") + quote
        if len(quote) == 3
        else (rf"[^{quote}\r\n]*" if raw else rf"(?:[^{quote}\\\r\n]|\\[^\r\n])*") + quote,
        re.DOTALL,
    )
    for quote in ("'", '"', "'''", '"""')
    for raw in (False, True)
}

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2})"
    r"|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))",
    re.DOTALL,
)
_SIMPLE = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`", strict=True))

RESERVED = frozenset(
    (
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    )
)


class Token(NamedTuple):
    """`kind` is literal, name, quoted, op or end; `at` the offset in the code."""

    kind: str
    value: Any
    at: int


class Wrong(Exception):
    """Code that cannot be compiled: why, and at which offset."""

    def __init__(self, reason: str, at: int) -> None:
        self.reason, self.at = reason, at
        super().__init__(reason)


def tokens(code: str) -> Iterator[Token]:
    """The tokens of the code, then `end` for ever. Raises Wrong."""
    at = 0
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None:
            raise Wrong(f"unexpected character {code[at]!r}", at)
        kind, text = match.lastgroup, match[0]
        begin, at = at, match.end()
        if kind == "op" or kind == "name":
            yield Token(kind, text, begin)
        elif kind == "string":
            value, at = _string(code, begin, text.lower())
            yield Token("literal", value, begin)
        elif kind == "quoted":
            yield Token("quoted", text[1:-1], begin)
        elif kind == "float":
            yield Token("literal", float(text), begin)
        elif kind == "int":
            yield Token("literal", _integer(text, begin), begin)
    while True:
        yield Token("end", "the end", len(code))


def _integer(text: str, at: int) -> int:
    digits = text.rstrip("uU")
    # More digits than 64 bits can need; Python refuses to read thousands of them.
    number = int(digits, 16 if digits[:2] in ("0x", "0X") else 10) if len(digits) < 100 else -1
    if not 0 <= number <= MAX_UINT:
        raise Wrong("the number does not fit 64 bits", at)
    return UInt(number) if digits != text else number


def _string(code: str, begin: int, prefix: str) -> tuple[str | bytes, int]:
    at = begin + len(prefix)
    raw = "r" in prefix
    quote = code[at : at + 3] if code[at : at + 3] in ("'''", '"""') else code[at]
    start = at + len(quote)
    rest = _REST[quote, raw].match(code, start)
    if rest is None:
        raise Wrong("the string has no end", begin)
    end = rest.end()
    text = code[start : end - len(quote)]
    if "b" in prefix:
        return _unescape_bytes(text, raw, start), end
    return text if raw or "\\" not in text else _unescape(text, start), end


def _unescape(text: str, start: int) -> str:
    def replace(match: re.Match[str]) -> str:
        simple, byte, octal, short, long, wrong = match.groups()
        if simple is not None:
            return _SIMPLE[simple]
        if wrong is not None:
            raise Wrong(f"unknown escape \\{wrong}", start + match.start())
        digits = byte or short or long
        point = int(digits, 16) if digits else int(octal, 8)
        if point > 0x10FFFF or 0xD800 <= point < 0xE000:
            raise Wrong("the escape is no character", start + match.start())
        return chr(point)

    return _ESCAPE.sub(replace, text)


def _unescape_bytes(text: str, raw: bool, start: int) -> bytes:
    if raw or "\\" not in text:
        return text.encode("utf-8", "surrogatepass")
    parts, at = [], 0
    for match in _ESCAPE.finditer(text):
        parts.append(text[at : match.start()].encode("utf-8", "surrogatepass"))
        at = match.end()
        simple, byte, octal, *_ = match.groups()
        if simple is not None:
            parts.append(_SIMPLE[simple].encode())
        elif byte or octal:
            parts.append(bytes([int(byte, 16) if byte else int(octal, 8)]))
        else:
            raise Wrong("no escape that bytes can have", start + match.start())
    parts.append(text[at:].encode("utf-8", "surrogatepass"))
    return b"".join(parts)
