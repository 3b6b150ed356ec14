"""The symbol table: the compiled nodes of one namespace, linked, and how a change reaches them.

Lives here: Table: what is linked to what, the swap, the hooks. A change goes one way: compiling.py
makes versions of its documents, plan.py works out what it would do, opening.py opens what is new,
and this module alone writes the table. Old nodes drain in draining.py. No store is known here.

All that comes before the swap happens while the old nodes serve; the swap itself is one stretch in
which no other greenlet runs. Then the load hooks run inner to outer, the unload hooks of what was
replaced outer to inner, and the old nodes drain and close. One change at a time.

Workflows at the ports of the lifecycle are waited for, but only for a moment: what takes longer is
seen to its end by greenlets of the table's, and no other change waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import RLock

from greenflow.engine.node import describe
from greenflow.engine.port import InPort
from greenflow.engine.services import Services
from greenflow.engine.source import Run, sources_of
from greenflow.errors import Inactive
from greenflow.hub import collector
from greenflow.hub.breathing import unhurried
from greenflow.log import secret
from greenflow.table.activity import Key, key_of
from greenflow.table.compiling import compile_change
from greenflow.table.draining import Draining
from greenflow.table.lifecycle import ACTIVE, DEACTIVE, DEINIT, INIT, PATIENCE, SETTLING, Telling
from greenflow.table.linking import link_ahead, relink, retire, unlink
from greenflow.table.opening import Opening
from greenflow.table.plan import Plan, Ports, work_out_plan
from greenflow.table.symbol import INITIALISED, LOADED, STARTED, UNLOADED, Symbol, Version
from greenflow.table.view import Change

if TYPE_CHECKING:
    from greenflow.spec.fields import Link

_log = logging.getLogger("greenflow.table")


class Table:
    """All symbols of one namespace, by id and by name."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.symbols: dict[str, Symbol] = {}
        self.names: dict[str, str] = {}
        # Who runs under a name that another has taken since: its new version, which is called
        # otherwise, was refused. It has the name again when the other is gone.
        self.namesakes: dict[str, dict[str, None]] = {}
        # Who links to what: also refused versions, and old ones that still drain.
        self.referrers: dict[Key, dict[tuple[Version, str], None]] = {}
        self._bound: dict[Key, dict[Version, None]] = {}  # who was rendered with which value
        # Versions that were opened, and then could not be loaded; what they lead to may help.
        self.failed_to_load: dict[Version, None] = {}
        self._lock = RLock()
        self.draining = Draining(services, self._close)
        self.changes = self.refused = 0  # carried out; versions of them that do not run
        # What no change waits for any more: tellings, and the unloading of versions.
        self._awaited: set[Telling] = set()
        self._unloading: set[Any] = set()  # greenlets

    # -- asking --------------------------------------------------------------------------------

    def find(self, name_or_id: str) -> Symbol:
        """The symbol of that name, or of that id. Raises Inactive if there is none."""
        symbol = self.symbols.get(self.names.get(name_or_id, name_or_id))
        if symbol is None:
            where = f"namespace {self.services.namespace!r}"
            raise Inactive(f"no node has the name or id {name_or_id!r} in {where}")
        return symbol

    def input(self, name_or_id: str, port: str = "in") -> InPort:
        """An in port of an active node. Raises Inactive, with the reason."""
        symbol = self.find(name_or_id)
        if not symbol.active or symbol.version.node is None:
            raise Inactive(f"node {name_or_id!r} is inactive: {symbol.reason}")
        found = symbol.version.node.input(port)
        if found is None:
            raise Inactive(f"node {name_or_id!r} has no in port {port!r}")
        return found

    def revisions(self) -> dict[str, int]:
        """The newest revision seen of every symbol."""
        return {id: symbol.revision for id, symbol in self.symbols.items()}

    def failed(self) -> list[str]:
        """The ids that trying again may help."""
        return [id for id, symbol in self.symbols.items() if symbol.failed]

    def known(self, id: str) -> tuple[Mapping[str, Any], int] | None:
        """The newest document seen with an id, running or not, and its revision."""
        return self.symbols[id].newest if id in self.symbols else None

    # -- changing ------------------------------------------------------------------------------

    def change(
        self,
        documents: Mapping[str, tuple[Mapping[str, Any], int] | None],
        retry: bool = False,
        values: Collection[Key] = (),
    ) -> None:
        """Bring the table to these documents, by id, with their revisions; None removes one.

        Never raises for a bad spec: the symbol then carries the reason. With `retry`, versions
        that failed before are compiled again, and so are those that are bound to `values`, which
        changed; what is rendered as before stays as it is.
        """
        with self._lock:
            self._carry_out(Change(documents, retry, values))

    def settle(self) -> None:
        """Wait until every `init` and `active` has been answered."""
        while self._awaited:
            gevent.joinall([telling.greenlet for telling in self._awaited], count=1)

    def close(self) -> None:
        """Unload and close everything, outer to inner; what is under way gets the grace."""
        self.change(dict.fromkeys(self.symbols))
        gevent.joinall([*self._unloading, *(telling.greenlet for telling in self._awaited)])
        self.draining.join()

    def _carry_out(self, change: Change) -> None:
        candidates = compile_change(self, change)
        if not candidates:
            return
        opening = Opening(self.services.settings.grace, self.await_later)
        plan = work_out_plan(self, change, candidates)
        while not opening.open(plan):
            plan = work_out_plan(self, change, candidates)
        opening.tidy()
        # Those that never ran, and were told `init`.
        dropped = [version for version in plan.outdated if version.telling is not None]
        self._swap(plan, dropped, link_ahead(plan, opening.early))
        self._run_hooks(plan, dropped)

    def _swap(self, plan: Plan, dropped: list[Version], relinked: Ports) -> None:
        """Make the plan true. No other greenlet runs in here, and the table is written nowhere
        else but for what is closed and forgotten."""
        generations = self.services.generations
        if relinked or plan.gone:
            generations.turn(monotonic() + self.services.settings.grace)
        for key, ports in plan.referrers.items():
            self.referrers.setdefault(key, {}).update(ports)
        for version in plan.outdated:
            self.forget(version)
        for id, (document, revision) in plan.rewritten.items():
            symbol = self.symbols[id]
            symbol.version.document, symbol.version.revision = document, revision
            if symbol.version.node is not None:
                symbol.version.node.revision = revision
            symbol.pending = None
        for version, refusal in plan.refusals.items():
            version.refusal = refusal
        self.draining.add(plan.gone)
        for version in plan.gone:
            self._lose_name(version)
            retire(version)
        for id in plan.removed:
            del self.symbols[id]
        for version in (*plan.accepted.values(), *plan.refused.values()):
            for key in version.bound:
                self._bound.setdefault(key, {})[version] = None
        for version in plan.accepted.values():
            if version.since is None:  # else it runs again
                version.since = generations.newest.number
            symbol = self.symbols.setdefault(version.id, Symbol(version))
            symbol.version, symbol.pending = version, None
        self._give_names(plan)
        for id, version in (*plan.refused.items(), *plan.failed.items()):
            self.refused += self.symbols[id].refuse(version)
        self.draining.take_back(plan.back.values())
        self.draining.add(dropped)
        self.changes += 1
        for id, (active, reason) in plan.outcome.items():
            symbol = self.symbols[id]
            symbol.become(active, reason, self.services.namespace)
            newest = symbol.pending or symbol.version
            if newest.opened and newest.error is not None:
                self.failed_to_load[newest] = None
        for version, port in relinked:
            relink(self, version, port, drains=version in self.draining)

    def _lose_name(self, version: Version) -> None:
        if version.name is None:
            return
        if self.names.get(version.name) == version.id:
            del self.names[version.name]
        others = self.namesakes.get(version.name, {})
        others.pop(version.id, None)
        if not others:
            self.namesakes.pop(version.name, None)

    def _give_names(self, plan: Plan) -> None:
        names = plan.prospect.names
        without = [v for v in plan.accepted.values() if v.name and names[v.name] != v.id]
        for name, id in names.items():
            before = self.names.get(name)
            if id not in plan.accepted:  # it has the name again
                self._lose_name(self.symbols[id].version)
            elif before is not None and before != id:
                without.append(self.symbols[before].version)
            self.names[name] = id
        for version in without:
            self.namesakes.setdefault(version.name or "", {})[version.id] = None

    def target(self, link: Link) -> Symbol | None:
        """The symbol that a link leads to."""
        return self.symbols.get(link.id if link.id else self.names.get(link.name or "", ""))

    def bound_to(self, values: Collection[Key]) -> list[Version]:
        """The versions that were rendered with one of these values, or failed for lack of it."""
        return list({version: None for key in values for version in self._bound.get(key, ())})

    def forget(self, version: Version) -> None:
        """The version is no more: nobody need relink it, nor keep its secrets."""
        self.failed_to_load.pop(version, None)
        secret.release(version.secrets)
        version.secrets = frozenset()
        for key in version.bound:
            others = self._bound.get(key, {})
            others.pop(version, None)
            if not others:
                self._bound.pop(key, None)
        for port, link in version.links():
            key = key_of(link)
            referrers = self.referrers.get(key)
            if referrers is not None:
                referrers.pop((version, port), None)
                if not referrers:
                    del self.referrers[key]

    # -- hooks ---------------------------------------------------------------------------------

    def _run_hooks(self, plan: Plan, dropped: list[Version]) -> None:
        until, failed = monotonic() + PATIENCE, {}
        for version in unhurried(plan.load):
            try:
                self._load(version, until)
            except Exception as error:
                version.error = error
                failed[version.id] = version
        unload, gone = [*plan.unload], [*plan.gone, *dropped]
        if failed:
            # What could not start takes its upstream down, or makes way for the old version, which
            # was not unloaded yet; nothing is compiled again.
            back = {v.id: v for v in unload if v.id in failed and self._may_return(v)}
            self._carry_out(Change(dirty=failed, back=back))
            runs = {self.symbols[id].version for id in back}
            gone = [version for version in gone if version not in runs]
            unload = [v for v in unload if v not in runs or not self.symbols[v.id].active]
        self._unload_all([*unload, *dropped], gone)

    def _may_return(self, version: Version) -> bool:
        """Whether an old version, replaced a moment ago, could run again."""
        if version.reached != LOADED or version not in self.draining:
            return False
        named = version.name is None or self.names.get(version.name, version.id) == version.id
        symbols = [self.target(link) for _, link in version.links()]
        return named and all(symbol is not None and symbol.active for symbol in symbols)

    def _load(self, version: Version, until: float) -> None:
        node = version.node
        assert node is not None
        version.reached = STARTED
        for source in sources_of(node):
            if version.id in self.services.paused and source.can_pause:
                source.pause()
            source.start(Run(source))
        parts = version.told(ACTIVE)
        if parts:
            version.telling = Telling(parts, ACTIVE, self.services.settings.grace)
            if not version.telling.wait(until):
                self.await_later(version)
                return
            if version.telling.error is not None:
                raise version.telling.error
        self._loaded(version)

    def _loaded(self, version: Version) -> None:
        """All its load hooks have run."""
        version.reached = LOADED
        self.services.broker.publish("load", dict(version.document))

    def await_later(self, version: Version) -> None:
        """The plan goes on before the version answered: see to the answer when it comes."""
        telling = version.telling
        assert telling is not None
        telling.then = partial(self._answered, version)
        self._awaited.add(telling)

    def _answered(self, version: Version, telling: Telling) -> None:
        """`init` or `active` was answered after the change that told it."""
        with self._lock:
            self._awaited.discard(telling)
            reached = INITIALISED if telling.port == INIT else LOADED
            if version.telling is not telling or version.reached >= reached:
                return  # it was unloaded meanwhile, or another change saw the answer
            version.error = telling.error
            if version.error is None and telling.port == ACTIVE:
                self._loaded(version)
            else:
                if version.error is None:
                    version.reached = INITIALISED
                self._carry_out(Change(dirty=[version.id]))

    def _unload_all(self, versions: list[Version], gone: list[Version]) -> None:
        """Run the unload hooks in this order, then let those that are gone drain."""
        limit = monotonic() + self.services.settings.grace
        for version in (*versions, *gone):
            self._cancel(version)
        for version in versions:
            version.ending = True
        if any(version.told(port) for version in versions for port in (DEACTIVE, DEINIT)):
            unloading = gevent.spawn(self._unload_each, versions, gone, limit)
            unloading.join(PATIENCE)
            if not unloading.ready():
                self._unloading.add(unloading)
        else:
            self._unload_each(versions, gone, limit)

    def _unload_each(self, versions: list[Version], gone: list[Version], limit: float) -> None:
        for version in unhurried(versions):
            self._unload(version, limit)
        self.draining.begin(gone)
        me = gevent.getcurrent()
        if me in self._unloading:  # no change waits for it, and they may load again
            with self._lock:
                self._unloading.discard(me)
                self._carry_out(Change(dirty=[version.id for version in versions]))

    def _cancel(self, version: Version) -> None:
        """What the version still waits for, nobody wants to know any more."""
        telling, version.telling = version.telling, None
        if telling is not None:
            self._awaited.discard(telling)
            telling.cancel(f"node {version.name or version.id!r} was replaced or removed")

    def _unload(self, version: Version, limit: float) -> None:
        """Undo what of its loading was done."""
        node, reached = version.node, version.reached
        assert node is not None
        steps: list[Callable[[], object]] = []
        if reached >= LOADED:
            steps.append(partial(self._tell_end, version, DEACTIVE, limit))
        if reached >= STARTED:
            steps += (source.stop for source in sources_of(node))
        if reached >= INITIALISED:
            steps.append(partial(self._tell_end, version, DEINIT, limit))
        for step in steps:
            try:
                step()
            except Exception as error:
                _log.error("unload failed: %s", error, exc_info=error, extra=describe(node))
        version.reached, version.ending = UNLOADED, False
        if reached >= LOADED:
            self.services.broker.publish("unload", dict(version.document))

    def _tell_end(self, version: Version, port: str, limit: float) -> None:
        parts = version.told(port)
        if parts:
            telling = Telling(parts[::-1], port, self.services.settings.grace, limit)
            telling.wait(limit + SETTLING)
            if telling.error is not None:
                raise telling.error

    def _close(self, version: Version) -> None:
        """Nothing under way reaches the version any more."""
        symbol = self.symbols.get(version.id)
        if symbol is None or symbol.pending is not version:  # else it is tried again
            self.forget(version)
        if symbol is not None and symbol.version is not version:
            symbol.keep_count(version)
        node = version.node
        if node is None:
            return
        node.watch_emptied(None)
        unlink(version)
        collector.drop(1)
        if version.opened:
            try:
                node.close()
            except Exception as error:
                _log.error("close failed: %s", error, exc_info=error, extra=describe(node))
