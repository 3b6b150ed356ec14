"""GF001 to GF003, GF015, GF026: what a file and each spec in it say.

Lives here: reading the files, and the faults that the scheme finds. A file that cannot be read
keeps none of the others from being looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from greenflow.errors import SpecFault
from greenflow.lint.finding import File, LintFinding
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Entry, examined
from greenflow.spec.document import Document, DocumentError, files_of, read_file
from greenflow.spec.fields import as_written


class SpecFiles(NamedTuple):
    """Files as they were read, the entries of them that are sound, the documents that are not,
    and what was found."""

    files: list[File]
    entries: list[Entry]
    broken: list[Document]
    findings: list[LintFinding]


def read(paths: Iterable[str], scheme: Scheme, namespace: str) -> SpecFiles:
    """Reads files and folders. Raises OSError, also for a path that is not there."""
    files: list[File] = []
    findings: list[LintFinding] = []
    for path in paths:
        try:
            names = files_of(path)
        except DocumentError as error:
            findings.append(_unreadable(error))
            continue
        for name in names:
            try:
                documents = read_file(name)
            except DocumentError as error:
                findings.append(_unreadable(error))
            else:
                text = documents[0].text if documents else ""
                files.append(File(name, text, documents))
    documents = [document for file in files for document in file.documents]
    entries, faulty = examined(documents, scheme, namespace, named=False, derived=True)
    findings += (_fault(document, fault) for document, fault in faulty)
    findings += _unnamed(documents)
    broken = list({id(document): document for document, _ in faulty}.values())
    faults = {id(document) for document in broken}
    sound = [entry for entry in entries if id(entry.document) not in faults]
    return SpecFiles(files, sound, broken, findings)


def _unreadable(error: DocumentError) -> LintFinding:
    return LintFinding(
        "GF001", error.source, max(error.line, 1), max(error.column, 1), error.reason
    )


def _fault(document: Document, fault: SpecFault) -> LintFinding:
    if "is taken by the spec at" in fault.reason:
        rule = "GF003"
    elif fault.reason.endswith("is routed already"):
        rule = "GF015"
    else:
        rule = "GF002"
    return located(document, rule, fault)


def located(document: Document, rule: str, fault: SpecFault) -> LintFinding:
    """The finding of a fault, at the very character where that can be told."""
    place, said = document.located(fault)
    line, column = map(int, place.rsplit(":", 2)[1:])
    name = document.data.get("name") or document.data.get("id") or ""
    anchor, _ = document.position(fault.path)
    message = str(said).removeprefix("$: ")
    return LintFinding(rule, document.source, line, column, message, str(name), anchor)


def as_author_wrote(document: Document, scheme: Scheme, path: str) -> str:
    """A path of a spec with the names of fields that its author used."""
    kind = scheme.known_type(document.data)
    return path if kind is None else as_written(kind.spec_type, document.data, path)


def _unnamed(documents: Iterable[Document]) -> Iterator[LintFinding]:
    for document in documents:
        if not document.data.get("name") and not document.data.get("id"):
            yield located(document, "GF026", SpecFault("$", "neither name nor id"))
