"""What a change would do to the symbol table, worked out before anything is touched.

Lives here: Plan, which is a value, and `work_out_plan`, which makes one of candidates and a View of
the table. Nothing is written here, neither to the table nor to any version or node; table.py
carries a plan out.

It finds which symbols would be active by the rule of activity.py, refuses what would make an active
symbol inactive, and puts the hooks in order. What is compiled, compiling.py says; what cannot be
opened, opening.py, and then the plan is worked out anew without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from greenflow.engine.source import begins
from greenflow.hub.breathing import unhurried
from greenflow.table.activity import Activity, Key, key_of, lack, work_out
from greenflow.table.compiling import Candidates
from greenflow.table.prospect import Prospect, own_fault
from greenflow.table.symbol import STARTED, Version
from greenflow.table.view import Change, Document, Referrers, View

Ports = Mapping[tuple[Version, str], None]  # out ports of versions, in order


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a table. All that is by something is by id."""

    prospect: Prospect  # the nodes as they will be
    accepted: Mapping[str, Version]
    refused: Mapping[str, Version]
    failed: Mapping[str, Version]  # what failed to load, where `back` runs again
    back: Mapping[str, Version]
    refusals: Mapping[Version, str]  # why a version does not run in the place of its older one
    removed: Collection[str]
    rewritten: Mapping[str, Document]  # of versions that stay, as they are written now
    outcome: Mapping[str, tuple[bool, str]]  # whether it is active, and what is wrong
    load: Sequence[Version]  # inner to outer
    unload: Sequence[Version]  # outer to inner
    gone: Sequence[Version]  # the old versions that are replaced or removed
    outdated: Sequence[Version]  # versions that were refused before, and never will go in now
    referrers: Referrers  # the links that count from now on
    relinked: Ports  # what may lead elsewhere after the change


def work_out_plan(view: View, change: Change, candidates: Candidates) -> Plan:
    """What the change would do. Lets others run."""
    working = _Working(view, change, candidates)
    activity = working.attempt()
    while activity is None:
        activity = working.attempt()
    return working.plan(activity)


