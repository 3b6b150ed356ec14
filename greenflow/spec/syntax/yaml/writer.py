"""Values to YAML texts.

Lives here: how `greenflow get -o yaml` and all other commands write YAML. ruamel's emitter lays the
text out; its own way from values to events would cost as much again.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator
from typing import Any

from greenflow.spec.syntax import SyntaxFault
from greenflow.spec.syntax.yaml.scalars import plain

#: Characters in a line, if it can be.
_WIDTH = 100

_STRING = "tag:yaml.org,2002:str"

# Characters that nobody sees as what they are, or that older readers take for line breaks.
_ODD = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

# Blanks at the end of a line, which editors remove.
_LOST_IN_LINES = re.compile(" \n| \\Z")


def to_yaml(value: Any) -> str:
    """A YAML text of which `parts_of_yaml` makes the value again. Texts of several lines are
    written as such, and whatever could be read as something else is quoted."""
    from ruamel.yaml import events
    from ruamel.yaml.emitter import Emitter

    class Writer(Emitter):
        use_version = None  # of YAML, for what has to be quoted: the newest

    out = io.StringIO()
    writer = Writer(out, width=_WIDTH, allow_unicode=True)
    writer.emit(events.StreamStartEvent())
    writer.emit(events.DocumentStartEvent(explicit=False))
    for event in _events(value, events):
        writer.emit(event)
    writer.emit(events.DocumentEndEvent(explicit=False))
    writer.emit(events.StreamEndEvent())
    written = out.getvalue()
    if isinstance(value, dict | list) or written.startswith("|"):
        return written
    return written.removesuffix("...\n")  # only empty lines at the end of a text need that


def _events(value: Any, events: Any) -> Iterator[Any]:
    """What the emitter is told."""
    if isinstance(value, dict):
        yield events.MappingStartEvent(None, None, True, flow_style=False)
        for key, item in value.items():
            yield from _events(key, events)
            yield from _events(item, events)
        yield events.MappingEndEvent()
    elif isinstance(value, list):
        yield events.SequenceStartEvent(None, None, True, flow_style=False)
        for item in value:
            yield from _events(item, events)
        yield events.SequenceEndEvent()
    else:
        text, style = _scalar(value)
        may_be_plain = not isinstance(value, str) or not _is_other_in_1_1(text)
        # The emitter wants to see a tag where there is nothing else.
        tag = None if text else events.Tag(suffix=_STRING)
        yield events.ScalarEvent(None, tag, (may_be_plain, True, True), text, style=style)


def _scalar(value: Any) -> tuple[str, str | None]:
    """The text of a scalar, and how it is written: as lines below `|`, in double quotes, or (None)
    with as few quotes as the emitter thinks are needed."""
    if isinstance(value, str):
        if not value or _ODD.search(value):
            return value, '"'
        if "\n" in value:
            return value, '"' if _LOST_IN_LINES.search(value) else "|"
        return value, None if _is_plain(value) else '"'
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return str(value).lower(), None
    digits = repr(value)
    # Without a point, YAML 1.1 takes a float for a text.
    return digits if "." in digits else digits.replace("e", ".0e"), None


@functools.cache
def _resolvers() -> dict[str, list[Any]]:
    """By the first character of a text, what YAML 1.1 takes for no text."""
    from ruamel.yaml.resolver import implicit_resolvers

    found: dict[str, list[Any]] = {}
    for versions, _, regex, first in implicit_resolvers:
        if (1, 1) in versions:
            for character in first:
                found.setdefault(character, []).append(regex)
    return found


def _is_other_in_1_1(text: str) -> bool:
    """Whether older readers take the text without quotes for something else: `yes`, a date."""
    return any(regex.match(text) for regex in _resolvers().get(text[:1], ()))


def _is_plain(text: str) -> bool:
    """Whether our own reader takes the text for a string when it has no quotes. The writer only
    knows what cannot be read at all."""
    try:
        return text != "<<" and isinstance(plain(text, 0, 0), str)
    except SyntaxFault:
        return False
