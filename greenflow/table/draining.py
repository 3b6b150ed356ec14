"""Old nodes on their way out: they finish what is under way in them, and are closed.

Lives here: Draining, the versions of one table that were replaced or removed. When a version goes
that way, and what closing it means, is table.py's.

A version is closed as soon as it is unloaded and nothing under way can reach it: no process is left
of a generation of the graph that it was in, and no packet is in it, or in another old node that
leads to it. After the grace old generations are over, and the processes that still use a version
are exited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import monotonic

import gevent
from gevent.event import Event

from greenflow.engine.node import Node
from greenflow.engine.services import Services
from greenflow.errors import GreenflowError
from greenflow.hub.breathing import unhurried
from greenflow.table.symbol import Version


class Draining:
    """The versions that drain; `close` is called with each that is done."""

    def __init__(self, services: Services, close: Callable[[Version], object]) -> None:
        self.services = services
        self._done = close
        self._retired: dict[Version, float] = {}  # when the grace of each is over, by monotonic()
        # A process lives that may come there; the value is of the last time that it was added.
        self._needed: dict[Version, object] = {}
        self._emptied = Event()  # something may let a version go
        self._drainer: gevent.Greenlet[[], None] | None = None
        self._generations = services.generations
        self._generations.on_end = self._emptied.set

    def __contains__(self, version: Version) -> bool:
        return version in self._retired

    def __len__(self) -> int:
        return len(self._retired)

    def __iter__(self) -> Iterator[Version]:
        return iter(self._retired)

    def add(self, versions: Iterable[Version]) -> None:
        """They were replaced or removed: their grace begins."""
        deadline = monotonic() + self.services.settings.grace
        for version in versions:
            self._retired[version] = deadline
            since, added = version.since, object()
            not_needed = partial(self._not_needed, version, added)
            if since is not None and self._generations.keep(since, not_needed):
                self._needed[version] = added

    def take_back(self, versions: Iterable[Version]) -> None:
        """They run again."""
        for version in versions:
            del self._retired[version]
            self._needed.pop(version, None)

    def join(self) -> None:
        """Wait until all that drains is closed."""
        if self._drainer is not None:
            self._drainer.join()

    def begin(self, versions: list[Version]) -> None:
        """Let the old nodes drain: in a greenlet of its own, if any has to be waited for."""
        for version in versions:
            if version.node is not None:
                version.node.watch_emptied(partial(self._fell_idle, version))
        if versions and all(
            version.node is None or type(version.node).close is Node.close for version in versions
        ):
            self._sweep()  # nobody's clean-up can block
        if self._waits and (self._drainer is None or self._drainer.ready()):
            self._drainer = gevent.spawn(self._drain)
        self._emptied.set()

    @property
    def _waits(self) -> bool:
        return bool(self._retired or self._generations.old)

    def _not_needed(self, version: Version, added: object) -> None:
        if self._needed.get(version) is added:
            del self._needed[version]

    def _fell_idle(self, version: Version) -> None:
        if version not in self._needed:
            self._emptied.set()

    def _drain(self) -> None:
        """Close the old nodes as they fall idle; exit what still uses them after the grace."""
        while self._waits:
            self._emptied.clear()
            self._sweep()
            if self._waits:
                self._emptied.wait(max(0.0, self._next_deadline() - monotonic()))
            self._end_overdue()

    def _end_overdue(self) -> None:
        self._generations.expire(monotonic())
        for version, deadline in list(self._retired.items()):
            if deadline <= monotonic():
                self._end_users(version)
                self._close(version)

    def _next_deadline(self) -> float:
        # Both are in the order in which they came, but for a version that was added again.
        deadlines = [generation.deadline for generation in self._generations.old[:1]]
        return min((*deadlines, *self._retired.values()))

    def _sweep(self) -> None:
        """Close every retired node that nothing under way can reach any more."""
        if len(self._needed) == len(self._retired):
            return
        owner = {
            entry: version
            for version in self._retired
            if version.node is not None
            for entry in version.node.entrances()
        }
        busy = [v for v in self._retired if v.node is not None and (v.node.in_flight or v.reached)]
        reached = set(busy)
        while busy:
            for entries in busy.pop().entries.values():
                for entry in entries:
                    version = owner.get(entry) if entry is not None else None
                    if version is not None and version not in reached:
                        reached.add(version)
                        busy.append(version)
        reached.update(self._needed)
        for version in unhurried(list(self._retired)):
            # Nothing leads to it: that stays so while others run, who may have closed it.
            if version in self._retired and version not in reached:
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
        self._needed.pop(version, None)
        self._done(version)
