"""`loop`: the elements of a list, each on its own (BEHAVIOUR 13.loop).

Lives here: the kind, and how many elements are under way, so that a list of a million holds no more
packets than a short one. By default all of a window are written at once, and queue at the first
node that waits. With `concurrency` each element runs in a strand of the process (engine/part.py),
sent when a place is free: an in-port handles one packet of a process at a time, and those of
several strands side by side. Answers are put in the order of the elements.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Annotated, Any, Literal

from msgspec import Meta

from greenflow.engine.branches import Branches
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.onward import left
from greenflow.engine.packet import NOTHING, Fault, merge
from greenflow.engine.part import Strand
from greenflow.engine.process import Process
from greenflow.engine.result import Send
from greenflow.engine.scope import within
from greenflow.hub.breathing import let_others_run
from greenflow.hub.collector import put_off
from greenflow.spec.fields import Spec, TimeLimit

# Elements that are written at once in the process itself: enough to keep a chain of nodes busy.
# With four times as many the garbage collector looks through the whole list again and again (25 ms
# each time for a million elements).
AHEAD = 256

# Answers that are looked through in one go, some 0.1 ms.
_AT_ONCE = 5_000


class LoopSpec(Spec):
    concurrency: Annotated[
        int,
        Meta(ge=1, le=10_000, description="elements at once; 1: each node handles one at a time"),
    ] = 1
    on_error: Annotated[
        Literal["finish", "stop", "collect"],
        Meta(
            description="finish: the others are seen through, then it is the error; stop: no more "
            "are begun, and those under way interrupted; collect: errors are answers like others"
        ),
    ] = "finish"
    batch: Annotated[
        int | None, Meta(ge=1, description="send lists of so many elements; the last has the rest")
    ] = None
    timeout: Annotated[
        TimeLimit | None,
        Meta(description="all elements run so long at most, in a child process that commits then"),
    ] = None


@node("loop", outputs=("out", "out[1]"), reads_only=True)
class Loop(Node[LoopSpec]):
    """Sends each element to `out[0]`, as places become free; the answers go to `out[1]`.

    A list gives a list, in order and without what was answered with nothing; anything else is
    sent once, and its answer goes on bare. An error goes to `error`, after all have answered. With
    `concurrency` so many elements run side by side, in the transactions of the process.
    """

    @property
    def collects(self) -> bool:
        """Whether errors are answers like others."""
        return self.spec.on_error == "collect"

    def handle(self, ctx: Context, payload: Any) -> Any:
        if self.spec.timeout is None:
            return self._loop(ctx, payload, ctx.process)
        return within(ctx, self.spec.timeout, partial(self._loop, ctx, payload))

    def _loop(self, ctx: Context, payload: Any, process: Process) -> Any:
        """Send the elements in that process; what leaves, or the error."""
        if not isinstance(payload, list):
            return self.bare(Elements(self, [payload]).run(ctx, process)[0])
        elements = Elements(self, payload, self.spec.batch)
        answers = elements.run(ctx, process)
        if elements.faults and not self.collects:
            return merge([elements.faults[place] for place in sorted(elements.faults)])
        for place, fault in elements.faults.items():
            answers[place] = fault.error
        return ctx.to("out[1]", said(answers) if elements.silent else answers)

    def bare(self, answer: Any) -> Fault | Send:
        """What leaves for an input that is no list."""
        if type(answer) is not Fault:
            return Send(self.output("out[1]"), left(answer))
        return Send(self.output("out[1]"), answer.error) if self.collects else answer


class Elements:
    """The elements of one list on their way."""

    def __init__(self, loop: Loop, items: list[Any], batch: int | None = None) -> None:
        self.loop, self.items, self.batch = loop, items, batch
        self.count = len(items) if batch is None else -(-len(items) // batch)
        self.faults: dict[int, Fault] = {}  # by place
        self.silent = False  # some were answered with nothing

    def run(self, ctx: Context, process: Process) -> list[Any]:
        """Send all of them in the process; the answers in their order, a Fault for an error."""
        spec = self.loop.spec
        stops = spec.on_error == "stop"
        if spec.concurrency > 1:
            return self.side_by_side(ctx, process, spec.concurrency, stops)
        write: Callable[..., list[Any]] = partial(ctx.call, "out")
        if process is not ctx.process:
            write = partial(process.ask, self.loop.output("out"))
        return self.in_turn(write, 1 if stops else AHEAD)

    def in_turn(self, write: Callable[..., list[Any]], width: int) -> list[Any]:
        """So many of them after the others."""
        answers: list[Any] = []
        for begin in range(0, self.count, width):
            part = map(self.item, range(begin, min(begin + width, self.count)))
            for place, answer in enumerate(write(*part), begin):
                answers.append(answer)
                self.note(place, answer)
            if self.faults and width == 1:
                break
            if self.count > width:  # without a link nobody else would run
                put_off()
                let_others_run()
        return answers

    def side_by_side(self, ctx: Context, process: Process, width: int, stops: bool) -> list[Any]:
        """So many of them at a time."""
        answers: list[Any] = [NOTHING] * self.count
        branches, out, sent = Branches(ctx, process), self.loop.output("out"), 0
        try:
            while sent < self.count or len(branches):
                while sent < self.count and len(branches) < width:
                    strand = Strand(process, branches.hops)
                    branches.begin(strand, out, self.item(sent), sent)
                    sent += 1
                for branch in branches.take():
                    answer = answers[branch.index] = branch.end()
                    self.note(branch.index, answer)
                if stops and self.faults:
                    break
        finally:
            branches.cancel()
        return answers

    def note(self, place: int, answer: Any) -> None:
        """Remember what is special about an answer."""
        if type(answer) is Fault:
            self.faults[place] = answer
        elif answer is NOTHING:
            self.silent = True

    def item(self, place: int) -> Any:
        """What is sent at a place."""
        if self.batch is None:
            return self.items[place]
        return self.items[place * self.batch : (place + 1) * self.batch]


def said(answers: list[Any]) -> list[Any]:
    """The answers that are not nothing."""
    found: list[Any] = []
    remaining = iter(answers)
    while part := list(islice(remaining, _AT_ONCE)):
        found += [answer for answer in part if answer is not NOTHING]
        let_others_run()
    return found
