"""Spec files: text to documents that know where each of their parts stands (BEHAVIOUR 1.9).

Lives here: files, folders and standard input; lists and several documents in one text; positions.
Not here: how JSON and YAML are read (`greenflow.spec.syntax`), nor what one means (scheme).

A document is a plain map of values that JSON can hold. `Document.told` turns a fault into the line
that its author is told: the path (`$.routes[0].method`) and the place in the code that stands there
become the line and column of the file at which to look.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

from greenflow.errors import GreenflowError, SpecFault
from greenflow.spec.path import step, value_at
from greenflow.spec.syntax import Part, Place, SyntaxFault
from greenflow.spec.syntax.characters import Written
from greenflow.spec.syntax.json import parts_of_json
from greenflow.spec.syntax.yaml import parts_of_yaml

#: The name under which standard input is asked for and shown.
STANDARD_INPUT = "-"

#: Endings of the files that are taken from a folder.
SUFFIXES = (".yaml", ".yml", ".json")

#: The ending of files with cases for specs (greenflow.testing.cases), which may lie beside them.
CASES_SUFFIX = ".flow.yaml"

#: Bytes that are read from standard input at once: what a pipe of Linux holds.
_PIECE = 65536

#: Milliseconds between looks for signals while standard input has nothing: a moment for a person.
_LOOK = 200

_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
}


class DocumentError(GreenflowError):
    """A text is no spec file. Its author must act; `source`, `line` and `column` say where (from 1;
    line 0 is the text as a whole), and `reason` what is wrong."""

    status = 400
    exit_code = 3

    def __init__(self, source: str, line: int, column: int, reason: str) -> None:
        self.source, self.line, self.column, self.reason = source, line, column, reason
        place = f"{source}:{line}:{column}" if line else source
        super().__init__(f"{place}: {reason}")


class Document:
    """One spec as it was written: its `data`, the `source` it comes from (a file's name, or `-`),
    and the positions of all that is in it. It is the one of that number in what was `written`."""

    __slots__ = ("_number", "_part", "_steps", "_written", "data", "source")

    def __init__(
        self,
        data: dict[str, Any],
        part: Part,
        steps: tuple[int, ...],
        written: Written,
        number: int,
    ) -> None:
        self.data, self.source = data, written.source
        self._part, self._steps = part, steps
        self._written, self._number = written, number

    @property
    def text(self) -> str:
        """The whole text that it is in."""
        return self._written.text

    def position(self, path: str = "$") -> tuple[int, int]:
        """Line and column, from 1, of what `path` leads to: of its key in a map, else of itself.

        A path is written as errors write it: `$.routes[0].method` (path.py). Where it leads to
        nothing, the nearest part on the way that exists is the answer.
        """
        return self._find(path)[0][:2]

    def told(self, fault: SpecFault) -> str:
        """The line for the author of a fault, `file:line:column: path: reason`, as `located`."""
        place, found = self.located(fault)
        return f"{place}: {found}"

    def located(self, fault: SpecFault) -> tuple[str, SpecFault]:
        """Where the author of a fault must look, `file:line:column`, and what is to be said there.

        Where the fault is inside of a string, its place is that of the very character, and if that
        cannot be told, the place of the string, and the one in it is said.
        """
        place, way, rest = self._find(fault.path)
        if fault.line and not rest:
            inside = self._written.place(self._number, way, fault.line, fault.column)
            if inside is not None:
                line, column = inside
                return f"{self.source}:{line}:{column}", fault._replace(line=0, column=0)
        return f"{self.source}:{place[0]}:{place[1]}", fault

    def value(self, path: str) -> Any:
        """What a path leads to; None where that is nothing."""
        return value_at(self.data, path)

    def place_within(self, path: str, line: int, column: int) -> tuple[int, int] | None:
        """Line and column in the file of a character of the string that a path leads to; None
        where that cannot be told."""
        _, way, rest = self._find(path)
        return None if rest else self._written.place(self._number, way, line, column)

    def _find(self, path: str) -> tuple[Place, list[str | int], str]:
        """The place that a path leads to, the keys and indices on the way to it, and what of the
        path leads to nothing."""
        place = self._part.place()
        for index in self._steps:
            place = place[2][index] if isinstance(place[2], list) else place
        rest, way = path.removeprefix("$"), list[str | int]()
        while rest and (entered := step(place[2], rest)) is not None:
            keys, rest = entered
            for key in keys:
                inside: Any = place[2]
                place = inside[key]
            way += keys
        return place, way, rest

    def __repr__(self) -> str:
        return f"<Document {self.source}:{':'.join(map(str, self.position()))}>"


def read(text: str | bytes, source: str) -> list[Document]:
    """The documents in `text`, in order. Empty ones between others are skipped.

    Raises DocumentError when the text cannot be read, holds something else than specs, or nothing
    at all: a file that an editor has just emptied must not pass for "no specs". An empty list does.
    """
    try:
        characters = text.removeprefix("\ufeff") if isinstance(text, str) else _decode(text)
        parts = _parts(characters, source)
    except SyntaxFault as fault:
        raise DocumentError(source, fault.line, fault.column, fault.reason) from None
    documents: list[Document] = []
    written = Written(characters, source)
    for part in parts:
        entries = part.value if isinstance(part.value, list) else [part.value]
        for index, data in enumerate(entries):
            steps = (index,) if part.value is entries else ()
            document = Document(data, part, steps, written, len(documents))
            if not isinstance(data, dict):
                line, column = document.position()
                reason = f"a spec is a map, not {_NAMES[type(data)]}"
                raise DocumentError(source, line, column, reason)
            documents.append(document)
    if not parts:
        raise DocumentError(source, 0, 0, "no spec in it: write one, or [] for none")
    return documents


def read_path(path: str) -> list[Document]:
    """The documents of a file, of all spec files below a folder (`*.yaml *.yml *.json`, sorted,
    hidden ones and `*.flow.yaml` skipped), or of standard input (`-`).

    Raises OSError when something cannot be opened, and DocumentError as `read` does, also for a
    folder without any spec file.
    """
    return [document for file in files_of(path) for document in read_file(file)]


def read_file(path: str) -> list[Document]:
    """The documents of one file, or of standard input (`-`). Raises as `read_path` does, and for
    one with cases of tests, which a shell's `*.yaml` may name."""
    if path == STANDARD_INPUT:
        return read(_standard_input(), path)
    if path.endswith(CASES_SUFFIX):
        told = "holds tests, which `greenflow test` runs: name the folder, or leave this file out"
        raise DocumentError(path, 0, 0, told)
    with open(path, "rb") as file:
        return read(file.read(), path)


def _standard_input() -> bytes:
    """All that is to be read there.

    A read that waits for ever does not see a Ctrl-C that came a moment before it: Python looks for
    signals before and after a system call, and only one that comes within interrupts it.
    """
    if sys.stdin is None:
        return b""
    try:
        number = sys.stdin.fileno()
    except io.UnsupportedOperation:  # a stand-in that is no file of the system
        return sys.stdin.buffer.read()
    ready = select.poll()
    ready.register(number, select.POLLIN)
    pieces: list[bytes] = []
    while True:
        while not ready.poll(_LOOK):
            pass
        if not (piece := os.read(number, _PIECE)):
            return b"".join(pieces)
        pieces.append(piece)


def files_of(path: str) -> list[str]:
    """The path itself, or if it is a folder, the spec files below it, in the order in which they
    are read: sorted by name, a folder in its place among the files. Links are followed, but never
    in a circle. Raises OSError, and DocumentError for a folder without any."""
    if path == STANDARD_INPUT or not os.path.isdir(path):
        return [path]
    files = [file for file in _walk(path, frozenset()) if not file.endswith(CASES_SUFFIX)]
    if not files:
        wanted = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        raise DocumentError(path, 0, 0, f"no spec file in this folder ({wanted})")
    return files


def cases_of(path: str) -> list[str]:
    """The files with cases: the path itself, or those below a folder, in the order of `files_of`.
    Raises OSError."""
    if path == STANDARD_INPUT or not os.path.isdir(path):
        return [path] if path.endswith(CASES_SUFFIX) else []
    return [file for file in _walk(path, frozenset()) if file.endswith(CASES_SUFFIX)]


def _walk(folder: str, above: frozenset[str]) -> Iterator[str]:
    here = os.path.realpath(folder)
    if here in above:
        return
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            yield from _walk(path, above | {here})
        elif name.endswith(SUFFIXES):
            yield path


def _parts(text: str, source: str) -> list[Part]:
    """JSON first where a text looks like it, for it is much faster; then YAML, which takes most of
    what JSON does not. The reading that came further explains what is wrong."""
    zero = text.find("\0")
    if zero >= 0:
        line, column = text.count("\n", 0, zero) + 1, zero - text.rfind("\n", 0, zero)
        raise SyntaxFault(line, column, "a NUL character; is this a binary file?")
    json_only = source.endswith(".json")
    if not json_only and not text.lstrip().startswith(("{", "[")):
        return parts_of_yaml(text)
    try:
        return parts_of_json(text)
    except SyntaxFault as fault:
        if json_only or fault.is_final:
            raise
        first = fault
    try:
        return parts_of_yaml(text)
    except SyntaxFault as fault:
        raise max(fault, first, key=lambda either: (either.line, either.column)) from None


def _decode(content: bytes) -> str:
    """UTF-8 only, which both formats have in common, with or without a byte order mark."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SyntaxFault(1, 1, "this is UTF-16: save it as UTF-8")
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        reason = f"byte 0x{content[error.start]:02x} is not UTF-8; is this a binary file?"
        raise SyntaxFault(line, column, reason) from None
