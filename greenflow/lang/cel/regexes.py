"""`matches`, and the regex library of cel-go, on RE2: linear in the length of the text.

A pattern that is a literal is checked when the code is compiled. RE2's patterns have no look-around
and no back-references.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

from greenflow.lang.cel.library import FUNCTIONS, METHODS, function, method
from greenflow.lang.cel.meter import Frame, bounded, charge
from greenflow.lang.cel.standard import encode
from greenflow.lang.cel.values import NONE, CelError, Optional

#: Compiled patterns that are kept; a program uses few.
_KEPT = 256

#: Characters of a pattern: RE2 compiles this many in some milliseconds.
_MAX_PATTERN = 10_000

_REFERENCE = re.compile(r"\\(.?)", re.DOTALL)


@lru_cache(maxsize=_KEPT)
def compiled(pattern: str) -> Any:
    """The compiled pattern. Raises CelError."""
    import re2

    if len(pattern) > _MAX_PATTERN:
        raise CelError(f"a pattern has at most {_MAX_PATTERN} characters")
    encode(pattern)
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        shown = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise CelError(f"the pattern is wrong: {shown}") from None


@method("matches", str, str, scans=True)
@function("matches", str, str, scans=True)
def matches(text: str, pattern: str) -> bool:
    """Whether the pattern matches a part of the text."""
    found = compiled(pattern)
    encode(text)
    return found.search(text) is not None


def _matches(expression: Any, text: str) -> Iterator[Any]:
    """The matches one after the other. An empty one that touches the match before is none, as in
    Go's regexp, whose words the regex library has."""
    end = -1
    for found in expression.finditer(text):
        if found.end() > end or found.start() > end:
            end = found.end()
            yield found


def _group(found: Any, pattern: Any) -> Any:
    if pattern.groups > 1:
        raise CelError("the pattern has more than one group")
    return found.group(pattern.groups)


@function("regex.extract", str, str, scans=True)
def extract(text: str, pattern: str) -> Optional:
    """The first match, or the group in it, as an optional."""
    expression = compiled(pattern)
    encode(text)
    found = expression.search(text)
    if expression.groups > 1:
        raise CelError("the pattern has more than one group")
    if found is None:
        return NONE
    part = _group(found, expression)
    return NONE if part is None else Optional(part)


@function("regex.extractAll", str, str, metered=True)
def extract_all(frame: Frame, text: str, pattern: str) -> list[str]:
    """Every match, or the group in each."""
    expression = compiled(pattern)
    encode(text)
    if expression.groups > 1:
        raise CelError("the pattern has more than one group")
    charge(frame, len(text) >> 4)
    parts = []
    for found in _matches(expression, text):
        charge(frame, 10)
        part = _group(found, expression)
        if part or (part is not None and not expression.groups):
            parts.append(part)  # of a group only what is not empty, as cel-go has it
    return parts


def _referred(found: Any, reference: re.Match[str]) -> str:
    return "\\" if reference[1] == "\\" else found.group(int(reference[1])) or ""


def _replace(frame: Frame, text: str, pattern: str, replacement: str, times: int) -> str:
    expression = compiled(pattern)
    encode(text)
    for reference in _REFERENCE.finditer(replacement):
        letter = reference[1]
        if not (letter == "\\" or (letter.isascii() and letter.isdigit())):
            raise CelError("a backslash in a replacement stands before a digit or a backslash")
        if letter != "\\" and int(letter) > expression.groups:
            raise CelError(f"the replacement names group {letter}, which the pattern lacks")
    charge(frame, len(text) >> 4)
    parts: list[str] = []
    length = at = 0
    for count, found in enumerate(_matches(expression, text)):
        if count == times:
            break
        inserted = _REFERENCE.sub(partial(_referred, found), replacement)
        parts += (text[at : found.start()], inserted)
        at = found.end()
        length += len(inserted)
        bounded(length)
        charge(frame, 10 + (len(inserted) >> 4))
    parts.append(text[at:])
    return "".join(parts)


@function("regex.replace", str, str, str, metered=True)
def replace(frame: Frame, text: str, pattern: str, replacement: str) -> str:
    r"""The text with every match replaced; `\1` is the first group."""
    return _replace(frame, text, pattern, replacement, -1)


@function("regex.replace", str, str, str, int, metered=True)
def replace_times(frame: Frame, text: str, pattern: str, replacement: str, times: int) -> str:
    """The same for the first `times`; a negative number means all."""
    return _replace(frame, text, pattern, replacement, times)


def _check(values: list[Any]) -> None:
    if len(values) > 1 and isinstance(values[1], str):
        compiled(values[1])


METHODS["matches", 1].prepare = _check
for _name, _count in FUNCTIONS:
    if _name == "matches" or _name.startswith("regex."):
        FUNCTIONS[_name, _count].prepare = _check