class _Working:
    """A plan that is being worked out: which versions are admitted, and which of them refused."""

    def __init__(self, view: View, change: Change, candidates: Candidates) -> None:
        self.view, self.change, self.candidates = view, change, candidates
        self._refused: dict[str, Version] = {}
        self._refusals: dict[Version, str] = {}
        self._failed = {id: view.symbols[id].version for id in change.back}
        self._referrers: dict[Key, dict[tuple[Version, str], None]] = {}
        self._referring: set[Version] = set()  # whose links are in there
        self._inevitable: set[str] = set()  # the old version would be inactive just as well
        self._tried_twice: set[str] = set()
        self._readmitted = ""
        # What is tried: new versions, and older ones that were refused and may go in now.
        self._admitted = dict(candidates.versions)
        self._prospect = Prospect(view, {}, candidates.removed, self._referrers)
        for id, old in change.back.items():
            self._say_why(self._failed[id], self._failed[id].fault)
            self._admitted[id] = old
        for id in candidates.dirty:
            pending = candidates.pending(view.symbols.get(id))
            runs = pending is not None and pending.node is not None
            if pending is not None and runs and id not in change.documents:
                self._admitted.setdefault(id, pending)
        self._admit_pending(list(self._prospect.keys_of(self._admitted)))

    def _admit_pending(self, keys: Iterable[Key]) -> bool:
        """What was refused, and links to one of these, may go in now; whether there is such."""
        before = len(self._admitted)
        for key in keys:
            for version, _ in self._prospect.links_to(key):
                symbol = self.view.symbols.get(version.id)
                if symbol is None or version.id in self.change.documents:
                    continue
                if self.candidates.pending(symbol) is version and version.node is not None:
                    self._admitted.setdefault(version.id, version)
        return len(self._admitted) > before

    def attempt(self) -> Activity | None:
        """Assume what is not refused goes in; None if that turned out to be wrong."""
        accepted: dict[str, Version] = {}
        for id, version in self._admitted.items():
            if id in self._refused:
                continue
            if version.error is not None and self._runs(id):
                self._refuse(version, version.fault)
            else:
                accepted[id] = version
        self._note_links(accepted.values())
        prospect = Prospect(self.view, accepted, self.candidates.removed, self._referrers)
        self._prospect = prospect
        activity = self._activity()
        losing = {
            id: version
            for id, version in accepted.items()
            if activity.reasons[id] and prospect.is_active(id) and id not in self._inevitable
        }
        # Only those that fail by themselves: the others may do with the old version of these.
        first = {id: v for id, v in losing.items() if activity.blamed.get(id) not in losing}
        if self._readmitted in losing:  # it went well until this one was let in again
            first = {self._readmitted: losing[self._readmitted]}
        for id, version in (first or losing).items():
            self._refuse(version, self._said(id, activity.reasons[id]))
        if losing:
            return None
        awake = [
            id for id, why in activity.reasons.items() if not why and not prospect.is_active(id)
        ]
        keys = [("id", id) for id in awake]
        keys += [
            ("name", v.name) for id in awake if (v := prospect.version(id)) and v.name is not None
        ]
        if self._admit_pending(keys) or self._readmit(activity):
            return None
        return activity

    def _note_links(self, versions: Iterable[Version]) -> None:
        """Keep in mind what new versions link to."""
        known = self.view.referrers
        for version in unhurried(versions):
            if version not in self._referring:
                self._referring.add(version)
                for port, link in version.links():
                    key = key_of(link)
                    if (version, port) not in known.get(key, ()):
                        self._referrers.setdefault(key, {})[version, port] = None

    def _activity(self) -> Activity:
        """The rule, for what the change touches."""
        prospect, dirty = self._prospect, self.candidates.dirty
        suspects: dict[str, set[str]] = {}  # of active, unchanged symbols: the ports to check
        start: dict[str, None] = dict.fromkeys(prospect.accepted)
        start |= dict.fromkeys(self._refused)
        start |= dict.fromkeys(id for id in dirty if id not in prospect.removed)
        for key in unhurried(prospect.keys_of(prospect.accepted)):
            for referrer, port in prospect.links_to(key):
                if prospect.version(referrer.id) is referrer:
                    start[referrer.id] = None
                    suspects.setdefault(referrer.id, set()).add(port)
        there = [id for id in start if prospect.version(id) is not None]
        return work_out(prospect, there, suspects, prospect.accepted.keys() | dirty)

    # -- refusing ------------------------------------------------------------------------------

    def _refuse(self, version: Version, reason: str) -> None:
        """The version does not go in."""
        self._refused[version.id] = version
        self._say_why(version, reason)

    def _say_why(self, version: Version, reason: str) -> None:
        self._refusals[version] = f"revision {version.revision} does not run: {reason}"

    def _said(self, id: str, reason: str) -> str:
        """What a symbol says of itself: why its newest version does not run, why none does."""
        return "; ".join(filter(None, (self._refusal(id), reason)))

    def _refusal(self, id: str) -> str:
        """Why the newer version of that id does not run after the change, if there is one."""
        if id in self._failed:
            version: Version | None = self._failed[id]
        elif id in self._prospect.accepted or id in self._refused:
            version = self._refused.get(id)
        else:
            version = self.candidates.pending(self.view.symbols.get(id))
        return "" if version is None else self._refusals.get(version, version.refusal)

    def _readmit(self, activity: Activity) -> bool:
        """Give refused versions another chance: where the old one would be inactive just as well,
        and once where what they lacked is there because others were refused; those one by one,
        for one may take away what the next one needs."""
        readmitted = False

        def will_be_active(id: str) -> bool:
            reason = activity.reasons.get(id)
            return self._prospect.is_active(id) if reason is None else not reason

        for id, version in list(self._refused.items()):
            if version.error is not None:
                continue
            if not will_be_active(id):
                self._inevitable.add(id)
            elif readmitted or id in self._tried_twice or self._lacks(version, will_be_active):
                continue
            else:
                self._readmitted = id
            self._tried_twice.add(id)
            del self._refused[id]
            readmitted = True
        return readmitted

    def _lacks(self, version: Version, active: Callable[[str], bool]) -> str:
        """Why a version that was refused could not be active among the others."""
        return own_fault(version) or lack(self._prospect, version.links(), active)[0]

    def _runs(self, id: str) -> bool:
        symbol = self.view.symbols.get(id)
        return symbol is not None and symbol.version.error is None

    # -- the plan ------------------------------------------------------------------------------

    def plan(self, activity: Activity) -> Plan:
        """What follows from an attempt that went well. Lets others run."""
        outcome = {
            id: (not reason, self._said(id, reason)) for id, reason in activity.reasons.items()
        }
        load, unload = self._order_hooks(outcome)
        return Plan(
            prospect=self._prospect,
            accepted=self._prospect.accepted,
            refused=self._refused,
            failed=self._failed,
            back=self.change.back,
            refusals=self._refusals,
            removed=self.candidates.removed,
            rewritten=self.candidates.rewritten,
            outcome=outcome,
            load=load,
            unload=unload,
            gone=self._prospect.gone(),
            outdated=self._outdated(),
            referrers=self._referrers,
            relinked=self._relinked(),
        )

    def _outdated(self) -> list[Version]:
        versions: dict[Version, None] = {}
        for id in (*self._admitted, *self.candidates.removed, *self.candidates.dirty):
            symbol = self.view.symbols.get(id)
            pending = None if symbol is None else symbol.pending
            if pending is not None and pending is not self._admitted.get(id):
                versions[pending] = None
        return list(versions)

    def _relinked(self) -> dict[tuple[Version, str], None]:
        prospect, ports = self._prospect, dict[tuple[Version, str], None]()
        for version in unhurried(prospect.accepted.values()):
            if version.spec is not None:
                ports.update(((version, port), None) for port in version.spec.links)
        for key in unhurried(prospect.keys_of(prospect.accepted)):
            ports.update(dict.fromkeys(prospect.links_to(key)))
        return ports

    def _order_hooks(
        self, outcome: Mapping[str, tuple[bool, str]]
    ) -> tuple[list[Version], list[Version]]:
        """What is loaded, inner to outer, and unloaded, outer to inner; sources are outermost."""
        prospect, symbols = self._prospect, self.view.symbols
        loads, unloads, undone = {}, {}, []
        for id, (active, _) in unhurried(outcome.items()):
            version, symbol = prospect.version(id), symbols.get(id)
            new = id in prospect.accepted
            if active and version is not None and (new or not prospect.is_active(id)):
                if version.reached < STARTED:
                    loads[id] = version
            elif version is not None and version.reached and new:
                undone.append(version)
            if symbol is not None and (new or not active) and _ends(symbol.version):
                unloads[id] = symbol.version
        for id in prospect.removed:
            if _ends(symbols[id].version):
                unloads[id] = symbols[id].version
        names = self.view.names
        inner_first = _inner_first(loads, prospect.led_to)
        outer_first = _inner_first(
            unloads, lambda key: key[1] if key[0] == "id" else names.get(key[1])
        )[::-1]
        load = sorted(inner_first, key=lambda version: begins(version.node))
        unload = sorted(outer_first, key=lambda version: not begins(version.node))
        return load, unload + undone


def _ends(version: Version) -> bool:
    """Whether there is something of its loading to undo."""
    return bool(version.reached) and not version.ending


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
