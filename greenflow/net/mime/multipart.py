"""multipart/form-data: forms with files (RFC 7578, RFC 2046 5.1).

A body is `{values: {name: [text..]}, files: {name: [{data, filename, header, size}]}}` (BEHAVIOUR
10.1), where a part with a file name is a file. Any other is a value: a text, or bytes if its
Content-Type says that it is none. A body is read strictly and whole: one that is cut off is an
error, and never half a form. Others run between its parts.

Where a part begins and ends is the package multipart's to find; its limits and what a part is
called are ours: browsers, and all who came before them, write names in more ways than it reads.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub.breathing import unhurried
from greenflow.net.grammar import BLANKS, TOKEN
from greenflow.net.message import canonical_name
from greenflow.net.mime.types import decode_text, media_type, utf8
from greenflow.net.mime.urlencoded import fields_of

# Parts of one body, and bytes of one part's header section. A form has tens of parts; each costs a
# map or two however small it is.
MAX_PARTS = 1_000
MAX_HEADER_BYTES = 8 * 1024

# Lines of one: a form has two, mail a dozen.
MAX_HEADER_LINES = 100

# Parameters of a Content-Disposition: forms have two or three.
MAX_PARAMETERS = 100

# Bytes of randomness in a boundary: enough that it stands in no body by accident.
BOUNDARY_BYTES = 16

# RFC 2046 5.1.1: 1 to 70 of these, not ending in a blank.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_FIELD = re.compile(rf"({TOKEN}):([^\r\n\0]*)")

# A disposition, and its parameters where no quote is escaped (see `_masked`).
_DISPOSITION = re.compile(rf"{TOKEN}[ \t]*(?=;|\Z)")
_PARAMETER = re.compile(rf';[ \t]*({TOKEN})=(?:"([^"]*+)"|({TOKEN}))[ \t]*')
_ESCAPES = (("\\", "\\\\"), ('"', "%22"), ("\r", "%0D"), ("\n", "%0A"))

# RFC 8187 3.2.1: charset, language and the text, percent-encoded.
_EXTENDED = re.compile(r"([^']+)'[^']*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*+)")

# What is text although its type is not text/*: the rest of BEHAVIOUR 10.1's, and XML.
_TEXTS = frozenset(("", "application/x-www-form-urlencoded", "application/xml"))


class _Parser(PushMultipartParser):  # type: ignore[misc]
    """Leaves the header of a part to us: which Content-Disposition is taken, and what is said of
    another."""

    def _create_segment(self, headerlist: list[tuple[str, str]]) -> MultipartSegment:
        """Called by the parser, which means it to be overridden, at the end of a header section."""
        segment = MultipartSegment([])  # `_disposition` reads what is in them
        segment.headerlist = headerlist
        return segment


def parse_multipart(body: bytes, boundary: str | None) -> dict[str, Any]:
    """The value of a body. Raises InvalidArgument."""
    if boundary is None or _BOUNDARY.fullmatch(boundary) is None:
        raise InvalidArgument("multipart without a valid boundary (RFC 2046 5.1.1)")
    values: dict[str, list[str | bytes]] = {}
    files: dict[str, list[dict[str, Any]]] = {}
    parts = 0
    for header, data in unhurried(_parts(_unpadded(body, boundary), boundary)):
        parts += 1
        if data.startswith(f"--{boundary}".encode()):
            raise InvalidArgument("a boundary where the data of a part begins")
        name, filename = _disposition(header)
        if filename is None:
            values.setdefault(name, []).append(_value(header, data))
        else:
            file = {"data": data, "filename": filename, "header": header, "size": len(data)}
            files.setdefault(name, []).append(file)
    if not parts and not body.lstrip(b"\r\n").startswith(f"--{boundary}--".encode()):
        raise InvalidArgument("multipart whose first boundary is its last one: no part is in it")
    return {"values": values, "files": files}


def _parts(body: bytes, boundary: str) -> Iterator[tuple[dict[str, list[str]], bytes]]:
    """Header and data of each part."""
    parser = _Parser(
        boundary,
        strict=True,
        max_segment_count=MAX_PARTS,
        max_header_size=MAX_HEADER_BYTES,
        max_header_count=MAX_HEADER_LINES,
        header_charset="latin-1",  # any bytes; `_header` reads them as UTF-8
    )
    header: dict[str, list[str]] = {}
    data = b""
    count = 0
    try:
        with parser:
            for event in parser.parse(body):
                if isinstance(event, MultipartSegment):
                    count += 1
                    header, data = _header(event.headerlist), b""
                elif event is None:
                    yield header, data
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


def _header(fields: list[tuple[str, str]]) -> dict[str, list[str]]:
    """The header section of a part: names in canonical case, and the values of each."""
    header: dict[str, list[str]] = {}
    size = 0
    for name, value in fields:
        match = _FIELD.fullmatch(f"{name}:{value}")
        if match is None:
            raise InvalidArgument("a line in the header section of a part is no header")
        size += len(match[0]) + len(" \r\n")
        if size > MAX_HEADER_BYTES:
            raise InvalidArgument(f"a part with more than {MAX_HEADER_BYTES} bytes of header")
        text = value.encode("latin-1").decode("utf-8", "replace").strip(BLANKS)
        header.setdefault(canonical_name(name), []).append(text)
    return header


def _value(header: dict[str, list[str]], data: bytes) -> str | bytes:
    """What a part that is no file holds: text in its charset, or bytes if it is none."""
    kind = media_type(header.get("Content-Type", [""])[0])
    is_text = kind.name.startswith("text/") or kind.is_json or kind.name.endswith("+xml")
    if is_text or kind.name in _TEXTS:
        return decode_text(data, kind.parameters.get("charset"))
    return data


def _disposition(header: dict[str, list[str]]) -> tuple[str, str | None]:
    """Name and file name of a part, which has to have a name (RFC 7578 4.2)."""
    if "Content-Disposition" not in header:
        raise InvalidArgument("a part without a Content-Disposition (RFC 7578 4.2)")
    text = header["Content-Disposition"][0]
    masked = _masked(text)
    match = _DISPOSITION.match(masked)
    parameters: dict[str, str] = {}
    count = 0
    while match is not None and match.end() < len(text):
        match = _PARAMETER.match(masked, match.end())
        count += 1
        if count > MAX_PARAMETERS:
            raise InvalidArgument(f"a Content-Disposition with over {MAX_PARAMETERS} parameters")
        if match is not None:
            quoted, (start, end) = match[2] is not None, match.span(3 if match[2] is None else 2)
            value = text[start:end]
            parameters.setdefault(match[1].lower(), _unquoted(value) if quoted else value)
    if match is None:
        raise InvalidArgument("a Content-Disposition against its grammar (RFC 7578)")
    if "name" not in parameters:
        raise InvalidArgument("a part whose Content-Disposition has no name (RFC 7578 4.2)")
    filename = parameters.get("filename")
    if "filename*" in parameters:  # which forms should not have (RFC 7578 4.2), and some do
        filename = _extended(parameters["filename*"])
    return parameters["name"], filename


def _masked(text: str) -> str:
    """The text with nothing in place of what is escaped: then each quote begins or ends something,
    and none of 8 MiB of escapes is looked at by itself. A backslash is one unless it stands before
    a quote or another, as browsers write."""
    return text.replace("\\\\", "\0\0").replace('\\"', "\0\0")


def _unquoted(text: str) -> str:
    """What browsers write in quotes."""
    for character, escape in _ESCAPES[1:]:
        text = text.replace(escape, character)
    # No line of a header holds a zero byte.
    return text.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\")


def _extended(text: str) -> str:
    """The meaning of a parameter whose name ends in `*` (RFC 8187)."""
    match = _EXTENDED.fullmatch(text)
    if match is None:
        raise InvalidArgument("a filename* against its grammar (RFC 8187)")
    return decode_text(unquote_to_bytes(match[2]), match[1])


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
    if any(delimiter in part for part in parts):
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
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return f'; {parameter}="{text}"'
