"""The languages of snippets: from code to what a packet's payload is handed to.

Lives here: the registry, and who uses which language. Each language is a module beside this one, or
of another package, found through the entry points `greenflow.languages`. What an entry point names
has `compile(code)`, which returns a program: a callable from payload to result; or it is such a
function itself. A program never changes its payload. Programs that keep nothing between calls may
be shared: a language whose programs do may put `remembered` on its function.

A language with workers has `hold(settings)` and `release()`, too. Whoever may call programs on a
hub, such as a runtime, holds all languages there by one call of `hold`; a language hears of it when
it is there used first, so that none is imported in vain.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from greenflow.errors import CompileFailed, SpecFault
from greenflow.extras import reason
from greenflow.plugins import offered
from greenflow.spec.known import closest
from greenflow.spec.syntax import Part, SyntaxFault

if TYPE_CHECKING:
    from gevent.hub import Hub

Settings = Mapping[str, Any]
"""What languages are told by the operator, by the names of the languages."""


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

# Bytes of code that a parser reads. Far more than a person writes; the parser's time grows with it.
MAX_CODE = 1 << 20

# How deep the syntax of code may be nested: what V8 parses without meeting its stack limit.
MAX_DEPTH = 500

remembered = functools.lru_cache(maxsize=CACHED)


def languages() -> list[str]:
    """The names of the installed languages, sorted."""
    return sorted(entry.name for entry in offered(GROUP))


class Language(NamedTuple):
    """What an entry point names, taken apart."""

    compile: Callable[[str], Program]
    """The program of code. Raises CompileFailed, with line and column where they are known."""

    hold: Callable[[Settings], object] | None = None
    """Somebody may call programs on the calling thread's hub from now on. It may be called several
    times: of several holders the settings of the last one count for what starts afterwards."""

    release: Callable[[], object] | None = None
    """One holder of the calling thread's hub is done. After the last one nothing of the language is
    left there: no OS process, no greenlet."""


class _Holders:
    """Who may call programs on a hub, and the languages that have heard of it."""

    def __init__(self) -> None:
        self.holders: list[Settings] = []
        self.languages: dict[str, Language] = {}

    def take(self, name: str, language: Language) -> None:
        """The language is used here from now on."""
        if language.hold is not None and self.holders and name not in self.languages:
            self.languages[name] = language
            for settings in self.holders:
                language.hold(settings)


_loaded: dict[str, Language] = {}
_uses: WeakKeyDictionary[Hub, _Holders] = WeakKeyDictionary()

# The runtimes of a parent do not run in the child of a fork.
os.register_at_fork(after_in_child=_uses.clear)


def hold(settings: Settings) -> None:
    """Somebody may call programs on the calling thread's hub from now on, until `release`."""
    from gevent import get_hub

    use = _uses.setdefault(get_hub(), _Holders())
    use.holders.append(settings)
    for language in use.languages.values():
        if language.hold is not None:
            language.hold(settings)
    for name, language in list(_loaded.items()):
        use.take(name, language)


def release(settings: Settings) -> None:
    """Who held with these very settings is done; after the last one the workers of the calling
    thread's hub end."""
    from gevent import get_hub

    use = _uses[get_hub()]
    del use.holders[next(at for at, each in enumerate(use.holders) if each is settings)]
    languages = list(use.languages.values())
    if not use.holders:
        use.languages.clear()
    for language in languages:
        if language.release is not None:
            language.release()


def _language(name: str) -> Language:
    language = _loaded.get(name)
    if language is None:
        language = _loaded[name] = _load(name)
    return language


def _load(name: str) -> Language:
    for entry in offered(GROUP):
        if entry.name != name:
            continue
        try:
            named = entry.load()
        except ImportError as error:
            raise CompileFailed(f"language {name!r} cannot be imported: {reason(error)}") from error
        if not hasattr(named, "compile"):
            return Language(named)
        return Language(
            named.compile, getattr(named, "hold", None), getattr(named, "release", None)
        )
    close = closest(name, languages())
    hint = f"did you mean {close!r}? " if close else ""
    raise CompileFailed(f"unknown language {name!r}; {hint}installed are {', '.join(languages())}")


def compile(language: str, code: str) -> Program:
    """The program of a snippet. Raises CompileFailed, with line and column where they are known."""
    from gevent._hub_local import get_hub_if_exists

    found = _language(language)
    hub = get_hub_if_exists()
    if hub is not None and (use := _uses.get(hub)) is not None:
        use.take(language, found)
    return found.compile(code)


def faults(language: str, code: str, path: str) -> list[SpecFault]:
    """What is wrong with code at a path of a spec, whose field `language` names the language."""
    try:
        compile(language, code)
    except CompileFailed as error:
        at = path if error.line else "$.language"
        return [SpecFault(at, error.reason, error.line, error.column)]
    return []


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
