"""`loop`: the elements of a list, each on its own (BEHAVIOUR 13.loop).

Lives here: the kind, and how many elements are under way. They are sent as places become free, so a
list of a million holds no more packets than a short one. With `concurrency` each element runs in a
strand of the process (engine/strand.py): an in-port handles one packet of a process at a time, and
those of several strands side by side. Answers are put in the order of the elements at the end.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Annotated, Any, Literal

from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.onward import left
from greenflow.engine.packet import NOTHING, Fault, merge
from greenflow.engine.process import STEPS_A_TURN, Process
from greenflow.engine.result import Send
from greenflow.engine.scope import within
from greenflow.engine.strand import Branches, Strand
from greenflow.hub.breathing import let_others_run
from greenflow.spec.fields import Spec, TimeLimit

# Elements under way in the process itself, where they queue at the first node that waits: enough to
# keep a chain of nodes busy. With ten times as many the garbage collector looks through the whole
# list again and again (25 ms each time for a million).
AHEAD = 100

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
        stops, side_by_side = spec.on_error == "stop", spec.concurrency > 1
        width = spec.concurrency if side_by_side or stops else AHEAD
        answers: list[Any] = [NOTHING] * self.count
        branches = Branches(ctx, process)
        branches.enough = 1 if side_by_side else max(width // 2, 1)
        out, sent = self.loop.output("out"), 0
        try:
            while sent < self.count or len(branches):
                while sent < self.count and len(branches) < width:
                    place = Strand(process, branches.hops) if side_by_side else process
                    branches.begin(place, out, self.item(sent), sent)
                    sent += 1
                    if sent % STEPS_A_TURN == 0:  # without a link nobody else would run
                        let_others_run()
                for branch in branches.take():
                    answer = branch.end() if side_by_side else branch.answer
                    answers[branch.index] = answer
                    if type(answer) is Fault:
                        self.faults[branch.index] = answer
                    elif answer is NOTHING:
                        self.silent = True
                if stops and self.faults:
                    break
        finally:
            branches.cancel()
        return answers

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
