"""Spec files of the Go engine, rewritten in our words (BEHAVIOUR 1.6, 1.7, 1.10).

Lives here: how a text is changed in place, so that comments, order and layout stay. What becomes
what is said by compat/walking.py. Not here: files, and what is told about them (cli/migrate.py).

The kinds say what may be written: a field or kind by another name gets its own, and a duration in
nanoseconds its unit; with a release of the engine what it means otherwise is said in our way, as
the switch `compat` has it. Whatever is not understood stays as it is. The new text is read again;
it has to hold the specs that the old one is under the switch, or it is not given out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from greenflow.errors import GreenflowError
from greenflow.scheme.compat.releases import Release
from greenflow.scheme.compat.walking import Edit, Walk
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import Document, read
from greenflow.spec.path import written
from greenflow.spec.syntax import Lines, offset_of
from greenflow.spec.syntax.spans import Span, spans_of_documents

# An anchor or a tag before a value.
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_JSON = re.compile(r'\{\s*"')  # how a map in JSON begins
_NEWLINE = re.compile(r"\r?\n")


class TextChange(NamedTuple):
    """One word that is another now, and where it stands (from 1)."""

    line: int
    column: int
    before: str
    after: str

    def __str__(self) -> str:
        if not self.before:
            return f"{self.after} is new"
        return f"{self.before} is now {self.after}" if self.after else f"{self.before} is left out"


class Migrated(NamedTuple):
    """A text in our words, the documents in it, what was changed, and what its author should
    know, at its place in the text as it was."""

    text: str
    documents: list[Document]
    changes: list[TextChange]
    notes: list[str]


class NotMigrated(GreenflowError):
    """A text cannot be changed in place. Its author must do by hand what the message says."""

    status = 400
    exit_code = 3


def migrate(text: str, source: str, scheme: Scheme, release: Release | None = None) -> Migrated:
    """The text of a spec file in our words and, of a release, our meanings. Raises DocumentError
    for what is no spec file, and NotMigrated."""
    bare = text.removeprefix("\ufeff")
    documents = read(bare, source)
    renewed: list[Any] = []
    notes: list[str] = []
    edits: dict[tuple[int, int, str], _Splice] = {}  # what an alias stands for comes twice
    for document, span in zip(documents, spans_of_documents(bare, source), strict=True):
        walk = Walk(scheme, release, words=True)
        renewed.append(walk.document(document.data))
        notes += map(document.told, walk.notes)
        for edit in walk.edits:
            for splice in _splices(bare, document, span, edit):
                edits[splice.start, splice.end, splice.text] = splice
    lines, changes, parts, position = Lines(bare), [], [], 0
    for (start, end, _), splice in sorted(edits.items()):
        changes.append(TextChange(*lines.at(splice.shown_at), splice.before, splice.shown))
        parts += [bare[position:start], splice.text]
        position = max(position, end)
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
    return Migrated(text[: len(text) - len(bare)] + new, again, changes, notes)


class OtherWord(NamedTuple):
    """A word that is read, and written otherwise: where it stands in a document, as errors write
    it, and what is written."""

    path: str
    before: str
    after: str


def other_words(document: Any, scheme: Scheme) -> list[OtherWord]:
    """The words of a spec as its author wrote it that `migrate` changes."""
    walk = Walk(scheme, words=True)
    walk.spec(document, ())
    words = []
    for edit in walk.edits:
        inside = document
        for key in edit.path:
            inside = inside[key]
        before = str(inside) if edit.what == "value" else str(edit.path[-1])
        words.append(OtherWord(written(edit.path), before, edit.after))
    return words


class _Splice(NamedTuple):
    """What to put in the place of a part of the text; for people, where and what it is about."""

    start: int
    end: int
    text: str
    shown_at: int
    before: str
    shown: str


def _splices(text: str, document: Document, span: Span, edit: Edit) -> Iterator[_Splice]:
    """How an edit of a document is made in the text. Raises NotMigrated."""
    above = span
    for key in edit.path[:-1]:
        above = _within(above, key)
    key = edit.path[-1]
    if edit.what == "code":
        yield from _insertions(text, document, edit)
    elif edit.what == "drop":
        yield _without(text, above, str(key))
    elif edit.what == "before":
        yield _before(text, span, above, str(key), *edit.after)
    else:
        name, value = (above, above.items[key]) if isinstance(key, int) else _pair(above, key)
        yield _replaced(text, span, value if edit.what == "value" else name, edit.after)


def _pair(above: Span, key: str) -> tuple[Span, Span]:
    pair = above.find(key)
    assert pair is not None, key
    return pair


def _within(above: Span, key: str | int) -> Span:
    if isinstance(key, str):
        return _pair(above, key)[1]
    return above.items[key] if above.items else above  # one alone stands without a list


def _replaced(text: str, span: Span, target: Span, after: Any) -> _Splice:
    """A scalar as another, in its quotes."""
    start = _behind_properties(text, target)
    before = text[start : target.end]
    if not isinstance(after, str):
        after = json.dumps(after)
        return _Splice(start, target.end, after, start, before, after)
    quote = before[:1] if before[:1] in ('"', "'") else ""
    if not quote and _JSON.match(text, span.start):
        quote = '"'  # JSON has no text without
    shown = before.strip("\"'")
    return _Splice(start, target.end, f"{quote}{after}{quote}", start, shown, after)


def _behind_properties(text: str, target: Span) -> int:
    properties = _PROPERTIES.match(text, target.start, target.end)
    return target.start if properties is None else properties.end()


def _insertions(text: str, document: Document, edit: Edit) -> Iterator[_Splice]:
    """Texts put into code, at their places in the file however it writes the string."""
    path = written(edit.path)
    code = document.value(path)
    for insertion in edit.after:
        place = document.place_within(path, *Lines(code).at(insertion.offset))
        if place is None:
            continue  # the text as a whole is then not what is wanted
        at = offset_of(text, *place)
        name = re.match(r"\.?\w*", code[insertion.offset :])
        before = name[0] if name is not None else ""
        yield _Splice(at, at, insertion.text, at, before, f"{insertion.text}{before}")


def _before(text: str, span: Span, above: Span, key: str, name: str, value: Any) -> _Splice:
    """A pair put before the one of a key."""
    at = _pair(above, key)[0].start
    begin = _behind_properties(text, above)
    is_json = _JSON.match(text, span.start) is not None
    pair = json.dumps({name: value})[1:-1] if is_json else f"{name}: {_flow(value)}"
    if text[begin : begin + 1] == "{":
        between = ", "
    else:
        line = text.rfind("\n", 0, at) + 1
        newline = _NEWLINE.search(text)
        between = f"{newline[0] if newline else chr(10)}{' ' * (at - line)}"
    return _Splice(at, at, f"{pair}{between}", at, "", pair)


def _flow(value: Any) -> str:
    """A value in YAML, as a person writes it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    return value if isinstance(value, str) and value.isalpha() else json.dumps(value)


def _without(text: str, above: Span, key: str) -> _Splice:
    """A pair left out, with the line that it stands on alone."""
    keys = [name.value for name, _ in above.pairs]
    if key not in keys:  # it is merged into the map
        return _Splice(above.start, above.start, "", above.start, key, "")
    number = keys.index(key)
    name, value = above.pairs[number]
    start, end = name.start, max(value.end, name.end)
    if text[_behind_properties(text, above) :][:1] == "{":
        if number + 1 < len(keys):
            end = above.pairs[number + 1][0].start
        elif number:
            start = above.pairs[number - 1][1].end
        return _Splice(start, end, "", name.start, key, "")
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip(" ") and number + 1 < len(keys):
        return _Splice(start, above.pairs[number + 1][0].start, "", name.start, key, "")
    newline = text.find("\n", max(end - 1, start))
    return _Splice(line, len(text) if newline < 0 else newline + 1, "", name.start, key, "")
