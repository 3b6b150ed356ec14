"""`matches`, and the regex library of cel-go, on RE2: linear in the length of the text.

A pattern that is a literal is checked when the code is compiled. RE2's patterns have no look-around
and no back-references.

RE2 cannot be interrupted. To compile a pattern holds the hub, so its length is limited, and a
program that may be made of it; it is charged. To search lets other threads run: what takes long,
which is a long text or a large program, is done in one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, TypeVar

from greenflow.hub.blocking import call
from greenflow.lang.cel.library import FUNCTIONS, METHODS, function, method
from greenflow.lang.cel.meter import Frame, bounded, charge, has_others
from greenflow.lang.cel.standard import encode
from greenflow.lang.cel.values import NONE, CelError, Optional

#: Compiled patterns that are kept; a program uses few.
_KEPT = 256

#: Characters of a pattern: RE2 compiles this many in 2 ms; classes of Unicode take 25 ms.
_MAX_PATTERN = 2_000

#: Bytes that RE2 may use for a pattern: programs of 20,000 instructions, which take 10 ms to make.
_MAX_MEMORY = 1 << 20

#: Steps that compiling takes: of each pattern, of each of its characters, of each instruction of
#: its program. One whose program would be too large was made up to there, in 20 ms.
_PATTERN_STEPS, _CHARACTER_STEPS, _INSTRUCTION_STEPS, _TOO_LARGE_STEPS = 100, 40, 4, 100_000

#: Steps that a reference to a group takes in a replacement.
_REFERENCE_STEPS = 5

#: Characters times instructions of a search in a step, as a power of two. At the worst, where the
#: text leads to ever new states, each takes 6 ns, and 0.01 ns where it does not.
_SEARCHED_A_STEP = 10

#: Characters times instructions from which on a search is done in a thread: 12 ms at the worst.
_HEAVY = 1 << 21

T = TypeVar("T")

_REFERENCE = re.compile(r"\\(.?)", re.DOTALL)


class _Pattern:
    """A compiled pattern, and whether nobody was charged for it yet."""

    __slots__ = ("expression", "is_new")

    def __init__(self, expression: Any) -> None:
        self.expression, self.is_new = expression, True


def compiled(frame: Frame, pattern: str) -> Any:
    """The compiled pattern, for which the first who asks is charged. Raises CelError."""
    _limited(pattern)
    try:
        kept = _compiled(pattern)
    except CelError as error:  # it is not kept
        is_large = "too large" in error.reason
        charge(frame, _TOO_LARGE_STEPS if is_large else _CHARACTER_STEPS * len(pattern))
        raise
    if kept.is_new:
        kept.is_new = False
        instructions = int(kept.expression.programsize)
        steps = _CHARACTER_STEPS * len(pattern) + _INSTRUCTION_STEPS * instructions
        charge(frame, _PATTERN_STEPS + steps)
    return kept.expression


def _limited(pattern: str) -> None:
    if len(pattern) > _MAX_PATTERN:
        raise CelError(f"a pattern has at most {_MAX_PATTERN:,} characters")


@lru_cache(maxsize=_KEPT)
def _compiled(pattern: str) -> _Pattern:
    import re2

    encode(pattern)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return _Pattern(re2.compile(pattern, options))
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        shown = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise CelError(f"the pattern is wrong: {shown}") from None


def _searched(frame: Frame, expression: Any, text: str, search: Callable[[], T]) -> T:
    """What a search in the text finds, in a thread where it takes long."""
    encode(text)
    work = len(text) * int(expression.programsize)
    charge(frame, max(len(text) >> 4, work >> _SEARCHED_A_STEP))
    return call(search) if work > _HEAVY and has_others() else search()


@method("matches", str, str, metered=True)
@function("matches", str, str, metered=True)
def matches(frame: Frame, text: str, pattern: str) -> bool:
    """Whether the pattern matches a part of the text."""
    expression = compiled(frame, pattern)
    return _searched(frame, expression, text, partial(expression.search, text)) is not None


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


@function("regex.extract", str, str, metered=True)
def extract(frame: Frame, text: str, pattern: str) -> Optional:
    """The first match, or the group in it, as an optional."""
    expression = compiled(frame, pattern)
    if expression.groups > 1:
        raise CelError("the pattern has more than one group")
    found = _searched(frame, expression, text, partial(expression.search, text))
    if found is None:
        return NONE
    part = _group(found, expression)
    return NONE if part is None else Optional(part)


@function("regex.extractAll", str, str, metered=True)
def extract_all(frame: Frame, text: str, pattern: str) -> list[str]:
    """Every match, or the group in each."""
    expression = compiled(frame, pattern)
    if expression.groups > 1:
        raise CelError("the pattern has more than one group")

    def search() -> list[str]:
        parts = []
        for found in _matches(expression, text):
            charge(frame, 10)
            part = _group(found, expression)
            if part or (part is not None and not expression.groups):
                parts.append(part)  # of a group only what is not empty, as cel-go has it
        return parts

    return _searched(frame, expression, text, search)


def _replacing(frame: Frame, replacement: str, groups: int) -> list[str | int]:
    """A replacement as its texts and the groups that it names."""
    parts: list[str | int] = []
    at = 0
    for reference in _REFERENCE.finditer(replacement):
        charge(frame, _REFERENCE_STEPS)
        letter = reference[1]
        if not (letter == "\\" or (letter.isascii() and letter.isdigit())):
            raise CelError("a backslash in a replacement stands before a digit or a backslash")
        if letter != "\\" and int(letter) > groups:
            raise CelError(f"the replacement names group {letter}, which the pattern lacks")
        parts += (replacement[at : reference.start()], letter if letter == "\\" else int(letter))
        at = reference.end()
    return [*parts, replacement[at:]]


def _replace(frame: Frame, text: str, pattern: str, replacement: str, times: int) -> str:
    expression = compiled(frame, pattern)
    written = _replacing(frame, replacement, expression.groups)

    def search() -> str:
        parts: list[str] = []
        length = at = 0
        for count, found in enumerate(_matches(expression, text)):
            if count == times:
                break
            charge(frame, _REFERENCE_STEPS * len(written))
            inserted = "".join(
                part if isinstance(part, str) else found.group(part) or "" for part in written
            )
            parts += (text[at : found.start()], inserted)
            at = found.end()
            length += len(inserted)
            bounded(length)
            charge(frame, 10 + (len(inserted) >> 4))
        parts.append(text[at:])
        return "".join(parts)

    return _searched(frame, expression, text, search)


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
        _limited(values[1])
        _compiled(values[1]).is_new = False


METHODS["matches", 1].prepare = _check
for _name, _count in FUNCTIONS:
    if _name == "matches" or _name.startswith("regex."):
        FUNCTIONS[_name, _count].prepare = _check
