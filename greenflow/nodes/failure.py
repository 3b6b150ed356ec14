"""What is done about errors: throw, try, retry (BEHAVIOUR 5, 13)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Handler, Node
from greenflow.engine.packet import Fault, Packet
from greenflow.engine.port import Receive
from greenflow.engine.process import Reader
from greenflow.engine.result import Answer
from greenflow.errors import WorkflowError
from greenflow.hub.backoff import Backoff
from greenflow.net import mime
from greenflow.spec.fields import Duration, Spec


@node("throw", outputs=(), reads_only=True)
class Throw(Node[Spec]):
    """Raises its input: an error as itself, a string as the message, another value as its JSON.

    A list is a chain, the root cause first; nulls in it are skipped. Null, or no element, raises
    nothing and is answered null.
    """

    def handle(self, ctx: Context, payload: Any) -> Any:
        raised: Exception | None = None
        for item in payload if isinstance(payload, list) else [payload]:
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


@node("try", reads_only=True)
class Try(Node[Spec]):
    """Sends its input to `out`; an error that is answered goes to `error`."""

    def receiver(self, handle: Handler) -> Receive:
        def receive(reader: Reader, packet: Packet) -> bool:
            assert self.out is not None
            self.guard(packet)
            self.send(packet, self.out, packet.payload)
            return False

        return receive


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


@node("retry", reads_only=True)
class Retry(Node[RetrySpec]):
    """Sends its input to `out` again while the answer is an error.

    After `threshold` retries the last error goes to `error`, or is the answer. All tries happen in
    the same process, so a retry undoes nothing.
    """

    def handle(self, ctx: Context, payload: Any) -> Any:
        waits = self.spec.backoff.waits(self.spec.threshold)
        while True:
            (answer,) = ctx.call("out", payload)
            if type(answer) is not Fault:
                return Answer(answer)
            seconds = next(waits, None)
            if seconds is None:
                return answer
            self.services.clock.sleep(seconds)
