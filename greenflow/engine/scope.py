"""A part of a workflow that ends by itself, in time or not (BEHAVIOUR 4.14).

Lives here: `within`, for kinds whose `timeout` limits what they lead to, and `exit_after` and
`limited_alone`, for whole processes, which have so much time.

The part runs in a child process, so that all of it can be interrupted and what it opened rolled
back while its parent goes on. When it has answered in time its resources commit, and then the
answers go on. What a part is to its parent, part.py says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gevent.event import Event

from greenflow.engine.node import Context, Node
from greenflow.engine.packet import Fault
from greenflow.engine.part import ProcessPart
from greenflow.engine.process import RUNNING, Process
from greenflow.engine.source import log_unhandled
from greenflow.errors import TimedOut
from greenflow.hub.clock import Clock


def within(ctx: Context, seconds: float, work: Callable[[Process], Any]) -> Any:
    """What `work` answers, which asks the process it is given: a part of the handler's, that has so
    many seconds. When they are over the answer is the error `timed out`. With an error all that was
    done in it is rolled back, else it commits."""
    node, process = ctx.node, ctx.process
    part = ProcessPart(process, ctx.packet.hops)
    late, gone = TimedOut(seconds), Event()
    part.on_exit(gone.set)  # the first of its hooks is the last to be called
    ctx.step_aside()
    process.step_aside()
    call_off = node.services.clock.alarm(seconds, partial(process.spawn, part.exit, late))
    try:
        try:
            answer = work(part)
        finally:
            call_off()
        if part.state is not RUNNING:
            gone.wait()  # what comes now shall find it rolled back
            return node.fault(late, ctx.packet) if part.error is late else answer
        is_fault = type(answer) is Fault
        failure = part.settle(answer.error if is_fault else None)
        return answer if failure is None or is_fault else Fault(failure, (node,))
    finally:
        if part.children:
            process.spawn(part.finish)
        else:
            part.exit()


def exit_after(
    process: Process, clock: Clock, seconds: float, error: BaseException
) -> Callable[[], object]:
    """Have the process exit with the error after so many seconds of the clock. Returns what calls
    it off. Does not switch greenlets."""
    call_off = clock.alarm(seconds, partial(process.spawn, process.exit, error))
    process.on_exit(call_off)
    return call_off


def limited_alone(node: Node[Any], process: Process, seconds: float | None) -> None:
    """As `exit_after`, for a process of a source whose answer nobody waits for: the log says that
    it was ended. None is no limit."""
    if seconds is not None:
        late = TimedOut(seconds)
        end = partial(process.spawn, _end, node, process, late)
        process.on_exit(node.services.clock.alarm(seconds, end))


def _end(node: Node[Any], process: Process, late: TimedOut) -> None:
    if process.state is RUNNING:
        process.exit(late)
        log_unhandled(node, process, late)
