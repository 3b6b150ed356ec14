"""`merge` and `race`: where ways come together (BEHAVIOUR 13.merge, 13.race).

`merge` waits for packets that belong together. Each is answered with nothing but the last one,
which carries them all, so nobody waits in it; only with `timeout` the first of a round stays, and
carries what has come when the time is over.

`race` sends one packet several ways at once and takes the first answer. Each way is a child
process, so that what the others did is undone.
"""

from __future__ import annotations

from collections import Counter, deque
from functools import partial
from typing import Annotated, Any, Literal

import gevent
from gevent.event import Event
from msgspec import Meta

from greenflow.engine.branches import Awaited, Branches
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Handler, Node
from greenflow.engine.packet import NOTHING, Fault, merge, unused
from greenflow.engine.part import ProcessPart
from greenflow.engine.process import Process
from greenflow.engine.result import Answer
from greenflow.errors import TimedOut
from greenflow.nodes.flow import linked
from greenflow.spec.fields import Spec, TimeLimit
from greenflow.spec.ports import parse


class MergeSpec(Spec):
    errors: Annotated[
        Literal["fail", "keep"],
        Meta(description="keep: an error among the payloads is one of them, not the error of all"),
    ] = "fail"
    timeout: Annotated[
        TimeLimit | None,
        Meta(description="how long to wait from the first packet on; then what has come goes on"),
    ] = None
    first: Annotated[
        int | None, Meta(ge=1, description="go on with so many packets, in the order they came")
    ] = None


class RaceSpec(Spec):
    timeout: Annotated[
        TimeLimit | None,
        Meta(
            description="how long to wait for an answer; then all ways are interrupted and undone"
        ),
    ] = None


class Round:
    """Packets that belong together: the nth of each port."""

    __slots__ = ("gone", "payloads", "ports", "wake")

    def __init__(self) -> None:
        self.payloads: dict[str, Any] = {}  # by port, in the order they came
        self.ports: set[str] = set()  # that it has had a packet of
        self.gone = False  # it went on, and what comes now is late
        self.wake: Event | None = None  # its first packet waits for it


class Rounds:
    """What one process has at one `merge`."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()  # packets of each port
        self.open: dict[int, Round] = {}

    def enter(self, port: str, ports: int) -> Round:
        """The round that the next packet of a port belongs to; `ports` are all that one has."""
        number = self.passed[port]
        self.passed[port] += 1
        round = self.open.setdefault(number, Round())
        round.ports.add(port)
        if len(round.ports) >= ports:
            del self.open[number]
        return round


@node("merge", inputs=("in[i]",), reads_only=True)
class Merge(Node[MergeSpec]):
    """Waits, within a process, for one packet on every in port that a link names.

    Earlier ones are answered with nothing; the last carries the list in the order of the ports, or
    the bare payload if there is one port. The nth packet of a port belongs to round n. An error
    among the payloads goes to `error`; one whose round is never full fails the process. When
    `timeout` is over, the list goes on with null for what has not come.
    """

    def handler(self, port: str) -> Handler:
        return partial(self.gather_round, port)

    def gather_round(self, port: str, ctx: Context, payload: Any) -> Any:
        process = ctx.process
        key = self, process  # a child has rounds of its own
        rounds: Rounds | None = process.data.get(key)
        if rounds is None:
            rounds = Rounds()
            process.data.set(key, rounds)
        names = [
            name for name, entry in self.in_ports.items() if entry.linked_for(process.generation)
        ]
        names = sorted(names or [port], key=parse)
        round = rounds.enter(port, len(names))
        if round.gone:
            return NOTHING if self.spec.errors == "keep" else unused(payload, self)
        round.payloads[port] = payload
        if isinstance(payload, Exception):
            process.owe(payload)
        if len(round.payloads) >= min(self.spec.first or len(names), len(names)):
            return self.leave(process, round, names)
        if self.spec.timeout is not None and len(round.payloads) == 1:
            return self.wait(ctx, round, names, self.spec.timeout)
        return NOTHING

    def wait(self, ctx: Context, round: Round, names: list[str], seconds: float) -> Any:
        """The first packet of a round stays until the others have come, or the time is over."""
        round.wake = Event()
        ctx.step_aside()
        ctx.process.step_aside()
        try:
            with self.services.clock.timeout(seconds) as limit:
                round.wake.wait()
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            if not round.gone:
                return self.leave(ctx.process, round, names)
        return NOTHING

    def leave(self, process: Process, round: Round, names: list[str]) -> Any:
        """What goes on of a round."""
        round.gone = True
        if round.wake is not None:
            round.wake.set()
        payloads = list(round.payloads.values())
        if self.spec.first is None:
            payloads = [round.payloads.get(name) for name in names]
        round.payloads = {}
        errors = [item for item in payloads if isinstance(item, Exception)]
        if errors:
            process.clear(*errors)
            if self.spec.errors == "fail":
                return merge([Fault(error, (self,)) for error in errors])
        return payloads[0] if len(names) == 1 else payloads


@node("race", outputs=("out[i]",), reads_only=True)
class Race(Node[RaceSpec]):
    """Sends its input to every linked `out[i]` at once; the first answer is the answer, and what
    the others do is interrupted and undone.

    An error or nothing wins only if nobody has another answer: then the errors go to `error`, and
    so does `timed out` when nobody has one in time. Each way runs in a process of its own, and the
    winner's commits before its answer goes on.
    """

    def handle(self, ctx: Context, payload: Any) -> Any:
        ways = linked(self, ctx.process)
        if not ways:
            return unused(payload, self)
        branches = Branches(ctx)
        beaten: list[Awaited] = []
        seconds = self.spec.timeout
        call_off = None
        if seconds is not None:
            call_off = self.services.clock.alarm(seconds, branches.wait_no_more)
        try:
            for name in ways:
                part = ProcessPart(ctx.process, ctx.packet.hops)
                branches.begin(part, self.output(name), payload)
            answer = self.won(branches, beaten)
        finally:
            if call_off is not None:
                call_off()
            branches.undo(beaten)
        if answer is None and seconds is not None:
            return self.fault(TimedOut(seconds), ctx.packet)
        return answer

    def won(self, branches: Branches, beaten: list[Awaited]) -> Any:
        """The answer of the race; those that were answered and did not win are `beaten`. None: its
        time was over before there was one."""
        faults: list[Fault] = []
        while len(branches):
            answered = deque(branches.take())
            if not answered:
                return None
            while answered:
                branch = answered.popleft()
                if branch.answer is NOTHING:
                    beaten.append(branch)
                    continue
                answer = branch.end()
                if type(answer) is not Fault:
                    beaten.extend(answered)
                    return Answer(answer)
                faults.append(answer)
        if faults:
            return merge(faults)
        while beaten:  # all of them had nothing to say
            answer = beaten.pop().end()
            if type(answer) is Fault:
                return answer
        return NOTHING
