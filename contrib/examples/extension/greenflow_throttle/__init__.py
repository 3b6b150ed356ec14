"""Two kinds of nodes: `throttle` and `upper`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta

from greenflow import Context, Node, Spec, node


@node("upper")
def upper(ctx: Context, text: str) -> str:
    """Writes its text in capitals."""
    return text.upper()


class Bucket:
    """A second's worth of tokens, filled again as time passes."""

    def __init__(self, rate: float, seconds: Callable[[], float]) -> None:
        self.rate, self.seconds = rate, seconds
        self.size = max(rate, 1.0)
        self.tokens, self.filled = self.size, seconds()

    def take(self) -> bool:
        """Take a token, if there is one."""
        now = self.seconds()
        self.tokens = min(self.size, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class ThrottleSpec(Spec):
    rate: Annotated[float, Meta(gt=0, description="packets a second")]


@node("throttle", outputs=("out", "rejected"), reads_only=True)
class Throttle(Node[ThrottleSpec]):
    """Lets at most `rate` packets a second through; the others leave by `rejected`."""

    def open(self) -> None:
        self.bucket = Bucket(self.spec.rate, self.services.clock.monotonic)

    def handle(self, ctx: Context, payload: Any) -> Any:
        return payload if self.bucket.take() else ctx.to("rejected", payload)
