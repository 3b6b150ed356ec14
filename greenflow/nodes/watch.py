"""`watch`: a process for each change below a file or folder (BEHAVIOUR 14.watch)."""

from __future__ import annotations

import logging
import os
from fnmatch import fnmatch
from typing import Annotated

import gevent
from gevent.event import Event
from msgspec import Meta

from greenflow.engine.budget import IN_FLIGHT, SourceSpec
from greenflow.engine.declaring import node
from greenflow.engine.node import describe
from greenflow.engine.services import Services
from greenflow.engine.source import Run, Source
from greenflow.hub.turns import Turns
from greenflow.hub.watching import Watcher, follow

_log = logging.getLogger("greenflow.nodes.watch")


class WatchSpec(SourceSpec):
    path: Annotated[str, Meta(min_length=1, description="a file or folder; it may not exist yet")]
    patterns: Annotated[
        list[str], Meta(description="only names like these, such as `*.csv`; none: all")
    ] = []


@node("watch", reads_only=True)
class Watch(Source[WatchSpec]):
    """Starts a process for each change: `{path, event}` with created, changed or deleted.

    While as many processes are under way as may be, changes wait.
    """

    can_pause = True
    _watcher: Watcher | None = None
    _greenlet: gevent.Greenlet[..., None] | None = None

    def __init__(self, spec: WatchSpec, services: Services) -> None:
        super().__init__(spec, services)
        self._turns = Turns(spec.limits.in_flight or IN_FLIGHT)
        self._flows = Event()  # not set while it is paused
        self._flows.set()

    def prepare(self) -> None:
        self._watcher = follow([self.spec.path])

    def abandon(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()

    def start(self, run: Run) -> None:
        assert self._watcher is not None
        self._greenlet = gevent.spawn(self._follow, run, self._watcher)

    def pause(self) -> None:
        super().pause()
        self._flows.clear()

    def resume(self) -> None:
        super().resume()
        self._flows.set()

    def stop(self) -> None:
        self.abandon()
        self._flows.set()
        self._turns.give()  # it may wait for one, and then looks whether it is to go on
        if self._greenlet is not None:
            self._greenlet.join()
            self._greenlet = None

    def _follow(self, run: Run, watcher: Watcher) -> None:
        while self._watcher is watcher:
            try:
                changes = watcher.next(None)
            except OSError as error:
                _log.error("cannot follow %s: %s", self.spec.path, error, extra=describe(self))
                return
            for change in sorted(changes or ()):
                if self._wanted(change.path):
                    self._turns.take()
                    self._flows.wait()
                    if self._watcher is not watcher:
                        return
                    process = run.spawn({"path": change.path, "event": change.event})
                    process.on_exit(self._turns.give)

    def _wanted(self, path: str) -> bool:
        name = os.path.basename(path)
        return not self.spec.patterns or any(fnmatch(name, p) for p in self.spec.patterns)
