"""Symbols: a node of the table, and its versions.

Lives here: Version and Symbol. What a change would do to them, plan.py works out; table.py does it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from greenflow.engine.origin import name_of
from greenflow.engine.tally import Tally, counted
from greenflow.log.secret import conceal
from greenflow.table.lifecycle import Part, Telling, telling_ports, told

if TYPE_CHECKING:
    from greenflow.engine.node import Node
    from greenflow.engine.port import InPort
    from greenflow.spec.fields import Link, Spec

# Said of a symbol whose newest version does not run.
REFUSED = (
    "a change was refused and the old version runs on, though a restart would not bring it back"
)

_log = logging.getLogger("greenflow.table")

# How far a version was loaded: `init` answered, its source started, `active` answered.
UNLOADED, INITIALISED, STARTED, LOADED = range(4)


class Version:
    """One document of a symbol, compiled or not; `error` says why it cannot run."""

    __slots__ = (
        "bound",
        "document",
        "ending",
        "entries",
        "error",
        "id",
        "name",
        "node",
        "opened",
        "reached",
        "refusal",
        "revision",
        "secrets",
        "since",
        "spec",
        "telling",
        "tells",
    )

    def __init__(self, document: Mapping[str, Any], revision: int) -> None:
        self.document, self.revision = document, revision
        self.id: str = document["id"]
        self.name: str | None = document.get("name")
        self.spec: Spec | None = None
        self.node: Node[Any] | None = None
        self.opened = False
        self.since: int | None = None  # the first generation of the graph that it is in
        self.entries: dict[str, list[InPort | None]] = {}  # what each link leads to, by out port
        self.error: Exception | None = None
        self.reached = UNLOADED
        self.ending = False  # it is being unloaded
        self.telling: Telling | None = None  # what it was told last, of `init` and `active`
        self.tells: frozenset[str] | None = None  # ports of the lifecycle in use, once asked for
        self.refusal = ""  # why it does not run in the place of the older one
        self.bound: frozenset[tuple[str, str]] = frozenset()  # the values it was rendered with
        # What was rendered into it, held in log/secret.py.
        self.secrets: frozenset[str] = frozenset()

    def links(self) -> Iterator[tuple[str, Link]]:
        """Every link, with the out port it leaves by."""
        if self.spec is not None:
            for port, links in self.spec.links.items():
                for link in links:
                    yield port, link

    @property
    def waiting(self) -> bool:
        """Whether its `init` is under way."""
        return self.reached == UNLOADED and self.telling is not None and not self.telling.answered

    @property
    def fault(self) -> str:
        """Why it cannot run, or nothing; without the secrets that may be in the error."""
        return "" if self.error is None else conceal(str(self.error))

    def told(self, port: str) -> list[Part]:
        """Who of it is told at a port of the lifecycle: nobody, if nothing is linked there."""
        if self.node is None or not self.opened:
            return []
        if self.tells is None:  # a change asks several times, and most nodes have none
            self.tells = telling_ports(self.node, self.document)
        return told(self.node, self.document, port) if port in self.tells else []

    def __repr__(self) -> str:
        return f"<Version {self.revision} of {self.name or self.id}>"


class Symbol:
    """A node of the table: the version that runs, whether it is active, and what is wrong.

    `reason` says why the symbol is inactive, or why its newest version does not run.
    """

    __slots__ = ("active", "past", "pending", "reason", "version")

    def __init__(self, version: Version) -> None:
        self.version = version
        self.pending: Version | None = None  # a newer version that was refused
        self.active = False
        self.reason = ""
        # What its closed versions have done, by the name and kind of each of their nodes.
        self.past: dict[tuple[str, str], Tally] = {}

    def become(self, active: bool, reason: str, namespace: str) -> None:
        """It is active or not from now on, and why not, or why its newest version does not run;
        what is new of that is said."""
        if reason and reason != self.reason:
            name, what = self.name or self.id, REFUSED if active else "inactive"
            extra = {"namespace": namespace, "node": name}
            _log.warning("%s: %s: %s", name, what, reason, extra=extra)
        self.active, self.reason = active, reason

    def refuse(self, version: Version) -> bool:
        """Keep a newer version that does not run, and may later; whether it is not just another try
        of the one before."""
        before, self.pending = self.pending, version
        return before is None or before.revision != version.revision

    def keep_count(self, version: Version) -> None:
        """A version of it is closed: what that has done still counts."""
        if version.opened:
            _count(version, self.past)

    def counted(self, draining: Iterable[Version] = ()) -> dict[tuple[str, str], Tally]:
        """What the symbol has done in all its versions, of which those may still be at work; by the
        name and kind of each node."""
        total: dict[tuple[str, str], Tally] = {}
        for key, past in self.past.items():
            total.setdefault(key, type(past)()).merge(past)
        for version in (self.version, *draining):
            _count(version, total)
        return total

    @property
    def id(self) -> str:
        return self.version.id

    @property
    def name(self) -> str | None:
        return self.version.name

    @property
    def newest(self) -> tuple[Mapping[str, Any], int]:
        """The newest document that was looked at, running or not, and its revision."""
        version = self.pending or self.version
        return version.document, version.revision

    @property
    def revision(self) -> int:
        """The newest revision that was looked at, running or not."""
        return (self.pending or self.version).revision

    @property
    def failed(self) -> bool:
        """Whether a version of it could not be made to run, so that trying again makes sense."""
        return self.pending is not None or self.version.error is not None

    def __repr__(self) -> str:
        return f"<Symbol {self.name or self.id} {'active' if self.active else self.reason}>"


def _count(version: Version, total: dict[tuple[str, str], Tally]) -> None:
    """Add what the nodes of a version have done until now."""
    if version.node is not None:
        for part, _ in version.node.parts(version.document):
            key = name_of(part), part.spec.kind
            counted(part, total.setdefault(key, type(part.tally)()))
