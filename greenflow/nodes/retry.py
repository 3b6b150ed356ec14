"""`retry`: what fails is tried again (BEHAVIOUR 13.retry).

Lives here: the kind, its circuit breaker, and the times between tries, which `python` nodes have
too. The scope is what `out` leads to; with a link from `out[1]` the answer that counts leaves
there, and what comes after is in no try.

With `timeout` the tries run in a strand of the process (engine/part.py), so that one which is cut
off can be interrupted; transactions are those of the process all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Protocol

import gevent
import msgspec
from msgspec import Meta

from greenflow import lang
from greenflow.engine.branches import Branches
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.onward import leave, left
from greenflow.engine.packet import Fault
from greenflow.engine.part import Strand
from greenflow.engine.services import Compiler, Services
from greenflow.errors import CircuitOpen, SpecFault, TimedOut
from greenflow.hub.backoff import Backoff
from greenflow.hub.clock import Clock
from greenflow.nodes import condition
from greenflow.nodes.interval import seconds_of
from greenflow.spec.fields import Code, Duration, Spec, TimeLimit

# Seconds that a circuit stays open if a spec does not say: what a server needs to come back, and
# a client still waits for.
HALF_OPEN = 30.0


class BackoffSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait before each further try."""

    initial: Annotated[Duration, Meta(description="before the first retry")] = 0.0
    factor: Annotated[float, Meta(ge=1, description="how much longer each time")] = 2.0
    max: Annotated[Duration, Meta(description="never longer than this")] = 30.0
    jitter: Annotated[float, Meta(ge=0, le=1, description="the share of it left to chance")] = 0.0

    def waits(self, retries: int) -> Iterator[float]:
        """The seconds to wait before each of so many retries."""
        backoff = Backoff(self.max, first=self.initial, factor=self.factor, jitter=self.jitter)
        for _ in range(retries):
            yield backoff.next()


class RetrySpec(Spec):
    threshold: Annotated[int, Meta(ge=0, description="how many retries at most")] = 0
    backoff: Annotated[BackoffSpec, Meta(description="the time between tries")] = BackoffSpec()
    when: Annotated[
        Code | None,
        Meta(description="CEL: which answers or errors, as `self`, to retry; default: errors"),
    ] = None
    wait: Annotated[
        Code | None,
        Meta(
            description="CEL: how long to wait, by the answer or error; null, or what it cannot "
            "say: as `backoff` says"
        ),
    ] = None
    timeout: Annotated[
        TimeLimit | None,
        Meta(description="how long all tries may take"),
    ] = None
    open_after: Annotated[
        int | None,
        Meta(ge=1, description="after so many failed tries in a row, try nothing for a while"),
    ] = None
    half_open: Annotated[
        Duration, Meta(description="how long nothing is tried, until one packet is let through")
    ] = HALF_OPEN


class Neighbours(Protocol):
    """The documents that a spec stands among (scheme/advice.py)."""

    def label(self, document: dict[str, Any]) -> str: ...

    def has_effect(self, document: dict[str, Any]) -> bool: ...

    def targets(self, document: dict[str, Any], port: str) -> Iterator[dict[str, Any]]: ...

    def leading(self, document: dict[str, Any]) -> list[dict[str, Any]]: ...

    def following(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]: ...


