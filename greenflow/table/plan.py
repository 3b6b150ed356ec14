"""What a change would do to the symbol table, worked out before anything is touched.

Lives here: Plan. It compiles the new versions, finds which symbols would be active, refuses what
would make an active symbol inactive, puts the hooks in order, and has what is new opened
(opening.py). It may block, and leaves the table as it is; table.py carries it out.

A symbol is active when it is compiled and every link leads to an in port of an active symbol; a
cycle is active together. That is the greatest set with this property, found from the changed
symbols upwards along the links, so a change costs what it touches and not the size of the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import gevent

from greenflow.engine.source import Source
from greenflow.log import secret
from greenflow.table.opening import Opening
from greenflow.table.symbol import STARTED, Key, Symbol, Version, key_of

if TYPE_CHECKING:
    from greenflow.table.table import Table

COMPILES_A_TURN = 64  # versions compiled before others may run: a few milliseconds

Values = Collection[tuple[str, str]]  # what specs call values: ("id", ...) or ("name", ...)
Documents = Mapping[str, tuple[Mapping[str, Any], int] | None]


class Plan:
    """One change of a table. `values` are the values that changed; `dirty` are ids to look at again
    though their documents are the same; `back` are old versions, still loaded, to run again in the
    place of what failed to load.
    """

    def __init__(
        self,
        table: Table,
        documents: Documents,
        retry: bool = False,
        dirty: Iterable[str] = (),
        values: Values = (),
        back: Mapping[str, Version] | None = None,
    ) -> None:
        self.table, self.documents, self.retry, self.values = table, documents, retry, values
        self.back = back or {}
        self.failed: dict[str, Version] = {}  # what failed to load where `back` runs again
        self.dirty = {id for id in dirty if id in table.symbols}
        self.removed = {id for id in documents if documents[id] is None and id in table.symbols}
        self.accepted: dict[str, Version] = {}
        self.refused: dict[str, Version] = {}
        self.outcome: dict[str, tuple[bool, str]] = {}
        self.load: list[Version] = []  # inner to outer
        self.unload: list[Version] = []  # outer to inner
        self.gone: list[Version] = []  # the old versions that are replaced or removed
        self.dropped: list[Version] = []  # those that never ran, and were told `init`
        self.relink: dict[tuple[Version, str], None] = {}  # out ports that may lead elsewhere now
        self._candidates: dict[str, Version] = {}
        self._compiled = 0
        self._inevitable: set[str] = set()  # the old version would be inactive just as well
        self._tried_twice: set[str] = set()
        self._readmitted = ""
        self._blamed: dict[str, str] = {}  # for an inactive id, the one downstream it waits for
        self._names: dict[str, str] = {}  # what the change adds
        self._lost_names: set[str] = set()
        self._opening = Opening(self)

    def _replaced(self) -> list[Version]:
        """The old versions that the change replaces or removes, as far as it is worked out."""
        ids = (*self.accepted, *self.removed)
        return [self.table.symbols[id].version for id in ids if id in self.table.symbols]

    def make(self) -> bool:
        """Work the plan out. False if there is nothing to do."""
        self._compile_all()
        if not (self._candidates or self.removed or self.dirty):
            return False
        while not self._attempt():
            pass
        self._tidy()
        return True

    # -- compiling -----------------------------------------------------------------------------

    def _compile_all(self) -> None:
        symbols = self.table.symbols
        for id, entry in self.documents.items():
            if entry is not None:
                symbol = symbols.get(id)
                if symbol is None or symbol.revision != entry[1]:
                    self._compile(symbol, *entry)
                    self._let_others_run()
        if self.retry:
            for id in self.table.failed():
                failed = symbols[id].pending or symbols[id].version
                told = failed.telling is not None and failed.error is None
                if id not in self.documents and not told:
                    self._compile(None, failed.document, failed.revision)
        rebound = []
        for version in self.table.bound_to(self.values):
            symbol = symbols.get(version.id)
            if (
                symbol is not None
                and version is (symbol.pending or symbol.version)
                and version.id not in self._candidates
                and version.id not in self.removed
            ):
                self._compile(symbol, version.document, version.revision)
                rebound.append(version.id)
                self._let_others_run()
        self._retry_at_once({*self.documents, *rebound})
        for id, old in self.back.items():
            self.failed[id] = failed = symbols[id].version
            failed.refusal = f"revision {failed.revision} does not run: {failed.fault}"
            self._candidates[id] = old
        for id in self.dirty:
            pending = symbols[id].pending
            if pending is not None and pending.node is not None and id not in self.documents:
                self._candidates.setdefault(id, pending)
        self._admit_pending(list(self._changed_keys(self._candidates)))

    def _admit_pending(self, keys: Iterable[Key]) -> bool:
        """What was refused, and links to one of these, may go in now; whether there is such."""
        before = len(self._candidates)
        for key in keys:
            for version, _ in self.table.referrers.get(key, ()):
                symbol = self.table.symbols.get(version.id)
                if symbol is None or version.id in self.documents:
                    continue
                if symbol.pending is version and version.node is not None:
                    self._candidates.setdefault(version.id, version)
        return len(self._candidates) > before

    def _retry_at_once(self, ids: Iterable[str]) -> None:
        """Compile again what failed to load and leads to what changes now (BEHAVIOUR 6.10)."""
        changed = {id for id in ids if id in self._candidates or id in self.removed}
        if not changed:
            return
        for version in list(self.table.failed_to_load):
            failed = self.table.symbols.get(version.id)
            if failed is None or version is not (failed.pending or failed.version):
                continue  # it only drains
            seen: set[str] = set()
            stack = [version]
            while stack and changed.isdisjoint(seen):
                for _, link in stack.pop().links():
                    symbol = self.table.target(link)
                    if symbol is not None and symbol.id not in seen:
                        seen.add(symbol.id)
                        stack.append(symbol.version)
            known = version.id in self.documents or version.id in self._candidates
            if not known and not changed.isdisjoint(seen):
                self._compile(None, version.document, version.revision)

    def _let_others_run(self) -> None:
        self._compiled += 1
        if self._compiled % COMPILES_A_TURN == 0:
            gevent.sleep(1e-9)  # with 0 seconds timers and sockets would wait

    def _compile(self, symbol: Symbol | None, document: Mapping[str, Any], revision: int) -> None:
        version = Version(document, revision)
        services = self.table.services
        bindings = services.values.bindings()
        try:
            try:
                version.spec = services.compiler.decode(document, services.namespace, "$", bindings)
            finally:
                version.bound = frozenset(bindings.keys)
                version.secrets = secret.hold(bindings.inserted)
            if symbol is not None and symbol.version.error is None:
                old = symbol.version
                if old.spec == version.spec:  # back to what runs, or only written differently
                    old.document, old.revision = document, revision
                    secret.release(version.secrets)
                    if symbol.pending is not None:
                        self._discard(symbol.pending)
                        symbol.pending = None
                    self.dirty.add(version.id)
                    return
            version.node = services.compiler.compile(version.spec, services)
        except Exception as error:
            version.error = error
        self._candidates[version.id] = version

    # -- one attempt ---------------------------------------------------------------------------

    def _attempt(self) -> bool:
        """Assume what is not refused goes in; False if that turned out to be wrong."""
        self.accepted = {}
        for id, version in self._candidates.items():
            if id in self.refused:
                continue
            if version.error is not None and self._runs(id):
                self._refuse(version, version.fault)
            else:
                self.accepted[id] = version
        self._index_names()
        for version in self.accepted.values():
            self.table.refer(version)
        self.outcome = self._activity()
        losing = {
            id: version
            for id, version in self.accepted.items()
            if not self.outcome[id][0] and self._is_active(id) and id not in self._inevitable
        }
        # Only those that fail by themselves: the others may do with the old version of these.
        first = {id: v for id, v in losing.items() if self._blamed.get(id) not in losing}
        if self._readmitted in losing:  # it went well until this one was let in again
            first = {self._readmitted: losing[self._readmitted]}
        for id, version in (first or losing).items():
            self._refuse(version, self.outcome[id][1])
        if losing:
            return False
        awake = {id for id, (active, _) in self.outcome.items() if active > self._is_active(id)}
        keys = [("id", id) for id in awake]
        keys += [("name", v.name) for id in awake if (v := self.view(id)) and v.name is not None]
        if self._admit_pending(keys) or self._readmit():
            return False
        self._order_hooks()
        return self._opening.open([*self._replaced(), *self.unload])

    def _readmit(self) -> bool:
        """Give refused versions another chance: where the old one would be inactive just as well,
        and once where what they lacked is there because others were refused; those one by one,
        for one may take away what the next one needs."""
        readmitted = False
        for id, version in list(self.refused.items()):
            if version.error is not None:
                continue
            if not self._will_be_active(id):
                self._inevitable.add(id)
            elif (
                readmitted
                or id in self._tried_twice
                or self._fault(version, self._will_be_active, None)
            ):
                continue
            else:
                self._readmitted = id
            self._tried_twice.add(id)
            del self.refused[id]
            readmitted = True
        return readmitted

    def _will_be_active(self, id: str) -> bool:
        return self.outcome[id][0] if id in self.outcome else self._is_active(id)

    def _runs(self, id: str) -> bool:
        symbol = self.table.symbols.get(id)
        return symbol is not None and symbol.version.error is None

    def _is_active(self, id: str) -> bool:
        symbol = self.table.symbols.get(id)
        return symbol is not None and symbol.active

    def _refuse(self, version: Version, reason: str) -> None:
        self.refused[version.id] = version
        version.refusal = f"revision {version.revision} does not run: {reason}"
        self.accepted.pop(version.id, None)

    def _refused(self, id: str) -> Version | None:
        """The newer version of that id that does not run after the change."""
        if id in self.back:
            return self.failed[id]
        if id in self.accepted or id in self.refused:
            return self.refused.get(id)
        symbol = self.table.symbols.get(id)
        return None if symbol is None else symbol.pending

    # -- what would be active ------------------------------------------------------------------

    def _index_names(self) -> None:
        self._names = {v.name: id for id, v in self.accepted.items() if v.name is not None}
        names = self.table.names
        replaced = self._replaced()
        self._lost_names = {v.name for v in replaced if v.name and names.get(v.name) == v.id}

    def view(self, id: str) -> Version | None:
        """The version of that id after the change."""
        version = self.accepted.get(id)
        if version is None and id not in self.removed:
            symbol = self.table.symbols.get(id)
            version = None if symbol is None else symbol.version
        return version

    def target(self, key: Key) -> str | None:
        """The id that a link with this key leads to after the change."""
        what, called = key
        if what == "id":
            return called
        id = self._names.get(called)
        if id is None and called not in self._lost_names:
            id = self.table.names.get(called)
        return id

    def _changed_keys(self, changed: Mapping[str, Version]) -> Iterator[Key]:
        symbols = self.table.symbols
        for id in (*changed, *self.removed):
            yield "id", id
            if id in symbols and symbols[id].name is not None:
                yield "name", symbols[id].name or ""
            if id in changed and changed[id].name is not None:
                yield "name", changed[id].name or ""

    def _referrers(self, id: str, version: Version) -> Iterator[tuple[Version, str]]:
        """Who links to a version, of those that run after the change, and by which port."""
        keys: tuple[Key, ...] = (("id", id),)
        if version.name is not None:
            keys = (("id", id), ("name", version.name))
        for key in keys:
            for referrer, port in self.table.referrers.get(key, ()):
                if self.view(referrer.id) is referrer:
                    yield referrer, port

    def _activity(self) -> dict[str, tuple[bool, str]]:
        suspects: dict[str, set[str]] = {}  # of active, unchanged symbols: the ports to check
        start: dict[str, None] = dict.fromkeys(self.accepted)
        start |= dict.fromkeys(self.refused)
        start |= dict.fromkeys(id for id in self.dirty if id not in self.removed)
        for key in self._changed_keys(self.accepted):
            for referrer, port in self.table.referrers.get(key, ()):
                if self.view(referrer.id) is referrer:
                    start[referrer.id] = None
                    suspects.setdefault(referrer.id, set()).add(port)
        self._blamed.clear()
        assumed: dict[str, bool] = {}
        reasons: dict[str, str] = {}
        stack = list(start)
        while stack:
            id = stack.pop()
            version = self.view(id)
            if id not in assumed and version is not None:
                assumed[id] = True
                for referrer, _ in self._referrers(id, version):
                    if referrer.id not in assumed and not self._is_active(referrer.id):
                        stack.append(referrer.id)

        def active(id: str) -> bool:
            return assumed[id] if id in assumed else self._is_active(id)

        queue = list(assumed)
        while queue:
            id = queue.pop()
            version = self.view(id)
            if version is None or assumed.get(id) is False:
                continue
            partly = self._is_active(id) and id not in self.accepted and id not in self.dirty
            reason = self._fault(version, active, suspects.get(id) if partly else None)
            if reason:
                assumed[id], reasons[id] = False, reason
                for referrer, port in self._referrers(id, version):
                    if active(referrer.id):
                        suspects.setdefault(referrer.id, set()).add(port)
                        queue.append(referrer.id)
        outcome = {}
        for id, now in assumed.items():
            refused = self._refused(id)
            said = [] if refused is None else [refused.refusal]
            outcome[id] = now, "; ".join(said if now else [*said, reasons[id]])
        return outcome

    def _fault(self, version: Version, active: Any, ports: set[str] | None) -> str:
        """Why a version cannot be active, or nothing; `ports` limits what is looked at."""
        if version.error is not None:
            return version.fault
        if version.waiting:
            return "init: not answered yet"
        if version.ending:
            return "its deactive and deinit are not answered yet"
        for port, link in version.links():
            if ports is not None and port not in ports:
                continue
            called = link.id or link.name
            id = self.target(key_of(link))
            target = None if id is None else self.view(id)
            if id is None or target is None:
                namespace = self.table.services.namespace
                return f"links.{port}: no node {called!r} in namespace {namespace!r}"
            if target.node is not None and target.node.input(link.port) is None:
                return f"links.{port}: node {called!r} has no in port {link.port!r}"
            if not active(id):
                self._blamed[version.id] = id
                return f"links.{port}: node {called!r} is inactive"
        return ""

    # -- hooks ---------------------------------------------------------------------------------

    def _order_hooks(self) -> None:
        symbols = self.table.symbols
        loads, unloads, undone = {}, {}, []
        for id, (active, _) in self.outcome.items():
            version, symbol = self.view(id), symbols.get(id)
            if active and version is not None and (id in self.accepted or not self._is_active(id)):
                if version.reached < STARTED:
                    loads[id] = version
            elif version is not None and version.reached and id in self.accepted:
                undone.append(version)
            if (
                symbol is not None
                and symbol.version.reached
                and not symbol.version.ending
                and (id in self.accepted or not active)
            ):
                unloads[id] = symbol.version
        for id in self.removed:
            if symbols[id].version.reached and not symbols[id].version.ending:
                unloads[id] = symbols[id].version
        inner_first = self._inner_first(loads, self.target)
        self.load = sorted(inner_first, key=lambda version: isinstance(version.node, Source))
        names = self.table.names
        outer_first = self._inner_first(
            unloads, lambda key: key[1] if key[0] == "id" else names.get(key[1])
        )[::-1]
        self.unload = sorted(outer_first, key=lambda v: not isinstance(v.node, Source)) + undone

    @staticmethod
    def _inner_first(versions: dict[str, Version], target: Any) -> list[Version]:
        """What is linked to before what links to it; a cycle in any order. A loop, no recursion."""
        order: list[Version] = []
        seen: set[str] = set()
        for id in versions:
            stack = [(id, False)]
            while stack:
                here, done = stack.pop()
                if done:
                    order.append(versions[here])
                elif here not in seen:
                    seen.add(here)
                    stack.append((here, True))
                    for _, link in versions[here].links():
                        there = target(key_of(link))
                        if there in versions and there not in seen:
                            stack.append((there, False))
        return order

    # -- afterwards ----------------------------------------------------------------------------

    def _tidy(self) -> None:
        """Let go of what was opened for nothing, and of versions that are out of date."""
        for id in (*self._candidates, *self.removed, *self.dirty):
            symbol = self.table.symbols.get(id)
            if symbol is not None and symbol.pending not in (None, self._candidates.get(id)):
                assert symbol.pending is not None
                self._discard(symbol.pending)
        self.gone = self._replaced()
        self._opening.tidy()
        for version in self.accepted.values():
            if version.spec is not None:
                self.relink.update(((version, port), None) for port in version.spec.links)
        for key in self._changed_keys(self.accepted):
            self.relink.update(self.table.referrers.get(key, {}))
        for version, port in self._opening.early:
            if self.view(version.id) is version:
                self.relink[version, port] = None

    def _discard(self, version: Version) -> None:
        """A version that was refused is out of date."""
        self.table.forget(version)
        if version.telling is not None:
            self.dropped.append(version)
