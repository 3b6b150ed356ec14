"""Forms: URL-encoded, which query strings are too, and multipart with files.

A URL-encoded form is a map of name to list of texts (BEHAVIOUR 10.1); multipart/form-data (RFC
7578, RFC 2046 5.1) is `{values: {name: [text..]}, files: {name: [{data, filename, header,
size}]}}`, where a part with a file name is a file, any other a text. A multipart body is read
strictly and whole: one that is cut off is an error, and never half a form.
"""

from __future__ import annotations

import re
import secrets
from typing import Any
from urllib.parse import parse_qsl, urlencode

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.net.mime.types import decode_text, media_type, utf8
from greenflow.payload.json import dumps

# Fields of one form. People fill in tens; each costs a hundred bytes or more, however short it is.
MAX_FIELDS = 10_000

# Parts of one body, and bytes of one part's header section. A form has tens of parts; each costs a
# map or two however small it is.
MAX_PARTS = 1_000
MAX_HEADER_BYTES = 8 * 1024

# Bytes of randomness in a boundary: enough that it stands in no body by accident.
BOUNDARY_BYTES = 16

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"

# RFC 2046 5.1.1: 1 to 70 of these, not ending in a blank.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_FIELD = re.compile(rf"({_TOKEN}):([^\r\n\0]*)")

# Browsers write names as they are, and in quotes; a backslash is one unless it stands before a
# quote or another.
_PARAMETER = re.compile(rf';[ \t]*({_TOKEN})=(?:"((?:[^"\\]|\\.)*+)"|({_TOKEN}))[ \t]*')
_ESCAPED = re.compile(r'\\(["\\])')
_ESCAPES = (("\\", "\\\\"), ('"', "%22"), ("\r", "%0D"), ("\n", "%0A"))


# URL-encoded


def parse_form(form: str | bytes) -> dict[str, list[str]]:
    """A form or a query string: name to list of texts, in the order sent. Bytes that are no UTF-8
    become U+FFFD, as the URL standard has it. Raises InvalidArgument beyond MAX_FIELDS."""
    text = form if isinstance(form, str) else form.decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise InvalidArgument() from ValueError(f"more than {MAX_FIELDS} fields: {error}")
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def encode_form(value: Any) -> bytes:
    """A map as a form: a list is a repeated field. Raises EncodeError."""
    return urlencode([(utf8(name), text) for name, text in _fields_of(value)]).encode("ascii")


def _fields_of(value: Any) -> list[tuple[str, bytes]]:
    """A map as the fields of a form: name and text in UTF-8. Raises EncodeError."""
    if not isinstance(value, dict):
        raise EncodeError(f"a form is a map of names, not {type(value).__name__}")
    return [
        (name, _field_text(name, item))
        for name, items in value.items()
        for item in (items if isinstance(items, list) else [items])
    ]


def _field_text(name: str, item: Any) -> bytes:
    if isinstance(item, str):
        return utf8(item)
    if isinstance(item, bytes):
        return item
    if item is None:
        return b""
    if isinstance(item, dict | list):
        raise EncodeError(f"the field {name!r} of a form is a text or a list of texts")
    if isinstance(item, Exception):
        return utf8(str(item))
    return dumps(item).strip(b'"\n')


# Multipart


def parse_multipart(body: bytes, boundary: str | None) -> dict[str, Any]:
    """The value of a body. Raises InvalidArgument."""
    if boundary is None or _BOUNDARY.fullmatch(boundary) is None:
        raise InvalidArgument("multipart without a valid boundary (RFC 2046 5.1.1)")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    preamble, *blocks = body.split(delimiter, MAX_PARTS + 1)
    if preamble.startswith(delimiter[2:]):  # there is none, and so no line end before the first
        blocks.insert(0, preamble[len(delimiter) - 2 :])
    values: dict[str, list[str]] = {}
    files: dict[str, list[dict[str, Any]]] = {}
    for number, block in enumerate(blocks):
        if block.startswith(b"--"):
            return {"values": values, "files": files}
        if number == MAX_PARTS:
            raise InvalidArgument(f"more than {MAX_PARTS} parts")
        header, data = _part(block)
        name, filename = _disposition(header)
        if filename is None:
            kind = media_type(header.get("Content-Type", [""])[0])
            text = decode_text(data, kind.parameters.get("charset"))
            values.setdefault(name, []).append(text)
        else:
            file = {"data": data, "filename": filename, "header": header, "size": len(data)}
            files.setdefault(name, []).append(file)
    raise InvalidArgument("multipart without its last boundary: the body was cut off")


def _part(block: bytes) -> tuple[dict[str, list[str]], bytes]:
    """Header and data of what stands between two delimiters."""
    padding, line_end, rest = block.partition(b"\r\n")
    if not line_end or padding.strip(b" \t"):
        raise InvalidArgument("text behind a multipart boundary")
    head, end, data = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if not end or len(head) > MAX_HEADER_BYTES:
        raise InvalidArgument("a part without an end of its header section, or a long one")
    header: dict[str, list[str]] = {}
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise InvalidArgument("a line in the header section of a part is no header")
        name = "-".join(word.capitalize() for word in match[1].split("-"))
        header.setdefault(name, []).append(match[2].strip(" \t"))
    return header, data


def _disposition(header: dict[str, list[str]]) -> tuple[str, str | None]:
    """Name and file name of a part (RFC 7578 4.2); the name is empty if there is none."""
    text = header.get("Content-Disposition", ["form-data"])[0]
    parameters: dict[str, str] = {}
    position = text.find(";")
    while 0 <= position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise InvalidArgument("a Content-Disposition against its grammar (RFC 7578)")
        name, quoted, token = match.groups()
        value = token if quoted is None else _unquoted(quoted)
        parameters.setdefault(name.lower(), value)
        position = match.end()
    return parameters.get("name", ""), parameters.get("filename")


def _unquoted(text: str) -> str:
    for character, escape in _ESCAPES[1:]:
        text = text.replace(escape, character)
    return _ESCAPED.sub(r"\1", text)


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
    parts = [_part_of(_quoted("name", name), {}, text) for name, text in _fields_of(values)]
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
