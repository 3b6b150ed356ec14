"""The way through a spec by the types of its fields, as `greenflow.spec.decoding` reads it.

Lives here: Walk, which finds what of a spec is said otherwise by another engine, and says it in our
words. A document is read as it is written, sound or not; what is not understood stays.
Not here: what a release means (releases.py), and texts of files (scheme/migration.py).
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from greenflow.engine.node import Node
from greenflow.errors import GreenflowError, SpecFault
from greenflow.scheme.compat.releases import Release
from greenflow.spec.duration import NANOSECONDS_FROM, format_nanoseconds
from greenflow.spec.fields import (
    Field,
    Spec,
    fields,
    has_format,
    may_have_format,
    unmarked,
    words_or_map,
)
from greenflow.spec.known import closest
from greenflow.spec.path import Way, written
from greenflow.spec.template import unbound_keys
from greenflow.spec.translated import with_insertions

_DIGITS = re.compile(r"[0-9]+")
_PLACEHOLDER = re.compile(r"\{\{\s*\.([\w-]+)(?:\.[\w-]+)*\s*\}\}")

# The collection has two names (BEHAVIOUR 1.6), and this is the one that a `syscall` writes.
_OPCODES = {f"specs.{verb}": f"nodes.{verb}" for verb in ("create", "read", "update", "delete")}

#: Go's durations are of 64 bit.
_LONGEST = 2**63


class Kinds(Protocol):
    """What knows the kinds: a Scheme."""

    def kinds(self) -> list[str]:
        """The names of all kinds."""

    def node_type(self, kind: str) -> type[Node[Any]]:
        """The class of a kind. Raises LookupError, and GreenflowError."""


class Edit(NamedTuple):
    """One thing that is said otherwise now: the key of a pair or its value is another, code has
    text put into it, a pair is left out, or one is put before another (`after` is its key and what
    it holds)."""

    path: Way
    what: Literal["key", "value", "code", "drop", "before"]
    after: Any = None


class Walk:
    """Collects edits and notes on the way. Each method returns the value as we would say it.

    `words`: names of fields and kinds that are other names of ours become ours. With a `release`,
    what it means otherwise is said in our words, and what it takes and we do not is left out.
    """

    def __init__(
        self,
        scheme: Kinds,
        release: Release | None = None,
        *,
        words: bool,
    ) -> None:
        self.scheme, self.release, self.words = scheme, release, words
        self.edits: list[Edit] = []
        self.notes: list[SpecFault] = []
        self._language = ""

    def document(self, document: dict[str, Any]) -> Any:
        """A whole document: one that is no spec stays as it is, as a value does."""
        if "kind" not in document and "data" in document:
            return document
        renewed = self.spec(document, ())
        return renewed if self.release is None else self._in_environment(renewed, document)

    def _in_environment(self, renewed: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
        """With an `env` for what is not bound: uniflow binds its environment in every spec."""
        bound = {key: {"data": f"{{{{ .{key} }}}}"} for key in sorted(unbound_keys(renewed))}
        if not bound:
            return renewed
        env = renewed.get("env")
        if not isinstance(env, dict) or not env:
            return self._put(renewed, document, (), "env", bound)
        first = next(iter(document["env"]))
        for pair in bound.items():
            self.edits.append(Edit(("env", first), "before", pair))
        return {**renewed, "env": {**env, **bound}}

    # -- specs ---------------------------------------------------------------------------------

    def spec(self, document: Any, path: Way) -> Any:
        if not isinstance(document, dict):
            return document
        kind, spec_type = document.get("kind"), Spec
        if self.release is not None and isinstance(kind, str) and kind in self.release.kinds:
            kind = self.release.kinds[kind]
            document = self._called(document, path, kind)
        try:
            node_type = self.scheme.node_type(kind) if isinstance(kind, str) else None
        except (LookupError, GreenflowError):
            node_type = None
        if node_type is None:
            return self._struct(Spec, document, path, is_whole=False)
        spec_type = node_type.spec_type
        if self.words and node_type.kind != kind and node_type.kind in self.scheme.kinds():
            document = self._called(document, path, node_type.kind)
        opcode = document.get("opcode")
        if self.words and node_type.kind == "syscall" and opcode in _OPCODES:
            self.edits.append(Edit((*path, "opcode"), "value", _OPCODES[opcode]))
            document = {**document, "opcode": _OPCODES[opcode]}
        around, self._language = self._language, _language(spec_type, document)
        renewed = self._struct(spec_type, document, path)
        self._language = around
        return self._as_released(node_type.kind, renewed, document, path)

    def _called(self, document: dict[str, Any], path: Way, kind: str) -> dict[str, Any]:
        self.edits.append(Edit((*path, "kind"), "value", kind))
        return {**document, "kind": kind}

    def _as_released(
        self, kind: str, renewed: dict[str, Any], document: dict[str, Any], path: Way
    ) -> dict[str, Any]:
        """With what the kind means in the release though nothing of it is written."""
        if self.release is None:
            return renewed
        is_bound = any(document.get(side) for side in ("inbounds", "outbounds"))
        is_bound = is_bound or "chain" in document
        if kind == "block" and not self.release.blocks_chain and not is_bound:
            return self._put(renewed, document, path, "chain", False)
        said = "untyped" in document or document.get("stream")
        if kind == "listener" and self.release.bodies_are_guessed and not said:
            return self._put(renewed, document, path, "untyped", "guess")
        return renewed

    def _put(
        self, renewed: dict[str, Any], document: dict[str, Any], path: Way, key: str, value: Any
    ) -> dict[str, Any]:
        if key in document:
            self.edits.append(Edit((*path, key), "value", value))
        else:
            gone = {edit.path[-1] for edit in self.edits if edit.what == "drop"}
            first = next((k for k in document if k not in ("kind", "name", *gone)), "kind")
            self.edits.append(Edit((*path, first), "before", (key, value)))
        return {**renewed, key: value}

    # -- structs and their fields --------------------------------------------------------------

    def _struct(self, struct: Any, document: Any, path: Way, is_whole: bool = True) -> Any:
        if not isinstance(document, dict):
            return document
        by_name = {field.name: field for field in fields(struct)}
        by_name |= {field.alias: field for field in fields(struct) if field.alias}
        renewed = {}
        for key, value in document.items():
            field = by_name.get(key)
            name = key
            if field is None:
                if is_whole and self.release is not None:
                    self._leave_out(key, by_name, path)
                    continue
            elif self._means_none(struct, field, value):
                self.edits.append(Edit((*path, key), "drop"))
                continue
            else:
                # Where both names are given, the author must say which one is meant.
                if self.words and key == field.alias and field.name not in document:
                    name = field.name
                    self.edits.append(Edit((*path, key), "key", name))
                value = self.value(field.type, value, (*path, key))
            renewed[name] = value
        return renewed

    def _leave_out(self, key: str, known: Iterable[str], path: Way) -> None:
        assert self.release is not None
        close = closest(key, known)
        hint = f"; did you mean {close!r}?" if close else ""
        reason = f"there is no such field, and {self.release.name} reads over it: left out{hint}"
        self.notes.append(SpecFault(written((*path, key)), reason))
        self.edits.append(Edit((*path, key), "drop"))

    def _means_none(self, struct: Any, field: Field, value: Any) -> bool:
        """Whether it is a time of 0 that may be left out, which is none in Go."""
        is_zero = type(value) in (int, float) and value == 0
        return (
            self.release is not None
            and is_zero
            and not field.required
            and (field.default is None or _refuses_zero(field.type))
            and field.name not in getattr(struct, "one_of", ())
            and may_have_format(field.type, "duration", "interval")
        )

    def value(self, kind: Any, value: Any, path: Way) -> Any:
        bare, marks = unmarked(kind)
        if has_format(marks, "duration") or has_format(marks, "interval"):
            return self.duration(value, path)
        if has_format(marks, "code"):
            return self._code(value, path)
        if has_format(marks, "spec"):
            return self.spec(value, path)
        origin, arguments = typing.get_origin(bare), typing.get_args(bare)
        if (either := words_or_map(bare)) is not None:
            return self.value(either[1], value, path) if isinstance(value, dict) else value
        if origin in (typing.Union, types.UnionType):
            others = [argument for argument in arguments if argument is not type(None)]
            return self.value(others[0], value, path) if len(others) == 1 else value
        if isinstance(value, list):
            inner = arguments[0] if origin in (list, tuple) else bare
            return [self.value(inner, one, (*path, i)) for i, one in enumerate(value)]
        if origin in (list, tuple):
            return self.value(arguments[0], value, path)
        if origin is dict and isinstance(value, dict):
            return {key: self.value(arguments[1], one, (*path, key)) for key, one in value.items()}
        if bare is Spec:
            return self.spec(value, path)
        if isinstance(bare, type) and issubclass(bare, Struct):
            return self._struct(bare, value, path)
        return value

    # -- leaves --------------------------------------------------------------------------------

    def duration(self, value: Any, path: Way) -> Any:
        """A length of time, by a number with or without a unit."""
        is_text = isinstance(value, str) and _DIGITS.fullmatch(value.strip())
        is_number = type(value) is int or (type(value) is float and self.release is not None)
        if not is_number and not is_text:
            self._note_placeholder(value, path)
            return value
        if self.release is not None:
            nanoseconds = int(value) * self.release.unit  # a fraction of the unit is cut off in Go
        elif (nanoseconds := int(value)) < NANOSECONDS_FROM:
            return value
        if not 0 <= nanoseconds < _LONGEST:
            return value
        text = format_nanoseconds(nanoseconds)
        self.edits.append(Edit(path, "value", text))
        return text

    def _note_placeholder(self, value: Any, path: Way) -> None:
        if self.release is None or not isinstance(value, str) or not _PLACEHOLDER.search(value):
            return
        unit = format_nanoseconds(self.release.unit)
        reason = (
            f"what is inserted here is in seconds if it has no unit; {self.release.name} means"
            f" {unit} by 1: write the unit behind it"
        )
        self.notes.append(SpecFault(written(path), reason))

    def _code(self, value: Any, path: Way) -> Any:
        is_cel = self._language == "cel" and isinstance(value, str)
        if self.release is None or not self.release.keys_are_names or not is_cel:
            return value
        from greenflow.scheme.compat.keys import keys_as_fields  # imports all of CEL

        insertions = keys_as_fields(value)
        if insertions:
            self.edits.append(Edit(path, "code", insertions))
        return with_insertions(value, insertions)


def _language(spec_type: Any, document: dict[str, Any]) -> str:
    """What the code of a spec is written in; CEL where that cannot be said."""
    for field in fields(spec_type):
        if field.name == "language":
            return str(document.get("language") or field.default)
    return "cel"


def _refuses_zero(kind: Any) -> bool:
    return any(getattr(mark, "gt", None) == 0 for mark in unmarked(kind)[1])
