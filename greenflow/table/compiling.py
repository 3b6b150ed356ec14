"""From the documents of a change to the versions that may go in.

Lives here: Candidates, and `compile_change`, which makes them. It may block, lets others run, and
reads the table only: what it finds of old versions that is out of date, it notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any

from greenflow.engine.origin import located_in
from greenflow.hub import collector
from greenflow.hub.breathing import Breath, unhurried
from greenflow.log import secret
from greenflow.spec.reference import Referred
from greenflow.table.activity import Key
from greenflow.table.symbol import Symbol, Version
from greenflow.table.view import Change, Document, View

# Documents of a change from which on the garbage collector would hold the hub for longer than the
# change itself: it looks at all of them several times.
MANY = 1_000
SETTLED_AT_ONCE = 64  # versions; their garbage is that of a few milliseconds


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
    compiling.again()
    compiling.lead_to([*change.documents, *compiling.bound])
    return compiling.candidates


class _Compiling:
    """One change under way."""

    def __init__(self, view: View, change: Change) -> None:
        self.view, self.change = view, change
        self.candidates = Candidates(view, change)
        self._compiled = 0
        self._breath = Breath()
        self._begun: set[str] = set()
        self._retried = self._failed() if change.retry else {}
        self.bound = self._bound()

    def documents(self) -> None:
        """What was written since it was looked at last."""
        for id, document in self.change.documents.items():
            if document is not None:
                self._document(id, *document)

    def _is_written(self, id: str) -> bool:
        """Whether it was written, or removed, since it was looked at last."""
        symbol, written = self.view.symbols.get(id), self.change.documents.get(id)
        is_same = symbol is not None and written is not None and symbol.revision == written[1]
        return id in self.change.documents and not is_same

    def _document(self, id: str, document: Mapping[str, Any], revision: int) -> None:
        """Compile what was written, once."""
        if id not in self._begun and self._is_written(id):
            self._begun.add(id)
            self._compile(self.view.symbols.get(id), document, revision)

    def again(self) -> None:
        """What failed, and what is bound to what changed."""
        for id in (*self._retried, *self.bound):
            self._again(id)

    def _failed(self) -> dict[str, Version]:
        """What trying again may help; not what was told `init` or `active`, and has answered."""
        symbols = (self.view.symbols[id] for id in self.view.failed())
        newest = (symbol.pending or symbol.version for symbol in symbols)
        return {
            version.id: version
            for version in newest
            if version.id not in self.change.documents
            and (version.telling is None or version.error is not None)
        }

    def _bound(self) -> dict[str, Version]:
        """What was rendered with a value that changed, or is made of a spec that did, and so on."""
        bound: dict[str, Version] = {}
        changed = [*self.change.documents, *self._retried]

        def take(versions: Iterable[Version]) -> None:
            for version in versions:
                symbol = self.view.symbols.get(version.id)
                if (
                    symbol is not None
                    and version is (symbol.pending or symbol.version)
                    and version.id not in bound
                    and not self._is_written(version.id)
                ):
                    bound[version.id] = version
                    changed.append(version.id)

        take(self.view.bound_to(self.change.values))
        for id in unhurried(_popped(changed)):
            take(self.view.bound_to(self._called(id)))
        return bound

    def _called(self, id: str) -> list[Key]:
        """What other specs may call a spec, before the change and after it."""
        symbol, written = self.view.symbols.get(id), self.change.documents.get(id)
        names = {
            None if symbol is None else symbol.name,
            None if written is None else written[0].get("name"),
        }
        return [("spec", id), *(("spec", name) for name in names if name)]

    def _again(self, id: str) -> None:
        """Compile, once, what did not change itself."""
        version = self._retried.get(id) or self.bound.get(id)
        if version is not None and id not in self._begun:
            self._begun.add(id)
            symbol = None if id in self._retried else self.view.symbols.get(id)
            self._compile(symbol, version.document, version.revision)

    def _find(self, called: str) -> Referred | None:
        """The spec of that name or id as it will run: what changes now, or where that fails the
        older one."""
        id = self._names.get(called) or self.view.names.get(called) or called
        symbol, written = self.view.symbols.get(id), self.change.documents.get(id)
        if id in self.change.documents and self._is_written(id):
            if written is None or called not in (id, written[0].get("name")):
                return None
            self._document(id, *written)
        self._again(id)
        version = self.candidates.versions.get(id)
        if version is None and id in self._begun and id not in self.candidates.rewritten:
            # Its own compilation asks, by way of others: it is inside of itself.
            document, revision = self._newest(id)
            return self._referred(document, revision, "")
        if symbol is not None and (version is None or version.error is not None):
            version = symbol.version
        if version is None:
            return None
        return self._referred(version.document, version.revision, version.fault)

    def _newest(self, id: str) -> Document:
        written = self.change.documents.get(id)
        if written is not None:
            return written
        version = self._retried.get(id) or self.bound[id]
        return version.document, version.revision

    @cached_property
    def _names(self) -> dict[str, str]:
        """The ids of those that are called so from now on."""
        return {
            document[0]["name"]: id
            for id, document in self.change.documents.items()
            if document is not None and document[0].get("name")
        }

    def _referred(self, document: Mapping[str, Any], revision: int, fault: str) -> Referred:
        located = partial(located_in, self.view.services.locate, document["id"], revision)
        return Referred(document, located, revision, fault)

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
        bindings = services.values.bindings(self._find)
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
            self._breath.take()
            if self._compiled % SETTLED_AT_ONCE == 0 and len(self.change.documents) >= MANY:
                collector.settle()
        self.candidates.versions[version.id] = version


def _popped(stack: list[str]) -> Iterator[str]:
    while stack:
        yield stack.pop()
