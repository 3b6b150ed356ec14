"""GF013, GF016, GF017, GF021: what leads where.

Lives here: the graph of the written links, and what can be seen in it without running anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from greenflow.lint.finding import LintFinding, at
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Entry
from greenflow.spec.ports import ERROR, LIFECYCLE, canonical
from greenflow.spec.reference import referred_to
from greenflow.spec.undecoded import links_of

# Kinds that wait without being asked for `Node.waits`: a packet that was in one counts anew.
_WAITING = frozenset(("sleep",))

# Conditions of a `switch` that every packet meets.
_ALWAYS = frozenset(("true", "self == self", "1 == 1"))

# Kinds that are there for others, not for packets; others of the file refer to them or a person
# runs them.
_NO_PACKETS = frozenset(("template", "connection", "test"))


def check(
    entries: Sequence[Entry], broken: Sequence[Mapping[str, Any]], scheme: Scheme
) -> Iterator[LintFinding]:
    """The findings about each namespace. What one that is `broken` leads to is led to."""
    by_namespace: dict[str, list[Entry]] = {}
    for entry in entries:
        by_namespace.setdefault(entry.data["namespace"], []).append(entry)
    for ours in by_namespace.values():
        links = _Links(ours, scheme)
        yield from _unreachable(links, broken)
        yield from _endless(links)
        yield from _errors(links)


class _Links:
    """Where the links of specs lead, by id."""

    def __init__(self, entries: Iterable[Entry], scheme: Scheme) -> None:
        self.entries = {entry.data["id"]: entry for entry in entries}
        self.kinds = {id: scheme.known_type(entry.data) for id, entry in self.entries.items()}
        self.begin = {id for id, entry in self.entries.items() if scheme.begins(entry.data)}
        self._names = {
            entry.data["name"]: id for id, entry in self.entries.items() if entry.data.get("name")
        }
        self.leading: dict[str, list[tuple[str, str, str]]] = {}  # port, target, port there
        for id, entry in self.entries.items():
            self.leading[id] = [
                (canonical(port), target, str(link.get("port") or "in"))
                for port, link in links_of(entry.data)
                if (target := self._target(link))
            ]

    def _target(self, link: Mapping[str, Any]) -> str | None:
        """Where a link leads; where it has both, the id decides (BEHAVIOUR 2.4)."""
        if link.get("id"):
            return str(link["id"]) if str(link["id"]) in self.entries else None
        return self._names.get(str(link.get("name")))

    def id_of(self, called: str) -> str | None:
        """The id of what is called so."""
        return called if called in self.entries else self._names.get(called)


def _unreachable(links: _Links, broken: Sequence[Mapping[str, Any]]) -> Iterator[LintFinding]:
    """The nodes that no source leads to, and nothing refers to."""
    roots = []
    for id, entry in links.entries.items():
        kind = links.kinds[id]
        lives = any(port in LIFECYCLE for port, _, _ in links.leading[id])
        begins = id in links.begin
        if kind is None or begins or lives or entry.data["kind"] in _NO_PACKETS:
            roots.append(id)
    for document in broken:
        called = [
            *referred_to(document),
            *(
                str(link.get("id") or link.get("name"))
                for _, link in links_of(document)
                if isinstance(link, Mapping)
            ),
        ]
        roots += [id for each in called if (id := links.id_of(each))]
    if not links.begin:
        return  # a library of nodes: a program calls them, or other files lead to them
    seen = set(roots)
    while roots:
        id = roots.pop()
        referred = [links.id_of(called) for called in referred_to(links.entries[id].data)]
        for target in (*(target for _, target, _ in links.leading[id]), *referred):
            if target is not None and target not in seen:
                seen.add(target)
                roots.append(target)
    for id, entry in links.entries.items():
        if id not in seen:
            yield at(entry.document, "GF013", "$", "no source leads here")


def _endless(links: _Links) -> Iterator[LintFinding]:
    """The cycles in which every node has one way on, and none waits."""
    following: dict[str, str] = {}
    for id, kind in links.kinds.items():
        ways = [to for port, to, _ in links.leading[id] if port not in (*LIFECYCLE, ERROR)]
        plain = kind is not None and kind.outputs == ("out",) and not kind.waits
        plain = plain and links.entries[id].data["kind"] not in _WAITING
        if plain and id not in links.begin and len(ways) == 1:
            following[id] = ways[0]
    done: set[str] = set()
    for start in following:
        way: dict[str, None] = {}
        here: str | None = start
        while here is not None and here not in done and here not in way:
            way[here] = None
            here = following.get(here)
        if here in way:
            cycle = list(way)[list(way).index(here or "") :]
            names = " > ".join(_name(links, id) for id in (*cycle, cycle[0]))
            first = min(cycle, key=lambda id: list(links.entries).index(id))
            yield at(
                links.entries[first].document,
                "GF021",
                "$.links",
                f"a packet goes round for ever: {names}; let a condition end it, or wait",
            )
        done.update(way)


def _name(links: _Links, id: str) -> str:
    return str(links.entries[id].data.get("name") or id)


def _errors(links: _Links) -> Iterator[LintFinding]:
    """Listeners whose errors nobody takes, and switches that leave some of them."""
    for id, entry in links.entries.items():
        ports = {port for port, _, _ in links.leading[id]}
        written = {canonical(port) for port, _ in links_of(entry.data)}
        if entry.data["kind"] == "listener" and "out" in written and ERROR not in written:
            yield at(entry.document, "GF017", "$", "no `error` link: failures answer in our words")
        if ERROR in ports:
            for port, target, _ in links.leading[id]:
                document = links.entries[target].data
                if port == ERROR and document["kind"] == "switch" and not _catches_all(document):
                    yield at(
                        links.entries[target].document,
                        "GF016",
                        "$.match",
                        "an error that no case takes is answered by nobody; end with"
                        " {when: 'true', port: ...}",
                    )


def _catches_all(document: Mapping[str, Any]) -> bool:
    cases = document.get("match") or []
    return any(str(case.get("when")).strip() in _ALWAYS for case in cases)
