"""Placeholders in strings, `{{ .KEY }}` and `{{ .KEY.field }}`, and what they stand for.

Lives here: their grammar, and Scope, which renders values by it. Which strings of a spec are
rendered is decoding.py's, and where the values come from values/values.py's.

A string that is one placeholder and nothing else becomes the value, with its type; in other text
strings are inserted as they are and other values as JSON. What was inserted is not looked at again.
Every other `{{` is left as it is: texts of many languages have them.

What is inserted into code may be a literal there, and nothing else (`literals`): a text written so
that no quote, bracket or line of the code can be ended by it, wherever the placeholder stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from typing import Any, Final

from greenflow.errors import SpecFault
from greenflow.log.secret import strings
from greenflow.spec.fields import COMMON
from greenflow.spec.known import listed_in_order
from greenflow.spec.syntax import Lines, offset_of

# The root itself, `{{ . }}`, stands in templates of `data` only: a spec has no use for it.
_KEYS = re.compile(r"\{\{\s*+((?:\.[\w-]++)++)\s*+\}\}")
_ROOT_OR_KEYS = re.compile(r"\{\{\s*+((?:\.[\w-]++)++|\.)\s*+\}\}")

# What lacks the dot of a placeholder, if a KEY is called so.
_WORD = re.compile(r"\{\{\s*+([\w-]++)\s*+\}\}")

# What a literal in code may not hold as it is. A letter, digit or `_` ends nothing in any language;
# what lies beyond U+FFFF is no sign of any grammar, and is not written alike in all of them.
_UNSAFE = re.compile(r"[^0-9A-Za-z_\U00010000-\U0010FFFF]")

#: What stands for a value that is not known while a spec is only checked.
PENDING: Final = object()


class Deferred(Exception):
    """It depends on a value that is not known yet."""


class Unbound(LookupError):
    """A placeholder stands for nothing. Line and column in its string count from 1; of one that is
    the whole string they are 0."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        self.line, self.column = line, column
        super().__init__(reason)


class Insertions:
    """What came of rendering: every string that was inserted, so that it can be kept out of logs,
    and whether something was left as it is because its value is not known."""

    def __init__(self) -> None:
        self.inserted: set[str] = set()
        self.deferred = False


class Scope:
    """What placeholders stand for: what lies in `root`, which messages call `what`.

    What is inserted is noted in `insertions`, but for what lies below the keys that are `public`.
    What lies below the keys that are `literals` is inserted into code as a literal. With
    `has_root`, `{{ . }}` stands for the root itself.
    """

    def __init__(
        self,
        root: Any,
        what: str,
        insertions: Insertions,
        *,
        public: Container[str] = (),
        literals: Container[str] = (),
        has_root: bool = False,
    ) -> None:
        self.root, self.what, self.insertions, self.public = root, what, insertions, public
        self.literals = literals
        self._placeholder = _ROOT_OR_KEYS if has_root else _KEYS

    def render(self, value: Any, is_code: bool = False) -> Any:
        """The value with the placeholders of all its strings rendered; `is_code` if they are code.

        Raises Unbound for one that stands for nothing, Deferred for what is not known yet.
        """
        if isinstance(value, str):
            return self._rendered(value, is_code) if "{{" in value else value
        if isinstance(value, dict):
            return {key: self.render(item, is_code) for key, item in value.items()}
        if isinstance(value, list):
            return [self.render(item, is_code) for item in value]
        return value

    def has_placeholder(self, text: str) -> bool:
        """Whether something is rendered in a text."""
        return self._placeholder.search(text) is not None

    def place(self, text: str, line: int, column: int) -> tuple[int, int]:
        """Line and column in code of what is at a line and column once it is rendered: of what
        was inserted, those of its placeholder. Raises as `render` does."""
        pieces = self._pieces(text, is_code=True)
        index = offset_of("".join(piece for _, _, piece in pieces), line, column)
        for start, is_inserted, piece in pieces:
            if index < len(piece):
                return Lines(text).at(start if is_inserted else start + index)
            index -= len(piece)
        return Lines(text).at(len(text))

    def _rendered(self, text: str, is_code: bool) -> Any:
        whole = self._placeholder.fullmatch(text)
        if whole is not None:
            return self._inserted(text, whole)
        return "".join([piece for _, _, piece in self._pieces(text, is_code)])

    def _pieces(self, text: str, is_code: bool) -> list[tuple[int, bool, str]]:
        """The text in pieces as it is rendered: where each begins, and whether it is inserted."""
        pieces: list[tuple[int, bool, str]] = []
        end, deferred = 0, False
        for found in self._placeholder.finditer(text):
            pieces.append((end, False, text[end : found.start()]))
            try:
                value = self._inserted(text, found)
                is_literal = is_code and found[1].split(".")[1] in self.literals
                piece = _literal(value) if is_literal else _written(value)
                pieces.append((found.start(), True, piece))
            except Deferred:
                deferred = True  # the others may stand for nothing
            end = found.end()
        if deferred:
            raise Deferred
        pieces.append((end, False, text[end:]))
        return pieces

    def _inserted(self, text: str, found: re.Match[str]) -> Any:
        try:
            return self._value(found[1])
        except LookupError as error:
            place = Lines(text).at(found.start()) if found[0] != text else ()
            raise Unbound(str(error), *place) from None

    def _value(self, path: str) -> Any:
        value, here = self.root, self.what
        keys = path.split(".")[1:] if path != "." else []
        for key in keys:
            if value is PENDING:
                break
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise LookupError(f"{{{{ {path} }}}} stands for nothing: {_lack(value, here, key)}")
            here = f"{key!r} of {here}"
        if value is PENDING:
            self.insertions.deferred = True
            raise Deferred
        if not keys or keys[0] not in self.public:
            self.insertions.inserted.update(strings(value))
        return value