@node("retry", outputs=("out", "out[1]"), reads_only=True)
class Retry(Node[RetrySpec]):
    """Sends its input to `out` again while the answer is an error, or one that `when` says.

    What comes of it leaves by `out[1]`, and what follows there is not tried again; without a link
    there it is the answer. After `threshold` retries the last error goes to `error`, or is the
    answer. All tries happen in the same process, so a retry undoes nothing.
    """

    @classmethod
    def check(cls, spec: RetrySpec, compiler: Compiler) -> list[SpecFault]:
        found = []
        for path, code in (("$.when", spec.when), ("$.wait", spec.wait)):
            if code is not None:
                found += lang.faults("cel", code, path)
        return found

    @classmethod
    def advise(cls, document: dict[str, Any], around: Neighbours) -> list[str]:
        """What it repeats besides the first nodes that reach outside."""
        if next(around.targets(document, "out[1]"), None) is not None:
            return []
        return enclosed(document, around)

    def __init__(self, spec: RetrySpec, services: Services) -> None:
        super().__init__(spec, services)
        self.after = self.output("out[1]")
        self.when = None if spec.when is None else lang.compile("cel", spec.when)
        self.wait = None if spec.wait is None else lang.compile("cel", spec.wait)
        self.circuit = None
        if spec.open_after is not None:
            self.circuit = Circuit(spec.open_after, spec.half_open, services.clock)

    def handle(self, ctx: Context, payload: Any) -> Any:
        if self.circuit is None:
            return self.tried(ctx, payload)
        self.circuit.enter()
        try:
            return self.tried(ctx, payload)
        finally:
            self.circuit.leave()

    def tried(self, ctx: Context, payload: Any) -> Any:
        """What leaves in the end."""
        spec, clock, circuit = self.spec, self.services.clock, self.circuit
        waits = spec.backoff.waits(spec.threshold)
        end = None if spec.timeout is None else clock.monotonic() + spec.timeout
        while True:
            answer = self.attempt(ctx, payload, end)
            again = self.failed(answer)
            if circuit is not None:
                circuit.note(answer, again)
            if not again or (circuit is not None and circuit.is_open):
                break
            seconds = next(waits, None)
            if seconds is None:
                break
            if self.wait is not None:
                seconds = self.waiting(answer, seconds)
            if end is not None and clock.monotonic() + seconds >= end:
                break  # it would not be over in time
            clock.sleep(seconds)
        if type(answer) is Fault:
            return answer
        return leave(self.after, ctx.process, answer)

    def attempt(self, ctx: Context, payload: Any, end: float | None) -> Any:
        """One try, until `end` by the clock."""
        if end is None:
            return ctx.call("out", payload)[0]
        assert self.out is not None
        branches = Branches(ctx)
        strand = Strand(ctx.process, ctx.packet.hops)
        clock = self.services.clock
        try:
            with clock.timeout(max(end - clock.monotonic(), 0.0)) as limit:
                branches.begin(strand, self.out, payload)
                (branch,) = branches.take()
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            branches.cancel()
            assert self.spec.timeout is not None
            return self.fault(TimedOut(self.spec.timeout), ctx.packet)
        return branch.end()

    def failed(self, answer: Any) -> bool:
        """Whether an answer is to be tried again."""
        is_error = type(answer) is Fault
        if self.when is None:
            return is_error
        if is_error and isinstance(answer.error, TimedOut) and self in answer.origins:
            return True  # nothing was answered that `when` could be about
        try:
            return condition.is_true(self.when(seen(answer)))
        except Exception:
            if is_error:  # `self.status >= 500` says nothing about an error: it is one
                return True
            raise

    def waiting(self, answer: Any, seconds: float) -> float:
        """How long to wait after an answer, `seconds` if it does not say."""
        assert self.wait is not None
        try:
            said = seconds_of(self.wait(seen(answer)), self.services.clock)
        except Exception:  # a server that is down says no `Retry-After`
            return seconds
        return seconds if said is None else said


class Circuit:
    """Lets no packet through for a while after many tries have failed in a row, then one, on which
    it depends how it goes on."""

    def __init__(self, most: int, seconds: float, clock: Clock) -> None:
        self.most, self.seconds, self.clock = most, seconds, clock
        self.failures = 0  # in a row
        self.until: float | None = None  # open, by the clock
        self.on_trial: object = None  # who was let through
        self.error: BaseException | None = None  # of the last try

    @property
    def is_open(self) -> bool:
        return self.until is not None

    def enter(self) -> None:
        """A packet comes. Raises CircuitOpen for one that is not let through."""
        if self.until is None:
            return
        left = self.until - self.clock.monotonic()
        if left > 0 or self.on_trial is not None:
            raise CircuitOpen(self.failures, left) from self.error
        self.on_trial = gevent.getcurrent()

    def note(self, answer: Any, failed: bool) -> None:
        """A try was answered."""
        if not failed:
            self.failures, self.until, self.error = 0, None, None
            return
        self.failures += 1
        self.error = answer.error if type(answer) is Fault else None
        if self.failures >= self.most:
            self.until = self.clock.monotonic() + self.seconds

    def leave(self) -> None:
        """A packet that was let through is done."""
        if self.on_trial is gevent.getcurrent():
            self.on_trial = None


def enclosed(document: dict[str, Any], around: Neighbours) -> list[str]:
    """Advice about a retry without `out[1]`: the nodes with an effect that come after the first on
    their way are tried again with them."""
    here = around.label(document)
    first: list[dict[str, Any]] = []
    looked_at: list[dict[str, Any]] = []
    unseen = list(around.targets(document, "out"))
    while unseen:
        target = unseen.pop(0)
        if any(target is other for other in looked_at):
            continue
        looked_at.append(target)
        if around.has_effect(target):
            first.append(target)
        else:
            unseen += around.leading(target)
    lines: dict[str, None] = {}
    for meant in first:
        which = around.label(meant)
        for after in around.following([meant]):
            if after is document:
                line = (
                    f"{here} leads back to itself by {which}: its tries contain those of all "
                    "rounds that follow; link what comes after from its out[1]"
                )
            elif around.has_effect(after) and not any(after is other for other in first):
                line = (
                    f"{here} also repeats {around.label(after)}, which comes after {which}: link "
                    "what comes after from its out[1]"
                )
            else:
                continue
            lines[line] = None
    return list(lines)


def seen(answer: Any) -> Any:
    """An answer as an expression sees it: an error is itself, nothing is null."""
    return answer.error if type(answer) is Fault else left(answer)
