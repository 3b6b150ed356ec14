"""What a person is told of a name or function that is not there.

Lives here: the words, with the near name where one is near, and with what a function takes where
only the number of arguments is wrong. Whether it is an error is scope.py's to say.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from greenflow.lang.cel.library import FUNCTIONS, METHODS, NAMESPACES, VARIADIC
from greenflow.lang.cel.macros import MACROS

#: Macros that are called without a target, with the number of their arguments.
_FREE_MACROS = (("has", 1), ("cel.bind", 3))


def name(unknown: str, declared: Iterable[str]) -> str:
    """Of a name that is none of those declared, nor what functions are behind (`math`)."""
    names = list(dict.fromkeys(declared))
    if close := difflib.get_close_matches(unknown, [*names, *NAMESPACES], 1):
        hint = f"did you mean {close[0]}?"
    elif len(names) == 1:
        hint = f"did you mean {names[0]}.{unknown}?"
    else:
        hint = f"declared are {', '.join(names)}" if names else "nothing is"
    return f"{unknown!r} is not declared; {hint}"


def call(unknown: str, arguments: int, is_method: bool) -> str:
    """Of a function or method with a number of arguments, in which the target of a method counts
    as one, that is not there so."""
    functions, methods = _takes(FUNCTIONS, _FREE_MACROS), _takes(METHODS, MACROS)
    known, others = (methods, functions) if is_method else (functions, methods)
    given = arguments - is_method
    if unknown in known:
        return f"{unknown}() takes {_numbers(known[unknown])}, not {given}"
    if unknown in others:
        example = f"{unknown}(x)" if is_method else f"x.{unknown}()"
        return f"{unknown}() is a {'function' if is_method else 'method'}: write {example}"
    close = difflib.get_close_matches(unknown, known, 1)
    hint = f"; did you mean {close[0]}()?" if close else ""
    return f"there is no {'method' if is_method else 'function'} {unknown!r}{hint}"


def _takes(*tables: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    """The numbers of arguments by name."""
    found: dict[str, set[int]] = {}
    for table in tables:
        for known, count in table:
            found.setdefault(known, set()).add(count)
    return found


def _numbers(counts: set[int]) -> str:
    """Such as `1 or 2 arguments`."""
    if VARIADIC in counts:
        return "1 argument or more"
    *before, last = sorted(counts)
    listed = f"{', '.join(map(str, before))} or {last}" if before else str(last)
    return f"{listed} argument{'' if counts == {1} else 's'}"