def unbound(document: Mapping[str, Any]) -> Iterator[SpecFault]:
    """The strings of a spec with a placeholder in them which nothing is inserted for, because no
    `env` is there, or not in it: text to greenflow, and seldom meant so. One that is says `env: {}`
    (BEHAVIOUR 16.3)."""
    yield from _unbound(document, "$", None)


def _unbound(value: Any, path: str, env: Mapping[str, Any] | None) -> Iterator[SpecFault]:
    if isinstance(value, str):
        yield from _taken_as_text(value, path, env)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _unbound(item, f"{path}[{i}]", env)
    elif isinstance(value, dict):
        is_spec = isinstance(value.get("kind"), str)
        if is_spec and isinstance(value.get("env"), dict):
            env = {**(env or {}), **value["env"]}
        if is_spec and value["kind"] == "template":  # which has what it stands for in any case
            parameters = value.get("parameters")
            env = {**(env or {}), **(parameters if isinstance(parameters, dict) else {})}
        for key, item in value.items():
            if not (is_spec and (key in COMMON or key == "ports")):
                yield from _unbound(item, f"{path}.{key}", env)


def unbound_keys(document: Mapping[str, Any]) -> Iterator[str]:
    """The keys of placeholders in a spec, and in the specs inside of it, which no `env` binds."""
    yield from _unbound_keys(document, frozenset())


def _unbound_keys(value: Any, bound: frozenset[str]) -> Iterator[str]:
    if isinstance(value, str):
        for found in _KEYS.finditer(value):
            if (key := found[1].split(".")[1]) not in bound:
                yield key
    elif isinstance(value, list):
        for item in value:
            yield from _unbound_keys(item, bound)
    elif isinstance(value, dict):
        is_spec = isinstance(value.get("kind"), str)
        if is_spec and isinstance(value.get("env"), dict):
            bound |= value["env"].keys()
        for key, item in value.items():
            if not (is_spec and (key in COMMON or key == "ports")):
                yield from _unbound_keys(item, bound)


def _taken_as_text(text: str, path: str, env: Mapping[str, Any] | None) -> Iterator[SpecFault]:
    if env is None:
        found = _KEYS.search(text)
        if found is not None:
            key = found[1].split(".")[1]
            reason = (
                f"{found[0]} is taken as text, for the spec has no env; bind it"
                f" (env: {{{key}: {{name: VALUE}}}}), or write `env: {{}}` if text is meant"
            )
            yield SpecFault(path, reason)
        return
    for found in _WORD.finditer(text):
        if found[1] in env:
            reason = f"{found[0]} is taken as text; did you mean {{{{ .{found[1]} }}}}?"
            yield SpecFault(path, reason)


def _written(value: Any) -> str:
    """A value within a text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _literal(value: Any) -> str:
    """A value within code: JSON, which is a literal in every language that specs are written in.

    Of its texts only letters, digits and `_` stand as they are, the rest is escaped. So where the
    author put it between quotes of his own, which is a mistake, it is a fault of syntax or a text
    with quotes in it, and never code.
    """
    if isinstance(value, str):
        escaped = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
        return f'"{escaped}"'
    if isinstance(value, dict):
        pairs = (f"{_literal(key)}: {_literal(one)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value)


def _lack(value: Any, here: str, key: str) -> str:
    """Why there is nothing. Keys are named, values are not."""
    if isinstance(value, dict):
        return f"{here} has no {key!r}; it has {listed_in_order(value) or 'nothing'}"
    if isinstance(value, list):
        return f"{here} is a list of {len(value)}, which has no {key!r}"
    return f"{here} is no map, and has no {key!r}"
