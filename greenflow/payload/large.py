"""JSON texts that are large, read in pieces, so that others run in between.

Lives here: `loads_in_turns`, and what is cut and put together for it. What is JSON, and what its
numbers become, is json.py's.

msgspec reads a text in one call, which holds the hub: 8 MiB of numbers like 2.2250738585072011e-308
took 3 s. So a text is cut behind commas, wherever in its lists and maps these are. A piece such as
`2],[3` gets what is open before it as a prefix, and what is open behind it as a suffix:
`[[2],[3,MARK]]`. It is decoded, and its parts are added to the lists and maps that were open. A
prefix needs a key where a map is open (LEFT), and the suffix a last item (MARK) by which the
innermost list or map is known; both are words that no client can guess.

Where a piece ends and what it opens is found by regular expressions and replacements, at the speed
of C: half as long again as decoding. All is linear in the text.
"""

from __future__ import annotations

import re
import secrets
from typing import Any, TypeAlias

from greenflow.errors import InvalidArgument
from greenflow.hub.breathing import Breath
from greenflow.hub.collector import put_off
from greenflow.payload.json import check_brackets, decode_fitting, no_json
from greenflow.payload.value import MAX_DEPTH

#: Bytes of a text from which on it is read in pieces: below it the worst takes 16 ms.
LARGE_BYTES = 64 * 1024

#: Bytes of a piece: the worst of them takes 4 ms.
PIECE_BYTES = 16 * 1024

#: Bytes of a long string that are looked at in one go: 2 ms where all are escapes.
STRING_BYTES = 256 * 1024

#: Items of lists and maps in one text. The place of each takes 8 bytes alone, however short it is
#: written: 8 MiB of `0,` would be 50 MB.
MAX_ITEMS = 1_000_000

