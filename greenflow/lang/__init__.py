"""The languages of snippets: from code to what a packet's payload is handed to.

Lives here: the registry. Each language is a module beside this one, or of another package, found
through the entry points `greenflow.languages`: a function that takes code and returns a program, a
callable from payload to result. A program never changes its payload. Programs that keep nothing
between calls may be shared: a language whose programs do may put `remembered` on its function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from greenflow.errors import CompileFailed
from greenflow.extras import reason
from greenflow.plugins import offered
from greenflow.spec.syntax import Part, SyntaxFault


class Program(Protocol):
    """Compiled code: from a payload to a result."""

    def __call__(
        self,
        payload: Any,
        *,
        timeout: float | None = None,
        log: Callable[[str], object] | None = None,
    ) -> Any:
        """The result. `timeout` seconds bound the call, None means the language's own limit; what
        the code prints goes to `log`. An error of the code is raised, and is the packet's."""


GROUP = "greenflow.languages"  # the entry points that languages come from

# Programs that a language remembers by their code. 10,000 specs often share a few snippets; what is
# no longer used falls out.
CACHED = 1024

remembered = functools.lru_cache(maxsize=CACHED)


def languages() -> list[str]:
    """The names of the installed languages, sorted."""
    return sorted(entry.name for entry in offered(GROUP))


@functools.cache
def _language(name: str) -> Callable[[str], Program]:
    for entry in offered(GROUP).select(name=name):
        try:
            loaded: Callable[[str], Program] = entry.load()
        except ImportError as error:
            raise CompileFailed(f"language {name!r} cannot be imported: {reason(error)}") from error
        return loaded
    raise CompileFailed(f"unknown language {name!r}; installed are {', '.join(languages())}")


def compile(language: str, code: str) -> Program:
    """The program of a snippet. Raises CompileFailed, with line and column where they are known."""
    return _language(language)(code)


def constant(parse: Callable[[str], list[Part]], code: str) -> Program:
    """The program of code that is one value in a syntax; no value at all is null."""
    try:
        parts = parse(code)
    except SyntaxFault as fault:
        raise CompileFailed(fault.reason, fault.line, fault.column) from fault
    if len(parts) > 1:
        line, column, _ = parts[1].place()
        raise CompileFailed("a snippet is one document, here begins another", line, column)
    value = parts[0].value if parts else None
    return lambda payload, *, timeout=None, log=None: value
