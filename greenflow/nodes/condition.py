"""`if` and `switch`: which way a packet goes, by conditions (BEHAVIOUR 13, 13.1, 13.2).

A condition is CEL unless `language` says otherwise. An error in one goes to `error`, and the later
ones are not tried.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from greenflow import lang
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.packet import unused
from greenflow.engine.result import Send
from greenflow.engine.services import Compiler, Services
from greenflow.errors import SpecFault
from greenflow.nodes.unlinked import unlinked
from greenflow.spec.fields import Code, Duration, Spec, alias
from greenflow.spec.ports import OUT_PORT, canonical, parse

Language = Annotated[str, Meta(description="what the conditions are written in")]
Timeout = Annotated[
    Duration | None, Meta(description="how long one may take; default: the language's")
]


class IfSpec(Spec):
    when: Annotated[Code, Meta(description="the condition; the packet is `self`")]
    language: Language = "cel"
    timeout: Timeout = None


class SwitchCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A condition, and where the packet goes if it is true."""

    when: Annotated[Code, Meta(description="the condition; the packet is `self`")]
    port: Annotated[str, Meta(description="an `out[i]`", extra_json_schema={"pattern": OUT_PORT})]


class SwitchSpec(Spec):
    match: Annotated[
        list[SwitchCase], Meta(description="the first true one decides"), alias("matches")
    ] = []
    language: Language = "cel"
    timeout: Timeout = None


@node("if", outputs=("out", "out[1]"), reads_only=True)
class If(Node[IfSpec]):
    """Sends its input to `out[0]` if the condition is true, else to `out[1]`.

    False are false, null, 0, 0.0 and the empty string; everything else is true.
    """

    @classmethod
    def check(cls, spec: IfSpec, compiler: Compiler) -> list[SpecFault]:
        return lang.faults(spec.language, spec.when, "$.when")

    def __init__(self, spec: IfSpec, services: Services) -> None:
        self.program = lang.compile(spec.language, spec.when)
        super().__init__(spec, services)
        self.otherwise = self.output("out[1]")

    def handle(self, ctx: Context, payload: Any) -> Any:
        result = self.program(payload, timeout=self.spec.timeout, log=ctx.log_line)
        if is_true(result):
            return payload
        return Send(self.otherwise, payload)


@node("switch", outputs=("out[i]",), reads_only=True)
class Switch(Node[SwitchSpec]):
    """Sends its input to the port of the first condition that is true; if none is, answers nothing,
    and an error with itself.

    False are false, null, 0, 0.0 and the empty string; everything else is true.
    """

    @classmethod
    def check(cls, spec: SwitchSpec, compiler: Compiler) -> list[SpecFault]:
        found = []
        for i, case in enumerate(spec.match):
            found += lang.faults(spec.language, case.when, f"$.match[{i}].when")
            try:
                if parse(case.port)[0] != "out":
                    raise ValueError("a case leaves by out[0], out[1] and so on")
            except ValueError as error:
                found.append(SpecFault(f"$.match[{i}].port", str(error)))
        return found

    @classmethod
    def doubts(cls, spec: SwitchSpec, compiler: Compiler) -> list[SpecFault]:
        return unlinked(
            spec, {f"$.match[{i}].port": case.port for i, case in enumerate(spec.match)}
        )

    def __init__(self, spec: SwitchSpec, services: Services) -> None:
        self.cases = [
            (lang.compile(spec.language, case.when), canonical(case.port)) for case in spec.match
        ]
        super().__init__(spec, services)

    def handle(self, ctx: Context, payload: Any) -> Any:
        for program, port in self.cases:
            if is_true(program(payload, timeout=self.spec.timeout, log=ctx.log_line)):
                return Send(self.output(port), payload)
        return unused(payload, self)


def is_true(result: Any) -> bool:
    """Whether a result counts as true (BEHAVIOUR 13.1); an empty list or map does."""
    return not (result is None or result is False or result == "" or _is_zero(result))


def _is_zero(result: Any) -> bool:
    return isinstance(result, int | float) and result == 0
