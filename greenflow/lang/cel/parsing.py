"""From code to a tree, by the grammar.

Lives here: `parse`, the limits of code, and what a person is told of code that is none. The grammar
is grammar.py's, and the tree is made by builder.py.

All tokens are looked at before the first is parsed, so that code that is too much is refused at
once. Lexing and parsing are Lark's, and keep their stacks in lists, so brackets do not recurse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gevent import get_hub
from gevent.monkey import get_original

from greenflow.lang.cel.builder import Builder
from greenflow.lang.cel.meter import breathe, has_others
from greenflow.lang.cel.tree import MAX_DEPTH, Node, Wrong

if TYPE_CHECKING:
    from lark import Lark, Token

    from greenflow.lang.cel.grammar import Refused

#: Characters of code, as in cel-go: what a person writes is far below.
MAX_CODE = 100_000

#: Nodes of a tree: keeps one compile near 0.2 s.
MAX_NODES = 10_000

#: Brackets inside brackets: what a person writes is far below.
MAX_NESTING = 100

#: Tokens that are lexed and parsed before others may run: about 5 ms at 20 µs each.
TOKENS_A_TURN = 256

_OPENING = frozenset(("LPAR", "LSQB", "LBRACE"))
_CLOSING = {"RPAR": ")", "RSQB": "]", "RBRACE": "}"}
_NUMBERS = frozenset(("INT_LIT", "FLOAT_LIT"))
_STRINGS = frozenset(("STRING_LIT", "MLSTRING_LIT", "BYTES_LIT"))
_FIELD = frozenset(("IDENT", "QUOTED"))

#: What an operand may end with.
_ENDING = frozenset((*_CLOSING, *_NUMBERS, *_STRINGS, *_FIELD, "UINT_LIT", "BOOL_LIT", "NULL_LIT"))

#: What is no node: the other tokens are one each, but for the `?` of optional syntax.
_NO_NODE = frozenset((*_CLOSING, "LPAR", "COMMA", "COLON", "DOT"))

_PREFIX = re.compile(r"(?<![A-Za-z0-9_])(?:[bB][rR]?|[rR][bB]?)\Z")

_built: list[Lark] = []  # one, once it is there
_building = get_original("_thread", "allocate_lock")()  # native: held in any OS thread

_SHOWN = 80  # characters of a token that a person is shown


def parse(code: str) -> Node:
    """The tree of an expression. Raises Wrong, and ImportError where cel-python is not whole."""
    if len(code) > MAX_CODE:
        raise Wrong(f"the code is longer than {MAX_CODE} characters", 0)
    parser = _parser()
    from greenflow.lang.cel import grammar

    try:
        return grammar.parse(parser, code)
    except grammar.Refused as refused:
        raise _wrong(code, refused) from None


def _parser() -> Lark:
    """Lark's parser. Importing Lark and building take 0.1 s, in which others run."""
    if not _built:
        if has_others():
            get_hub().threadpool.apply(_build)
        else:
            _build()
    return _built[0]


def _build() -> None:
    from greenflow.lang.cel import grammar

    with _building:
        if not _built:
            parser = grammar.build(Builder(), Gate())
            parser.parse("null")  # compiles the patterns of the tokens
            _built.append(parser)


class _TooMuch(Wrong):
    """The code is beyond a limit, whatever else may be wrong with it."""


class Gate:
    """What tokens go through on their way from the lexer to the parser (Lark's `postlex`)."""

    always_accept = ()

    def __init__(self) -> None:
        self._tokens = 0  # lexed and parsed since others ran, in whatever code

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens. Raises Wrong: at once where the code is too much, else where it is wrong."""
        from lark import UnexpectedCharacters

        tokens: list[Token] = []
        failure: Exception | None = None
        try:
            for token in _checked(stream):
                tokens.append(token)
                self._count()
        except _TooMuch:
            raise
        except (Wrong, UnexpectedCharacters) as error:
            failure = error  # what is wrong before it is told first
        for token in tokens:
            yield token
            self._count()
        if failure is not None:
            raise failure

    def _count(self) -> None:
        self._tokens += 1
        if self._tokens >= TOKENS_A_TURN:
            self._tokens = 0
            breathe()


def _checked(stream: Iterator[Token]) -> Iterator[Token]:
    """The tokens, with the constants told from names. Raises _TooMuch for what is beyond a limit,
    and Wrong for what the rules let pass or have no good words for."""
    nodes = 0
    conditions = [0]  # of each bracket that is open, and of what is around them
    signs, sign = 0, ""  # that stand before an operand
    before = ""  # the kind of the token before
    for token in stream:
        kind, at = token.type, token.start_pos or 0
        if kind == "IDENT" and token.value in ("true", "false"):
            token.type = kind = "BOOL_LIT"
        ended = before in _ENDING
        if kind == "BANG" or (kind == "MINUS" and not ended):
            if sign not in ("", kind):
                raise Wrong(f"unexpected {token.value!r}: write brackets between ! and -", at)
            signs, sign = signs + 1, kind
            if signs > MAX_DEPTH:
                raise _TooMuch(f"the expression is nested deeper than {MAX_DEPTH}", at)
        else:
            if sign == "MINUS" and kind in _NUMBERS:
                nodes -= 1  # the sign is the number's
            signs, sign = 0, ""
        if kind in _OPENING:
            if kind == "LBRACE" and before in _FIELD:
                raise Wrong("messages are not supported, write a map", at)
            conditions.append(0)
            if len(conditions) > MAX_NESTING + 1:
                raise _TooMuch(f"brackets are nested deeper than {MAX_NESTING}", at)
        elif kind in _CLOSING and len(conditions) > 1:
            conditions.pop()
        elif kind == "COMMA":
            conditions[-1] = 0
        elif kind == "QMARK" and ended:
            conditions[-1] += 1
            if conditions[-1] > MAX_DEPTH:
                raise _TooMuch(f"the expression is nested deeper than {MAX_DEPTH}", at)
        nodes += kind not in _NO_NODE and (kind != "QMARK" or ended)
        if nodes > MAX_NODES:
            raise _TooMuch(f"the expression has more than {MAX_NODES} parts", at)
        before = kind
        yield token


def _wrong(code: str, refused: Refused) -> Wrong:
    """What a person is told of code that the grammar has no rule for."""
    at, token, wanted = refused.at, refused.token, refused.wanted
    if token is None:
        if code[at] in "'\"":
            prefix = _PREFIX.search(code, 0, at)
            return Wrong("the string has no end", prefix.start() if prefix else at)
        return Wrong(f"unexpected character {code[at]!r}", at)
    if token.type == "$END":
        shown = "the end"
    elif token.type in _STRINGS:
        shown = token.value[:_SHOWN].replace("\n", "\\n")
    else:
        shown = repr(token.value[:_SHOWN])
    if token.type == "IN" and "QUOTED" in wanted:
        return Wrong("'in' is no field's name, unless in backticks: `in`", at)
    return Wrong(f"unexpected {shown}{_instead(wanted)}", at)


def _instead(wanted: frozenset[str]) -> str:
    """What could stand there, by the tokens that could; nothing where much could."""
    if "PLUS" not in wanted:
        if "LPAR" in wanted:
            return ", a value is wanted"
        if "QUOTED" in wanted:
            return ", the name of a field is wanted"
        if "IDENT" in wanted:
            return ", a name is wanted"
    for kind, closing in _CLOSING.items():
        if kind in wanted:
            comma = "',' or " if "COMMA" in wanted else ""
            return f", {comma}{closing!r} is wanted"
    return ", ':' is wanted" if "COLON" in wanted else ""
