"""The judge: YAML 1.2 texts to events, by the scanner and parser of ruamel.yaml, put right.

Lives here: what ruamel's own scanner reads otherwise than YAML 1.2 says, or slowly; each method
names its section of the YAML 1.2.2 specification. Not here: what values the events mean
(composer.py), and when the judge is asked (events.py).

ruamel's scanner keeps the simple keys, the indentation and the queue of tokens; its parser makes
events of them. All methods below work on `buffer`, the whole text with a NUL behind it; no other
NUL and no character that YAML does not allow is in it. `pointer` and `index` are the same place.

Where the specification and libyaml, by which YAML files have been written for twenty years,
disagree on whether something is allowed, what libyaml allows is allowed: `[-]`, a comment without a
blank before it, quoted texts whose later lines are not indented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml.error import FileMark
from ruamel.yaml.events import NodeEvent, ScalarEvent
from ruamel.yaml.parser import Parser
from ruamel.yaml.reader import Reader
from ruamel.yaml.scanner import Scanner, ScannerError
from ruamel.yaml.tokens import (
    AliasToken,
    AnchorToken,
    DirectiveToken,
    DocumentEndToken,
    FlowMappingEndToken,
    FlowSequenceEndToken,
    ScalarToken,
    TagToken,
)

#: What YAML 1.1 takes for a line break and 1.2 for text (5.4), and a byte order mark inside.
#: ruamel's code knows them as breaks in many places, so they are read under other names.
ODD_CHARACTERS = "\x85\u2028\u2029\ufeff"

_PRIVATE_USE = range(0xE000, 0xF900)

_END = "\0\r\n"
_BLANK = " \t\0\r\n"
_IN_FLOW = ",[]{}"

_BREAK = r"(?:\r\n|\r|\n)"
_NOTHING_MORE = re.compile(rf"[ \t]*(?:#[^\r\n\0]*)?(?:{_BREAK}|(?=\0))")
_EMPTY_LINE = re.compile(rf"[ \t]*{_BREAK}")
_BLANKS = re.compile(r"[ \t]*")
_SPACES = re.compile(r" *")
_LINE_BREAK = re.compile(_BREAK)
_MARKER = re.compile(r"(?:---|\.\.\.)(?=[ \t\r\n\0])")

# Runs of a text without quotes, without its blanks: 7.3.3.
_PLAIN_IN_BLOCK = re.compile(r"(?:[^ \t\r\n\0:]|:(?![ \t\r\n\0]))+")
_PLAIN_IN_FLOW = re.compile(r"(?:[^ \t\r\n\0:,\[\]{}]|:(?![ \t\r\n\0,\[\]{}]))+")
_NEVER_FIRST = frozenset(",[]{}#&*!|>'\"%@`" + _BLANK)

_IN_DOUBLE = re.compile(r'[^"\\ \t\r\n\0]+')
_IN_SINGLE = re.compile(r"[^' \t\r\n\0]+")
_HEXADECIMAL = {length: re.compile(f"[0-9A-Fa-f]{{{length}}}") for length in (2, 4, 8)}

_BLOCK_HEADER = re.compile(
    r"[|>](?:([+-])([1-9])?|([1-9])([+-])?)?[ \t]*(?:#[^\r\n\0]*)?(?=[\r\n\0])"
)
_LINE = re.compile(r"[^\r\n\0]*")

_ANCHOR = re.compile(r"[^ \t\r\n\0,\[\]{}]+")
_URI = r"(?:[-0-9A-Za-z#;/?:@&=+$_.~*'()]|%[0-9A-Fa-f]{2})"
_TAG = re.compile(
    rf"!(?:<((?:{_URI}|[!,\[\]])+)>|([-0-9A-Za-z_]*!)({_URI}+)|({_URI}*))(?=[ \t\r\n\0,\[\]{{}}])"
)
_REST = r"[ \t]*(?:#[^\r\n\0]*)?(?=[\r\n\0])"
_YAML_LINE = re.compile(rf"%YAML[ \t]+([0-9]{{1,9}})\.([0-9]{{1,9}}){_REST}")
_TAG_LINE = re.compile(rf"%TAG[ \t]+(!(?:[-0-9A-Za-z_]*!)?)[ \t]+((?:{_URI}|[!,\[\]])+){_REST}")
_OTHER_LINE = re.compile(r"%(?!(?:YAML|TAG)[ \t\r\n\0])[^ \t\r\n\0][^\r\n\0]*")


def events(text: str) -> Iterator[Any]:
    """The events of a YAML text. Raises MarkedYAMLError, whose words faults.py changes for ours."""
    names = _stand_ins(text)
    parser = _Judge(text.translate(names) if names else text)
    real = {ord(name): chr(code) for code, name in names.items()}
    while parser.check_event():
        event = parser.get_event()
        if real and isinstance(event, NodeEvent):
            if event.anchor is not None:
                event.anchor = event.anchor.translate(real)
            if isinstance(event, ScalarEvent):
                event.value = event.value.translate(real)
        yield event


def _stand_ins(text: str) -> dict[int, str]:
    """For each odd character in the text, one for private use that is not in it. A byte order mark
    that begins the text is none of it."""
    inner = text.removeprefix("\ufeff")
    odd = [character for character in ODD_CHARACTERS if character in inner]
    used = set(text) if odd else set()
    free = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
    return {ord(character): name for character, name in zip(odd, free, strict=False)}


class _Judge(Reader, Scanner, Parser):
    processing_version = (1, 2)  # whatever a %YAML line says
    comment_handling = None

    def __init__(self, text: str) -> None:
        self._resolver = self._scanner_reader = self
        self.anchors: set[str] = set()
        Reader.__init__(self, text, loader=self)
        Scanner.__init__(self, loader=self)
        Parser.__init__(self, self)
        if text.startswith("\ufeff"):
            self.pointer = self.index = 1

    @property
    def scanner(self) -> Any:
        return self

    @property
    def resolver(self) -> Any:
        return self

    # The reader

    def check_printable(self, data: Any) -> None:
        """Has been done."""

    def peek(self, index: int = 0) -> str:
        return self.buffer[self.pointer + index : self.pointer + index + 1] or "\0"

    def prefix(self, length: int = 1) -> str:
        return self.buffer[self.pointer : self.pointer + length]

    def forward(self, length: int = 1) -> None:
        """Over characters of one line."""
        self.pointer += length
        self.index = self.pointer
        self.column += length

    def get_mark(self) -> FileMark:
        return FileMark(None, self.index, self.line, self.column)

    def advance(self, end: int) -> None:
        """To a place in the same line."""
        self.column += end - self.pointer
        self.pointer = self.index = end

    def next_line(self, start: int) -> None:
        """To the start of the next line."""
        self.pointer = self.index = start
        self.line += 1
        self.column = 0

    def scan_line_break(self) -> str:
        found = _LINE_BREAK.match(self.buffer, self.pointer)
        if found is None:
            return ""
        self.next_line(found.end())
        return "\n"

    # What a token is

    def check_key(self) -> bool:
        """`?` glued to text is text (7.3.3)."""
        after = self.peek(1)
        return after in _BLANK or (self.flow_level > 0 and after in _IN_FLOW)

    def check_value(self) -> bool:
        """`:` glued to text is text, but after a key in quotes or brackets (7.4.2)."""
        after = self.peek(1)
        if after in _BLANK:
            return True
        if not self.flow_context:
            return False
        if after in _IN_FLOW:
            return True
        last = self.tokens[-1] if self.tokens else None
        return self.flow_level in self.possible_simple_keys and (
            isinstance(last, FlowSequenceEndToken | FlowMappingEndToken)
            or (isinstance(last, ScalarToken) and not last.plain)
        )

    def check_plain(self) -> bool:
        first = self.peek()
        if first not in "-?:":
            return first not in _NEVER_FIRST
        after = self.peek(1)
        return after not in _BLANK and not (
            first != "-" and self.flow_level > 0 and after in _IN_FLOW
        )

    def scan_to_next_token(self) -> None:
        """Over blanks, comments and line breaks. A tab may stand in a line that holds nothing, and
        where no key can begin (6.1)."""
        while found := _NOTHING_MORE.match(self.buffer, self.pointer):
            if self.buffer[found.end() - 1] not in _END:  # nor a break: the text ends
                self.advance(found.end())
                return
            if found.end() == self.pointer:
                return
            self.next_line(found.end())
            if not self.flow_context:
                self.allow_simple_key = True
        blanks = _BLANKS if self.flow_context or not self.allow_simple_key else _SPACES
        found = blanks.match(self.buffer, self.pointer)
        assert found is not None
        self.advance(found.end())

    # Scalars

    def scan_plain(self) -> ScalarToken:
        """A text without quotes (7.3.3)."""
        start = end = self.get_mark()
        run = _PLAIN_IN_FLOW if self.flow_context else _PLAIN_IN_BLOCK
        pieces: list[str] = []
        blanks = ""
        while self.peek() != "#" and (found := run.match(self.buffer, self.pointer)):
            pieces += (blanks, found[0])
            self.advance(found.end())
            end = self.get_mark()
            self.allow_simple_key = False
            found = _BLANKS.match(self.buffer, self.pointer)
            assert found is not None
            if self.buffer[found.end()] in "\r\n":
                folded = self.next_plain_line(start)
                if folded is None:
                    break
                blanks = folded
            elif found[0]:
                self.advance(found.end())
                blanks = found[0]
            else:
                break
        return ScalarToken("".join(pieces), True, start, end)

    def next_plain_line(self, start: Any) -> str | None:
        """What stands for the line breaks when the text goes on (6.5); None when it cannot."""
        breaks = self.skip_empty_lines()
        self.allow_simple_key = True
        if _MARKER.match(self.buffer, self.pointer):
            return None
        found = _BLANKS.match(self.buffer, self.pointer)
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
        return "\n" * (breaks - 1) or " "

    def skip_empty_lines(self) -> int:
        """To the start of the next line that holds something. How many breaks were passed."""
        breaks = 0
        while found := _EMPTY_LINE.match(self.buffer, self.pointer):
            self.next_line(found.end())
            breaks += 1
        return breaks

    def scan_flow_scalar(self, style: str) -> ScalarToken:
        """A text in quotes (7.3.1, 7.3.2)."""
        start = self.get_mark()
        run = _IN_DOUBLE if style == '"' else _IN_SINGLE
        pieces: list[str] = []
        self.forward()
        while True:
            if found := run.match(self.buffer, self.pointer):
                pieces.append(found[0])
                self.advance(found.end())
            sign = self.peek()
            if sign == "'" and self.peek(1) == "'":
                pieces.append("'")
                self.forward(2)
            elif sign == style:
                self.forward()
                return ScalarToken("".join(pieces), False, start, self.get_mark(), style)
            elif sign == "\\":
                pieces.append(self.scan_escape(start))
            elif sign == "\0":
                problem = "found unexpected end of stream"
                raise ScannerError("while scanning a quoted scalar", start, problem, self.get_mark())
            else:
                found = _BLANKS.match(self.buffer, self.pointer)
                assert found is not None
                if self.buffer[found.end()] in "\r\n":
                    pieces.append("\n" * (self.next_quoted_line(start) - 1) or " ")
                else:
                    pieces.append(found[0])
                    self.advance(found.end())

    def next_quoted_line(self, start: Any) -> int:
        breaks = self.skip_empty_lines()
        if _MARKER.match(self.buffer, self.pointer):
            problem = "found unexpected document separator"
            raise ScannerError("while scanning a quoted scalar", start, problem, self.get_mark())
        found = _BLANKS.match(self.buffer, self.pointer)
        assert found is not None
        self.advance(found.end())
        return breaks

    def scan_escape(self, start: Any) -> str:
        """Behind a backslash (5.7)."""
        sign = self.peek(1)
        if sign in "\r\n":
            self.forward()
            return "\n" * (self.next_quoted_line(start) - 1)
        if sign in self.ESCAPE_REPLACEMENTS:
            self.forward(2)
            return str(self.ESCAPE_REPLACEMENTS[sign])
        if sign in self.ESCAPE_CODES:
            found = _HEXADECIMAL[self.ESCAPE_CODES[sign]].match(self.buffer, self.pointer + 2)
            code = -1 if found is None else int(found[0], 16)
            if found is not None and code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
                self.advance(found.end())
                return chr(code)
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
        empty_line = re.compile(rf" {{0,{indent}}}{_BREAK}")
        pieces: list[str] = []
        empty, last_break, was_blank = "", "", False
        while True:
            while found := empty_line.match(self.buffer, self.pointer):
                self.next_line(found.end())
                empty += "\n"
            begin = self.pointer + indent
            if self.buffer[self.pointer : begin] != " " * indent or self.buffer[begin] == "\0":
                break
            if not indent and _MARKER.match(self.buffer, begin):
                break
            is_blank = self.buffer[begin] in " \t"
            if style == "|" or not last_break or was_blank or is_blank:
                pieces.append(last_break)
            elif not empty:
                pieces.append(" ")
            found = _LINE.match(self.buffer, begin)
            assert found is not None
            pieces += (empty, found[0])
            self.advance(found.end())
            last_break, empty, was_blank = self.scan_line_break(), "", is_blank
        if chomping != "-":
            pieces.append(last_break)
        if chomping == "+":
            pieces.append(empty)
        return ScalarToken("".join(pieces), False, start, self.get_mark(), style)

    def find_indentation(self, start: Any) -> int:
        """That of the first line which holds something (8.1.1.1)."""
        least = self.indent + 1
        deepest, deepest_line, pointer, line = 0, 0, self.pointer, self.line
        while True:
            found = _SPACES.match(self.buffer, pointer)
            assert found is not None
            width = len(found[0])
            line_break = _LINE_BREAK.match(self.buffer, found.end())
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

    # Anchors, tags, directives

    def scan_anchor(self, TokenClass: Any) -> Any:
        """Names hold all but blanks and the signs of lists and maps (6.9.2). `*name:` before a
        value is the key `*name` where no anchor has a colon in its name, as libyaml reads it."""
        start = self.get_mark()
        found = _ANCHOR.match(self.buffer, self.pointer + 1)
        name = found[0] if found is not None else ""
        if TokenClass is AliasToken and name.endswith(":") and name not in self.anchors:
            name = name[:-1]
        if not name:
            problem = "expected a name"
            raise ScannerError("while scanning an anchor", start, problem, start)
        self.advance(self.pointer + 1 + len(name))
        if TokenClass is AnchorToken:
            self.anchors.add(name)
        return TokenClass(name, start, self.get_mark())

    def scan_tag(self) -> TagToken:
        start = self.get_mark()
        found = _TAG.match(self.buffer, self.pointer)
        if found is None or (self.buffer[found.end()] in _IN_FLOW and not self.flow_context):
            raise ScannerError("while scanning a tag", start, "found no tag", start)
        verbatim, handle, named, suffix = found.groups()
        self.advance(found.end())
        value = ("!" + handle, named) if handle is not None else ("!", suffix)
        if not any(found.groups()):
            value = (None, "!")
        return TagToken((None, verbatim) if verbatim else value, start, self.get_mark())

    def scan_directive(self) -> DirectiveToken:
        """`%YAML` and `%TAG` (6.8); others are passed over."""
        start = self.get_mark()
        value: Any = None
        if found := _YAML_LINE.match(self.buffer, self.pointer):
            name, value = "YAML", (int(found[1]), int(found[2]))
        elif found := _TAG_LINE.match(self.buffer, self.pointer):
            name, value = "TAG", (found[1], found[2])
        elif found := _OTHER_LINE.match(self.buffer, self.pointer):
            name = ""
        else:
            raise ScannerError("while scanning a directive", start, "found no directive", start)
        self.advance(found.end())
        end = self.get_mark()
        self.scan_line_break()
        return DirectiveToken(name, value, start, end)

    def fetch_stream_end(self) -> None:
        """As libyaml does, in a line of its own."""
        if self.column:
            self.line += 1
            self.column = 0
        Scanner.fetch_stream_end(self)

    # The parser

    def parse_implicit_document_start(self) -> Any:
        while self.check_token(DocumentEndToken):
            self.get_token()
        return Parser.parse_implicit_document_start(self)

    def parse_document_start(self) -> Any:
        self.anchors.clear()
        return Parser.parse_document_start(self)

    def parse_node(self, block: bool = False, indentless_sequence: bool = False) -> Any:
        """Begins with its anchor or tag, whichever is first."""
        token = self.peek_token()
        event = Parser.parse_node(self, block, indentless_sequence)
        if isinstance(token, AnchorToken | TagToken):
            event.start_mark = token.start_mark
        return event

