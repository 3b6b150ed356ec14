"""Texts that must not be shown, as far as they are known: `hold`, `release`, `conceal`.

Lives here: the secrets of this OS process, and how they are taken out of texts and errors. Who
knows a secret holds it: a version of a spec the values rendered into it, a runtime the passwords of
its settings. Not here: secrets that are known by their look, such as the credentials of a URL; that
is the package's.

A secret is also found as it looks in a `repr`, in JSON and in a URL, and line by line where it has
several lines. One of fewer than SHORTEST characters is not: the text `1`, `true` or `no` is
everywhere, and a log in which each is masked says nothing. Any OS thread may hold and conceal.
"""

from __future__ import annotations

import _thread
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast
from urllib.parse import quote, quote_plus

from greenflow.errors import GreenflowError

E = TypeVar("E", bound=BaseException)

#: What stands in the place of a secret.
MASK = "***"

#: Characters of the shortest text that is concealed.
SHORTEST = 6

#: Characters of the longest one, and the most lines of a text that are concealed each by itself: a
#: value may be a page or a table, and every text that is shown is searched for all of them. A chain
#: of certificates has some hundred lines.
LONGEST, MOST_LINES = 65_536, 1_000

# Attributes in which errors of the standard library keep what their message is made of.
_PARTS = ("filename", "filename2", "strerror", "msg", "text", "name", "path", "reason")


def _native_lock() -> _thread.LockType:
    """A lock of OS threads, in a monkey-patched program too. gevent is not imported for it: the
    command line logs before it needs gevent."""
    monkey = sys.modules.get("gevent.monkey")
    lock: _thread.LockType = (
        _thread.allocate_lock()
        if monkey is None
        else monkey.get_original("_thread", "allocate_lock")()
    )
    return lock


# Nothing switches under it.
_lock = _native_lock()


def _forked() -> None:
    """In the child of a fork, where no other thread is left that could give the lock back."""
    global _lock
    _lock = _native_lock()


os.register_at_fork(after_in_child=_forked)

_held: Counter[str] = Counter()
_looks: dict[str, frozenset[str]] = {}  # how each of them may look
_forms: tuple[str, ...] = ()  # all of those, longest first: one may be part of another
_stale = False  # made again when it is asked for: many secrets may be held at once


class Concealed(GreenflowError):
    """Stands in the place of an error that cannot be shown without a secret in it."""

    def __init__(self, message: str, status: int, exit_code: int) -> None:
        super().__init__(message)
        self.status, self.exit_code = status, exit_code


def hold(texts: Iterable[str]) -> frozenset[str]:
    """Conceal these from now on, until what is returned is released as often as it was held."""
    global _stale
    found = frozenset(text for text in texts if len(text.strip()) >= SHORTEST)
    if found:
        with _lock:
            for text in found - _held.keys():
                _looks[text] = frozenset(form for form in _all_looks(text) if len(form) >= SHORTEST)
                _stale = True
            _held.update(found)
    return found


def release(held: frozenset[str]) -> None:
    """Undo one `hold`."""
    global _stale
    if held:
        with _lock:
            _held.subtract(held)
            for text in held:
                if _held[text] <= 0:
                    del _held[text], _looks[text]
                    _stale = True


def held() -> int:
    """How many secrets are known."""
    return len(_held)


def longest() -> int:
    """Characters of the longest text that is concealed; 0 if there is none."""
    known = _known()
    return len(known[0]) if known else 0


def strings(value: Any) -> Iterator[str]:
    """Every string and number in a value, at any depth, as text; keys of maps are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float):
        yield str(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def conceal(text: str) -> str:
    """The text with every secret that is known in it replaced by `***`."""
    for form in _known():
        if form in text:
            text = text.replace(form, MASK)
    return text


def concealed(error: E) -> E | Concealed:
    """The error; where a text in its chain shows a secret, changed so that it does not.

    An error whose texts cannot be changed is replaced by one with its message, status and cause.
    """
    return cast("E | Concealed", _concealed(error, set())) if _held else error


def _known() -> tuple[str, ...]:
    """All that is to be concealed, longest first."""
    global _forms, _stale
    if _stale:
        with _lock:
            _forms = tuple(sorted(frozenset().union(*_looks.values()), key=len, reverse=True))
            _stale = False
    return _forms


def _all_looks(text: str) -> Iterator[str]:
    """How a text may look in another one."""
    whole = text.strip()
    lines = whole.splitlines()[:MOST_LINES]
    # The first and last line of a PEM file are no secret.
    parts = [line.strip() for line in lines if not line.startswith("-----")] if lines[1:] else []
    for part in (whole, *parts):
        if len(part) > LONGEST:
            continue
        yield part
        yield repr(part)[1:-1]
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        # Surrogates, which a JSON text may bring, have no UTF-8.
        yield quote(part, safe="", errors="replace")
        yield quote(part, errors="replace")
        yield quote_plus(part, errors="replace")


def _concealed(error: BaseException, seen: set[int]) -> BaseException:
    if id(error) in seen:
        return error
    seen.add(id(error))
    if isinstance(error, BaseExceptionGroup):
        members = [_concealed(each, seen) for each in error.exceptions]
        if _shows(error.message) or any(
            a is not b for a, b in zip(members, error.exceptions, strict=True)
        ):
            cause, context = error.__cause__, error.__context__
            error = type(error)(conceal(error.message), members).with_traceback(error.__traceback__)
            error.__cause__, error.__context__ = cause, context
    elif _shows(str(error)) or _shows(repr(error)) or any(map(_shows, _notes(error))):
        error = _changed(error)
    if error.__cause__ is not None:
        error.__cause__ = _concealed(error.__cause__, seen)
    if error.__context__ is not None:
        error.__context__ = _concealed(error.__context__, seen)
    return error


def _changed(error: BaseException) -> BaseException:
    error.args = tuple(conceal(each) if isinstance(each, str) else each for each in error.args)
    if (notes := _notes(error)) and any(map(_shows, notes)):
        error.__notes__ = [conceal(note) for note in notes]
    for name in {*_PARTS, *getattr(error, "__dict__", ())}:
        part = getattr(error, name, None)
        if isinstance(part, str) and _shows(part):
            try:
                setattr(error, name, conceal(part))
            except AttributeError:
                continue  # it can only be read; whether the message shows it is seen below
    if not _shows(str(error)) and not _shows(repr(error)):
        return error
    other = Concealed(
        conceal(f"{type(error).__name__}: {error}"),
        getattr(error, "status", GreenflowError.status),
        getattr(error, "exit_code", GreenflowError.exit_code),
    )
    other.__cause__, other.__context__ = error.__cause__, error.__context__
    return other.with_traceback(error.__traceback__)


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


def _shows(text: str) -> bool:
    return any(form in text for form in _known())
