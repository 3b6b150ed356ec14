"""Whether a handler waited: a cycle that waits is no runaway (BEHAVIOUR 3.10).

Lives here: how a node whose handlers may wait begins to count the writes of a descent anew. Kinds
say `waits = True`; for all others nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub


def counted_anew(handle: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The handler of a node that may wait: if the hub got to run meanwhile, what it sends is the
    first write of its descent."""

    def handle_and_look(ctx: Any, payload: Any) -> Any:
        turns: list[bool] = []
        look = get_hub().loop.run_callback(turns.append, True)
        try:
            return handle(ctx, payload)
        finally:
            if turns:
                ctx.packet.hops = 0
            else:
                look.stop()

    return handle_and_look
