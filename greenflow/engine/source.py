"""Sources: the nodes that start processes, and how a process is seen through for an event.

Lives here: Source, Run, and what is done with an answer that nobody waits for. How a node handles
packets is node.py's.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, ClassVar

from greenflow.engine.node import Node, S, describe
from greenflow.engine.packet import NOTHING, Fault
from greenflow.engine.port import OutPort
from greenflow.engine.process import RUNNING, Process
from greenflow.errors import noted
from greenflow.log.secret import conceal

_log = logging.getLogger("greenflow.node")


class Source(Node[S]):
    """A node that starts processes. It works only while its symbol is active (BEHAVIOUR 6.4)."""

    inputs: ClassVar[tuple[str, ...]] = ()

    def prepare(self) -> None:
        """Take hold of what `start` needs and may be refused, such as an address; before any load
        hook of the change that brings this node, `init` too. May raise."""

    def abandon(self) -> None:
        """`start` will not come after all: let go of what `prepare` took."""

    def start(self, run: Run) -> None:
        """Begin: `run(payload)` starts a process for an event."""
        raise NotImplementedError(f"source kind {self.spec.kind!r} does not implement start")

    def stop(self) -> None:
        """Begin no more processes. Those under way go on."""
        raise NotImplementedError(f"source kind {self.spec.kind!r} does not implement stop")


class Run:
    """Starts processes for one source, and sees them to their end."""

    def __init__(self, node: Node[Any]) -> None:
        self.node = node

    def begin(self, parent: Process | None = None, hops: int = 0) -> Process:
        """A new process, or a child of one; whoever begins one must call `end`."""
        services = self.node.services
        process = Process(parent, hops, services.settings.grace, services.processes)
        self.node.processes.add(process)
        return process

    def ask(self, process: Process, port: OutPort, payload: Any) -> Any:
        """Write to the port and wait for the answer; without links it is NOTHING (BEHAVIOUR
        3.5)."""
        return self.node.ask(process, port, payload) if port.links else NOTHING

    def answered(self, process: Process) -> None:
        """The process is no longer in flight at this source."""
        node = self.node
        node.processes.discard(process)
        if node.emptied is not None and not node.in_flight:
            node.emptied()

    def end(self, process: Process) -> None:
        """The process was answered: it exits when its children have ended (BEHAVIOUR 4.7)."""
        node = self.node  # as `answered` does
        node.processes.discard(process)
        if node.emptied is not None and not node.in_flight:
            node.emptied()
        if process.children:
            process.spawn(process.finish)
        else:
            process.exit()

    def __call__(self, payload: Any) -> None:
        """Run a process for an event in the calling greenlet; errors go as BEHAVIOUR 5.5 says."""
        self.follow(self.begin(), payload)

    def spawn(self, payload: Any, parent: Process | None = None, hops: int = 0) -> Process:
        """Run a process for an event, or a child of a process, in a greenlet of its own."""
        process = self.begin(parent, hops)
        process.on_exit(partial(self.answered, process))
        process.spawn(self.follow, process, payload)
        return process

    def follow(self, process: Process, payload: Any) -> None:
        """See a process through: ask, give an error to `error`, settle, exit."""
        node = self.node
        try:
            conclude(node, process, self.ask(process, node.output("out"), payload))
        finally:
            self.end(process)


def begins_alone(node: Node[Any]) -> bool:
    """Whether no packet leads to a node: a source without in ports, such as a schedule."""
    return isinstance(node, Source) and not node.port_names(node.spec)[0]


def ask_as(node: Node[Any], process: Process, payload: Any) -> Any:
    """What the workflow behind a source answers, as to an event of it, in that process; to an error
    its `error` link, if there is one."""
    out = node.output("out")
    answer = node.ask(process, out, payload) if out.links else NOTHING
    if isinstance(answer, Fault) and node.error.links and process.state == RUNNING:
        return node.ask(process, node.error, answer.error)
    return answer


def conclude(node: Node[Any], process: Process, answer: Any) -> BaseException | None:
    """Give an error answer to the node's `error` link, settle, and log what nobody took."""
    if isinstance(answer, Fault) and node.error.links and process.state == RUNNING:
        answer = node.ask(process, node.error, answer.error)
    failure = process.settle(answer.error if isinstance(answer, Fault) else None)
    if failure is not None:
        log_unhandled(node, process, failure)
    return failure


def log_unhandled(node: Node[Any], process: Process, error: BaseException) -> None:
    """One line for an error that nobody took and its causes, without the payload (5.10)."""
    chain, seen = [], set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        chain.append(f"{type(cause).__name__}: {noted(cause)}")
        cause = cause.__cause__
    text = conceal(", because of ".join(chain))  # a program may log in its own way
    _log.error("unhandled error: %s", text, extra=describe(node, process))
