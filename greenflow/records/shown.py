"""Payloads as records show them: JSON of bounded length without secrets.

Lives here: `shown`. Which payloads are shown is writing.py's.

A payload of 8 MB costs no more than one of 8 KB: what is beyond the length is not looked at. Each
text in it is redacted before it is cut, so that half of a secret is never left over (as log/limits
does), and then the whole of it, for a key may say of its value that it is a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any

import msgspec

from greenflow.log.redactor import names_secret, redact
from greenflow.log.secret import MASK, conceal, longest

#: Characters of a payload in a record. A person reads no more, and a thousand records of a dozen
#: payloads each fit into memory.
MOST = 4 * 1024

#: Levels of lists and maps that are shown, and characters of a key: what a person reads.
_DEEPEST, _LONGEST_KEY = 20, 200

_CUT = "..."


class Shown(msgspec.Struct, frozen=True, gc=False):
    """A payload as JSON, or the beginning of it if it was `cut`. With `masked`, secrets were taken
    out of it."""

    text: str
    cut: bool = False
    masked: bool = False


class _Writer:
    """Writes JSON piece by piece, until there is no room left."""

    def __init__(self, most: int) -> None:
        self.pieces: list[str] = []
        self.room, self.longest = most, longest()
        self.cut = self.masked = False

    def put(self, text: str) -> None:
        self.room -= len(text)
        self.pieces.append(text)

    def value(self, value: Any, levels: int = _DEEPEST) -> None:
        if isinstance(value, str):
            self.text(value)
        elif isinstance(value, bytes):
            # One of four bytes that is not UTF-8 becomes as many characters.
            self.text(
                value[: self.room + self.longest].decode("utf-8", "backslashreplace"),
                len(value) > self.room + self.longest,
            )
        elif isinstance(value, dict | list):
            self.container(value, levels)
        elif isinstance(value, BaseException):
            self.text(f"{type(value).__name__}: {_message(value)}")
        elif isinstance(value, datetime):
            self.text(value.isoformat())
        elif value is None or isinstance(value, bool | int | float):
            # As text it may be a secret, such as a number that opens a door.
            self.text(_scalar(value), is_plain=True)
        else:
            self.put(f"<{type(value).__name__}>")

    def text(self, text: str, goes_on: bool = False, *, is_plain: bool = False) -> None:
        """A text, of which there may be more."""
        most = max(self.room, 0)
        if len(text) > most + self.longest:
            text, goes_on = text[: most + self.longest], True
        kept = conceal(text)
        self.masked = self.masked or kept is not text
        if goes_on:  # what stands at the end may be the beginning of a secret
            kept = kept[: max(len(kept) - self.longest, 0)]
        if len(kept) > most:
            kept, goes_on = kept[:most], True
        self.cut = self.cut or goes_on
        written = kept + _CUT if goes_on else kept
        self.put(written if is_plain else encode_basestring(written))

    def container(self, value: dict[Any, Any] | list[Any], levels: int) -> None:
        is_map = isinstance(value, dict)
        self.put("{" if is_map else "[")
        for number, (key, item) in enumerate(_items(value)):
            if self.room <= 0 or not levels:
                self.cut = True
                self.put(_CUT)
                break
            if number:
                self.put(", ")
            if is_map:
                name = str(key)
                kept = conceal(name)
                self.masked = self.masked or kept is not name
                self.put(encode_basestring(kept[:_LONGEST_KEY]) + ": ")
                if item is not None and names_secret(name):
                    self.masked = True
                    self.put(f'"{MASK}"')
                    continue
            self.value(item, levels - 1)
        self.put("}" if is_map else "]")


def shown(payload: Any, most: int = MOST) -> Shown:
    """The payload as JSON of so many characters at the most."""
    writer = _Writer(most)
    writer.value(payload)
    text = "".join(writer.pieces)
    redacted = redact(text)
    cut = writer.cut
    if len(redacted) > most:
        redacted, cut = redacted[: most - len(_CUT)] + _CUT, True
    return Shown(redacted, cut, writer.masked or redacted != text)


def _items(value: dict[Any, Any] | list[Any]) -> Iterator[tuple[Any, Any]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) >= 10**20:  # the text of a long one takes its time
        return "<an integer>"
    return repr(value)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the text of an error of others is code of others
        return "<no text>"
