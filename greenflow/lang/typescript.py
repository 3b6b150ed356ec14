"""The language `typescript`: JavaScript with types, which are erased, not checked (15.10).

Lives here: the language. What is a type, and what becomes of it, is in script/. Namespaces with
values, decorators and imports are refused.
"""

from __future__ import annotations

from greenflow.lang import javascript, remembered
from greenflow.lang.javascript import hold, release
from greenflow.lang.javascript.beside import parsing_beside

__all__ = ["compile", "erase", "hold", "release"]  # the workers are those of JavaScript


@remembered
@parsing_beside
def erase(text: str) -> str:
    """The JavaScript of a TypeScript text. Raises CompileFailed for a syntax error and for what is
    not supported, with the author's line and column."""
    from greenflow.lang.script import without_types

    return without_types(text)


def compile(code: str) -> javascript.JavaScript:
    """A program of an ES module with types. Raises CompileFailed."""
    return javascript.compile(erase(code))
