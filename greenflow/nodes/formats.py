"""`parse` and `format`: texts of a format that the spec names, to values and back.

Lives here: the kinds, and what a spec may say of a format, which a route of `router` may, too. How
a format is read and written is net/mime/formats.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.services import Compiler
from greenflow.errors import InvalidArgument, SpecFault
from greenflow.net.mime.formats import FormatName, FormatOptions, faults_of, parse, write
from greenflow.spec.fields import Spec

FormatField = Annotated[FormatName, Meta(description="csv, ndjson, xml, yaml or json")]
Field = Annotated[
    str | None,
    Meta(description="of a payload that is a map, the field that is meant; default: the payload"),
]
Charset = Annotated[
    str | None,
    Meta(
        description="charset of bytes, such as windows-1252; default: told by the bytes, or UTF-8"
    ),
]
Delimiter = Annotated[
    str | None, Meta(description="between the cells of CSV; default: , ; | or tab, as it comes")
]
Header = Annotated[
    bool | list[str],
    Meta(description="whether the first row of CSV has the names of the columns; or these names"),
]


class Parsing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a text of a format is read."""

    format: FormatField
    delimiter: Delimiter = None
    header: Header = True
    charset: Charset = None

    def options(self) -> FormatOptions:
        """What is said of the format."""
        return FormatOptions(self.delimiter, self.header, self.charset)


class ParseSpec(Spec):
    format: FormatField
    field: Field = None
    delimiter: Delimiter = None
    header: Header = True
    charset: Charset = None


class FormatSpec(Spec):
    format: FormatField
    field: Field = None
    delimiter: Annotated[
        str | None, Meta(description="between the cells of CSV; default: a comma")
    ] = None
    header: Annotated[
        bool | list[str],
        Meta(description="whether CSV begins with the names of all keys; or these columns alone"),
    ] = True
    charset: Annotated[
        str | None, Meta(description="answer bytes in this charset; default: a string")
    ] = None
    mark: Annotated[
        bool, Meta(description="begin with a byte order mark: Excel takes CSV for UTF-8 by it")
    ] = False


def faults(format: FormatName, options: FormatOptions, path: str) -> Iterator[SpecFault]:
    """What is wrong with the options of a format, which stand below that path."""
    for field, reason in faults_of(format, options):
        yield SpecFault(f"{path}.{field}", reason)


@node("parse", reads_only=True)
class Parse(Node[ParseSpec]):
    """Reads a text, or its bytes, as CSV, ndjson, XML, YAML or JSON, and sends the value on.

    Rows of CSV are maps by the names in its header, lines of ndjson a list, elements of XML maps in
    which `@` begins the name of an attribute. With `field` the value takes the place of the text in
    the payload.
    """

    @classmethod
    def check(cls, spec: ParseSpec, compiler: Compiler) -> list[SpecFault]:
        return list(faults(spec.format, _options(spec), "$"))

    def handle(self, ctx: Context, payload: Any) -> Any:
        options = _options(self.spec)
        return _within(payload, self.spec.field, lambda it: parsed(self.spec.format, it, options))


@node("format", reads_only=True)
class Format(Node[FormatSpec]):
    """Writes the payload as CSV, ndjson, XML, YAML or JSON, and sends the text on.

    CSV is of a list of maps or lists, ndjson of a list, XML of a map with one name. With `field`
    the text takes the place of the value in the payload.
    """

    @classmethod
    def check(cls, spec: FormatSpec, compiler: Compiler) -> list[SpecFault]:
        return list(faults(spec.format, _writing(spec), "$"))

    def handle(self, ctx: Context, payload: Any) -> Any:
        options = _writing(self.spec)
        return _within(payload, self.spec.field, lambda it: write(self.spec.format, it, options))


def parsed(format: FormatName, text: Any, options: FormatOptions) -> Any:
    """The value of a text or of bytes. Raises InvalidArgument, also for anything else."""
    if not isinstance(text, str | bytes):
        raise InvalidArgument(f"{format} is read of a text or bytes, not of {type(text).__name__}")
    return parse(format, text, options)


def _options(spec: ParseSpec) -> FormatOptions:
    return FormatOptions(spec.delimiter, spec.header, spec.charset)


def _writing(spec: FormatSpec) -> FormatOptions:
    return FormatOptions(spec.delimiter, spec.header, spec.charset, spec.mark)


def _within(payload: Any, field: str | None, change: Callable[[Any], Any]) -> Any:
    """The payload changed, or the field of it."""
    if isinstance(payload, Exception):
        raise payload
    if field is None:
        return change(payload)
    if type(payload) is not dict or field not in payload:
        raise InvalidArgument(f"the payload has no field {field!r}")
    return payload | {field: change(payload[field])}
