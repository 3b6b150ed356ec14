"""Advice about specs that are sound, and may not do what their author has in mind.

Lives here: what a kind may ask about the specs around its own, and who is asked. A kind that has
advice to give has a class method `advise(document, around)` that returns lines of it; nothing
of it keeps a spec from being stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greenflow.errors import GreenflowError
from greenflow.scheme.registry import Scheme
from greenflow.spec.ports import LIFECYCLE, canonical

Document = dict[str, Any]


class Around:
    """The specs that a spec stands among, and where their links lead."""

    def __init__(self, documents: Iterable[Document], scheme: Scheme) -> None:
        self._scheme = scheme
        self._known: dict[tuple[str, str], Document] = {}
        for document in documents:
            for key in ("id", "name"):
                if document.get(key):
                    self._known[key, document[key]] = document

    def targets(self, document: Document, port: str) -> Iterator[Document]:
        """The specs that one port leads to."""
        for name, links in _links(document):
            if canonical(name) == port:
                for link in links:
                    key = "id" if link.get("id") else "name"
                    target = self._known.get((key, link[key]))
                    if target is not None:
                        yield target

    def following(self, documents: Iterable[Document]) -> list[Document]:
        """All that they lead to, over whatever port a packet takes; also themselves, if they lead
        back to themselves."""
        found: dict[int, Document] = {}
        unseen = list(documents)
        while unseen:
            for target in self.leading(unseen.pop()):
                if id(target) not in found:
                    found[id(target)] = target
                    unseen.append(target)
        return list(found.values())

    def leading(self, document: Document) -> list[Document]:
        """What it leads to, over whatever port a packet takes."""
        ports = {canonical(name) for name, _ in _links(document)}.difference(LIFECYCLE)
        return [target for port in sorted(ports) for target in self.targets(document, port)]

    def label(self, document: Document) -> str:
        """What a line of advice calls a spec."""
        return f"{document.get('name') or document.get('id')!r} ({document['kind']})"

    def has_effect(self, document: Document) -> bool:
        """Whether it, or a spec inside it, reaches outside of greenflow."""
        kind = _kind(self._scheme, document)
        return bool(kind and kind.reaches_outside) or any(map(self.has_effect, _inner(document)))


def advice(
    documents: list[Document], others: Callable[[], Iterable[Document]], scheme: Scheme
) -> list[str]:
    """Lines of advice about the documents, as they are stored. `others` are asked for what is
    stored besides, where a kind has advice to give."""
    advising = [document for document in documents if hasattr(_kind(scheme, document), "advise")]
    if not advising:
        return []
    around = Around([*others(), *documents], scheme)
    lines = [_kind(scheme, document).advise(document, around) for document in advising]
    return [line for found in lines for line in found]


def advice_on(documents: list[Document], scheme: Scheme) -> Iterator[tuple[Document, str]]:
    """Lines of advice about documents that are all there are, each with the one it is about."""
    around = Around(documents, scheme)
    for document in documents:
        kind = _kind(scheme, document)
        if hasattr(kind, "advise"):
            for line in kind.advise(document, around):
                yield document, line


def _links(document: Document) -> list[tuple[str, list[Document]]]:
    links = document.get("links") or {}
    return [(name, to if isinstance(to, list) else [to]) for name, to in links.items() if to]


def _inner(document: Document) -> list[Document]:
    inner = document.get("specs") or []
    return inner if isinstance(inner, list) else [inner]


def _kind(scheme: Scheme, document: Document) -> Any:
    try:
        return scheme.node_type(document["kind"])
    except (LookupError, GreenflowError):
        return None
