"""The specs of a namespace as a drawing: nodes, links, blocks as groups, what is inactive and why.

Lives here: `pictured`. How a drawing is laid out and written is graph/'s; which specs are inactive,
the caller knows (stored.py, or a running table).

A link to a block leads to the specs inside that its in port leads to, and one of a block comes from
those that its out port comes from: what is drawn is the way of a packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from greenflow.graph.drawing import Arrow, Drawing, Group, Vertex
from greenflow.spec.ports import canonical
from greenflow.spec.undecoded import inner_of, links_of

Document = Mapping[str, Any]

# Inside of a key, what stands between a block and a spec in it.
_INSIDE = "/"


def pictured(documents: Iterable[Document], reasons: Mapping[str, str]) -> Drawing:
    """A drawing of specs as they are stored; `reasons` says of those that are inactive why, by
    id. A link to what is not among them is drawn to a vertex that says so."""
    picture = _Picture(list(documents), reasons)
    return Drawing(tuple(picture.vertices), tuple(picture.edges), tuple(picture.groups))


class _Picture:
    def __init__(self, documents: list[Document], reasons: Mapping[str, str]) -> None:
        self.vertices: list[Vertex] = []
        self.edges: list[Arrow] = []
        self.groups: list[Group] = []
        self._missing: dict[str, str] = {}  # the keys of vertices for what is not there, by label
        self._of_key: dict[str, Document] = {}
        top: dict[tuple[str, str], str] = {}
        keys = []
        for number, document in enumerate(documents):
            key = str(document.get("id") or number)
            keys.append(key)
            for field in ("id", "name"):
                if document.get(field):
                    top[field, str(document[field])] = key
            self._add(document, key, "", reasons.get(str(document.get("id")), ""))
        for key, document in zip(keys, documents, strict=True):
            self._link(document, key, top)

    def _add(self, document: Document, key: str, group: str, note: str) -> None:
        """A vertex for a spec, or a group for one that has specs inside."""
        self._of_key[key] = document
        inner = inner_of(document)
        title = str(document.get("name") or document.get("id") or document.get("kind"))
        kind = str(document.get("kind"))
        if not inner:
            self.vertices.append(Vertex(key, title, kind if kind != title else "", note, group))
            return
        self.groups.append(Group(key, f"{title} ({kind})" if kind != title else kind, group, note))
        for number, each in enumerate(inner):
            self._add(each, f"{key}{_INSIDE}{number}", key, "")

    def _link(self, document: Document, key: str, known: Mapping[tuple[str, str], str]) -> None:
        """The edges of a spec, and of those inside."""
        inner = inner_of(document)
        inside = {
            ("name", _called(each, number)): f"{key}{_INSIDE}{number}"
            for number, each in enumerate(inner)
        }
        for number, each in enumerate(inner):
            self._link(each, f"{key}{_INSIDE}{number}", inside)
        if inner and not _bounds(document):
            for number, _ in pairwise(range(len(inner))):
                self._edge(f"{key}{_INSIDE}{number}", "out", f"{key}{_INSIDE}{number + 1}", "in")
        for port, link in links_of(document):
            called = ("id", link["id"]) if link.get("id") else ("name", link.get("name") or "")
            target = known.get(called) or self._absent(called[1])
            self._edge(key, port, target, link.get("port") or "in")

    def _edge(self, source: str, port: str, target: str, entry: str) -> None:
        label = " → ".join(
            name for name in (port if port != "out" else "", entry if entry != "in" else "") if name
        )
        for begin in self._ends(source, port, "outbounds", -1):
            for end in self._ends(target, entry, "inbounds", 0):
                self.edges.append(Arrow(begin, end, label))

    def _ends(self, key: str, port: str, side: str, chained: int) -> Iterator[str]:
        """The vertices that a port of a spec is: itself, or those inside."""
        inner = inner_of(self._of_key.get(key, {}))
        if not inner:
            yield key
            return
        document = self._of_key[key]
        bounds = {canonical(name): ends for name, ends in (document.get(side) or {}).items()}
        names = {_called(each, number): number for number, each in enumerate(inner)}
        ends = bounds.get(canonical(port))
        if ends is None:  # of a chain; or a port of the block itself, such as `error`
            yield from self._ends(f"{key}{_INSIDE}{chained % len(inner)}", port, side, chained)
            return
        for end in ends if isinstance(ends, list) else [ends]:
            number = names.get(str(end.get("name")))
            if number is not None:
                yield from self._ends(
                    f"{key}{_INSIDE}{number}", end.get("port") or "", side, chained
                )

    def _absent(self, called: str) -> str:
        if called not in self._missing:
            self._missing[called] = f"?{called}"
            self.vertices.append(Vertex(f"?{called}", called, "", "is not there"))
        return self._missing[called]


def _bounds(document: Document) -> bool:
    return document.get("chain") is False or bool(
        document.get("inbounds") or document.get("outbounds")
    )


def _called(inner: Mapping[str, Any], place: int) -> str:
    """What a spec inside is called there (nodes/inner.py)."""
    return str(inner.get("name") or f"${place}")