#: Lists and maps in one text. Each takes 72 bytes or more, however short it is written: 8 MiB of
#: `[],` would be 250 MB. Coordinates, two in a list of 22 bytes, make 400,000 of 8 MiB.
MAX_CONTAINERS = 500_000

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TO_LAST_COMMA = re.compile(rb'(?:[^",]*+(?:%s[^",]*+)*+,)*+' % _STRING, re.DOTALL)
_TO_COMMA = re.compile(rb'[^",]*+(?:%s[^",]*+)*+' % _STRING, re.DOTALL)
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_STRINGS = re.compile(_STRING, re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_IRREDUCIBLE = re.compile(rb"([\]}]*)([\[{]*)")
_CLOSERS = bytes.maketrans(b"[{", b"]}")
_TYPES: dict[int, type[list[Any] | dict[str, Any]]] = {ord("["): list, ord("{"): dict}

Container: TypeAlias = "list[Any] | dict[str, Any]"


def loads_in_turns(data: bytes, *, limited: bool = True) -> Any:
    """The value of a large JSON text, as `greenflow.payload.json.loads` reads it. Lets others run.

    Raises InvalidArgument, also for more than MAX_DEPTH lists and maps inside each other, and if it
    is `limited` for more than MAX_CONTAINERS of them, and for more than MAX_ITEMS in them.
    """
    put_off()
    breath = Breath()
    if limited and (
        data.count(b",") >= MAX_ITEMS or data.count(b"[") + data.count(b"{") > MAX_CONTAINERS
    ):
        _count_ahead(data, breath)
    reader = _Reader()
    start = 0
    while True:
        end, outside = _piece(data, start, breath)
        is_last = end == len(data)
        value = reader.read(data[start:end], outside, start, is_last=is_last)
        if is_last:
            return value
        start = end + 1
        breath.take()


def _count_ahead(data: bytes, breath: Breath) -> None:
    """Refuse a text of too many items before the first of them takes memory: those that are allowed
    would take ten times as much as the text. What stands in strings counts for nothing."""
    items = containers = start = 0
    while start <= len(data):
        end, outside = _piece(data, start, breath)
        bare = _STRINGS.sub(b"", outside)
        items += bare.count(b",") + 1  # that behind the piece
        if items > MAX_ITEMS:
            raise InvalidArgument(f"no JSON: more than {MAX_ITEMS:,} items in lists and maps")
        containers += bare.count(b"[") + bare.count(b"{")
        if containers > MAX_CONTAINERS:
            raise InvalidArgument(f"no JSON: more than {MAX_CONTAINERS:,} lists and maps")
        start = end + 1
        breath.take()


def _piece(data: bytes, start: int, breath: Breath) -> tuple[int, bytes]:
    """The comma at which the piece ends, outside of strings and the last one of so many bytes, or
    the end of the text; and the piece without its long strings."""
    outside: list[bytes] = []
    begin = scan = start  # where what is outside begins; up to where it was looked at
    while scan < len(data):
        end = scan + PIECE_BYTES
        if (comma := _TO_LAST_COMMA.match(data, scan, end).end() - 1) >= scan:  # type: ignore[union-attr]
            return comma, b"".join((*outside, data[begin:comma]))
        scan = _TO_COMMA.match(data, scan, end).end()  # type: ignore[union-attr]
        if scan < min(end, len(data)):  # at a string that does not end so soon
            outside.append(data[begin:scan])
            begin = scan = _string_end(data, scan, breath)
        breath.take()
    return len(data), b"".join((*outside, data[begin:]))


def _string_end(data: bytes, quote: int, breath: Breath) -> int:
    """Behind the string that begins there; the end of the text if it does not end."""
    at = quote + 1
    while at < len(data):
        stopped = _IN_STRING.match(data, at, at + STRING_BYTES).end()  # type: ignore[union-attr]
        if data[stopped : stopped + 1] == b'"':
            return stopped + 1
        if stopped == at:  # an escape that is cut off
            break
        at = stopped
        breath.take()
    return len(data)


class _Reader:
    """Puts the pieces of one text together."""

    def __init__(self) -> None:
        word = secrets.token_hex(8)
        self._left, self._mark = f"left {word}", f"mark {word}"
        # The lists and maps that are open, outermost first, and how each was opened.
        self._open: list[Container] = []
        self._openers = b""

    def read(self, piece: bytes, outside: bytes, start: int, *, is_last: bool) -> Any:
        """Take the next piece, and what is outside of its long strings; the value of the text with
        the last one."""
        before = self._openers
        if before and piece.lstrip(b" \t\r\n")[:1] in (b"]", b"}"):
            raise no_json("an item is missing behind a comma", start)
        closed, opened = self._brackets(outside)
        kept = len(before) - len(closed)
        after = before[: max(0, kept)] + opened
        if not is_last and (kept < 0 or not after or (before and not kept)):
            raise no_json("a comma outside of lists and maps", start + len(piece))
        prefix = self._prefix(before)
        text = prefix + piece + (b"" if is_last else self._suffix(after))
        value = decode_fitting(text, start - len(prefix), start + len(piece))
        if is_last and not before:
            return value
        spine = self._spine(value, len(before))
        opening: list[Container] = []
        if not is_last:
            found = self._path(spine[kept - 1] if before else value, after[max(1, kept) :])
            assert found is not None
            opening = found if before else [value, *found]
            innermost = opening[-1] if opening else spine[kept - 1]
            if isinstance(innermost, list):
                innermost.pop()
            else:
                del innermost[self._mark]
        self._add(spine)
        root = self._open[0] if self._open else value
        self._open = [*self._open[: max(0, kept)], *opening]
        self._openers = after
        return root

    def _brackets(self, outside: bytes) -> tuple[bytes, bytes]:
        """The brackets that a piece closes of what was open, and those that it opens."""
        brackets = _STRINGS.sub(b"", outside).translate(None, _NO_BRACKETS)
        rest, rounds = brackets, 0
        while len(shorter := rest.replace(b"[]", b"").replace(b"{}", b"")) < len(rest):
            rest = shorter
            rounds += 1
            if rounds > MAX_DEPTH:  # each takes one level or two
                break
        if len(self._openers) + 2 * rounds + len(rest) > MAX_DEPTH:
            check_brackets(brackets, len(self._openers))
        match = _IRREDUCIBLE.fullmatch(rest)
        if match is None:
            raise InvalidArgument() from ValueError("no JSON: brackets do not fit each other")
        return match[1], match[2]

    def _prefix(self, openers: bytes) -> bytes:
        key = f'{{"{self._left}":'.encode()
        return openers[:-1].replace(b"{", key) + openers[-1:]

    def _suffix(self, openers: bytes) -> bytes:
        mark = f',"{self._mark}"' + ("" if openers.endswith(b"[") else ":0")
        return mark.encode() + openers[::-1].translate(_CLOSERS)

    def _spine(self, value: Any, levels: int) -> list[Any]:
        """The lists and maps of a piece that go on with those that are open."""
        spine = [value][:levels]
        while len(spine) < levels:
            above = spine[-1]
            spine.append(above[0] if isinstance(above, list) else above[self._left])
        return spine

    def _path(self, container: Any, openers: bytes) -> list[Container] | None:
        """What is open in a list or map of the piece, down to the one with the mark. In a map it is
        the last value, unless its key had stood there before."""
        if not openers:
            is_list = isinstance(container, list)
            found = container[-1] == self._mark if is_list else self._mark in container
            return [] if found else None
        children = [container[-1]] if isinstance(container, list) else reversed(container.values())
        for child in children:
            if isinstance(child, _TYPES[openers[0]]):
                below = self._path(child, openers[1:])
                if below is not None:
                    return [child, *below]
        return None

    def _add(self, spine: list[Any]) -> None:
        """Add the items of the piece to what was open."""
        for level, (target, part) in enumerate(zip(self._open, spine, strict=True)):
            is_above = level + 1 < len(spine)
            if isinstance(target, list):
                target.extend(part[1:] if is_above else part)
            else:
                if is_above:
                    del part[self._left]
                target.update(part)
