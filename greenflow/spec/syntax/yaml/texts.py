"""The scalars of YAML as the judge reads them: without quotes, in quotes, below `|` or `>`.

Lives here: what `scanner.py` does when a scalar begins, and `pieces_of`, which does it once more
for one scalar, to tell where each of its characters is written. Each method names its section of
the YAML 1.2.2 specification.

What has been read of a scalar is kept in pieces: a text, and where in the buffer it is written. A
piece stands there as it is, or it is one character (an escape, a line break that became a blank).
"""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml.error import FileMark
from ruamel.yaml.scanner import Scanner, ScannerError
from ruamel.yaml.tokens import ScalarToken

from greenflow.spec.syntax.yaml.cursor import BREAK, LINE_BREAK, Cursor

_EMPTY_LINE = re.compile(rf"[ \t]*({BREAK})")
BLANKS = re.compile(r"[ \t]*")
SPACES = re.compile(r" *")
_MARKER = re.compile(r"(?:---|\.\.\.)(?=[ \t\r\n\0])")


# Runs of a text without quotes, without its blanks: 7.3.3.
_PLAIN_IN_BLOCK = re.compile(r"(?:[^ \t\r\n\0:]|:(?![ \t\r\n\0]))+")
_PLAIN_IN_FLOW = re.compile(r"(?:[^ \t\r\n\0:,\[\]{}]|:(?![ \t\r\n\0,\[\]{}]))+")

_IN_DOUBLE = re.compile(r'[^"\\ \t\r\n\0]+')
_IN_SINGLE = re.compile(r"[^' \t\r\n\0]+")
_HEXADECIMAL = {length: re.compile(f"[0-9A-Fa-f]{{{length}}}") for length in (2, 4, 8)}


_BLOCK_HEADER = re.compile(
    r"[|>](?:([+-])([1-9])?|([1-9])([+-])?)?[ \t]*(?:#[^\r\n\0]*)?(?=[\r\n\0])"
)
_LINE = re.compile(r"[^\r\n\0]*")

# The tag and anchor before a scalar.
_PROPERTIES = re.compile(
    r"(?:(?:!<[^>]*+>|[!&][^ \t\r\n\0,\[\]{}]*+)(?:[ \t\r\n]++(?:#[^\r\n\0]*+)?)++)*+"
)

Piece = tuple[int, str]
"""Where something of a scalar is written, and what it is."""


def joined(pieces: list[Piece]) -> str:
    """The scalar that was read in pieces."""
    return "".join([piece for _, piece in pieces])


def pieces_of(text: str, start: int, end: int, value: str) -> list[Piece] | None:
    """The pieces of a scalar with that value, which is written from `start` to `end` and has been
    read before; None where that cannot be told."""
    found = _PROPERTIES.match(text, start, end)
    assert found is not None  # none are some
    start = found.end()
    scalar = text[start:end]
    indents = [-1]
    header = _BLOCK_HEADER.match(scalar + "\0")
    if header is not None and (header[2] or header[3]):
        # The number adds to the indentation of what is around, which does not stand in the scalar
        # and is no deeper than its first line.
        indents += range(start - text.rfind("\n", 0, start))
    for indent in indents:
        try:
            pieces = _OneScalar(scalar, indent).pieces
        except ScannerError:
            continue
        if joined(pieces) == value:
            return [(start + place, piece) for place, piece in pieces]
    return None


def folded(breaks: list[int]) -> list[Piece]:
    """What line breaks in a row become (6.5): one is a blank, of more the first is lost."""
    return lines_of(breaks) or [(breaks[0], " ")]


def lines_of(breaks: list[int]) -> list[Piece]:
    """What is left of line breaks in a row without the first."""
    return [(place, "\n") for place in breaks[1:]]


