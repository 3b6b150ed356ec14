"""What a handler sends into processes that run side by side, and their answers.

Lives here: how a handler writes several payloads, takes the answers as they come, and ends early
what is not wanted any more. When processes run is process.py's.

An in-port handles the packets of one process one at a time. So what is to run side by side, or to
be cut off, gets a process of its own, a part of the handler's (part.py). Only the greenlet of the
handler ends a part, for that may block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from gevent.event import Event

from greenflow.engine.node import Context
from greenflow.engine.packet import Fault, Packet, Reply
from greenflow.engine.port import OutPort
from greenflow.engine.process import Process
from greenflow.errors import ProcessExited

# Above the place of a branch: an answer gets no further than its branch.
_NOWHERE: Final = Reply(1)


class Awaited(Reply):
    """One payload that was sent, and its answer."""

    __slots__ = ("answer", "branches", "index", "process")

    def __init__(self, branches: Branches, process: Process, index: int) -> None:
        super().__init__(1, _NOWHERE)
        self.branches, self.process, self.index = branches, process, index
        self.answer: Any = None

    def passes(self, answer: Any) -> bool:
        self.answer = answer
        self.branches.arrived(self)
        return False

    def end(self, error: BaseException | None = None) -> Any:
        """Settle the child that it ran in: with an error, or an answer that is one, it rolls back.
        Its own children go on. Returns the answer, or the Fault that settling gave."""
        process, answer = self.process, self.answer
        failed = answer.error if type(answer) is Fault else error
        failure = process.settle(failed)
        if failure is not None and failed is None:
            answer = Fault(failure, (self.branches.node,))
        if process.children:
            process.spawn(process.finish)
        else:
            process.exit()
        return answer


class Branches:
    """What one handler has sent and waits for. Its in-port handles other packets meanwhile."""

    def __init__(self, ctx: Context, process: Process | None = None) -> None:
        """Of the handler's process, or of a part of it that it waits for."""
        self.node, self.hops = ctx.node, ctx.packet.hops
        self.process = ctx.process if process is None else process
        self.under_way: set[Awaited] = set()
        self._arrived: deque[Awaited] = deque()
        self._wake = Event()
        self._waits = True
        ctx.step_aside()

    def begin(self, process: Process, port: OutPort, payload: Any, index: int = 0) -> None:
        """Send a payload into the handler's process or a child of it."""
        branch = Awaited(self, process, index)
        self.under_way.add(branch)
        self.node.send(Packet(payload, process, branch, 0, self.hops), port, payload)

    def __len__(self) -> int:
        """How many were sent and have not been taken."""
        return len(self.under_way) + len(self._arrived)

    def arrived(self, branch: Awaited) -> None:
        """A branch was answered."""
        self.under_way.discard(branch)
        self._arrived.append(branch)
        self._wake.set()

    def wait_no_more(self) -> None:
        """`take` waits no longer: time is over. Does not switch greenlets."""
        self._waits = False
        self._wake.set()

    def take(self) -> list[Awaited]:
        """Wait until one was answered; all that were, in the order of answers."""
        while not self._arrived and self.under_way and self._waits:
            self._wake.clear()
            self.process.step_aside()
            self._wake.wait()
        answered = list(self._arrived)
        self._arrived.clear()
        return answered

    def cancel(self) -> None:
        """End the children of all that have not been taken: what they do is interrupted."""
        for branch in (*self.under_way, *self._arrived):
            if branch.process is not self.process:
                branch.process.exit(ProcessExited())
        self._arrived.clear()

    def undo(self, taken: Iterable[Awaited]) -> None:
        """The same, also for some that were taken, and without waiting until they have ended: they
        have transactions of their own, which roll back."""
        for branch in (*self.under_way, *self._arrived, *taken):
            self.process.spawn(branch.process.exit, ProcessExited())
        self._arrived.clear()
