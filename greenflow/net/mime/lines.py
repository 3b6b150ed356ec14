"""One JSON text behind the other: ndjson, which is JSON Lines too, and sequences (RFC 7464).

Lives here: both ways between such a body and a list of values. Each text is read by itself, so that
no line can begin a list that the next one ends; others run between them.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub.breathing import Breath, unhurried
from greenflow.payload.json import dumps, loads
from greenflow.payload.large import LARGE_BYTES, MAX_CONTAINERS, MAX_ITEMS, loads_in_turns

#: What ends a text of ndjson, and what begins one of a sequence (RFC 7464 2.2).
LINE, RECORD = b"\n", b"\x1e"

# Bytes that are split in one go.
PIECE_BYTES = 256 * 1024

# All but what begins a list or a map, and what stands between items.
_OTHERS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[^\[{,"]++', re.DOTALL)


def parse_lines(body: bytes, separator: bytes = LINE) -> list[Any]:
    """The values of the texts, less empty ones. Raises InvalidArgument, with the line."""
    values: list[Any] = []
    # As many or fewer: brackets in strings count here.
    may_be_many = (
        body.count(b"[") + body.count(b"{") > MAX_CONTAINERS
        or body.count(b",") + body.count(separator) > MAX_ITEMS
    )
    containers = items = 0
    for number, line in enumerate(unhurried(_texts(body.removeprefix(BOM_UTF8), separator)), 1):
        text = line.strip(b" \t\r\n")
        if not text:
            continue
        is_long = len(text) >= LARGE_BYTES
        if may_be_many and not is_long:  # else it has these limits of its own
            signs = _OTHERS.sub(b"", text)
            commas = signs.count(b",")
            containers += len(signs) - commas
            items += commas
        if len(values) + items >= MAX_ITEMS or containers > MAX_CONTAINERS:
            most = f"{MAX_ITEMS:,} items or {MAX_CONTAINERS:,} lists and maps"
            raise InvalidArgument(f"no JSON: more than {most}")
        try:
            values.append(loads_in_turns(text) if is_long else loads(text))
        except InvalidArgument as error:
            place = f"line {number}" if separator == LINE else f"text {number - 1}"
            raise InvalidArgument() from ValueError(f"{place}: {error.__cause__ or error}")
    return values


def _texts(body: bytes, separator: bytes) -> Iterator[bytes]:
    """What stands between the separators, a few at a time: to split 8 MiB holds everybody up."""
    start = 0
    while start < len(body):
        end = body.rfind(separator, start, start + PIECE_BYTES) + 1
        if not end:
            end = (body.find(separator, start + PIECE_BYTES) + 1) or len(body)
        yield from body[start:end].removesuffix(separator).split(separator)
        start = end


def write_lines(values: Any, separator: bytes = LINE) -> bytes:
    """One text for each value of a list. Raises EncodeError."""
    if not isinstance(values, list):
        raise EncodeError(f"lines of JSON are a list of values, not {type(values).__name__}")
    breath = Breath()
    begin = b"" if separator == LINE else separator
    texts = []
    for value in values:
        texts.append(begin + dumps(value))
        breath.take()
    return b"".join(texts)
