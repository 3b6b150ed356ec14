"""Sources: the nodes that start processes, and how a process is seen through for an event.

Lives here: Source, Run, and what is done with an answer that nobody waits for. How a node handles
packets is node.py's.
"""

from __future__ import annotations

import logging
import os
import sysconfig
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any, ClassVar

from greenflow.engine.budget import budget_of
from greenflow.engine.generation import Generation
from greenflow.engine.node import Node, S
from greenflow.engine.origin import name_of, place_of
from greenflow.engine.packet import NOTHING, Fault
from greenflow.engine.port import OutPort
from greenflow.engine.process import RUNNING, Process
from greenflow.engine.services import Services
from greenflow.engine.tracing import of_node
from greenflow.errors import ProcessExited, Runaway, SnippetFailed, noted
from greenflow.log.secret import conceal, concealed
from greenflow.payload.origin import origin_of
from greenflow.payload.outline import outline

#: Members of a group of errors that a line of the log names: a person reads no more.
MOST_MEMBERS = 10

_log = logging.getLogger("greenflow.node")

# Files of Python that no user wrote: greenflow's own, the standard library's, what is installed.
_LIBRARIES = tuple(
    {
        os.path.join(os.path.dirname(os.path.dirname(__file__)), ""),
        *(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "purelib", "platlib")),
    }
)


class Source(Node[S]):
    """A node that starts processes. It works only while its symbol is active (BEHAVIOUR 6.4)."""

    inputs: ClassVar[tuple[str, ...]] = ()
    can_pause: ClassVar[bool] = False  # whether it knows how to hold what comes
    stands_alone: ClassVar[bool] = False  # never in a block

    def __init__(self, spec: S, services: Services) -> None:
        super().__init__(spec, services)
        self.budget = budget_of(spec, services.budget)
        self.paused = False

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

    def pause(self) -> None:
        """Begin no more processes until `resume`, before its start too; those under way go on. A
        kind that can says so by `can_pause` (BEHAVIOUR 19.5)."""
        self.paused = True

    def resume(self) -> None:
        """Begin processes again."""
        self.paused = False

    def begin_now(self) -> str:
        """Begin a process though nothing has happened, also while it is paused; why it does not, or
        nothing. For a source to which there is nothing to send."""
        return f"a {self.spec.kind} begins when something happens: there is nothing to run"


class Run:
    """Starts processes for one source, and sees them to their end."""

    def __init__(self, node: Node[Any]) -> None:
        self.node = node

    def begin(
        self,
        parent: Process | None = None,
        hops: int = 0,
        generation: Generation | None = None,
    ) -> Process:
        """A new process, or a child of one; whoever begins one must call `end`. It sees the newest
        graph, or that of a generation (BEHAVIOUR 6.7)."""
        node = self.node
        process = node.services.begin(parent, hops, generation, node.budget)
        process.source = node
        node.processes.add(process)
        node.tally.begun += 1
        return process

    def ask(self, process: Process, port: OutPort, payload: Any) -> Any:
        """Write to the port and wait for the answer; without links it is NOTHING (BEHAVIOUR
        3.5)."""
        links = port.links
        if not links or (type(links) is not tuple and not port.links_for(process.generation)):
            return NOTHING
        return self.node.ask(process, port, payload)

    def answered(self, process: Process) -> None:
        """The process is no longer in flight at this source."""
        process.let_go()
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
        process = self.begin()
        self._trace(process)
        self.follow(process, payload)

    def spawn(
        self,
        payload: Any,
        parent: Process | None = None,
        hops: int = 0,
        generation: Generation | None = None,
    ) -> Process:
        """Run a process for an event, or a child of a process, in a greenlet of its own."""
        process = self.begin(parent, hops, generation)
        self._trace(process, begins_anew=generation is None)
        process.on_exit(partial(self.answered, process))
        process.spawn_in_turn(self.follow, process, payload)
        return process

    def _trace(self, process: Process, begins_anew: bool = True) -> None:
        """Trace a process that nobody outside asked for, or a child with its parent."""
        tracer = self.node.services.tracer
        if tracer is None:
            return
        if not begins_anew:
            tracer.follow(process, self.node)
        elif tracer.takes(process):
            tracer.start(process, name_of(self.node), "INTERNAL", of_node(self.node))

    def follow(self, process: Process, payload: Any) -> None:
        """See a process through: ask, give an error to `error`, settle, exit."""
        node, begin = self.node, perf_counter()
        try:
            conclude(node, process, self.ask(process, node.output("out"), payload))
        finally:
            node.tally.time(perf_counter() - begin)
            self.end(process)


