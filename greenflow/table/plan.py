"""What a change would do to the symbol table, worked out before anything is touched.

Lives here: Plan, which is a value, and `work_out_plan`, which makes one of candidates and a View of
the table. Nothing is written here, neither to the table nor to any version; table.py carries a plan
out.

It finds which symbols would be active by the rule of activity.py, refuses what would make an active
symbol inactive, and puts the hooks in order. What is compiled, compiling.py says; what cannot be
opened, opening.py, and then the plan is worked out anew without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from greenflow.engine.source import Source
from greenflow.hub.breathing import unhurried
from greenflow.spec.fields import Link
from greenflow.table.activity import Activity, Key, key_of, lack, work_out
from greenflow.table.compiling import Candidates
from greenflow.table.symbol import STARTED, Version
from greenflow.table.view import Change, View


class Plan:
    """What becomes of a table, as a Graph: the nodes as they will be.

    `outcome` says for each id that is looked at whether it is active, and what is wrong.
    """

    def __init__(self, view: View, change: Change, candidates: Candidates) -> None:
        self.view, self.change, self.candidates = view, change, candidates
        self.removed, self.dirty = candidates.removed, candidates.dirty
        self.rewritten = candidates.rewritten
        self.admitted = dict(candidates.versions)  # what is tried, and old versions that may go in
        self.accepted: dict[str, Version] = {}
        self.refused: dict[str, Version] = {}
        self.refusals: dict[
            Version, str
        ] = {}  # why a version does not run in its older one's place
        # What failed to load where `back` runs again.
        self.failed = {id: view.symbols[id].version for id in change.back}
        self.outcome: dict[str, tuple[bool, str]] = {}
        self.load: list[Version] = []  # inner to outer
        self.unload: list[Version] = []  # outer to inner
        self.referring: dict[Version, None] = {}  # versions whose links count from now on
        self._names: dict[str, str] = {}  # what the change adds
        self._lost_names: set[str] = set()
        self._referrers: dict[Key, dict[tuple[Version, str], None]] = {}  # what the change adds

    # -- the nodes as they will be ---------------------------------------------------------------

    @property
    def namespace(self) -> str:
        return self.view.services.namespace

    def version(self, id: str) -> Version | None:
        """The version of that id after the change."""
        version = self.accepted.get(id)
        if version is None and id not in self.removed:
            symbol = self.view.symbols.get(id)
            version = None if symbol is None else symbol.version
        return version

    def fault(self, id: str) -> str:
        """See Graph."""
        version = self.version(id)
        return "" if version is None else own_fault(version)

    def links(self, id: str) -> Iterable[tuple[str, Link]]:
        """See Graph."""
        version = self.version(id)
        return () if version is None else version.links()

    def target(self, link: Link) -> str | None:
        """See Graph."""
        id = self.led_to(key_of(link))
        return id if id is not None and self.version(id) is not None else None

    def led_to(self, key: Key) -> str | None:
        """The id that a link with this key leads to after the change, whether it is there or
        not."""
        what, called = key
        if what == "id":
            return called
        id = self._names.get(called)
        if id is None and called not in self._lost_names:
            id = self.view.names.get(called)
        return id

    def has_input(self, id: str, port: str) -> bool:
        """See Graph."""
        version = self.version(id)
        return version is None or version.node is None or version.node.input(port) is not None

    def referrers(self, id: str) -> Iterator[tuple[str, str]]:
        """See Graph."""
        version = self.version(id)
        keys = [("id", id)]
        if version is not None and version.name is not None:
            keys.append(("name", version.name))
        for key in keys:
            for referrer, port in self.links_to(key):
                if self.version(referrer.id) is referrer:
                    yield referrer.id, port

    def links_to(self, key: Key) -> Iterator[tuple[Version, str]]:
        """Every version that links to what is called so, and by which port."""
        yield from self.view.referrers.get(key, ())
        yield from self._referrers.get(key, ())

    def is_active(self, id: str) -> bool:
        """See Graph: as it is before the change."""
        symbol = self.view.symbols.get(id)
        return symbol is not None and symbol.active

    # -- what else a change comes to ---------------------------------------------------------------

    def replaced(self) -> list[Version]:
        """The old versions that the change replaces or removes."""
        symbols = self.view.symbols
        return [symbols[id].version for id in (*self.accepted, *self.removed) if id in symbols]

    def outdated(self) -> list[Version]:
        """Versions that were refused before, and never will go in now."""
        versions: dict[Version, None] = {}
        for id in (*self.admitted, *self.removed, *self.dirty):
            symbol = self.view.symbols.get(id)
            pending = None if symbol is None else symbol.pending
            if pending is not None and pending is not self.admitted.get(id):
                versions[pending] = None
        return list(versions)

    def changed_keys(self, changed: Mapping[str, Version]) -> Iterator[Key]:
        """What links may call the ids that change, before and after."""
        symbols = self.view.symbols
        for id in (*changed, *self.removed):
            yield "id", id
            if id in symbols and symbols[id].name is not None:
                yield "name", symbols[id].name or ""
            if id in changed and changed[id].name is not None:
                yield "name", changed[id].name or ""

    def relinked(self) -> dict[tuple[Version, str], None]:
        """The out ports that may lead elsewhere after the change. Lets others run."""
        ports: dict[tuple[Version, str], None] = {}
        for version in unhurried(self.accepted.values()):
            if version.spec is not None:
                ports.update(((version, port), None) for port in version.spec.links)
        for key in unhurried(self.changed_keys(self.accepted)):
            ports.update(dict.fromkeys(self.links_to(key)))
        return ports

    # -- what makes it, used by work_out_plan ------------------------------------------------------

    def admit(self, accepted: dict[str, Version]) -> None:
        """Assume that these go in."""
        self.accepted = accepted
        self._names = {v.name: id for id, v in accepted.items() if v.name is not None}
        names = self.view.names
        self._lost_names = {v.name for v in self.replaced() if v.name and names.get(v.name) == v.id}
        for version in unhurried(accepted.values()):
            if version not in self.referring:
                self.referring[version] = None
                for port, link in version.links():
                    key = key_of(link)
                    if (version, port) not in self.view.referrers.get(key, ()):
                        self._referrers.setdefault(key, {})[version, port] = None

    def refuse(self, version: Version, reason: str) -> None:
        """The version does not go in."""
        self.refused[version.id] = version
        self.refusals[version] = f"revision {version.revision} does not run: {reason}"
        self.accepted.pop(version.id, None)

    def refusal(self, id: str) -> str:
        """Why the newer version of that id does not run after the change, if there is one."""
        if id in self.failed:
            version: Version | None = self.failed[id]
        elif id in self.accepted or id in self.refused:
            version = self.refused.get(id)
        else:
            version = self.candidates.pending(self.view.symbols.get(id))
        return "" if version is None else self.refusals.get(version, version.refusal)


def work_out_plan(view: View, change: Change, candidates: Candidates) -> Plan:
    """What the change would do. Lets others run."""
    working = _Working(Plan(view, change, candidates))
    while not working.attempt():
        pass
    working.order_hooks()
    return working.plan


class _Working:
    """A plan that is being worked out."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.view, self.candidates = plan, plan.view, plan.candidates
        self._admitted = plan.admitted
        self._inevitable: set[str] = set()  # the old version would be inactive just as well
        self._tried_twice: set[str] = set()
        self._readmitted = ""
        for id, old in plan.change.back.items():
            failed = plan.failed[id]
            plan.refusals[failed] = f"revision {failed.revision} does not run: {failed.fault}"
            self._admitted[id] = old
        for id in plan.dirty:
            pending = self.candidates.pending(self.view.symbols.get(id))
            runs = pending is not None and pending.node is not None
            if pending is not None and runs and id not in plan.change.documents:
                self._admitted.setdefault(id, pending)
        self._admit_pending(list(plan.changed_keys(self._admitted)))

    def _admit_pending(self, keys: Iterable[Key]) -> bool:
        """What was refused, and links to one of these, may go in now; whether there is such."""
        before = len(self._admitted)
        for key in keys:
            for version, _ in self.plan.links_to(key):
                symbol = self.view.symbols.get(version.id)
                if symbol is None or version.id in self.plan.change.documents:
                    continue
                if self.candidates.pending(symbol) is version and version.node is not None:
                    self._admitted.setdefault(version.id, version)
        return len(self._admitted) > before

    def attempt(self) -> bool:
        """Assume what is not refused goes in; False if that turned out to be wrong."""
        plan, accepted = self.plan, {}
        for id, version in self._admitted.items():
            if id in plan.refused:
                continue
            if version.error is not None and self._runs(id):
                plan.refuse(version, version.fault)
            else:
                accepted[id] = version
        plan.admit(accepted)
        activity = self._activity()
        losing = {
            id: version
            for id, version in plan.accepted.items()
            if activity.reasons[id] and plan.is_active(id) and id not in self._inevitable
        }
        # Only those that fail by themselves: the others may do with the old version of these.
        first = {id: v for id, v in losing.items() if activity.blamed.get(id) not in losing}
        if self._readmitted in losing:  # it went well until this one was let in again
            first = {self._readmitted: losing[self._readmitted]}
        for id, version in (first or losing).items():
            plan.refuse(version, self._said(id, activity.reasons[id]))
        if losing:
            return False
        awake = [id for id, why in activity.reasons.items() if not why and not plan.is_active(id)]
        keys = [("id", id) for id in awake]
        keys += [("name", v.name) for id in awake if (v := plan.version(id)) and v.name is not None]
        if self._admit_pending(keys) or self._readmit(activity):
            return False
        plan.outcome = {
            id: (not reason, self._said(id, reason)) for id, reason in activity.reasons.items()
        }
        return True

    def _said(self, id: str, reason: str) -> str:
        """What a symbol says of itself: why its newest version does not run, why none does."""
        return "; ".join(filter(None, (self.plan.refusal(id), reason)))

    def _activity(self) -> Activity:
        """The rule, for what the change touches."""
        plan = self.plan
        suspects: dict[str, set[str]] = {}  # of active, unchanged symbols: the ports to check
        start: dict[str, None] = dict.fromkeys(plan.accepted)
        start |= dict.fromkeys(plan.refused)
        start |= dict.fromkeys(id for id in plan.dirty if id not in plan.removed)
        for key in unhurried(plan.changed_keys(plan.accepted)):
            for referrer, port in plan.links_to(key):
                if plan.version(referrer.id) is referrer:
                    start[referrer.id] = None
                    suspects.setdefault(referrer.id, set()).add(port)
        there = [id for id in start if plan.version(id) is not None]
        return work_out(plan, there, suspects, plan.accepted.keys() | plan.dirty)

    def _readmit(self, activity: Activity) -> bool:
        """Give refused versions another chance: where the old one would be inactive just as well,
        and once where what they lacked is there because others were refused; those one by one,
        for one may take away what the next one needs."""
        plan, readmitted = self.plan, False

        def will_be_active(id: str) -> bool:
            return not activity.reasons[id] if id in activity.reasons else plan.is_active(id)

        for id, version in list(plan.refused.items()):
            if version.error is not None:
                continue
            if not will_be_active(id):
                self._inevitable.add(id)
            elif readmitted or id in self._tried_twice or self._lacks(version, will_be_active):
                continue
            else:
                self._readmitted = id
            self._tried_twice.add(id)
            del plan.refused[id]
            readmitted = True
        return readmitted

    def _lacks(self, version: Version, active: Callable[[str], bool]) -> str:
        """Why a version that was refused could not be active among the others."""
        return own_fault(version) or lack(self.plan, version.links(), active)[0]

    def _runs(self, id: str) -> bool:
        symbol = self.view.symbols.get(id)
        return symbol is not None and symbol.version.error is None

    # -- hooks ---------------------------------------------------------------------------------

    def order_hooks(self) -> None:
        """What is loaded, inner to outer, and unloaded, outer to inner; sources are outermost."""
        plan, symbols = self.plan, self.view.symbols
        loads, unloads, undone = {}, {}, []
        for id, (active, _) in unhurried(plan.outcome.items()):
            version, symbol = plan.version(id), symbols.get(id)
            if active and version is not None and (id in plan.accepted or not plan.is_active(id)):
                if version.reached < STARTED:
                    loads[id] = version
            elif version is not None and version.reached and id in plan.accepted:
                undone.append(version)
            if (
                symbol is not None
                and symbol.version.reached
                and not symbol.version.ending
                and (id in plan.accepted or not active)
            ):
                unloads[id] = symbol.version
        for id in plan.removed:
            if symbols[id].version.reached and not symbols[id].version.ending:
                unloads[id] = symbols[id].version
        names = self.view.names
        inner_first = _inner_first(loads, plan.led_to)
        plan.load = sorted(inner_first, key=lambda version: isinstance(version.node, Source))
        outer_first = _inner_first(
            unloads, lambda key: key[1] if key[0] == "id" else names.get(key[1])
        )[::-1]
        plan.unload = sorted(outer_first, key=lambda v: not isinstance(v.node, Source)) + undone


def own_fault(version: Version) -> str:
    """Why a version cannot be active whatever it links to, or nothing."""
    if version.error is not None:
        return version.fault
    if version.waiting:
        return "init: not answered yet"
    if version.ending:
        return "its deactive and deinit are not answered yet"
    return ""


def _inner_first(
    versions: dict[str, Version], target: Callable[[Key], str | None]
) -> list[Version]:
    """What is linked to before what links to it; a cycle in any order. A loop, no recursion."""
    order: list[Version] = []
    seen: set[str] = set()
    for id in unhurried(versions):
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
