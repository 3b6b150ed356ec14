"""`while`: a body that is run as long as a condition holds (BEHAVIOUR 13.while).

Each round is a write of its own, which is over when it is answered, so rounds do not nest: paging
through 100,000 pages needs no more than one page.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from greenflow import lang
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.onward import left
from greenflow.engine.packet import Fault
from greenflow.engine.result import Send
from greenflow.engine.services import Compiler, Services
from greenflow.errors import Runaway, SpecFault
from greenflow.hub.breathing import let_others_run
from greenflow.nodes.condition import Language, Timeout, is_true
from greenflow.spec.fields import Code, Spec

# Rounds of one packet if a spec does not say: more than anybody pages through, and some minutes of
# a condition that never gets false.
LIMIT = 1_000_000

# Rounds after which others get a turn, for a body that never waits.
_ROUNDS_A_TURN = 100


class WhileSpec(Spec):
    when: Annotated[Code, Meta(description="run the body while this is true of the packet, `self`")]
    language: Language = "cel"
    timeout: Timeout = None
    limit: Annotated[int, Meta(ge=1, description="rounds; one more is an error")] = LIMIT


@node("while", outputs=("out", "out[1]"), reads_only=True)
class While(Node[WhileSpec]):
    """Sends its input to `out` while the condition is true of it; the answer is the input of the
    next round. What the condition is not true of leaves by `out[1]`.

    An error in the body goes to `error`. False are false, null, 0, 0.0 and the empty string.
    """

    @classmethod
    def check(cls, spec: WhileSpec, compiler: Compiler) -> list[SpecFault]:
        return lang.faults(spec.language, spec.when, "$.when")

    def __init__(self, spec: WhileSpec, services: Services) -> None:
        self.program = lang.compile(spec.language, spec.when)
        super().__init__(spec, services)
        self.after = self.output("out[1]")

    def handle(self, ctx: Context, payload: Any) -> Any:
        rounds = 0
        while is_true(self.program(payload, timeout=self.spec.timeout, log=ctx.log_line)):
            if rounds == self.spec.limit:
                raise Runaway(f"more than {rounds:,} rounds of a while; see its `limit`")
            rounds += 1
            ctx.process.go_round()
            if rounds % _ROUNDS_A_TURN == 0:
                let_others_run()
            (answer,) = ctx.call("out", payload)
            if type(answer) is Fault:
                return answer
            payload = left(answer)
        return Send(self.after, payload)
