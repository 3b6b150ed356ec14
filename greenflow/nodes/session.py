"""`session`: values kept as long as a process lives, and reached from every other (BEHAVIOUR
13.session)."""

from __future__ import annotations

from functools import partial
from typing import Any

from gevent.event import Event

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Handler, Node
from greenflow.engine.packet import NOTHING, Fault, merge, unused
from greenflow.engine.process import RUNNING, Process
from greenflow.engine.result import Answer
from greenflow.engine.services import Services
from greenflow.engine.source import Run
from greenflow.spec.fields import Spec

# Children of one node at a time, for all packets that it reaches sessions with; each takes 12 KiB.
# Where each of 1,000 sessions tells all others something, they would be a million. Beyond it a
# packet is in one session at a time, so that one always goes on.
AT_ONCE = 10_000


@node("session", inputs=("io", "in"), reads_only=True)
class Session(Node[Spec]):
    """`io` keeps its payload as a session while that process lives, and answers nothing.

    Each `in`, from any process, leaves by `out` once for every live session, as `[session, input]`
    in a child of the session's process. The answers are merged in the order in which the sessions
    were opened; without a live session nothing is the answer.
    """

    def __init__(self, spec: Spec, services: Services) -> None:
        super().__init__(spec, services)
        self.sessions: dict[object, tuple[Process, Any]] = {}
        self.under_way = 0  # children that have not ended

    def handler(self, port: str) -> Handler:
        return self.keep if port == "io" else self.reach

    def keep(self, ctx: Context, payload: Any) -> Any:
        if isinstance(payload, Exception):
            return unused(payload, self)  # what failed is no session
        key = object()
        self.sessions[key] = ctx.process, payload
        ctx.process.on_exit(partial(self.sessions.pop, key, None))
        return NOTHING

    def reach(self, ctx: Context, payload: Any) -> Any:
        live = [(p, kept) for p, kept in self.sessions.values() if p.state == RUNNING]
        if not live:
            return unused(payload, self)
        answers: list[Any] = [NOTHING] * len(live)
        under_way, one_ended = 0, Event()

        def one_less() -> None:
            nonlocal under_way
            under_way -= 1
            self.under_way -= 1
            one_ended.set()

        run = Run(self)
        for place, (process, kept) in enumerate(live):
            while under_way and self.under_way >= AT_ONCE:
                one_ended.clear()
                one_ended.wait()
            under_way += 1
            self.under_way += 1
            child = run.begin(process, ctx.packet.hops)
            child.on_exit(partial(run.answered, child))
            child.on_exit(one_less)
            child.spawn(self._reach_one, run, child, [kept, payload], answers, place)
        while under_way:
            one_ended.clear()
            one_ended.wait()
        return Answer(merge(answers))

    def _reach_one(
        self, run: Run, child: Process, payload: Any, answers: list[Any], place: int
    ) -> None:
        try:
            answer = child.ask(self.output("out"), payload)[0]
            failure = child.settle(answer.error if isinstance(answer, Fault) else None)
            if failure is not None and not isinstance(answer, Fault):
                answer = Fault(failure, (self,))
            answers[place] = answer
        finally:
            child.finish()
