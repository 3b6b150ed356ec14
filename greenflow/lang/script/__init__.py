"""The syntax of JavaScript with types, and what is left of a text without them.

A parser of TypeScript's whole syntax reads the text once and says what is to be edited. It builds
no tree. Each module adds a layer of syntax to the one before: scanner.py tokens, types.py and
members.py what is only a type, functions.py, arrows.py, expressions.py and classes.py what stands
in expressions, enums.py and statements.py the rest, modules.py imports and exports. edits.py holds
the edits.

What is erased becomes spaces, so lines and columns stay the author's; only what has a meaning at
run time (enums, parameter properties, accessors) moves the columns behind it in its own line. Where
an erased token separated two statements, a `;` stands. Not here: whether the JavaScript is right,
which V8 says.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from greenflow.errors import CompileFailed
from greenflow.lang.script.modules import ModuleParser

# Calls of Python inside one another that the deepest text (MAX_DEPTH) takes.
_CALLS = 20_000


def without_types(text: str) -> str:
    """The JavaScript of a TypeScript text. Raises CompileFailed for a syntax error and for what is
    not supported, with the author's line and column."""
    return _parsed(text).erased()


def without_html_comments(text: str) -> str:
    """The text of a module of JavaScript, in which nothing looks like an HTML comment: a module has
    none (ECMA-262 B.1.1), and a script does. A text that is no JavaScript is returned as it is."""
    try:
        parser = _parsed(text)
    except CompileFailed:
        return text
    return parser.erased() if parser.edits.are_only_insertions() else text


def _parsed(text: str) -> ModuleParser:
    with _deep_calls():
        parser = ModuleParser(text)
        parser.module()
        return parser


_lock = threading.Lock()
_parsing = 0  # how many threads parse now
_usual_limit = 0  # of calls, while none parses


@contextmanager
def _deep_calls() -> Iterator[None]:
    """Allow more calls inside one another, for a while. The limit is that of all threads."""
    global _parsing, _usual_limit
    with _lock:
        if not _parsing:
            _usual_limit = sys.getrecursionlimit()
            sys.setrecursionlimit(max(_usual_limit, _CALLS))
        _parsing += 1
    try:
        yield
    finally:
        with _lock:
            _parsing -= 1
            if not _parsing:
                sys.setrecursionlimit(_usual_limit)


def _forked() -> None:
    global _lock, _parsing
    _lock, _parsing = threading.Lock(), 0


os.register_at_fork(after_in_child=_forked)
