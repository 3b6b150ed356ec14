"""Old nodes on their way out: they finish what is under way in them, and are closed.

Lives here: Draining, the versions of one table that were replaced or removed. When a version goes
that way, and what closing it means, is table.py's.

A version is closed as soon as it is unloaded and nothing under way can reach it: no packet is in
it, or in another old node that leads to it. After the grace the processes that still use it are
exited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

import gevent
from gevent.event import Event

from greenflow.engine.node import Node
from greenflow.engine.services import Services
from greenflow.errors import GreenflowError
from greenflow.table.symbol import Version


class Draining:
    """The versions that drain; `close` is called with each that is done."""

    def __init__(self, services: Services, close: Callable[[Version], object]) -> None:
        self.services = services
        self._done = close
        self._retired: dict[Version, float] = {}  # when the grace of each is over, by monotonic()
        self._emptied = Event()  # something retired fell idle
        self._drainer: gevent.Greenlet[[], None] | None = None

    def __contains__(self, version: Version) -> bool:
        return version in self._retired

    def __len__(self) -> int:
        return len(self._retired)

    def add(self, versions: Iterable[Version]) -> None:
        """They were replaced or removed: their grace begins."""
        self._retired |= dict.fromkeys(versions, monotonic() + self.services.settings.grace)

    def take_back(self, versions: Iterable[Version]) -> None:
        """They run again."""
        for version in versions:
            del self._retired[version]

    def look(self) -> None:
        """Something changed that may let a version go."""
        self._emptied.set()

    def join(self) -> None:
        """Wait until all that drains is closed."""
        if self._drainer is not None:
            self._drainer.join()

    def begin(self, versions: list[Version]) -> None:
        """Let the old nodes drain: in a greenlet of its own, if any has to be waited for."""
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
        busy = [v for v in self._retired if v.node is not None and (v.node.in_flight or v.reached)]
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
        self._done(version)
