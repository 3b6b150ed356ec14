"""Where a packet goes next: nop, fork, call, split, sleep (BEHAVIOUR 13).

Lives here: kinds that only move packets. Those about errors are in failure.py and retry.py, `loop`
has a module of its own, and so have the ways that come together (joining.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from greenflow import lang
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.packet import NOTHING, Fault, unused
from greenflow.engine.process import Process
from greenflow.engine.result import Answer, Send
from greenflow.engine.scope import within
from greenflow.engine.services import Compiler, Services
from greenflow.engine.source import Run
from greenflow.errors import SpecFault
from greenflow.hub.breathing import unhurried
from greenflow.nodes import interval
from greenflow.spec import fields
from greenflow.spec.fields import Code, Spec, TimeLimit
from greenflow.spec.ports import parse


@node("nop", outputs=(), reads_only=True)
class Nop(Node[Spec]):
    """Takes every packet and answers nothing."""

    def handle(self, ctx: Context, payload: Any) -> Any:
        return NOTHING


@node("fork", reads_only=True)
class Fork(Node[Spec]):
    """Answers nothing at once and goes on in a child process.

    An error there goes to `error` in the child; without that link it fails only the child. An
    error as input is answered with itself: what a child does about it, its parent does not know.
    """

    def handle(self, ctx: Context, payload: Any) -> Any:
        process = ctx.process
        Run(self).spawn(payload, process, ctx.packet.hops, process.generation)
        return unused(payload, self)


class CallSpec(Spec):
    timeout: Annotated[
        TimeLimit | None,
        Meta(
            description="how long all of it may take: then it is interrupted and rolled back. It"
            " runs in a child process, and commits at its end",
        ),
    ] = None


@node("call", outputs=("out[i]",), reads_only=True)
class Call(Node[CallSpec]):
    """Sends its input to `out[0]`, the answer to the next linked port, and so on.

    The last answer is the answer. An error at any step goes to `error`.
    """

    def handle(self, ctx: Context, payload: Any) -> Any:
        if self.spec.timeout is not None:
            answer = within(ctx, self.spec.timeout, partial(self._in_part, payload))
        else:
            answer = self._in_turn(ctx.process, payload, lambda *sent: ctx.call(*sent)[0])
        return answer if type(answer) is Fault else Answer(answer)

    def _in_part(self, payload: Any, part: Process) -> Any:
        return self._in_turn(
            part, payload, lambda name, value: part.ask(self.output(name), value)[0]
        )

    def _in_turn(self, process: Process, payload: Any, ask: Callable[[str, Any], Any]) -> Any:
        answer = payload
        for name in linked(self, process):
            answer = ask(name, None if answer is NOTHING else answer)
            if type(answer) is Fault:
                break
        return answer


@node("split", outputs=("out[i]",), reads_only=True)
class Split(Node[Spec]):
    """Sends element i of a list to `out[i]`, and anything else to `out[0]`.

    Elements whose port is not linked are dropped; if none is sent, nothing is the answer. An error
    among those dropped is not lost: it is raised, and nothing is sent.
    """

    def handle(self, ctx: Context, payload: Any) -> Iterator[Send]:
        elements = payload if isinstance(payload, list) else [payload]
        ways = {parse(name)[1]: name for name in linked(self, ctx.process)}
        for index, element in enumerate(unhurried(elements)):
            if isinstance(element, Exception) and index not in ways:
                raise element
        for index, name in ways.items():
            if index < len(elements):
                yield ctx.to(name, elements[index])


class SleepSpec(Spec):
    one_of = ("interval", "until")

    interval: Annotated[
        fields.Interval | None,
        Meta(description="how long, seconds or with units"),
    ] = None
    until: Annotated[
        Code | None, Meta(description="instead: CEL on the input that gives the moment to wait for")
    ] = None


@node("sleep", reads_only=True)
class Sleep(Node[SleepSpec]):
    """Passes its input on after an interval, or at a moment; null is no wait."""

    @classmethod
    def check(cls, spec: SleepSpec, compiler: Compiler) -> list[SpecFault]:
        if (spec.interval is None) == (spec.until is None):
            return [SpecFault("$.interval", "give exactly one of `interval` and `until`")]
        if spec.until is not None:
            return lang.faults("cel", spec.until, "$.until")
        return interval.faults("$.interval", spec.interval)

    def __init__(self, spec: SleepSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.interval = None if spec.interval is None else interval.TimeSpan(spec.interval)
        self.until = None if spec.until is None else lang.compile("cel", spec.until)

    def handle(self, ctx: Context, payload: Any) -> Any:
        clock = self.services.clock
        if self.interval is not None:
            seconds = self.interval.of(payload, clock) or 0.0
            clock.sleep(seconds)
            if seconds > 0:
                ctx.packet.hops = 0  # a cycle that waits is no runaway (3.10)
        elif self.until is not None:
            moment = interval.moment_of(self.until(payload))
            while moment is not None and clock.time() < moment:
                clock.sleep_until(moment)  # somebody may set the clock meanwhile
                ctx.packet.hops = 0
        return payload


def linked(node: Node[Any], process: Process) -> list[str]:
    """The names of the node's `out[i]` ports that are linked for the process, by index."""
    ports: list[tuple[int, str]] = [
        (parse(name)[1], name)
        for name, port in node.out_ports.items()
        if parse(name)[0] == "out" and port.links_for(process.generation)
    ]
    return [name for _, name in sorted(ports)]
