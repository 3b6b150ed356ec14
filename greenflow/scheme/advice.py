"""Advice about specs that are sound, and may not do what their author has in mind.

Lives here: what a kind may ask about the specs around its own, and who is asked. A kind that has
advice to give has a class method `advise(document, around)` that returns lines of it; nothing
of it keeps a spec from being stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from greenflow.scheme.registry import Scheme
from greenflow.spec.ports import LIFECYCLE, canonical
from greenflow.spec.undecoded import inner_of, links_of

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
        for name, link in links_of(document):
            if canonical(name) == port:
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
        ports = {canonical(name) for name, _ in links_of(document)}.difference(LIFECYCLE)
        return [target for port in sorted(ports) for target in self.targets(document, port)]

    def label(self, document: Document) -> str:
        """What a line of advice calls a spec."""
        return f"{document.get('name') or document.get('id')!r} ({document['kind']})"

    def has_effect(self, document: Mapping[str, Any]) -> bool:
        """Whether it, or a spec inside it, reaches outside of greenflow."""
        kind = self._scheme.known_type(document)
        return bool(kind and kind.reaches_outside) or any(map(self.has_effect, inner_of(document)))


def advice(
    documents: list[Document], others: Callable[[], Iterable[Document]], scheme: Scheme
) -> list[str]:
    """Lines of advice about the documents, as they are stored. `others` are asked for what is
    stored besides, where a kind has advice to give."""
    if not any(hasattr(scheme.known_type(document), "advise") for document in documents):
        return []
    around = Around([*others(), *documents], scheme)
    return [line for _, line in _advised(documents, around, scheme)]


def advice_on(documents: list[Document], scheme: Scheme) -> Iterator[tuple[Document, str]]:
    """Lines of advice about documents that are all there are, each with the one it is about."""
    return _advised(documents, Around(documents, scheme), scheme)


def _advised(
    documents: Iterable[Document], around: Around, scheme: Scheme
) -> Iterator[tuple[Document, str]]:
    for document in documents:
        kind: Any = scheme.known_type(document)
        if hasattr(kind, "advise"):
            for line in kind.advise(document, around):
                yield document, line
