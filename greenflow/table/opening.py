"""What is done to nodes before they are in use: opened, prepared, told `init`.

Lives here: Opening, which does so for a change as often as its plan is worked out anew, and undoes
what was done for nothing. Which nodes they are, a plan says.

`init` is told while the old versions serve, so that one that fails changes nothing. What is
reachable from it and not in use yet is linked for that beforehand, as it will be after the change.
A version whose `init` has not answered in time is inactive in this plan, or refused; the answer
makes another one.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from greenflow.engine.node import Node
from greenflow.engine.source import sources_of
from greenflow.hub.breathing import unhurried
from greenflow.table.activity import key_of
from greenflow.table.lifecycle import INIT, PATIENCE, Telling
from greenflow.table.plan import Plan
from greenflow.table.symbol import INITIALISED, Version


class Opening:
    """The opening of what a change loads, for the last of its plans. `grace` is the seconds that
    `init` may take; `later` is called with a version that has not answered it in time."""

    def __init__(self, grace: float, later: Callable[[Version], object]) -> None:
        self._grace, self._later = grace, later
        self.early: dict[tuple[Version, str], None] = {}  # ports linked before the swap
        self._prepared: dict[Version, None] = {}
        self._retiring: list[Node[Any]] = []
        self._patient_until = 0.0  # monotonic(); from when the first `init` is told

    def open(self, plan: Plan) -> bool:
        """Open what is new, prepare the sources, tell `init`; False if one of them fails, its
        `error` then says how, or has not answered."""
        self._plan = plan
        for node in self._retiring:
            node.retiring = False
        retiring = (*plan.gone, *plan.unload)
        self._retiring = [version.node for version in retiring if version.node is not None]
        for node in self._retiring:
            node.retiring = True
        self._abandon()
        for version in unhurried(plan.load):
            try:
                self._prepare(version)
            except Exception as error:
                version.error = error
                return False
        return all(map(self._initialise, plan.load))

    def _prepare(self, version: Version) -> None:
        node = version.node
        assert node is not None
        if not version.opened:
            node.open()
            version.opened = True
        if version in self._prepared:
            return
        prepared = []
        try:
            for source in sources_of(node):
                source.prepare()
                prepared.append(source)
        except BaseException:
            for source in prepared:
                source.abandon()
            raise
        if prepared:
            self._prepared[version] = None

    def _initialise(self, version: Version) -> bool:
        """Have `init` answered; False if that is an error, or comes too late for this plan."""
        if version.reached:
            return True
        if version.telling is None:
            parts = version.told(INIT)
            if not parts:
                return True
            self._link(version)
            version.telling = Telling(parts, INIT, self._grace)
            self._patient_until = self._patient_until or monotonic() + PATIENCE
        if not version.telling.wait(self._patient_until):
            self._later(version)
            return False
        version.error = version.telling.error
        if version.error is None:
            version.reached = INITIALISED
        return version.error is None

    def _link(self, version: Version) -> None:
        """Link what the version leads to, of what the plan loads, as it will be linked."""
        loaded, seen, stack = set(self._plan.load), {version}, [version]
        while stack:
            here = stack.pop()
            assert here.node is not None
            assert here.spec is not None
            for port, links in here.spec.links.items():
                entries, counted = [], []
                # Kept as those of every version: if this one never runs, and what it leads to is
                # removed with it, `deinit` shall still find its way.
                places = here.entries[port] = [None] * len(links)
                for place, link in enumerate(links):
                    id = self._plan.prospect.led_to(key_of(link))
                    there = None if id is None else self._plan.prospect.version(id)
                    if there is None or there.node is None:
                        continue
                    entry = there.node.input(link.port)
                    if entry is None:
                        continue
                    entries.append(entry)
                    places[place] = entry
                    if there in loaded:  # not in use; a merge that is must not wait for this link
                        counted.append(entry)
                        if there not in seen:
                            seen.add(there)
                            stack.append(there)
                here.node.link(port, tuple(entries), tuple(counted))
                self.early[here, port] = None

    def _abandon(self) -> None:
        for version in set(self._prepared).difference(self._plan.load):
            del self._prepared[version]
            if version.node is not None:
                for source in sources_of(version.node):
                    source.abandon()

    def tidy(self) -> None:
        """No other plan will be made: let go of what was opened for nothing."""
        self._abandon()
        for version in self._plan.refused.values():
            if version.opened and version.node is not None and version.telling is None:
                version.node.close()
                version.opened = False
        gone = {version.node for version in self._plan.gone}
        for node in self._retiring:
            node.retiring = node in gone
        for version, port in self.early:
            if self._plan.prospect.version(version.id) is not version and version.telling is None:
                assert version.node is not None
                version.node.link(port, ())
                version.entries.pop(port, None)
