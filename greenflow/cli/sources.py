"""The files of what is stored: as they were applied, or written anew.

Lives here: what `get --source` and `export` share. The texts are in the history, beside the change
that applied them; a spec whose file says no longer what is stored is written anew.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from greenflow.store.base import Store
    from greenflow.store.change import Edit

# What may be in the name of a file everywhere; the rest becomes `-`.
_UNFIT = re.compile(r"[^\w.@+-]+")


class SourcePlace(NamedTuple):
    """The file that a spec was applied from: its path, its text, and the line of the spec;
    `is_newest` if the file has not been applied with something else since."""

    path: str
    text: str
    line: int
    is_newest: bool


def sources(store: Store, namespace: str, ids: Iterable[str]) -> dict[str, SourcePlace]:
    """Where the stored versions of specs came from, by id: those whose files are known. A version
    that a rollback has brought back is that of the file that it came from at first."""
    from greenflow.store.change import FILES, SPECS

    edits: dict[str, list[Edit]] = {}
    for edit in store.history.edits(namespace, ids=frozenset(ids)):
        if edit.collection == SPECS:
            edits.setdefault(edit.id, []).append(edit)
    origins = {id: _origin(several) for id, several in edits.items()}
    paths = frozenset(_path(edit) for edit in origins.values() if edit is not None)
    texts: dict[str, list[tuple[int, str]]] = {}
    for edit in store.history.edits(namespace, ids=paths) if paths else ():
        if edit.collection == FILES and edit.after is not None:
            texts.setdefault(edit.id, []).append((edit.number, edit.after))
    result = {}
    for id, origin in origins.items():
        if origin is not None:
            # A later version of its file that did not change it says the same of it.
            is_last = origin is edits[id][-1]
            path = _path(origin)
            known = [
                text for number, text in texts.get(path, ()) if is_last or number <= origin.number
            ]
            line = _line(known[-1], path, origin) if known else None
            if line is not None:
                result[id] = SourcePlace(path, known[-1], line, is_last)
    return result


def _origin(edits: list[Edit]) -> Edit | None:
    """The edit that wrote what a document is now, from a file."""
    now = edits[-1].after
    return next((edit for edit in reversed(edits) if edit.place and edit.after == now), None)


def _path(edit: Edit) -> str:
    return edit.place.rpartition(":")[0]


def _line(text: str, path: str, edit: Edit) -> int | None:
    """The line of a spec in a text; None if it is not there."""
    from greenflow.spec.document import read

    for document in read(text, path):
        id, name = document.data.get("id"), document.data.get("name")
        if id == edit.id or (not id and name == edit.name):
            return document.position()[0]
    return None


def text_of(source: SourcePlace) -> str:
    """The part of a file that is about one spec: from the comments before it to the next spec."""
    from greenflow.spec.document import read

    starts = sorted({document.position()[0] for document in read(source.text, source.path)})
    lines = source.text.splitlines(keepends=True)
    at = starts.index(source.line)
    begin = _with_comments(lines, source.line - 1)
    end = _with_comments(lines, starts[at + 1] - 1) if at + 1 < len(starts) else len(lines)
    return "".join(lines[begin:end])


def one_file_a_spec(store: Store, namespace: str) -> dict[str, str]:
    """The stored specs of a namespace, each as YAML, by the path of its file."""
    records = store.specs.find({"namespace": namespace})
    return _written(record.document for record in records)


def as_applied_files(store: Store, namespace: str) -> dict[str, str]:
    """The files that the stored specs came from, and for the others one each."""
    records = store.specs.find({"namespace": namespace})
    documents = {record.document["id"]: record.document for record in records}
    found = sources(store, namespace, documents)
    newest = {_inside(source.path): source.text for source in found.values() if source.is_newest}
    held = {id for id, source in found.items() if source.is_newest}
    rest = _written(each for id, each in documents.items() if id not in held)
    return {**rest, **newest}


def _written(documents: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    from greenflow.spec.difference import ordered
    from greenflow.spec.syntax.yaml import to_yaml

    files: dict[str, str] = {}
    for document in documents:
        called = _UNFIT.sub("-", document.get("name") or document["id"]).strip(".-") or "spec"
        path = f"{called}.yaml"
        if path in files:  # two names that differ in what no file may have
            path = f"{called}-{document['id']}.yaml"
        files[path] = to_yaml(ordered(document))
    return files


def _inside(path: str) -> str:
    """A path below a folder, whatever it was: what led out of it is gone."""
    parts = [part for part in os.path.normpath(path).split(os.sep) if part not in ("", ".", "..")]
    return os.path.join(*parts) if path != "-" and parts else "standard-input.yaml"


def _with_comments(lines: list[str], index: int) -> int:
    """The first line of what stands directly before a line and is a comment."""
    while index and lines[index - 1].lstrip().startswith("#"):
        index -= 1
    return index
