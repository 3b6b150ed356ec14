"""The ports of the lifecycle: a spec is written to `init`, `active`, `deactive` or `deinit`
(BEHAVIOUR 2.8).

Lives here: Telling, one spec on its way through such a port, and which nodes have links there. When
a version is told is plan.py's and table.py's.

A telling has a greenlet of its own and a limit, so a workflow that hangs there holds up nothing but
its own symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event

from greenflow.engine.node import Node
from greenflow.engine.packet import Fault
from greenflow.engine.process import Process
from greenflow.engine.source import Run
from greenflow.errors import GreenflowError, messages
from greenflow.spec.ports import LIFECYCLE

INIT, ACTIVE, DEACTIVE, DEINIT = "init", "active", "deactive", "deinit"

# Seconds that a change waits for what it tells, all together. Most workflows have answered by then;
# one that has not goes on by itself, and its symbol follows when it has.
PATIENCE = 1.0

# Seconds beyond its limit that a telling may take to exit what it began.
SETTLING = 1.0

# How a spec may write each of the ports, and the port.
_SPELLINGS = {spelling: port for port in LIFECYCLE for spelling in (port, f"{port}[0]")}

Part = tuple[Node[Any], Mapping[str, Any]]  # a node, and the document it was made of


def told(node: Node[Any], document: Mapping[str, Any], port: str) -> list[Part]:
    """The node and its sub-nodes that link from a port of the lifecycle, inner to outer."""
    return [
        part
        for part in node.parts(document)
        if any(links and _SPELLINGS.get(name) == port for name, links in part[0].spec.links.items())
    ]


def telling_ports(node: Node[Any], document: Mapping[str, Any]) -> frozenset[str]:
    """The ports of the lifecycle that the node or a sub-node of it links from."""
    return frozenset(
        _SPELLINGS[name]
        for part, _ in node.parts(document)
        for name, links in part.spec.links.items()
        if links and name in _SPELLINGS
    )


class Telling:
    """One spec, and those of its sub-nodes, written to a port, each in a process of its own.

    `error` is what was answered, or that nothing was within `limit` seconds. They count from now
    on, or end at `end`, by monotonic(), where several tellings share them. `then` is called after
    the answer, in the greenlet of the telling.
    """

    def __init__(
        self, parts: Sequence[Part], port: str, limit: float, end: float | None = None
    ) -> None:
        self.port, self.limit = port, limit
        self.error: Exception | None = None
        self.then: Callable[[Telling], object] | None = None
        self._answered = Event()
        self._process: Process | None = None
        self._end = monotonic() + limit if end is None else end
        self._is_late = self._end <= monotonic()
        self.greenlet = gevent.spawn(self._run, parts)

    @property
    def answered(self) -> bool:
        """Whether it is over, well or not."""
        return self._answered.is_set()

    def wait(self, until: float) -> bool:
        """Wait for the answer until that time, by monotonic(); whether it is there."""
        return self._answered.wait(max(0.0, until - monotonic()))

    def cancel(self, reason: str) -> None:
        """Nobody wants the answer any more: its process is exited."""
        if not self.answered:
            self._end = 0.0
            self.then = None
            if self._process is not None:
                self._process.spawn(self._process.exit, GreenflowError(reason))

    def _run(self, parts: Sequence[Part]) -> None:
        try:
            for part in parts:
                self._tell(*part)
        except Exception as error:
            self.error = error
        finally:
            self._answered.set()
        if self.then is not None:
            self.then(self)

    def _tell(self, node: Node[Any], document: Mapping[str, Any]) -> None:
        if self._end <= monotonic():
            raise (
                GreenflowError(f"{self.port}: not told, for the grace was over")
                if self._is_late
                else self._late()
            )
        run = Run(node)
        process = self._process = run.begin()
        try:
            with gevent.Timeout(self._end - monotonic()) as limit:
                answer = run.ask(process, node.output(self.port), dict(document))
                failure = process.settle(answer.error if isinstance(answer, Fault) else None)
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise self._late() from None
        finally:
            self._process = None
            run.end(process)
        if failure is not None:
            raise GreenflowError(f"{self.port}: {': '.join(messages(failure))}") from failure

    def _late(self) -> GreenflowError:
        # The limit that was set: what is left of one that is shared is no number anybody knows.
        return GreenflowError(f"{self.port}: no answer within {self.limit:g} s")
