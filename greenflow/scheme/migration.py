"""Spec files in the words of the Go engine, rewritten in ours (BEHAVIOUR 1.6, 1.7).

Lives here: which words of a text become others, in place, so that comments, order and layout stay.
Not here: files, and what is told about them (cli/migrate.py).

The kinds say what may be written: a field or kind by another name gets its own, and a duration in
nanoseconds its unit. Whatever is not understood stays as it is. The new text is read again; it has
to hold the same specs in the new words, or it is not given out.
"""

from __future__ import annotations

import re
import types
import typing
from typing import Any, NamedTuple

from msgspec import Struct

from greenflow.errors import GreenflowError
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import Document, read
from greenflow.spec.duration import NANOSECONDS_FROM, format_duration
from greenflow.spec.fields import Spec, fields, has_format, unmarked, words_or_map
from greenflow.spec.syntax import Lines
from greenflow.spec.syntax.spans import Span, spans_of_documents

# An anchor or a tag before a value.
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_JSON = re.compile(r'\{\s*"')  # how a map in JSON begins
_DIGITS = re.compile(r"[0-9]+")

# The collection has two names (BEHAVIOUR 1.6), and this is the one that a `syscall` writes.
_OPCODES = {f"specs.{verb}": f"nodes.{verb}" for verb in ("create", "read", "update", "delete")}

Path = tuple[str | int, ...]


class TextChange(NamedTuple):
    """One word that is another now, and where it stands (from 1)."""

    line: int
    column: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.before} is now {self.after}"


class Migrated(NamedTuple):
    """A text in our words, the documents in it, and what was changed."""

    text: str
    documents: list[Document]
    changes: list[TextChange]


class NotMigrated(GreenflowError):
    """A text cannot be changed in place. Its author must do by hand what the message says."""

    status = 400
    exit_code = 3


class _Word(NamedTuple):
    """A key (or with `is_value` a value) in a document, and what it becomes."""

    path: Path
    after: str
    is_value: bool


def migrate(text: str, source: str, scheme: Scheme) -> Migrated:
    """The text of a spec file in our words. Raises DocumentError for what is no spec file, and
    NotMigrated."""
    bare = text.removeprefix("\ufeff")
    documents = read(bare, source)
    renewed: list[Any] = []
    edits: dict[int, tuple[int, str]] = {}
    for document, span in zip(documents, spans_of_documents(bare, source), strict=True):
        walk = _Walk(scheme)
        renewed.append(walk.spec(document.data, ()))
        for word in walk.words:
            start, end, after = _edit(bare, span, word)
            edits[start] = (end, after)
    lines, changes, parts, position = Lines(bare), [], [], 0
    for start, (end, after) in sorted(edits.items()):
        changes.append(
            TextChange(*lines.at(start), *(t.strip("\"'") for t in (bare[start:end], after)))
        )
        parts += [bare[position:start], after]
        position = end
    new = "".join([*parts, bare[position:]])
    try:
        again = read(new, source)
    except GreenflowError:
        again = []
    if [document.data for document in again] != renewed:
        wanted = "; ".join(" ".join(f"line {each.line}: {each}".split()) for each in changes)
        reason = (
            "anchors, merge keys, tags or texts of several lines are used in ways that cannot be "
            "changed in place"
        )
        raise NotMigrated(f"{source}: {reason}; do it by hand: {wanted}")
    return Migrated(text[: len(text) - len(bare)] + new, again, changes)


class OtherWord(NamedTuple):
    """A word that is read, and written otherwise: where it stands in a document, as errors write
    it, and what is written."""

    path: str
    before: str
    after: str


def other_words(document: Any, scheme: Scheme) -> list[OtherWord]:
    """The words of a spec as its author wrote it that `migrate` changes."""
    walk = _Walk(scheme)
    walk.spec(document, ())
    found = []
    for word in walk.words:
        path, inside = "$", document
        for key in word.path:
            path += f"[{key}]" if isinstance(key, int) else f".{key}"
            inside = inside[key]
        before = str(inside) if word.is_value else str(word.path[-1])
        found.append(OtherWord(path, before, word.after))
    return found


class _Walk:
    """Goes through a spec by the types of its fields, as `greenflow.spec.decoding` reads it, and
    collects the words that become others. Each method returns the value in the new words."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self.words: list[_Word] = []

    def spec(self, document: Any, path: Path) -> Any:
        if not isinstance(document, dict):
            return document
        kind, spec_type = document.get("kind"), Spec
        try:
            node_type = self.scheme.node_type(kind) if isinstance(kind, str) else None
        except (LookupError, GreenflowError):
            node_type = None
        if node_type is not None:
            spec_type = node_type.spec_type
            if node_type.kind != kind and node_type.kind in self.scheme.kinds():
                self.words.append(_Word((*path, "kind"), node_type.kind, is_value=True))
                document = {**document, "kind": node_type.kind}
            opcode = document.get("opcode")
            if node_type.kind == "syscall" and opcode in _OPCODES:
                self.words.append(_Word((*path, "opcode"), _OPCODES[opcode], is_value=True))
                document = {**document, "opcode": _OPCODES[opcode]}
        return self.struct(spec_type, document, path)

    def struct(self, struct: Any, document: Any, path: Path) -> Any:
        if not isinstance(document, dict):
            return document
        by_name = {field.name: field for field in fields(struct)}
        by_name |= {field.alias: field for field in fields(struct) if field.alias}
        renewed = {}
        for key, value in document.items():
            field = by_name.get(key)
            name = key
            if field is not None:
                # Where both names are given, the author must say which one is meant.
                if key == field.alias and field.name not in document:
                    name = field.name
                    self.words.append(_Word((*path, key), name, is_value=False))
                value = self.value(field.type, value, (*path, key))
            renewed[name] = value
        return renewed

    def value(self, kind: Any, value: Any, path: Path) -> Any:
        bare, marks = unmarked(kind)
        if has_format(marks, "duration") or has_format(marks, "interval"):
            return self.duration(value, path)
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
            return self.struct(bare, value, path)
        return value

    def duration(self, value: Any, path: Path) -> Any:
        is_text = isinstance(value, str) and _DIGITS.fullmatch(value.strip())
        if type(value) is not int and not is_text:
            return value
        nanoseconds = int(value)
        if not NANOSECONDS_FROM <= nanoseconds < 2**63:
            return value
        text = format_duration(nanoseconds / 1e9)
        self.words.append(_Word(path, text, is_value=True))
        return text


def _edit(text: str, span: Span, word: _Word) -> tuple[int, int, str]:
    """Where the word stands in the text, and what is to be written there."""
    found = span
    for key in word.path:
        if isinstance(key, int):
            name = found = found.items[key]
        else:
            pair = found.find(key)
            assert pair is not None, word.path
            name, found = pair
    target = found if word.is_value else name
    properties = _PROPERTIES.match(text, target.start, target.end)
    start = target.start if properties is None else properties.end()
    written = text[start : target.end]
    quote = written[:1] if written[:1] in ('"', "'") else ""
    if not quote and _JSON.match(text, span.start):
        quote = '"'  # JSON has no text without
    return start, target.end, f"{quote}{word.after}{quote}"
