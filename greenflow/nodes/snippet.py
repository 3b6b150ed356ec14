"""`snippet`: a piece of code in one of the installed languages (BEHAVIOUR 13.snippet, 15)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from greenflow import lang
from greenflow.engine.declaring import node
from greenflow.engine.node import Handler, Node
from greenflow.engine.services import Compiler, Services
from greenflow.errors import SpecFault
from greenflow.spec.fields import Code, Duration, Spec


class SnippetSpec(Spec):
    language: Annotated[str, Meta(description="what the code is written in")] = "text"
    code: Annotated[Code, Meta(description="the code")] = ""
    timeout: Annotated[
        Duration | None, Meta(description="how long a call may take; default: the language's")
    ] = None


@node("snippet", reads_only=True)
class Snippet(Node[SnippetSpec]):
    """Runs code on each packet; what the code results in leaves by `out`."""

    @classmethod
    def check(cls, spec: SnippetSpec, compiler: Compiler) -> list[SpecFault]:
        return lang.faults(spec.language, spec.code, "$.code")

    def __init__(self, spec: SnippetSpec, services: Services) -> None:
        self.program = lang.compile(spec.language, spec.code)
        super().__init__(spec, services)

    def handler(self, port: str) -> Handler:
        program, timeout = self.program, self.spec.timeout
        return lambda ctx, payload: program(payload, timeout=timeout, log=ctx.log_line)
