"""From the documents of a change to the versions that may go in.

Lives here: Candidates, and `compile_change`, which makes them. It may block, lets others run, and
reads the table only: what it finds of old versions that is out of date, it notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from greenflow.hub import collector
from greenflow.hub.breathing import let_others_run
from greenflow.log import secret
from greenflow.table.symbol import Symbol, Version
from greenflow.table.view import Change, Document, View

COMPILES_A_TURN = 64  # versions compiled before others may run: a few milliseconds

# Documents of a change from which on the garbage collector would hold the hub for longer than the
# change itself: it looks at all of them several times.
MANY = 1_000


class Candidates:
    """What may go in, by id, and what else a change touches."""

    def __init__(self, view: View, change: Change) -> None:
        symbols, documents = view.symbols, change.documents
        self.versions: dict[str, Version] = {}
        self.removed = {id for id in documents if documents[id] is None and id in symbols}
        self.dirty = {id for id in change.dirty if id in symbols}
        # Documents that say what their running version says, which keeps its node.
        self.rewritten: dict[str, Document] = {}

    def __bool__(self) -> bool:
        return bool(self.versions or self.removed or self.dirty)

    def pending(self, symbol: Symbol | None) -> Version | None:
        """The newer version of a symbol that was refused before, unless that is out of date."""
        return None if symbol is None or symbol.id in self.rewritten else symbol.pending


def compile_change(view: View, change: Change) -> Candidates:
    """Compile what the change brings, what it concerns of what failed, and what was rendered with
    values that changed."""
    compiling = _Compiling(view, change)
    compiling.documents()
    if change.retry:
        compiling.failed()
    rebound = compiling.bound()
    compiling.lead_to([*change.documents, *rebound])
    return compiling.candidates


class _Compiling:
    """One change under way."""

    def __init__(self, view: View, change: Change) -> None:
        self.view, self.change = view, change
        self.candidates = Candidates(view, change)
        self._compiled = 0

    def documents(self) -> None:
        """What was written since it was looked at last."""
        for id, document in self.change.documents.items():
            symbol = self.view.symbols.get(id)
            if document is not None and (symbol is None or symbol.revision != document[1]):
                self._compile(symbol, *document)

    def failed(self) -> None:
        """What trying again may help; not what was told `init` or `active`, and has answered."""
        for id in self.view.failed():
            symbol = self.view.symbols[id]
            version = symbol.pending or symbol.version
            told = version.telling is not None and version.error is None
            if id not in self.change.documents and not told:
                self._compile(None, version.document, version.revision)

    def bound(self) -> list[str]:
        """What was rendered with a value that changed; the ids."""
        ids = []
        for version in self.view.bound_to(self.change.values):
            symbol = self.view.symbols.get(version.id)
            if (
                symbol is not None
                and version is (symbol.pending or symbol.version)
                and version.id not in self.candidates.versions
                and version.id not in self.candidates.removed
            ):
                self._compile(symbol, version.document, version.revision)
                ids.append(version.id)
        return ids

    def lead_to(self, ids: Iterable[str]) -> None:
        """Compile again what failed to load and leads to what changes now (BEHAVIOUR 6.10)."""
        versions, removed = self.candidates.versions, self.candidates.removed
        changed = {id for id in ids if id in versions or id in removed}
        if not changed:
            return
        for version in list(self.view.failed_to_load):
            symbol = self.view.symbols.get(version.id)
            if symbol is None or version is not (symbol.pending or symbol.version):
                continue  # it only drains
            seen: set[str] = set()
            stack = [version]
            while stack and changed.isdisjoint(seen):
                for _, link in stack.pop().links():
                    target = self.view.target(link)
                    if target is not None and target.id not in seen:
                        seen.add(target.id)
                        stack.append(target.version)
            known = version.id in self.change.documents or version.id in versions
            if not known and not changed.isdisjoint(seen):
                self._compile(None, version.document, version.revision)

    def _compile(self, symbol: Symbol | None, document: Mapping[str, Any], revision: int) -> None:
        """Make a version of a document, unless the running one of `symbol` says the same."""
        version = Version(document, revision)
        services = self.view.services
        bindings = services.values.bindings()
        try:
            try:
                version.spec = services.compiler.decode(document, services.namespace, "$", bindings)
            finally:
                version.bound = frozenset(bindings.keys)
                version.secrets = secret.hold(bindings.inserted)
            running = None if symbol is None else symbol.version
            if running is not None and running.error is None and running.spec == version.spec:
                # Back to what runs, or only written differently.
                secret.release(version.secrets)
                self.candidates.rewritten[version.id] = document, revision
                self.candidates.dirty.add(version.id)
                return
            version.node = services.compiler.compile(version.spec, services)
            version.node.revision = revision
        except Exception as error:
            version.error = error
        finally:
            self._compiled += 1
            if self._compiled % COMPILES_A_TURN == 0:
                let_others_run()
                if len(self.change.documents) >= MANY:
                    collector.settle()
        self.candidates.versions[version.id] = version