class ScalarScanner(Cursor, Scanner):
    #: Of the scalar that was read last.
    pieces: list[Piece]

    def scan_plain(self) -> ScalarToken:
        """A text without quotes (7.3.3)."""
        start = end = self.get_mark()
        run = _PLAIN_IN_FLOW if self.flow_context else _PLAIN_IN_BLOCK
        pieces = self.pieces = []
        blanks: list[Piece] = []
        while self.peek() != "#" and (found := run.match(self.buffer, self.pointer)):
            pieces += blanks
            pieces.append((self.pointer, found[0]))
            self.advance(found.end())
            end = self.get_mark()
            self.allow_simple_key = False
            found = BLANKS.match(self.buffer, self.pointer)
            assert found is not None
            if self.buffer[found.end()] in "\r\n":
                folded = self.next_plain_line(start)
                if folded is None:
                    break
                blanks = folded
            elif found[0]:
                blanks = [(self.pointer, found[0])]
                self.advance(found.end())
            else:
                break
        return ScalarToken(joined(pieces), True, start, end)

    def next_plain_line(self, start: Any) -> list[Piece] | None:
        """What stands for the line breaks when the text goes on (6.5); None when it cannot."""
        breaks = self.skip_empty_lines()
        self.allow_simple_key = True
        if _MARKER.match(self.buffer, self.pointer):
            return None
        found = BLANKS.match(self.buffer, self.pointer)
        assert found is not None
        indent = self.indent + 1
        tab = found[0].find("\t", 0, indent)
        if tab >= 0 and self.buffer[found.end()] not in "\0#":
            self.advance(self.pointer + tab)
            raise ScannerError(
                "while scanning a plain scalar", start, "found a tab", self.get_mark()
            )
        self.advance(found.end())
        if not self.flow_context and self.column < indent:
            return None
        return folded(breaks)

    def skip_empty_lines(self) -> list[int]:
        """To the start of the next line that holds something. Where the breaks are that were
        passed."""
        breaks = []
        while found := _EMPTY_LINE.match(self.buffer, self.pointer):
            self.next_line(found.end())
            breaks.append(found.start(1))
        return breaks

    def scan_flow_scalar(self, style: str) -> ScalarToken:
        """A text in quotes (7.3.1, 7.3.2)."""
        start = self.get_mark()
        run = _IN_DOUBLE if style == '"' else _IN_SINGLE
        pieces = self.pieces = []
        self.forward()
        while True:
            if found := run.match(self.buffer, self.pointer):
                pieces.append((self.pointer, found[0]))
                self.advance(found.end())
            sign = self.peek()
            if sign == "'" and self.peek(1) == "'":
                pieces.append((self.pointer, "'"))
                self.forward(2)
            elif sign == style:
                self.forward()
                return ScalarToken(joined(pieces), False, start, self.get_mark(), style)
            elif sign == "\\":
                pieces += self.scan_escape(start)
            elif sign == "\0":
                problem = "found unexpected end of stream"
                raise ScannerError(
                    "while scanning a quoted scalar", start, problem, self.get_mark()
                )
            else:
                found = BLANKS.match(self.buffer, self.pointer)
                assert found is not None
                if self.buffer[found.end()] in "\r\n":
                    pieces += folded(self.next_quoted_line(start))
                else:
                    pieces.append((self.pointer, found[0]))
                    self.advance(found.end())

    def next_quoted_line(self, start: Any) -> list[int]:
        breaks = self.skip_empty_lines()
        if _MARKER.match(self.buffer, self.pointer):
            problem = "found unexpected document separator"
            raise ScannerError("while scanning a quoted scalar", start, problem, self.get_mark())
        found = BLANKS.match(self.buffer, self.pointer)
        assert found is not None
        self.advance(found.end())
        return breaks

    def scan_escape(self, start: Any) -> list[Piece]:
        """Behind a backslash (5.7)."""
        sign, here = self.peek(1), self.pointer
        if sign in "\r\n":
            self.forward()
            return lines_of(self.next_quoted_line(start))
        if sign in self.ESCAPE_REPLACEMENTS:
            self.forward(2)
            return [(here, str(self.ESCAPE_REPLACEMENTS[sign]))]
        if sign in self.ESCAPE_CODES:
            found = _HEXADECIMAL[self.ESCAPE_CODES[sign]].match(self.buffer, self.pointer + 2)
            code = -1 if found is None else int(found[0], 16)
            if found is not None and code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
                self.advance(found.end())
                return [(here, chr(code))]
        problem = "found unknown escape character"
        raise ScannerError("while scanning a quoted scalar", start, problem, self.get_mark())

    def scan_block_scalar(self, style: str, rt: bool | None = False) -> ScalarToken:
        """A text below `|` or `>` (8.1)."""
        start = self.get_mark()
        header = _BLOCK_HEADER.match(self.buffer, self.pointer)
        if header is None:
            problem = "expected chomping or indentation indicators"
            raise ScannerError("while scanning a block scalar", start, problem, self.get_mark())
        self.advance(header.end())
        self.scan_line_break()
        chomping, increment = header[1] or header[4], header[2] or header[3]
        if increment is not None:
            indent = max(self.indent, 0) + int(increment)
        else:
            indent = self.find_indentation(start)
        empty_line = re.compile(rf" {{0,{indent}}}({BREAK})")
        pieces = self.pieces = []
        empty: list[Piece] = []
        last_break, was_blank = (self.pointer, ""), False
        while True:
            while found := empty_line.match(self.buffer, self.pointer):
                empty.append((found.start(1), "\n"))
                self.next_line(found.end())
            begin = self.pointer + indent
            if self.buffer[self.pointer : begin] != " " * indent or self.buffer[begin] == "\0":
                break
            if not indent and _MARKER.match(self.buffer, begin):
                break
            is_blank = self.buffer[begin] in " \t"
            if style == "|" or not last_break[1] or was_blank or is_blank:
                pieces.append(last_break)
            elif not empty:
                pieces.append((last_break[0], " "))
            found = _LINE.match(self.buffer, begin)
            assert found is not None
            pieces += empty
            pieces.append((begin, found[0]))
            self.advance(found.end())
            last_break = self.pointer, self.scan_line_break()
            empty, was_blank = [], is_blank
        if chomping != "-":
            pieces.append(last_break)
        if chomping == "+":
            pieces += empty
        return ScalarToken(joined(pieces), False, start, self.get_mark(), style)

    def find_indentation(self, start: Any) -> int:
        """That of the first line which holds something (8.1.1.1)."""
        least = self.indent + 1
        deepest, deepest_line, pointer, line = 0, 0, self.pointer, self.line
        while True:
            found = SPACES.match(self.buffer, pointer)
            assert found is not None
            width = len(found[0])
            line_break = LINE_BREAK.match(self.buffer, found.end())
            if line_break is None:
                break
            if width > deepest:
                deepest, deepest_line = width, line
            pointer, line = line_break.end(), line + 1
        here = self.buffer[found.end()]
        if here == "\t" and width < least:
            mark = FileMark(None, found.end(), line, width)
            raise ScannerError("while scanning a block scalar", start, "found a tab", mark)
        if here == "\0" or width < least:
            return max(deepest, width, least)
        if deepest > width:
            mark = FileMark(None, 0, deepest_line, width)
            problem = "found an empty line that is indented more than the text"
            raise ScannerError("while scanning a block scalar", start, problem, mark)
        return width


class _OneScalar(ScalarScanner):
    """Reads a text that is one scalar, in a block that is indented so. Raises ScannerError."""

    flow_context: list[str] = []  # its end is known, so what would end it in brackets is not asked

    def __init__(self, text: str, indent: int) -> None:
        Cursor.__init__(self, text)
        self.indent = indent
        style = self.peek()
        if style in ("|", ">"):
            self.scan_block_scalar(style)
        elif style in ("'", '"'):
            self.scan_flow_scalar(style)
        else:
            self.scan_plain()
