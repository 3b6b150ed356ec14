"""multipart: forms with files (RFC 7578), and what else is made of parts (RFC 2046 5.1).

A form is `{values: {name: [text..]}, files: {name: [{data, filename, header, size}]}}` (BEHAVIOUR
10.1), where a part with a file name is a file. Any other is a value: a text, or bytes if its
Content-Type says that it is none. Other multiparts, such as `related` and `byteranges`, have
`parts` too: those without a name. A body is read strictly and whole: one that is cut off is an
error, and never half a form. Others run between its parts.

Where a part begins and ends is the package multipart's to find; its limits are ours. What a part is
called is disposition.py's, what its bytes mean transfer.py's and text.py's.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub.breathing import unhurried
from greenflow.net.grammar import BLANKS, TOKEN
from greenflow.net.message import canonical_name
from greenflow.net.mime.disposition import ESCAPES, MAX_PARAMETERS, parse_disposition
from greenflow.net.mime.text import read_text
from greenflow.net.mime.transfer import decode_transfer
from greenflow.net.mime.types import MediaType, codec_of, decode_text, media_type, utf8
from greenflow.net.mime.urlencoded import fields_of
from greenflow.payload.json import loads

__all__ = ("MAX_PARAMETERS", "encode_multipart", "parse_multipart")

# Parts of one body, and bytes of one part's header section. A form has tens of parts; each costs a
# map or two however small it is.
MAX_PARTS = 1_000
MAX_HEADER_BYTES = 8 * 1024

# Lines of one: a form has two, mail a dozen.
MAX_HEADER_LINES = 100

# Bytes of randomness in a boundary: enough that it stands in no body by accident.
BOUNDARY_BYTES = 16

# RFC 2046 5.1.1: 1 to 70 of these, not ending in a blank.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_FIELD = re.compile(rf"({TOKEN}):([^\r\n\0]*)")

# What is text though it is called neither so nor JSON.
_TEXTS = frozenset(("", "application/x-www-form-urlencoded"))

# Parts that say in which charset others are written that do not say so: of forms by the HTML
# standard, of mail that a gateway posts (a map of names to charsets, in JSON).
_CHARSET, _CHARSETS = b'name="_charset_"', b'name="charsets"'


class FormPart(NamedTuple):
    """A part as it came: the fields of its header section, byte for character, and its data."""

    fields: list[tuple[str, str]]
    data: bytes


class _Parser(PushMultipartParser):  # type: ignore[misc]
    """Leaves the header of a part to us: which Content-Disposition is taken, and what is said of
    another."""

    def _create_segment(self, headerlist: list[tuple[str, str]]) -> MultipartSegment:
        """Called by the parser, which means it to be overridden, at the end of a header section."""
        segment = MultipartSegment([])  # `_disposition` reads what is in them
        segment.headerlist = headerlist
        return segment


def parse_multipart(
    body: bytes, boundary: str | None, name: str = "multipart/form-data"
) -> dict[str, Any]:
    """The value of a body of that media type. Raises InvalidArgument."""
    if boundary is None or _BOUNDARY.fullmatch(boundary) is None:
        raise InvalidArgument("multipart without a valid boundary (RFC 2046 5.1.1)")
    parts: Iterable[FormPart] = _parts(body, boundary)
    charsets: tuple[str | None, dict[str, str]] = (None, {})
    if _CHARSET in body or _CHARSETS in body:
        parts = list(unhurried(parts))
        charsets = _charsets(parts)
    form = _Form(*charsets, is_form=name == "multipart/form-data")
    for part in unhurried(parts):
        form.add(part)
    if not form.count and not body.lstrip(b"\r\n").startswith(f"--{boundary}--".encode()):
        raise InvalidArgument("multipart whose first boundary is its last one: no part is in it")
    return form.value


class _Form:
    """Gathers the parts of a body by their names. In a form each has one."""

    def __init__(self, charset: str | None, charsets: dict[str, str], *, is_form: bool) -> None:
        self.value: dict[str, Any] = {"values": {}, "files": {}}
        if not is_form:
            self.value["parts"] = []
        self._charset, self._charsets = charset, charsets
        self.count = 0

    def add(self, part: FormPart, outer: str | None = None) -> None:
        """Add a part, which may be one of several in one part that had a name."""
        self.count += 1
        if self.count > MAX_PARTS:
            raise InvalidArgument(f"more than {MAX_PARTS} parts")
        header = _header(part.fields, self._charset)
        name, filename = None, None
        if "Content-Disposition" in header:
            name, filename = parse_disposition(header["Content-Disposition"][0])
        elif outer is None and "parts" not in self.value:
            raise InvalidArgument("a part without a Content-Disposition (RFC 7578 4.2)")
        name = outer if name is None else name
        if name is None and "parts" not in self.value:
            reason = "a part whose Content-Disposition has no name (RFC 7578 4.2)"
            raise InvalidArgument(reason)
        kind = media_type(header.get("Content-Type", [""])[0])
        boundary = kind.parameters.get("boundary")
        is_mixed = kind.name == "multipart/mixed" and filename is None and outer is None
        if is_mixed and name is not None and boundary:
            self._add_mixed(part.data, boundary, name)
            return
        encoding = header.get("Content-Transfer-Encoding")
        data = part.data if encoding is None else decode_transfer(part.data, encoding[0])
        if filename is not None:
            file = {"data": data, "filename": filename, "header": header, "size": len(data)}
            if name is None:
                self.value["parts"].append(file)
            else:
                self.value["files"].setdefault(name, []).append(file)
        elif name is None:
            content = {"data": self._read(data, kind, None), "header": header, "size": len(data)}
            self.value["parts"].append(content)
        else:
            self.value["values"].setdefault(name, []).append(self._read(data, kind, name))

    def _add_mixed(self, data: bytes, boundary: str, name: str) -> None:
        """Several files of one name, as RFC 2388 4.2 had them, which RFC 7578 4.3 asks to read."""
        if _BOUNDARY.fullmatch(boundary) is None:
            raise InvalidArgument("multipart/mixed without a valid boundary (RFC 2046 5.1.1)")
        for part in unhurried(_parts(data, boundary)):
            self.add(part, name)

    def _read(self, data: bytes, kind: MediaType, name: str | None) -> str | bytes:
        """What a part that is no file holds: text in its charset, or bytes if it is none."""
        if not (kind.is_text or kind.is_json or kind.name in _TEXTS):
            return data
        charset = self._charset if name is None else self._charsets.get(name, self._charset)
        if charset is not None and "charset" not in kind.parameters:
            kind = MediaType(kind.name, {"charset": charset})
        elif kind.name in _TEXTS or kind.is_json:
            return decode_text(data, kind.parameters.get("charset"))
        return read_text(data, kind)


def _charsets(parts: list[FormPart]) -> tuple[str | None, dict[str, str]]:
    """The charset of a form, and those of some of its values, as parts of it say."""
    charset = None
    charsets: dict[str, str] = {}
    for fields, data in parts:
        if len(data) > MAX_HEADER_BYTES:
            continue
        header = "".join(text for _, text in fields).encode("latin-1")
        if _CHARSET in header and charset is None:
            charset = _known(data.decode("latin-1").strip())
        elif _CHARSETS in header and not charsets:
            try:
                told = loads(data)
            except InvalidArgument:
                continue
            if isinstance(told, dict):
                known = {name: _known(said) for name, said in told.items()}
                charsets = {name: said for name, said in known.items() if said is not None}
    return charset, charsets


def _known(charset: object) -> str | None:
    try:
        return codec_of(charset) if isinstance(charset, str) else None
    except InvalidArgument:
        return None


def _parts(body: bytes, boundary: str) -> Iterator[FormPart]:
    """The parts of a body. Raises InvalidArgument."""
    delimiter = f"--{boundary}".encode("ascii")
    parser = _Parser(
        boundary,
        strict=True,
        max_segment_count=MAX_PARTS,
        max_header_size=MAX_HEADER_BYTES,
        max_header_count=MAX_HEADER_LINES,
        header_charset="latin-1",  # any bytes; `_header` reads them as UTF-8
    )
    fields: list[tuple[str, str]] = []
    data = b""
    count = 0
    try:
        with parser:
            for event in parser.parse(_unpadded(body, boundary)):
                if isinstance(event, MultipartSegment):
                    count += 1
                    fields, data = event.headerlist, b""
                elif event is None:
                    if data.startswith(delimiter):
                        raise InvalidArgument("a boundary where the data of a part begins")
                    yield FormPart(fields, data)
                else:
                    data = event  # all of it: the body is fed whole
    except MultipartError as error:
        if count == MAX_PARTS and isinstance(error, ParserLimitReached):
            raise InvalidArgument() from ValueError(f"more than {MAX_PARTS} parts")
        raise InvalidArgument() from ValueError(f"multipart: {error}")


def _unpadded(body: bytes, boundary: str) -> bytes:
    """The body without blanks behind its boundaries, which RFC 2046 5.1.1 allows and the parser
    does not know."""
    delimiter = b"--" + boundary.encode("ascii")
    if delimiter + b" " in body or delimiter + b"\t" in body:
        padded = re.compile(rb"((?:\A|\r\n)%s)[ \t]++(?=\r\n)" % re.escape(delimiter))
        # Of more parts than are allowed the first ones will do.
        return padded.sub(rb"\1", body, count=MAX_PARTS + 2)
    return body


def _header(fields: list[tuple[str, str]], charset: str | None) -> dict[str, list[str]]:
    """The header section of a part: names in canonical case, and the values of each, in the charset
    of the form."""
    header: dict[str, list[str]] = {}
    size = 0
    for name, value in fields:
        match = _FIELD.fullmatch(f"{name}:{value}")
        if match is None:
            raise InvalidArgument("a line in the header section of a part is no header")
        size += len(match[0]) + len(" \r\n")
        if size > MAX_HEADER_BYTES:
            raise InvalidArgument(f"a part with more than {MAX_HEADER_BYTES} bytes of header")
        text = value.encode("latin-1").decode(charset or "utf-8", "replace").strip(BLANKS)
        header.setdefault(canonical_name(name), []).append(text)
    return header


def encode_multipart(value: Any, boundary: str | None = None) -> tuple[str, bytes]:
    """The boundary and the body. A map that is no `{values, files}` is one of values. Raises
    EncodeError."""
    if not isinstance(value, dict):
        raise EncodeError(f"multipart is a map of names, not {type(value).__name__}")
    values: Any = value
    files: Any = {}
    if value and value.keys() <= {"values", "files"}:
        values, files = value.get("values") or {}, value.get("files") or {}
        if not isinstance(files, dict):
            raise EncodeError("the files of multipart are a map of names to files")
    used = boundary or secrets.token_hex(BOUNDARY_BYTES)
    parts = [_part_of(_quoted("name", name), {}, text) for name, text in fields_of(values)]
    for name, items in files.items():
        for file in items if isinstance(items, list) else [items]:
            parts.append(_file_part(name, file))
    delimiter = f"--{used}".encode()
    if any(delimiter in part for part in unhurried(parts)):
        raise EncodeError("the boundary of multipart stands in one of its parts")
    lines = [delimiter + b"\r\n" + part + b"\r\n" for part in parts]
    return used, b"".join(lines) + delimiter + b"--\r\n"


def _file_part(name: str, file: Any) -> bytes:
    if not isinstance(file, dict) or not isinstance(file.get("data"), str | bytes):
        raise EncodeError(f"the file {name!r} of multipart is a map with data: a string or bytes")
    data = file["data"] if isinstance(file["data"], bytes) else utf8(file["data"])
    header = {"Content-Type": "application/octet-stream"}
    for field, items in (file.get("header") or {}).items():
        if field.lower() != "content-disposition":
            header[field] = str(items[0] if isinstance(items, list) else items)
    filename = str(file.get("filename") or name)
    return _part_of(_quoted("name", name) + _quoted("filename", filename), header, data)


def _part_of(disposition: str, header: dict[str, str], data: bytes) -> bytes:
    lines = [f"Content-Disposition: form-data{disposition}"]
    lines += [f"{name}: {value}" for name, value in header.items()]
    for line in lines:
        if _FIELD.fullmatch(line) is None:
            raise EncodeError(f"a header of a part is not one line: {line.partition(':')[0]!r}")
    try:
        return "\r\n".join([*lines, "", ""]).encode() + data
    except UnicodeEncodeError as error:
        raise EncodeError("a name with a lone surrogate cannot be written as UTF-8") from error


def _quoted(parameter: str, text: str) -> str:
    """A parameter of Content-Disposition, written as browsers do."""
    for character, escape in ESCAPES:
        text = text.replace(character, escape)
    return f'; {parameter}="{text}"'
