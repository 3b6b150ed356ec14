"""What a document says of its links and of the specs in it, read as it is written.

Lives here: ways to look at specs that are not decoded, and may not be sound: for drawings, advice
and lint, which look at many. What is no link, and no spec, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def links_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each link of a document, with the out port as it is written."""
    written = document.get("links") or document.get("ports")
    for port, links in written.items() if isinstance(written, Mapping) else ():
        for link in links if isinstance(links, list) else [links]:
            if isinstance(link, Mapping):
                yield port, link


def inner_of(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The specs in a document, such as a block; one alone stands without a list."""
    inner: Any = document.get("specs") or document.get("nodes")
    several = inner if isinstance(inner, list) else [inner]
    return [each for each in several if isinstance(each, Mapping)]
