"""From files to a batch that may be stored: all of it is sound, or none.

Lives here: reading, checking and the report of what is wrong, for whatever takes spec files.
Every faulty spec is reported, each fault as `file:line:column: path: reason` (BEHAVIOUR 17.3).
Only the faults of the texts and specs themselves are found here; what is taken in the store is the
store's to say.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol
from uuid import UUID, uuid5

from greenflow.errors import CompileFailed, GreenflowError, SpecFault, SpecInvalid
from greenflow.hub.breathing import unhurried
from greenflow.spec.document import Document, DocumentError, files_of, read_file
from greenflow.spec.reference import Beside, Lookup
from greenflow.spec.template import unbound
from greenflow.spec.translated import Translated

logger = logging.getLogger("greenflow.spec")

#: Under which the ids of specs without one are derived; made once, at random.
_DERIVED = UUID("0b5f9f6e-3b1c-4f5a-9f6c-5d0f3d2f7f52")

#: Specs that are checked before other greenlets get a turn; one takes about 0.1 ms.
_CHECKED_AT_ONCE = 50


class Validator(Protocol):
    """What knows whether a document may be stored; a Scheme for specs."""

    def translated(self, document: dict[str, Any]) -> Translated:
        """The document as it is meant here, which is what is validated."""

    def validate(
        self, document: Any, namespace: str, beside: Beside | None = None
    ) -> dict[str, Any]:
        """The document as it is to be stored, which may refer to what is beside it. Raises
        SpecInvalid."""


class Faulty(GreenflowError):
    """Files that hold something wrong; `lines` are one for each fault."""

    status = 400
    exit_code = 3

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = list(lines)
        super().__init__("\n".join(self.lines))


class MissingFile(GreenflowError):
    """A file or folder that was named and is not there. Whoever typed it must act."""

    status = 400
    exit_code = 2

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: no such file or folder")


class Entry(NamedTuple):
    """A document that was read, and what it is to be stored as."""

    document: Document
    data: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Entry of {self.document!r}>"  # values are secrets


def read_files(
    paths: Iterable[str], read: Callable[[str], list[Document]] = read_file
) -> list[Document]:
    """The documents of files, folders and standard input, in order. `read` reads one file.

    Raises Faulty with the first fault of every file that cannot be read as specs, MissingFile for a
    path that is not there, and OSError for what cannot be opened.
    """
    documents: list[Document] = []
    lines: list[str] = []
    for path in paths:
        try:
            for file in files_of(path):
                try:
                    documents += read(file)
                except DocumentError as error:
                    lines.append(str(error))
        except DocumentError as error:
            lines.append(str(error))
        except FileNotFoundError as error:
            raise MissingFile(os.fspath(error.filename)) from None
    if lines:
        raise Faulty(lines)
    return documents


def check(
    documents: Iterable[Document],
    validator: Validator,
    namespace: str,
    *,
    named: bool,
    derived: bool = False,
    breathe: Callable[[], None] = lambda: None,
    aside: Callable[[Callable[[], list[str]]], list[str]] = lambda work: work(),
    stored: Lookup | None = None,
) -> list[Entry]:
    """The documents as they are to be stored. `named`: each must have an id or a name. Unless they
    are `named` and not `derived`, those without id get one of their name or content. `breathe` is
    called now and then, to let others run; finding the places of faults reads their files once more
    without a break, so it is handed to `aside`, which calls it where others run meanwhile. They may
    refer to one another, and to what `stored` finds.

    Raises Faulty with all faults of all documents.
    """
    entries, faulty = examined(
        documents,
        validator,
        namespace,
        named=named,
        derived=derived,
        breathe=breathe,
        stored=stored,
    )
    if faulty:
        raise Faulty(aside(lambda: [document.told(fault) for document, fault in unhurried(faulty)]))
    return entries


def examined(
    documents: Iterable[Document],
    validator: Validator,
    namespace: str,
    *,
    named: bool,
    derived: bool = False,
    breathe: Callable[[], None] = lambda: None,
    stored: Lookup | None = None,
) -> tuple[list[Entry], list[tuple[Document, SpecFault]]]:
    """As `check`: the entries of what is sound, and every fault with its document."""
    faulty: list[tuple[Document, SpecFault]] = []
    entries: list[Entry] = []
    taken: dict[tuple[str, ...], Document] = {}
    documents = list(documents)
    meanings: list[Translated] = []
    for number, document in enumerate(documents, 1):
        if number % _CHECKED_AT_ONCE == 0:
            breathe()
        meanings.append(validator.translated(document.data))
    beside = Beside(
        (
            (meaning.data, partial(_located, document, meaning))
            for document, meaning in zip(documents, meanings, strict=True)
        ),
        namespace,
        stored,
    )
    for number, (document, meaning) in enumerate(zip(documents, meanings, strict=True), 1):
        for note in meaning.notes:
            logger.warning("%s", document.told(note))
        if number % _CHECKED_AT_ONCE == 0:
            breathe()
        faults = list(_nameless(document.data)) if named else []
        try:
            data = validator.validate(meaning.data, namespace, beside)
        except SpecInvalid as error:
            faults += map(meaning.located, _explained(meaning.data, error.faults))
        except CompileFailed as error:
            faults.append(SpecFault("$", str(error)))
        else:
            faults += _repeated(document, data, taken)
            entries.append(Entry(document, data))
        faulty += ((document, fault) for fault in faults)
    return entries if named and not derived else list(_identified(entries, breathe)), faulty


def _located(document: Document, meaning: Translated, fault: SpecFault) -> tuple[str, SpecFault]:
    return document.located(meaning.located(fault))


def _explained(data: dict[str, Any], faults: Iterable[SpecFault]) -> Iterator[SpecFault]:
    """The faults, and of those in a string with a placeholder that it is taken as text."""
    texts = {doubt.path: doubt for doubt in unbound(data)}
    for fault in faults:
        yield fault
        if fault.path in texts:
            yield texts[fault.path]


def selectors(documents: Iterable[Document], namespace: str) -> list[dict[str, str]]:
    """For each document what it names: an id, or a name in its namespace (BEHAVIOUR 17.4). Nothing
    else is checked, for what is wrong must be deletable.

    Raises Faulty for those that name nothing.
    """
    lines: list[str] = []
    found: list[dict[str, str]] = []
    for document in documents:
        data = document.data
        lines += map(document.told, _nameless(data))
        if data.get("id"):
            found.append({"id": data["id"]})
        elif data.get("name"):
            found.append({"name": data["name"], "namespace": data.get("namespace") or namespace})
    if lines:
        raise Faulty(lines)
    return found


def _nameless(data: dict[str, Any]) -> Iterator[SpecFault]:
    for key in ("id", "name", "namespace"):
        value = data.get(key)
        if value is not None and not isinstance(value, str):
            yield SpecFault(f"$.{key}", f"expected a string, got {value!r}")
    if not data.get("id") and not data.get("name"):
        yield SpecFault("$", "neither id nor name: what is stored is found by one of them")


def _identified(entries: Iterable[Entry], breathe: Callable[[], None]) -> Iterator[Entry]:
    """Gives those without id one that stays: of the name, or else of the content."""
    seen: dict[str, int] = {}
    for number, (document, data) in enumerate(entries, 1):
        if number % _CHECKED_AT_ONCE == 0:
            breathe()
        if not data.get("id"):
            if data.get("name"):
                basis = f"name:{data['namespace']}/{data['name']}"
            else:
                basis = f"content:{json.dumps(data, sort_keys=True)}"
                # Two that are equal are two nodes, not one.
                seen[basis] = seen.get(basis, 0) + 1
                basis += f"#{seen[basis]}"
            data = {"id": str(uuid5(_DERIVED, basis)), **data}
        yield Entry(document, data)


def _repeated(
    document: Document, data: dict[str, Any], taken: dict[tuple[str, ...], Document]
) -> Iterator[SpecFault]:
    """A fault if a spec before it has its id, or its name and namespace."""
    keys: list[tuple[str, tuple[str, ...]]] = []
    if data.get("id"):
        keys.append(("$.id", (data["id"],)))
    if data.get("name"):
        keys.append(("$.name", (data["namespace"], data["name"])))
    for path, key in keys:
        other = taken.setdefault(key, document)
        if other is not document:
            line, column = other.position(path)
            place = f"{other.source}:{line}:{column}"
            yield SpecFault(path, f"{key[-1]!r} is taken by the spec at {place}")
