"""YAML texts to events: which of two readers makes them.

Lives here: the fast way, what it is not trusted with, and when the judge (scanner.py) reads.

The fast way is libyaml 0.1.7, as `ruamel.yaml.clib` has it. It is ten times faster, but it follows
YAML 1.1: much that YAML 1.2 allows it refuses, and a few things it takes for something else. So the
judge reads whatever the fast way refuses, and every text in which something stands that the fast
way is known to misread; a fault is always told in the judge's words. Where libyaml is not
installed, the judge reads all. Both give the same events, with the same places, for every text that
the fast way is left with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from greenflow.spec.syntax import SyntaxFault
from greenflow.spec.syntax.yaml.faults import fault_of

T = TypeVar("T")

# What the fast way misreads wherever it stands: line breaks of YAML 1.1, byte order marks inside of
# texts, and signs that end the name of an anchor in YAML 1.1 only (behind others, it refuses).
_MISREAD = re.compile("[\x85\u2028\u2029\ufeff]|[&*][-0-9A-Za-z_]+[?:%@`]")

# And in lists and maps in brackets: a `?`, which YAML 1.1 always takes for the sign of a key there,
# and a colon that begins a word.
_MISREAD_IN_FLOW = re.compile(r"\?|\s:\S")


class Doubt(Exception):
    """The fast way is not there, or may have misread something."""


def from_events(text: str, build: Callable[[Iterator[Any]], T]) -> T:
    """What `build` makes of the events of the text, in which no control characters are. It may be
    called twice. Raises SyntaxFault."""
    from ruamel.yaml.error import YAMLError

    try:
        return build(fast(text))
    except (YAMLError, SyntaxFault, Doubt):
        pass
    from greenflow.spec.syntax.yaml.scanner import events

    try:
        return build(events(text))
    except YAMLError as error:
        raise fault_of(error, text) from None


def fast(text: str) -> Iterator[Any]:
    """The events of libyaml. Raises YAMLError, and Doubt before or after what may be misread, also
    for a text below `|` or `>` in which nothing is: what is not indented enough for it may be text
    in YAML 1.2."""
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent, ScalarEvent

    parser = libyaml()
    if parser is None or _MISREAD.search(text) is not None:
        raise Doubt
    is_odd = _MISREAD_IN_FLOW.search(text) is not None
    # How deep in brackets, and up to where their content, without quotes, has been looked through.
    depth, seen = 0, 0
    for event in iter(parser(text).get_event, None):
        if isinstance(event, ScalarEvent):
            if event.style in ("|", ">") and not event.value.strip("\n"):
                raise Doubt
            if depth and event.style in ("'", '"'):
                if _MISREAD_IN_FLOW.search(text, seen, event.start_mark.index + 1):
                    raise Doubt
                seen = event.end_mark.index
        elif is_odd:
            if isinstance(event, CollectionStartEvent):
                if depth or event.flow_style:
                    seen = seen if depth else event.start_mark.index
                    depth += 1
            elif depth and isinstance(event, CollectionEndEvent):
                depth -= 1
                if not depth and _MISREAD_IN_FLOW.search(text, seen, event.end_mark.index):
                    raise Doubt
        yield event


@cache
def libyaml() -> Any:
    """The parser of `ruamel.yaml.clib`; None where that is not installed."""
    try:
        return import_module("ruamel.yaml.cyaml").CParser
    except ImportError:
        return None
