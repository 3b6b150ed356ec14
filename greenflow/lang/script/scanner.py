"""The tokens of TypeScript, one at a time: the lowest layer of the parser.

Lives here: what a token is, looking ahead, and where the parser's edits are made. A `/` is a
division until the parser, which knows where it stands, asks for a regular expression; a `>` stands
alone until an expression asks for a longer operator.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from greenflow.errors import CompileFailed
from greenflow.hub.breathing import pause
from greenflow.lang import MAX_CODE, MAX_DEPTH
from greenflow.lang.script.edits import Edits, with_common_line_ends

WORD, PRIVATE, NUMBER, STRING, TEMPLATE, REGEX, PUNCTUATION, END = range(8)

_A_STEP = 16  # levels of syntax: 0.2 ms, at the end of which others may run

LINE_END = re.compile(r"[\n\r\u2028\u2029]")

_TRIVIA = re.compile(r"(?:\s+|\ufeff+|//[^\n\r\u2028\u2029]*|/\*(?s:.*?)\*/)*+")

_ESCAPE = r"\\u[\da-fA-F]{4}|\\u\{[\da-fA-F]+\}"
_NAME = rf"(?:[^\W\d]|[$\u2118\u212e]|{_ESCAPE})(?:[\w$\u200c\u200d\u00b7]|{_ESCAPE})*+"

_TOKEN = re.compile(
    rf"""
    (?P<word>{_NAME})
    |(?P<private>\#{_NAME})
    |(?P<number>0[xX][\da-fA-F_]+n?|0[oO][0-7_]+n?|0[bB][01_]+n?
        |(?:\d[\d_]*+(?:\.[\d_]*+)?|\.\d[\d_]*+)(?:[eE][+-]?[\d_]+)?n?)
    |(?P<string>"(?:[^"\\\n\r]++|\\\r\n|\\[\s\S])*+"|'(?:[^'\\\n\r]++|\\\r\n|\\[\s\S])*+')
    |(?P<punctuation>\.\.\.|=>|[=!]==?|\*\*=?|<<=?|<=|&&=?|\|\|=?|\?\?=?|\?\.(?!\d)|\+\+|--|[-+*/%&|^]=
        |[{{}}()\[\];,<>+\-*/%&|^!~?:=.@`])
    """,
    re.VERBOSE,
)

_KINDS = {
    "word": WORD,
    "private": PRIVATE,
    "number": NUMBER,
    "string": STRING,
    "punctuation": PUNCTUATION,
}

_TEMPLATE = re.compile(r"(?:[^`\\$]++|\\[\s\S]|\$(?!\{))*+(?P<end>`|\$\{)")
_REGEX = re.compile(
    r"/(?:[^/\\\[\n\r\u2028\u2029]++|\\[^\n\r\u2028\u2029]|\[(?:[^\]\\\n\r\u2028\u2029]++|\\.)*+\])++/\w*"
)
_GREATER = re.compile(r">>>=|>>>|>>=|>>|>=|>")


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


# Words that are no names (ECMA-262 12.7.2, in modules).
RESERVED = words("""
    await break case catch class const continue debugger default delete do else enum export extends
    false finally for function if import in instanceof new null return super switch this throw true
    try typeof var void while with yield
    """)


class Place(NamedTuple):
    """Where the parser is, to come back to."""

    kind: int
    token: str
    start: int
    end: int
    newline: bool
    before: int
    edits: int
    lead: int
    tail: tuple[int, int]
    depth: int
    spaces: int


class Scanner:
    """The text, the token that is next, and the edits."""

    def __init__(self, text: str) -> None:
        if len(text.encode("utf-8", "replace")) > MAX_CODE:
            raise CompileFailed(f"the code has more than {MAX_CODE} bytes")
        self.text = text
        self.edits = Edits(text)
        self.kind = PUNCTUATION
        self.token = ""  # the text of a word or punctuation that is no name for sure, else a class
        self.start = self.end = 0
        self.newline = False  # whether a line ends before the token
        self.before = 0  # the end of the token before
        self.lead = -1  # the first token of an operand that no line end may precede
        self.tail = (-1, -1)  # what was erased last
        self.depth = 0
        self._levels = 0  # that there have been
        self._spaces: list[tuple[int, int]] = []
        self._has_rare_ends = any(end in text for end in ("\u2028", "\u2029")) or (
            "\r" in text.replace("\r\n", "")
        )
        if text.startswith("#!"):
            raise self.fault(0, "a snippet is no script: remove the line that begins with `#!`")
        self.next()

    # Tokens

    def next(self) -> None:
        """Go on to the next token."""
        self.before = self.end
        self._read(self.end)

    def _read(self, place: int) -> None:
        text = self.text
        trivia = _TRIVIA.match(text, place)
        start = trivia.end() if trivia else place
        self.newline = start > place and LINE_END.search(text, place, start) is not None
        if self._has_rare_ends and self.newline:
            self._spaces.append((place, start))
        self.start = start
        match = _TOKEN.match(text, start)
        if match is None:
            self._read_other(start)
            return
        self.end = match.end()
        group = match.lastgroup or ""
        self.kind = kind = _KINDS[group]
        if kind in (WORD, PUNCTUATION):
            self.token = token = match.group()
            if token == "`":
                self.scan_template()
            elif kind == WORD and "\\" in token:
                self.token = "a name"
        else:
            self.token = group

    def _read_other(self, start: int) -> None:
        if start >= len(self.text):
            self.kind, self.token, self.end = END, "", start
            return
        if self.text.startswith("/*", start):
            raise self.fault(start, "syntax error: a comment without end")
        if self.text[start] in "\"'":
            raise self.fault(start, "syntax error: a string without end")
        raise self.fault(start, f"syntax error at {self.text[start]!r}")

    def scan_template(self) -> None:
        """Read a template from its "`", or from the `}` of a substitution, to the next `${` or to
        its end: the tokens "`${" and "`"."""
        match = _TEMPLATE.match(self.text, self.start + 1)
        if match is None:
            raise self.fault(self.start, "syntax error: a template without end")
        self.kind, self.end = TEMPLATE, match.end()
        self.token = "`" if match["end"] == "`" else "`${"

    def scan_regex(self) -> None:
        """Read the token, which begins with `/`, as a regular expression."""
        match = _REGEX.match(self.text, self.start)
        if match is None:
            raise self.fault(self.start, "syntax error: a regular expression without end")
        self.kind, self.end, self.token = REGEX, match.end(), "regex"

    def scan_greater(self) -> str:
        """The token, which is a longer one in expressions if it begins with `>`."""
        if self.token == ">" and (match := _GREATER.match(self.text, self.start)):
            self.token, self.end = match.group(), match.end()
        return self.token

    def scan_less(self) -> bool:
        """Whether the token begins with `<`, as which alone it is then read."""
        if self.token in ("<", "<<"):
            self.token, self.end = "<", self.start + 1
            return True
        return False

    def is_name(self) -> bool:
        """Whether the token can name a variable."""
        return self.kind == WORD and self.token not in RESERVED

    def is_property_name(self) -> bool:
        """Whether the token can name a property as it is."""
        return self.kind in (WORD, PRIVATE, NUMBER, STRING)

    def take(self, token: str) -> bool:
        """Go on if the token is this one; whether it was."""
        if self.token == token and self.kind in (WORD, PUNCTUATION):
            self.next()
            return True
        return False

    def expect(self, token: str) -> None:
        """Go on from this token."""
        if not self.take(token):
            raise self.unexpected(f", where `{token}` is expected")

    def name(self) -> str:
        """Go on from a name; its text."""
        if not self.is_name():
            raise self.unexpected(", where a name is expected")
        text = self.text[self.start : self.end]
        self.next()
        return text

    # Looking ahead

    def place(self) -> Place:
        """Where the parser is."""
        return Place(
            self.kind,
            self.token,
            self.start,
            self.end,
            self.newline,
            self.before,
            self.edits.mark(),
            self.lead,
            self.tail,
            self.depth,
            len(self._spaces),
        )

    def back(self, place: Place) -> None:
        """Return to a place."""
        self.kind, self.token, self.start, self.end = place[:4]
        self.newline, self.before = place.newline, place.before
        self.lead, self.tail, self.depth = place.lead, place.tail, place.depth
        self.edits.back(place.edits)
        del self._spaces[place.spaces :]

    def ahead(self, test: Callable[[], bool]) -> bool:
        """What a test says that may go on; the parser stays."""
        place = self.place()
        try:
            return test()
        finally:
            self.back(place)

    # Edits

    def erase(self, start: int, first: str = " ", last: str = " ") -> None:
        """Put spaces over the tokens from the one that begins at start to the one before."""
        self.edits.blank(start, self.before, first, last)
        if start == self.lead:
            self.lead = self.start
        begin, end = self.tail
        is_next = end >= 0 and (gap := _TRIVIA.match(self.text, end)) and gap.end() >= start >= end
        self.tail = (begin if is_next else start, self.before)

    def erase_token(self) -> None:
        """Go on, and put spaces over the token."""
        start = self.start
        self.next()
        self.erase(start)

    def is_tail_erased(self) -> bool:
        """Whether the token before was erased."""
        return self.tail[1] == self.before

    def erased(self) -> str:
        """The text after the edits."""
        if self._spaces:
            common = with_common_line_ends(self.text, self._spaces)
            self.edits.text = common
        return self.edits.result()

    # Errors

    def fault(self, place: int, reason: str) -> CompileFailed:
        """An error at a place, to be raised."""
        line = self.text.count("\n", 0, place) + 1
        return CompileFailed(reason, line, place - self.text.rfind("\n", 0, place))

    def unexpected(self, more: str = "") -> CompileFailed:
        """A syntax error at the token, to be raised."""
        if self.kind == END:
            return self.fault(self.start, f"syntax error at the end of the code{more}")
        line = LINE_END.split(self.text[self.start : self.start + 200], maxsplit=1)[0]
        return self.fault(self.start, f"syntax error at {line[:40].strip()!r}{more}")

    def deeper(self) -> None:
        """A level of syntax more; `depth` is taken back by the caller. Now and then others run."""
        self.depth += 1
        self._levels += 1
        if not self._levels % _A_STEP:
            pause()
        if self.depth > MAX_DEPTH:
            raise self.fault(self.start, f"nested deeper than {MAX_DEPTH}")
