"""The judge: YAML 1.2 texts to events, by the scanner and parser of ruamel.yaml, put right.

Lives here: what ruamel's own scanner reads otherwise than YAML 1.2 says, or slowly; each method
names its section of the YAML 1.2.2 specification. Not here: what values the events mean
(composer.py), and when the judge is asked (events.py).

ruamel's scanner keeps the simple keys, the indentation and the queue of tokens; its parser makes
events of them. Where it is in the text is in cursor.py, what scalars it meets in texts.py.

Where the specification and libyaml, by which YAML files have been written for twenty years,
disagree on whether something is allowed, what libyaml allows is allowed: `[-]`, a comment without a
blank before it, quoted texts whose later lines are not indented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml.events import NodeEvent, ScalarEvent
from ruamel.yaml.parser import Parser
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

from greenflow.spec.syntax import MAX_DEPTH, too_deep
from greenflow.spec.syntax.yaml.cursor import BREAK, Cursor, stand_ins
from greenflow.spec.syntax.yaml.texts import BLANKS, SPACES, ScalarScanner

_END = "\0\r\n"
_BLANK = " \t\0\r\n"
_IN_FLOW = ",[]{}"
_NEVER_FIRST = frozenset(",[]{}#&*!|>'\"%@`" + _BLANK)
_NOTHING_MORE = re.compile(rf"[ \t]*(?:#[^\r\n\0]*)?(?:{BREAK}|(?=\0))")

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
    names = stand_ins(text)
    bare = text.removeprefix("\ufeff")
    parser = _Judge(text[: len(text) - len(bare)] + bare.translate(names))
    real = {ord(name): chr(code) for code, name in names.items()}
    while parser.check_event():
        event = parser.get_event()
        if real and isinstance(event, NodeEvent):
            if event.anchor is not None:
                event.anchor = event.anchor.translate(real)
            if isinstance(event, ScalarEvent):
                event.value = event.value.translate(real)
        yield event


class _Judge(ScalarScanner, Parser):
    processing_version = (1, 2)  # whatever a %YAML line says
    comment_handling = None

    def __init__(self, text: str) -> None:
        self._resolver = self._scanner_reader = self
        self.anchors: set[str] = set()
        Cursor.__init__(self, text)
        Scanner.__init__(self, loader=self)
        Parser.__init__(self, self)

    @property
    def scanner(self) -> Any:
        return self

    @property
    def resolver(self) -> Any:
        return self

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
        blanks = BLANKS if self.flow_context or not self.allow_simple_key else SPACES
        found = blanks.match(self.buffer, self.pointer)
        assert found is not None
        self.advance(found.end())

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:
        """Brackets too deep are refused here: they are looked through for a key before there is an
        event, in time that grows with the square of their depth."""
        levels = [*self.flow_context, to_push]
        if len(levels) > MAX_DEPTH + (levels[:2] == ["[", "{"]):  # as depth_of says
            raise too_deep(self.line + 1, self.column + 1)
        Scanner.fetch_flow_collection_start(self, TokenClass, to_push)

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
        value: tuple[str | None, str] = (None, verbatim or "!")
        if handle is not None:
            value = "!" + handle, named
        elif suffix:
            value = "!", suffix
        return TagToken(value, start, self.get_mark())

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
