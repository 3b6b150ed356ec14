"""What is done about errors: throw and try (BEHAVIOUR 5, 13). Trying again is retry.py's."""

from __future__ import annotations

from typing import Any

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Handler, Node
from greenflow.engine.onward import Scope
from greenflow.engine.packet import Packet
from greenflow.engine.port import Receive
from greenflow.engine.process import Reader
from greenflow.engine.result import Answer
from greenflow.engine.services import Services
from greenflow.errors import InvalidArgument, WorkflowError
from greenflow.net import mime
from greenflow.spec.fields import Spec

#: Errors that one chain has at most: whoever handles an error goes through all of its causes.
MOST_CAUSES = 1_000


@node("throw", outputs=(), reads_only=True)
class Throw(Node[Spec]):
    """Raises its input: an error as itself, a string as the message, another value as its JSON.

    A list is a chain, the root cause first; nulls in it are skipped, and 1,000 others are the most.
    Null, or no element, raises nothing and is answered null.
    """

    def handle(self, ctx: Context, payload: Any) -> Any:
        raised: Exception | None = None
        items = [payload]
        if isinstance(payload, list):
            items = [item for item in payload if item is not None]
            if len(items) > MOST_CAUSES:
                raise InvalidArgument(f"a chain of more than {MOST_CAUSES:,} errors")
        for item in items:
            if item is None:
                continue
            if isinstance(item, Exception) and raised is None:
                raised = item
            else:
                outer = WorkflowError(message(item))
                outer.__cause__ = raised
                raised = outer
        if raised is None:
            return Answer(None)
        return self.fault(raised, ctx.packet)


def message(item: Any) -> str:
    """What a payload says when it is raised: text itself, else its JSON (BEHAVIOUR 10.6). Raises
    EncodeError for what has none."""
    if isinstance(item, Exception):
        return str(item) or type(item).__name__
    if isinstance(item, str):
        return item
    return mime.dumps(item).decode().removesuffix("\n")


@node("try", outputs=("out", "out[1]"), reads_only=True)
class Try(Node[Spec]):
    """Sends its input to `out`; an error that is answered goes to `error`.

    Any other answer leaves by `out[1]`, and the errors of what follows there go on; without a link
    there it is the answer.
    """

    def __init__(self, spec: Spec, services: Services) -> None:
        super().__init__(spec, services)
        self.after = self.output("out[1]")

    def receiver(self, handle: Handler) -> Receive:
        def receive(reader: Reader, packet: Packet) -> bool:
            assert self.out is not None
            if self.after.leads(packet.process.generation):
                Scope(self, packet, self.after)
            else:
                self.guard(packet)
            self.send(packet, self.out, packet.payload)
            return False

        return receive
