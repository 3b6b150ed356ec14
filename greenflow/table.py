"""The symbol table: the compiled nodes of one namespace, linked, and how a change reaches them.

Lives here: Table: what is linked to what, the swap, the hooks, the drain. What a change would do is
worked out in plan.py, before anything is touched. No store is known here.

A change is compiled and planned while the old nodes serve; the swap itself is one stretch in which
no other greenlet runs. Then the load hooks run inner to outer, the unload hooks of what was
replaced outer to inner, and the old nodes drain and close. One change at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from gevent.lock import RLock

from greenflow.errors import GreenflowError, Inactive
from greenflow.node import Node, Services, describe
from greenflow.packet import Fault
from greenflow.plan import Plan
from greenflow.port import InPort
from greenflow.source import Run, Source
from greenflow.symbol import Key, Symbol, Version, key_of

if TYPE_CHECKING:
    from greenflow.spec import Link

_log = logging.getLogger("greenflow.table")


class Table:
    """All symbols of one namespace, by id and by name."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.symbols: dict[str, Symbol] = {}
        self.names: dict[str, str] = {}
        # Who links to what: also refused versions, and old ones that still drain.
        self.referrers: dict[Key, dict[tuple[Version, str], None]] = {}
        self._loaded: set[Version] = set()  # whose load hooks have all run
        self._lock = RLock()
        self._retired: dict[Version, float] = {}  # when the grace of each is over, by monotonic()
        self._emptied = Event()  # something retired fell idle
        self._drainer: gevent.Greenlet[[], None] | None = None

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

    # -- changing ------------------------------------------------------------------------------

    def change(
        self, documents: Mapping[str, tuple[Mapping[str, Any], int] | None], retry: bool = False
    ) -> None:
        """Bring the table to these documents, by id, with their revisions; None removes one.

        Never raises for a bad spec: the symbol then carries the reason. With `retry`, versions
        that failed before are compiled again.
        """
        with self._lock:
            plan = Plan(self, documents, retry)
            if plan.make():
                self._swap(plan)
                self._run_hooks(plan)

    def close(self) -> None:
        """Unload and close everything, outer to inner; what is under way gets the grace."""
        self.change(dict.fromkeys(self.symbols))
        if self._drainer is not None:
            self._drainer.join()

    def _swap(self, plan: Plan) -> None:
        """Make the plan true. No other greenlet runs in here."""
        deadline = monotonic() + self.services.settings.grace
        self._retired |= dict.fromkeys(plan.gone, deadline)
        for version in plan.gone:
            if version.name is not None and self.names.get(version.name) == version.id:
                del self.names[version.name]
        for id in plan.removed:
            del self.symbols[id]
        for version in plan.accepted.values():
            symbol = self.symbols.get(version.id)
            if symbol is None:
                symbol = self.symbols[version.id] = Symbol(version)
            symbol.version, symbol.pending = version, None
            if version.name is not None:
                self.names[version.name] = version.id
        for id, version in plan.refused.items():
            self.symbols[id].pending = version
        for id, (active, reason) in plan.outcome.items():
            symbol = self.symbols[id]
            if reason and reason != symbol.reason:
                self._say(symbol, active, reason)
            symbol.active, symbol.reason = active, reason
        for version, port in plan.relink:
            self.relink(version, port)

    def _say(self, symbol: Symbol, active: bool, reason: str) -> None:
        what = "a change was refused and the old version runs on" if active else "inactive"
        extra = {"namespace": self.services.namespace, "node": symbol.name or symbol.id}
        _log.warning("%s: %s: %s", symbol.name or symbol.id, what, reason, extra=extra)

    def target(self, link: Link) -> Symbol | None:
        """The symbol that a link leads to."""
        return self.symbols.get(link.id if link.id else self.names.get(link.name or "", ""))

    def relink(self, version: Version, port: str) -> None:
        """Link one out port of a version to the nodes that run now.

        A version that is still draining keeps a node that was removed: what is under way in it is
        finished by the old nodes (BEHAVIOUR 6.7).
        """
        if version.node is None or version.spec is None:
            return
        links = version.spec.links[port]
        entries = version.entries.setdefault(port, [None] * len(links))
        for place, link in enumerate(links):
            symbol = self.target(link)
            node = None if symbol is None else symbol.version.node
            entry = None if node is None else node.input(link.port)
            if entry is not None or version not in self._retired:
                entries[place] = entry
        version.node.link(port, tuple(entry for entry in entries if entry is not None))

    def refer(self, version: Version) -> None:
        """Keep in mind what the version links to."""
        for port, link in version.links():
            self.referrers.setdefault(key_of(link), {})[version, port] = None

    def forget(self, version: Version) -> None:
        """The version is no more: nobody need relink it."""
        for port, link in version.links():
            key = key_of(link)
            referrers = self.referrers.get(key)
            if referrers is not None:
                referrers.pop((version, port), None)
                if not referrers:
                    del self.referrers[key]

    # -- hooks ---------------------------------------------------------------------------------

    def _run_hooks(self, plan: Plan) -> None:
        failed = []
        for step in (self._listen, self._load):
            for version in plan.load:
                if version.error is None:
                    try:
                        step(version)
                    except Exception as error:
                        version.error = error
                        failed.append(version.id)
        for version in plan.unload:
            self._unload(version)
        if plan.gone:
            self._retire(plan.gone)
        if failed:
            # What could not start takes its upstream down; nothing is compiled again.
            again = Plan(self, {}, dirty=failed)
            if again.make():
                self._swap(again)
                self._run_hooks(again)

    def _retire(self, versions: list[Version]) -> None:
        """Let the old nodes drain: in a greenlet of the table, if any has to be waited for."""
        for version in versions:
            if version.node is not None:
                version.node.watch_emptied(self._emptied.set)
        if all(
            version.node is None or type(version.node).close is Node.close for version in versions
        ):
            self._sweep()  # nobody's clean-up can block
        if self._retired and (self._drainer is None or self._drainer.ready()):
            self._drainer = gevent.spawn(self._drain)
        self._emptied.set()

    def _listen(self, version: Version) -> None:
        if isinstance(version.node, Source):
            version.node.listen(Run(version.node))

    def _load(self, version: Version) -> None:
        node = version.node
        assert node is not None
        self._tell(version, "init")
        if isinstance(node, Source):
            node.start(Run(node))
        self._tell(version, "active")
        self._loaded.add(version)
        self.services.broker.publish("load", dict(version.document))

    def _unload(self, version: Version) -> None:
        node = version.node
        assert node is not None
        steps: list[Callable[[], object]] = [lambda: self._tell(version, "deactive")]
        if isinstance(node, Source):
            steps.append(node.stop)
        steps.append(lambda: self._tell(version, "deinit"))
        for step in steps:
            try:
                step()
            except Exception as error:
                _log.error("unload failed: %s", error, exc_info=error, extra=describe(node))
        if version in self._loaded:  # not one that failed to load
            self._loaded.discard(version)
            self.services.broker.publish("unload", dict(version.document))

    def _tell(self, version: Version, port: str) -> None:
        """Write the spec to a port of the lifecycle; raises what is answered (BEHAVIOUR 2.8)."""
        node = version.node
        assert node is not None
        if node.out_ports.get(port) is None:
            return
        run = Run(node)
        process = run.begin()
        try:
            answer = run.ask(process, node.output(port), dict(version.document))
            failure = process.settle(answer.error if isinstance(answer, Fault) else None)
        finally:
            run.end(process)
        if failure is not None:
            raise GreenflowError(f"{port}: {failure}") from failure

    # -- draining ------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Close the old nodes as they fall idle; exit what still uses them after the grace."""
        while self._retired:
            self._emptied.clear()
            self._sweep()
            if self._retired:
                self._emptied.wait(max(0.0, min(self._retired.values()) - monotonic()))
            for version, deadline in list(self._retired.items()):
                if deadline <= monotonic():
                    self._end_users(version)
                    self._close(version)

    def _sweep(self) -> None:
        """Close every retired node that nothing under way can reach any more."""
        owner = {
            entry: version
            for version in self._retired
            if version.node is not None
            for entry in version.node.entrances()
        }
        busy = [v for v in self._retired if v.node is not None and v.node.in_flight]
        reached = set(busy)
        while busy:
            for entries in busy.pop().entries.values():
                for entry in entries:
                    version = owner.get(entry) if entry is not None else None
                    if version is not None and version not in reached:
                        reached.add(version)
                        busy.append(version)
        for version in list(self._retired):
            if version not in reached:
                self._close(version)

    def _end_users(self, version: Version) -> None:
        """The grace is over: exit the processes that a retired node still holds."""
        node = version.node
        if node is None or not node.in_flight:
            return
        name = version.name or version.id
        error = GreenflowError(f"node {name!r} was replaced or removed, and the grace is over")
        family = list(self.services.processes)
        for process in family:
            family.extend(process.children)
        for process in family:
            if node.holds(process):
                process.exit(error)

    def _close(self, version: Version) -> None:
        self._retired.pop(version, None)
        self.forget(version)
        node = version.node
        if node is None:
            return
        node.watch_emptied(None)
        for port in version.entries:
            node.link(port, ())
        if version.opened:
            try:
                node.close()
            except Exception as error:
                _log.error("close failed: %s", error, exc_info=error, extra=describe(node))
