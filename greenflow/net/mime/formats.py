"""Texts of a format that somebody names, as values, and back.

Lives here: FORMATS, what may be said of each, and the way from a text or its bytes to a value and
back. What a body is by its own Content-Type is __init__.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from greenflow.errors import InvalidArgument
from greenflow.hub import blocking
from greenflow.net.mime.csv import Header, parse_csv, write_csv
from greenflow.net.mime.lines import parse_lines, write_lines
from greenflow.net.mime.text import MARK, read_text, write_text
from greenflow.net.mime.types import MediaType, codec_of
from greenflow.payload.json import dumps, loads
from greenflow.payload.large import LARGE_BYTES, loads_in_turns
from greenflow.spec.syntax import Part, SyntaxFault

FormatName = Literal["csv", "ndjson", "xml", "yaml", "json"]

# The names under which their charsets are told.
_TYPES = {"xml": "application/xml"}

# Characters of a YAML text that is read or written on the spot: 4 ms. It is all Python, so a longer
# one is in a thread, which leaves the hub its turns.
YAML_LENGTH = 2 * 1024


class FormatOptions(NamedTuple):
    """What may be said of a format. `delimiter` and `header` are of CSV; without a `charset` it is
    found out, and a text stays a text; `mark` is for a byte order mark in front of what is
    written."""

    delimiter: str | None = None
    header: Header = True
    charset: str | None = None
    mark: bool = False


#: Nothing is said.
DEFAULT = FormatOptions()


def faults_of(format: FormatName, options: FormatOptions) -> Iterator[tuple[str, str]]:
    """What is wrong with the options: the one, and why."""
    delimiter, header = options.delimiter, options.header
    if format != "csv":
        if delimiter is not None:
            yield "delimiter", f"{format} has none, csv has"
        if header is not True:
            yield "header", f"{format} has none, csv has"
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
        yield (
            "delimiter",
            f"{delimiter!r} is no delimiter: it is one character, no quote or line end",
        )
    if not isinstance(header, bool) and (not header or len(set(header)) < len(header)):
        yield "header", "it is true, false, or different names of columns"
    if options.charset is not None:
        try:
            codec_of(options.charset)
        except InvalidArgument:
            yield "charset", f"unknown charset {options.charset!r}"


def parse(format: FormatName, data: str | bytes, options: FormatOptions = DEFAULT) -> Any:
    """The value of a text, or of its bytes, in that format. Others run in between.

    Raises InvalidArgument, with what is wrong where.
    """
    if format in ("json", "ndjson"):
        return _parse_json(format, data, options)
    text = data.removeprefix(MARK) if isinstance(data, str) else _decoded(format, data, options)
    if format == "csv":
        return parse_csv(text, options.delimiter, options.header)
    if format == "xml":
        from greenflow.net.mime.xml import parse_xml  # of which few spec files make use

        return parse_xml(text)
    if len(text) > YAML_LENGTH:
        return blocking.call(_parse_yaml, text)
    return _parse_yaml(text)


def _decoded(format: FormatName, data: bytes, options: FormatOptions) -> str:
    parameters = {} if options.charset is None else {"charset": options.charset}
    text = read_text(data, MediaType(_TYPES.get(format, "text/x-any"), parameters))
    if isinstance(text, bytes):
        raise InvalidArgument("it is not UTF-8: name its charset, such as windows-1252")
    return text


def _parse_json(format: FormatName, data: str | bytes, options: FormatOptions) -> Any:
    if isinstance(data, bytes) and (options.charset is not None or data[:2] in _UTF16):
        data = _decoded(format, data, options)
    text = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    text = text.removeprefix(MARK.encode())
    if format == "ndjson":
        return parse_lines(text)
    return loads(text) if len(text) < LARGE_BYTES else loads_in_turns(text)


_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def _parse_yaml(text: str) -> Any:
    from greenflow.spec.syntax.yaml import parts_of_yaml

    try:
        parts: list[Part] = parts_of_yaml(text)
    except SyntaxFault as fault:
        reason = f"no YAML: line {fault.line}, column {fault.column}: {fault.reason}"
        raise InvalidArgument() from ValueError(reason)
    if len(parts) > 1:
        raise InvalidArgument("no YAML of one document: it has several")
    return parts[0].value if parts else None


def write(format: FormatName, value: Any, options: FormatOptions = DEFAULT) -> str | bytes:
    """The text of a value in that format; with a charset its bytes. Others run in between.

    Raises EncodeError.
    """
    text = _WRITERS[format](value, options)
    if options.mark:
        text = MARK + text
    if options.charset is None:
        return text
    return write_text(text, MediaType(f"text/{format}", {"charset": options.charset}))


def _write_xml(value: Any, options: FormatOptions) -> str:
    from greenflow.net.mime.xml import write_xml

    return write_xml(value, options.charset or "utf-8")


def _write_yaml(value: Any, options: FormatOptions) -> str:
    from greenflow.spec.syntax.yaml import to_yaml

    text = dumps(value)  # what YAML could not hold either is told of, and all else is plain
    plain = loads(text) if len(text) < LARGE_BYTES else loads_in_turns(text)
    return blocking.call(to_yaml, plain) if len(text) > YAML_LENGTH else to_yaml(plain)


_WRITERS: dict[str, Callable[[Any, FormatOptions], str]] = {
    "csv": lambda value, options: write_csv(value, options.delimiter, options.header),
    "ndjson": lambda value, options: write_lines(value).decode(),
    "xml": _write_xml,
    "yaml": _write_yaml,
    "json": lambda value, options: dumps(value).decode(),
}
