"""XML as a value, and back.

Lives here: an element is a map of its attributes (`@name`) and of the elements in it, of which
several of one name are a list; one that has neither is its text, null if it has none. Text beside
others is `#text`, all of it in one; blanks around it are layout. Comments and processing
instructions are left out, and the order of elements of different names is that of the first ones.

expat, which comes with Python, reads. A document type is refused: nothing else can define an
entity, fetch one, or blow a small text up to a large one. Depth, elements and the length of a tag
are bounded. The text is fed in pieces, between which others run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub.breathing import Breath
from greenflow.payload.json import dumps
from greenflow.payload.large import MAX_CONTAINERS
from greenflow.payload.value import MAX_DEPTH

ATTRIBUTE, TEXT = "@", "#text"

# Characters that expat is fed at a time: 4 ms of the shortest elements. In a tag that has not ended
# it begins again with each piece, so there they are larger.
PIECE_LENGTH = 8 * 1024
LONG_PIECE_LENGTH = 32 * 1024

# Bytes of one tag or comment. Pictures in attributes have some hundred thousand.
MAX_TAG_BYTES = 1024 * 1024

# Bytes of text that expat gathers before it tells of it.
_BUFFER_BYTES = 64 * 1024

# XML 1.0 2.2 and 2.3, less what nobody writes in a name.
_NAME = re.compile(r"[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?")
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse_xml(text: str) -> dict[str, Any]:
    """The value of a document: a map of the name of its root. What it declares of its charset is
    not asked: it is text. Raises InvalidArgument."""
    reader = _Reader()
    breath = Breath()
    parser = reader.parser
    start = fed = 0
    try:
        while start < len(text):
            in_tag = fed - max(parser.CurrentByteIndex, 0)
            if in_tag > MAX_TAG_BYTES:
                raise InvalidArgument() from _fault(
                    f"a tag or a comment of more than {MAX_TAG_BYTES:,} bytes"
                )
            end = start + (PIECE_LENGTH if in_tag <= PIECE_LENGTH * 2 else LONG_PIECE_LENGTH)
            piece = text[start:end].encode("utf-8", "surrogatepass")
            parser.Parse(piece, False)
            start, fed = end, fed + len(piece)
            breath.take()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise InvalidArgument() from _fault(str(error))
    return reader.root


class _Reader:
    """Makes the value while the parser reads."""

    def __init__(self) -> None:
        parser = self.parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.buffer_size = _BUFFER_BYTES
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        self.root: dict[str, Any] = {}
        self._count = 0
        # The maps of the elements that are open, with the root's; and their texts. What the first
        # text is of is no element.
        self._maps: list[dict[str, Any]] = [self.root]
        self._texts: list[list[str]] = [[]]
        self._has_elements = [False]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1 + len(attributes)
        if self._count > MAX_CONTAINERS:
            raise InvalidArgument() from _fault(
                f"more than {MAX_CONTAINERS:,} elements and attributes"
            )
        if len(self._maps) > MAX_DEPTH:
            raise InvalidArgument() from _fault(f"nested deeper than {MAX_DEPTH} elements")
        self._has_elements[-1] = True
        self._maps.append({ATTRIBUTE + key: value for key, value in attributes.items()})
        self._texts.append([])
        self._has_elements.append(False)

    def _end(self, name: str) -> None:
        content, text = self._maps.pop(), "".join(self._texts.pop())
        value: Any = content
        if self._has_elements.pop():
            text = text.strip()
        elif not content:
            value = text or None
        if content and text:
            content[TEXT] = text
        outer = self._maps[-1]
        if name not in outer:
            outer[name] = value
        elif isinstance(outer[name], list):
            outer[name].append(value)
        else:
            outer[name] = [outer[name], value]

    def _characters(self, text: str) -> None:
        self._texts[-1].append(text)

    def _doctype(self, *declared: object) -> None:
        raise InvalidArgument() from _fault(
            "a document type (<!DOCTYPE ...>) is not read: it can define entities"
        )


def _fault(reason: str) -> ValueError:
    return ValueError(f"no XML: {reason}")


def write_xml(value: Any, charset: str = "utf-8") -> str:
    """The document of a map with one name, its root's, which declares the charset that it is to be
    written in. Lets others run. Raises EncodeError."""
    if (
        not isinstance(value, dict)
        or len(value) != 1
        or isinstance(next(iter(value.values())), list)
    ):
        raise EncodeError("XML is a map with one name, that of its root, and no list behind it")
    breath = Breath()
    pieces = [f'<?xml version="1.0" encoding="{charset}"?>\n']
    for piece in _written(*next(iter(value.items())), 1):
        pieces.append(piece)
        breath.take()
    return "".join(pieces)


def _written(name: str, value: Any, depth: int) -> Iterator[str]:
    """The elements of that name."""
    if depth > MAX_DEPTH:
        raise EncodeError(f"no XML: nested deeper than {MAX_DEPTH} elements")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise EncodeError(f"no XML: {name!r} is no name of an element")
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, list):
            raise EncodeError(f"no XML: a list of lists in {name!r}")
        if isinstance(item, dict):
            yield from _element(name, item, depth)
        else:
            text = _escaped(item, name)
            yield f"<{name}>{text}</{name}>" if text else f"<{name}/>"


def _element(name: str, content: dict[str, Any], depth: int) -> Iterator[str]:
    begin = [f"<{name}"]
    inner = {}
    text = ""
    for key, value in content.items():
        if key == TEXT:
            text = _escaped(value, name)
        elif key.startswith(ATTRIBUTE):
            attribute = key.removeprefix(ATTRIBUTE)
            if _NAME.fullmatch(attribute) is None:
                raise EncodeError(f"no XML: {attribute!r} is no name of an attribute")
            written = _escaped(value, key).replace('"', "&quot;").replace("\t", "&#9;")
            begin.append(f' {attribute}="{written.replace(chr(10), "&#10;")}"')
        else:
            inner[key] = value
    if not inner and not text:
        yield "".join((*begin, "/>"))
        return
    yield "".join((*begin, ">", text))
    for key, value in inner.items():
        yield from _written(key, value, depth + 1)
    yield f"</{name}>"


def _escaped(value: Any, name: str) -> str:
    """A text, or a number or time as JSON has it; null is none."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise EncodeError(f"no XML: {name!r} is a text, not a {type(value).__name__}")
    text = value if isinstance(value, str) else dumps(value).decode().strip('"\n')
    if _NO_CHARACTER.search(text) is not None:
        raise EncodeError(f"no XML: a character in {name!r} that XML does not have")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;")