def sources_of(node: Node[Any]) -> Iterator[Source[Any]]:
    """The node, if it is a source, or those inside of it: what starts and stops with it."""
    if isinstance(node, Source):
        yield node
    for inner in node.inner:
        yield from sources_of(inner)


def begins(node: Node[Any] | None) -> bool:
    """Whether a node is a source, or holds one."""
    return node is not None and any(sources_of(node))


def takes_errors(node: Node[Any], process: Process) -> bool:
    """Whether the process may still ask the `error` link of the node."""
    return process.state == RUNNING and node.error.leads(process.generation)


def begins_alone(node: Node[Any]) -> bool:
    """Whether no packet leads to a node: a source without in ports, such as a schedule."""
    return isinstance(node, Source) and not node.port_names(node.spec)[0]


def ask_as(node: Node[Any], process: Process, payload: Any) -> Any:
    """What the workflow behind a source answers, as to an event of it, in that process; to an error
    its `error` link, if there is one."""
    out = node.output("out")
    answer = Run(node).ask(process, out, payload)
    if isinstance(answer, Fault) and takes_errors(node, process):
        return node.ask(process, node.error, answer.error)
    return answer


def conclude(node: Node[Any], process: Process, answer: Any) -> BaseException | None:
    """Give an error answer to the node's `error` link, settle, and log what nobody took."""
    if isinstance(answer, Fault) and takes_errors(node, process):
        process.calm()
        answer = node.ask(process, node.error, answer.error)
    failure = process.settle(answer.error if isinstance(answer, Fault) else None)
    if failure is not None:
        log_unhandled(node, process, failure)
    return failure


def log_unhandled(
    node: Node[Any], process: Process, error: BaseException, status: int | None = None
) -> None:
    """One line for an error that nobody took, and its causes, without the payload (5.10): in which
    node it arose, where that stands, and what the process of this source began with. `status` is
    that of the response. At the level debug a second one has the traceback and an outline of the
    payload. What is over a budget has one line for all of it."""
    node.tally.failed += 1
    ended_by = error.__cause__ if isinstance(error, ProcessExited) else error
    if ended_by is not None and _was_told(ended_by):
        return
    origin = origin_of(error)
    extra: dict[str, object] = {
        "namespace": node.spec.namespace,
        "node": name_of(node) if origin is None else origin.node,
        "kind": node.spec.kind if origin is None else origin.kind,
        "source": name_of(node),
        "at": place_of(node) if origin is None else origin.at,
        "code": position_in(error),
        "status": status,
        "process_id": process.id,
    }
    extra["method"], extra["path"], extra["request_id"] = event_of(process)
    # A program may log in its own way, which conceals nothing.
    _log.error("unhandled error: %s", conceal(in_words(error)), extra=extra)
    if _log.isEnabledFor(logging.DEBUG):
        given = "nothing" if origin is None else conceal(outline(origin.input))
        shown = concealed(error)
        _log.debug("the node was given %s", given, exc_info=shown, extra=extra)


def _was_told(error: BaseException) -> bool:
    """Whether all of it is what is over a budget, and has its line; else it has it now."""
    if isinstance(error, BaseExceptionGroup):
        were_told = [_was_told(each) for each in error.exceptions]
        return all(were_told)
    if not isinstance(error, Runaway):
        return False
    was_told, error.is_told = error.is_told, True
    return was_told


def event_of(process: Process) -> tuple[str | None, str | None, str | None]:
    """Method, path and id of the request that a process, or the first of its parents that has one,
    began with."""
    each: Process | None = process
    while each is not None:
        if each.event is not None:
            return each.event
        each = each.parent
    return None, None, None


def in_words(error: BaseException) -> str:
    """An error and its causes; of a group, each member with its node."""
    chain: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        text = f"{type(cause).__name__}: {noted(cause)}"
        if isinstance(cause, BaseExceptionGroup):
            text += f" [{'; '.join(map(_of_member, cause.exceptions[:MOST_MEMBERS]))}]"
        chain.append(text)
        cause = cause.__cause__
    return ", because of ".join(chain)


def _of_member(error: BaseException) -> str:
    origin = origin_of(error)
    return f"{'' if origin is None else f'{origin.node} at {origin.at}: '}{in_words(error)}"


def position_in(error: BaseException) -> str | None:
    """Where in the code of an author it was raised: line and column in the code of a spec, or file
    and line of the innermost Python that is neither ours nor a library's."""
    if isinstance(error, SnippetFailed) and error.line:
        return f"{error.line}:{error.column}"
    place, trace = None, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith((*_LIBRARIES, "<")):
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
