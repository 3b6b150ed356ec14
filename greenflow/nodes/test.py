"""`test` and `assert`: workflows that test workflows (BEHAVIOUR 13, 13.1, 13.2).

A `test` is a source that starts nothing by itself: `greenflow test` runs it, once, in a process of
its own (greenflow.testing). What passes the nodes meanwhile is noted in the trace of that process,
and an `assert` looks there for its target. In a runtime that serves, nothing is noted: a `test`
does nothing there, and an `assert` knows only what it is sent.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import gevent
from gevent.event import Event
from msgspec import Meta, Struct

from greenflow import lang
from greenflow.engine import trace
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.packet import NOTHING, Fault
from greenflow.engine.process import RUNNING, Process
from greenflow.engine.services import Compiler, Services
from greenflow.engine.source import Run, Source, log_unhandled
from greenflow.engine.trace import Trace, shown
from greenflow.errors import (
    AssertFailed,
    InvalidArgument,
    ProcessExited,
    RunTimedOut,
    SpecFault,
    messages,
)
from greenflow.nodes.condition import Language, is_true
from greenflow.spec.fields import Code, Duration, Spec
from greenflow.spec.ports import canonical

SECONDS = 10.0  # that a test may take unless something else is said

# Seconds that an `assert` waits for a packet while children of the process run: far more than they
# need where all is well, and less than a test may take, so that the assert says what is missing.
PATIENCE = 5.0

MAX_CODE = 200  # characters of an expectation in an error; the spec has the rest


class TestSpec(Spec):
    timeout: Annotated[
        Duration | None,
        Meta(description="how long it may take; default: what `greenflow test` says"),
    ] = None
    allow: Annotated[
        list[str],
        Meta(description="nodes that may reach outside in it: by name, without one by kind"),
    ] = []


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """A port of a node."""

    id: Annotated[str | None, Meta(description="the id of the node; decides over the name")] = None
    name: Annotated[str | None, Meta(description="the name of the node, also in a block")] = None
    port: Annotated[str, Meta(description="its port, in or out")] = "in"

    def __post_init__(self) -> None:
        if not self.id and not self.name:
            raise ValueError("a target needs the id or the name of a node")
        canonical(self.port)

    def __str__(self) -> str:
        return f"{self.id or self.name!r} by {self.port!r}"


class AssertSpec(Spec):
    expect: Annotated[Code, Meta(description="the condition; the payload is `self`")]
    target: Annotated[
        Target | None, Meta(description="look at what passed there; default: at what comes")
    ] = None
    language: Language = "cel"
    timeout: Annotated[
        Duration | None,
        Meta(
            description="how long the condition may take (default: the language's), and a packet "
            "of a child is waited for (default: 5s)"
        ),
    ] = None


class TestVerdict(NamedTuple):
    """How a test went: what it failed with, and the nodes that this arose in."""

    error: BaseException | None
    nodes: tuple[str, ...] = ()

    def reasons(self) -> list[str]:
        """Why it failed: a line for each message of the error and its causes, and the nodes."""
        lines = [] if self.error is None else list(dict.fromkeys(messages(self.error)))
        if self.nodes:
            lines.append(f"in node {', '.join(map(repr, self.nodes))}")
        return lines


@node("test", outputs=("out", "out[1]"), reads_only=True)
class Test(Source[TestSpec]):
    """A test, run by `greenflow test`: sends null to `out[0]`, and `[answer, -1]` to `out[1]`.

    It fails with an error that is answered, and then nothing goes to `out[1]`; the error goes to
    `error`, too. If nothing is answered, it has passed. Of what `out[1]` answers only an error
    counts.
    """

    stands_alone = True

    def __init__(self, spec: TestSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.asserts = self.output("out[1]")

    def start(self, run: Run) -> None:
        """Nothing: a test runs when it is asked to."""

    def stop(self) -> None:
        """Nothing was started."""

    def run(self, timeout: float = SECONDS) -> TestVerdict:
        """Run the test once, for so many seconds of real time at most, and end all it began."""
        seconds = timeout if self.spec.timeout is None else self.spec.timeout
        run, verdicts, over = Run(self), list[TestVerdict](), Event()
        process = run.begin()
        process.on_exit(over.set)
        process.spawn(self._follow, run, process, verdicts)
        try:
            if over.wait(seconds):
                return verdicts[0] if verdicts else TestVerdict(_exited(process))
            return TestVerdict(RunTimedOut(_late(process, seconds, answered=bool(verdicts))))
        finally:
            process.exit(RunTimedOut(f"the test was not over after {seconds:g} s"))
            run.answered(process)

    def _follow(self, run: Run, process: Process, verdicts: list[TestVerdict]) -> None:
        try:
            answer = run.ask(process, self.output("out"), None)
            if answer is not NOTHING and type(answer) is not Fault:
                answer = run.ask(process, self.asserts, [answer, -1])
            verdicts.append(self._conclude(process, answer))
            if verdicts[0].error is not None:
                process.exit(verdicts[0].error)  # what it began matters no more
        finally:
            run.end(process)

    def _conclude(self, process: Process, answer: Any) -> TestVerdict:
        if type(answer) is not Fault:
            return TestVerdict(process.settle())
        if process.state == RUNNING and self.error.leads(process.generation):
            told = self.ask(process, self.error, answer.error)
            if type(told) is Fault and told.error is not answer.error:
                log_unhandled(self, process, told.error)
        process.settle(answer.error)
        names = [str(origin.spec.name or origin.spec.kind) for origin in answer.origins]
        return TestVerdict(answer.error, tuple(dict.fromkeys(names)))


@node("assert", reads_only=True)
class Assert(Node[AssertSpec]):
    """Passes its input, `[payload, index]`, on if what it expects is true; else `assert failed`.

    With a `target` it looks in the record of the process, from the index on, for the first packet
    that passed that port of that node, and goes on with that payload and index. What children of
    the process do is in the record, too; as long as some run, the packet is waited for.
    """

    @classmethod
    def check(cls, spec: AssertSpec, compiler: Compiler) -> list[SpecFault]:
        return lang.faults(spec.language, spec.expect, "$.expect")

    def __init__(self, spec: AssertSpec, services: Services) -> None:
        self.program = lang.compile(spec.language, spec.expect)
        super().__init__(spec, services)
        code = " ".join(spec.expect.split())
        self.expected = code if len(code) <= MAX_CODE else code[:MAX_CODE] + "..."

    def handle(self, ctx: Context, payload: Any) -> Any:
        if not isinstance(payload, list) or len(payload) != 2:
            raise InvalidArgument("an assert takes a list of two: a payload and an index")
        value, index = payload
        if type(index) is not int:
            raise InvalidArgument("the index of an assert is an integer")
        record, target = trace.of(ctx.process), self.spec.target
        if target is not None:
            index = self._find(ctx.process, record, target, max(index, 0))
            assert record is not None
            value = record.passed[index].payload
        if not is_true(self.program(value, timeout=self.spec.timeout, log=ctx.log_line)):
            where = "of what came" if target is None else f"of what passed {target}"
            # A payload is no business of the log's of a runtime that serves.
            found = "" if record is None else f", which is {shown(value)}"
            raise AssertFailed(f"expected `{self.expected}` {where}{found}")
        return [value, index]

    def _find(self, process: Process, record: Trace | None, target: Target, start: int) -> int:
        """The place of the packet in the record."""
        if record is None:
            raise AssertFailed(
                f"what passed {target} is not known: that is only noted under `greenflow test` "
                "and in greenflow.testing"
            )
        port = canonical(target.port)
        limit = PATIENCE if self.spec.timeout is None else self.spec.timeout
        watched: set[Process] = set()
        with self.services.clock.timeout(limit) as patience:
            try:
                while True:
                    place = record.find(start, target.id, target.name, port)
                    if place is not None:
                        return place
                    others = _beside(process)
                    if not others:
                        break
                    for other in others - watched:
                        other.on_exit(record.wake)
                    watched |= others
                    record.wait()
            except gevent.Timeout as expired:
                if expired is not patience:
                    raise
        came = ", ".join(record.ports()) or "nothing"
        since = f" from {start} on" if start else ""
        raise AssertFailed(f"expected a packet that passed {target}{since}; passed have {came}")


def _beside(process: Process) -> set[Process]:
    """The processes of a family that run beside one, and may still have packets pass."""
    lineage = [process]
    while lineage[-1].parent is not None:
        lineage.append(lineage[-1].parent)
    family = [lineage[-1]]
    for member in family:
        family.extend(member.children)
    return {each for each in family if each.state == RUNNING}.difference(lineage)


def _exited(process: Process) -> BaseException:
    exited = ProcessExited()
    if process.error is not None and not isinstance(process.error, ProcessExited):
        exited.__cause__ = process.error
    return exited


def _late(process: Process, seconds: float, *, answered: bool) -> str:
    """What a test is told that was not over in its time."""
    if answered:
        return (
            f"it was answered, but what it began (a fork, a WebSocket) still ran after {seconds:g} "
            "s: let the test end it, or give it more time with `timeout`"
        )
    record = trace.of(process)
    last = f"; the last that passed was {record.passed[-1]}" if record and record.passed else ""
    return f"no answer after {seconds:g} s{last}"
