"""How values, errors and calls stand on the wire between the engine and a worker.

Lives here: the lines of the wire, and payloads as JSON text. Not here: sockets, and who waits.

The wire is lines, UTF-8, ended by a newline; JSON text has none. To a worker go `T tag` (first of
all, see below), `P program source` (what a program is, before its first call; the source is a JSON
string), `C call program seconds value`, `Q call` (nobody waits for it any more), and `F program`
(nobody has it any more). From it come `R words` (it is ready, its sandbox is so), `A call answer`,
`W call` (it began and waits, for a timer or a promise), `H` (it lives), and `X` (it must end: what
else is under way has to run elsewhere).

JSON has no bytes, timestamps and errors. Such a value is a map of two keys: the tag, a random text
that neither a client nor a snippet knows, with the kind, and `v` with what is held. `t` before a
JSON text says that there are tags in it, `v` that there are none.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from greenflow.errors import InvalidArgument, JavaScriptError, SnippetFailed, messages
from greenflow.hub.breathing import Breath
from greenflow.lang.javascript.arrivals import MAX_EXACT, Arrivals, may_be_long
from greenflow.payload.batches import depth, encoded, is_large
from greenflow.payload.large import LARGE_BYTES, loads_in_turns
from greenflow.payload.origin import origin_of
from greenflow.payload.value import MAX_DEPTH, MAX_INT, MIN_INT

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Where in the author's code an error arose, as V8 writes it in a stack. The code begins in line 2
# of what V8 is given (worker.py).
_FRAME = re.compile(r"snippet:(\d+):(\d+)")
LINES_BEFORE = 1

# Half of a surrogate pair, as `JSON.stringify` writes it. An escape that is not one itself: there
# stands an even number of backslashes before it.
_HALF = re.compile(rb"(?<!\\)((?:\\\\)*+)\\(ud[89a-f][0-9a-f]{2})")

# A cause of a cause and so on, this deep. Chains of real errors are short; a cycle ends here.
_MAX_CAUSES = 10

_decode = msgspec.json.decode


def encode(payload: Any, tag: str, arrivals: Arrivals, *, inputs: bool = True) -> str:
    """The text of a payload. Its errors and large integers are kept in `arrivals`, where `decode`
    finds those that come back; with `inputs` each error takes along what its node was given.
    Raises InvalidArgument for what is no payload."""
    errors = arrivals.errors
    tagged, before = False, len(errors)

    def special(value: Any) -> dict[str, Any]:
        nonlocal tagged
        tagged = True
        if isinstance(value, bytes):
            return {tag: "b", "v": base64.b64encode(value).decode()}
        if isinstance(value, datetime):
            return {tag: "d", "v": (value - _EPOCH) / timedelta(milliseconds=1)}
        if isinstance(value, Exception):
            told = _told(value, errors, _MAX_CAUSES)
            told.update(_origin(value, tag, arrivals, inputs))
            return {tag: "e", "v": told}
        raise InvalidArgument(f"{type(value).__qualname__} is no payload")

    many = is_large(payload)
    deep = partial(depth, most=MAX_DEPTH) if many else _depth
    encoder = _encoder(special).encode
    try:
        text = encoded(payload, encoder) if many else encoder(payload)
    except RecursionError:
        raise InvalidArgument() from ValueError(f"nested deeper than {MAX_DEPTH} lists and maps")
    except ValueError:
        if deep(payload) > MAX_DEPTH:  # a cycle is one, too
            raise InvalidArgument() from ValueError(
                f"nested deeper than {MAX_DEPTH} lists and maps"
            )
        del errors[before:]
        payload = _without_nan(payload, Breath())
        text = encoded(payload, encoder) if many else encoder(payload)
    # How deep the encoder goes is another matter on each Python. Few lists and maps are not deep.
    may_be_deep = text.count("[") + text.count("{") > MAX_DEPTH
    if may_be_deep and deep(payload) > MAX_DEPTH:
        raise InvalidArgument(f"nested deeper than {MAX_DEPTH} lists and maps")
    if may_be_long(text):
        held = arrivals.inside(payload, Breath())
        if held is not payload:
            del errors[before:]
            text = encoded(held, encoder) if many else encoder(held)
    return f"{'t' if tagged else 'v'}{text}"


def _encoder(default: Callable[[Any], Any]) -> json.JSONEncoder:
    return json.JSONEncoder(
        ensure_ascii=False, separators=(",", ":"), default=default, allow_nan=False
    )


def _depth(payload: Any, limit: int = MAX_DEPTH) -> int:
    """How deep the payload is nested; no more than one beyond the limit is looked at."""
    if limit < 0 or not isinstance(payload, dict | list):
        return 0
    items = payload.values() if isinstance(payload, dict) else payload
    return 1 + max((_depth(item, limit - 1) for item in items), default=0)


def _without_nan(payload: Any, breath: Breath) -> Any:
    """The payload with null for what JSON has no number for (BEHAVIOUR 15.7)."""
    breath.take()
    if isinstance(payload, float):
        return payload if math.isfinite(payload) else None
    if isinstance(payload, dict):
        return {key: _without_nan(item, breath) for key, item in payload.items()}
    if isinstance(payload, list):
        return [_without_nan(item, breath) for item in payload]
    return payload


def _message(error: BaseException) -> str:
    return error.message if isinstance(error, BaseExceptionGroup) else str(error)


def _told(error: BaseException, errors: list[Exception], depth: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "m": _message(error),
        "t": ": ".join(messages(error)),
        "n": error.name if isinstance(error, JavaScriptError) else "Error",
    }
    if isinstance(error, Exception):
        told["i"] = len(errors)
        errors.append(error)
    if depth:
        if isinstance(error, BaseExceptionGroup):
            told["g"] = [_told(member, errors, depth - 1) for member in error.exceptions]
        if error.__cause__ is not None:
            told["c"] = _told(error.__cause__, errors, depth - 1)
    return told


def _origin(error: Exception, tag: str, arrivals: Arrivals, with_input: bool) -> dict[str, Any]:
    """Where an error arose; what the node was given is a text, read only if it is asked for. What
    cannot go to JavaScript is left out, and so is what the errors in it had been given."""
    origin = origin_of(error)
    if origin is None:
        return {}
    told: dict[str, Any] = {"o": [origin.node, origin.kind, origin.at]}
    if with_input:
        with contextlib.suppress(InvalidArgument):
            told["p"] = encode(origin.input, tag, arrivals, inputs=False)
    return told


class WorkerAnswer:
    """What a call came to: `value`, or `error`, and the lines that it logged."""

    __slots__ = ("error", "lines", "value")

    def __init__(self, value: Any, error: Exception | None, lines: list[str]) -> None:
        self.value, self.error, self.lines = value, error, lines


def decode(text: bytes, tag: str, arrivals: Arrivals) -> WorkerAnswer:
    """The answer that a worker wrote."""
    errors = arrivals.errors
    kind, rest = text[:1], text[1:]
    lines: list[str] = []
    if kind == b"l":
        logged, _, rest = rest.partition(b"\t")
        lines, kind, rest = _words(logged), rest[:1], rest[1:]
    if kind == b"e":
        return WorkerAnswer(None, _error(_words(rest), errors), lines)
    if kind == b"m":
        return WorkerAnswer(None, SnippetFailed(_words(rest)), lines)
    if kind == b"s":
        return WorkerAnswer(None, _syntax_error(_words(rest)), lines)
    try:
        value = loads_in_turns(rest) if len(rest) >= LARGE_BYTES else _decode(rest)
        breath = Breath()
        if may_be_long(rest):
            value = _numbers(value, arrivals.integers or {}, breath)
        if kind == b"t":
            value = _revive(value, tag, errors, breath)
    except (msgspec.DecodeError, InvalidArgument) as error:
        # The text is JSON for sure, as JSON.stringify wrote it.
        reason = str(error.__cause__).partition("no JSON: ")[2]
        if not reason.startswith("more than"):
            reason = "a string with half of a surrogate pair, which no UTF-8 can write"
        return WorkerAnswer(None, JavaScriptError(f"the result has {reason}"), lines)
    except OverflowError:
        reason = "the result has a timestamp outside the years 1 to 9999"
        return WorkerAnswer(None, JavaScriptError(reason), lines)
    return WorkerAnswer(value, None, lines)


def _words(text: bytes) -> Any:
    """What is for people, in which half of a surrogate pair is no fault, but shown as an escape."""
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return _decode(_HALF.sub(rb"\1\\\\\2", text))


def _numbers(value: Any, integers: Mapping[float, int], breath: Breath) -> Any:
    """JavaScript has one type of number: what is written as an integer but is a double gets the
    double's value, as a float if it has more than 64 bit; or it is one of the integers that came
    in, by their doubles. Changes the value in place."""
    breath.take()
    if isinstance(value, int) and abs(value) > MAX_EXACT:
        exact = float(value)
        if exact in integers:
            return integers[exact]
        return int(exact) if MIN_INT <= exact < MAX_INT else exact
    if isinstance(value, dict):
        for key, item in value.items():
            if type(item) is not str:
                value[key] = _numbers(item, integers, breath)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if type(item) is not str:
                value[index] = _numbers(item, integers, breath)
    return value


def _revive(value: Any, tag: str, errors: list[Exception], breath: Breath) -> Any:
    breath.take()
    if isinstance(value, list):
        return [_revive(item, tag, errors, breath) for item in value]
    if not isinstance(value, dict):
        return value
    kind: str | None = value.get(tag)
    held: Any = value.get("v")
    if kind == "b":
        return base64.b64decode(held)
    if kind == "d":
        return _EPOCH + timedelta(milliseconds=held)
    if kind == "e":
        return _error(held, errors)
    return {key: _revive(item, tag, errors, breath) for key, item in value.items()}


def _error(told: dict[str, Any], errors: list[Exception]) -> Exception:
    number = told.get("i")
    if number is not None:
        return errors[int(number)]
    line, column = place(told.get("s", ""))
    error = JavaScriptError(told["m"], told["n"], line, column)
    if "c" in told:
        error.__cause__ = _error(told["c"], errors)
    return error


def place(stack: str) -> tuple[int, int]:
    """Line and column of the author's code that a stack names first; zeros if none."""
    found = _FRAME.search(stack)
    return (int(found[1]) - LINES_BEFORE, int(found[2])) if found else (0, 0)


def _syntax_error(text: str) -> Exception:
    """V8's own refusal of a program: `<anonymous>:LINE: SyntaxError: why`, the line, and a line
    with carets below what is wrong."""
    found = re.match(r"[^:\n]*:(\d+): (?:SyntaxError: )?([^\n]*)(?:\n[^\n]*\n( *)\^)?", text)
    if found is None:
        return JavaScriptError(text.partition("\n")[0], "SyntaxError")
    column = len(found[3]) + 1 if found[3] is not None else 0
    return JavaScriptError(found[2], "SyntaxError", int(found[1]) - LINES_BEFORE, column)
