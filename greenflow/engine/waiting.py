"""Whether a handler waited: a cycle that waits is no runaway (BEHAVIOUR 3.10).

Lives here: what a node has whose handlers may wait: a span in a traced process (tracing.py), and
how it begins to count the writes of a descent anew. Kinds say `waits = True`; for all others
nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from gevent import get_hub

from greenflow.engine.tracing import traced


class _Turns:
    """How often a hub was seen to run: after each look it counts once more."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._looks = False
        self.count = 0

    def look(self) -> int:
        """The count, which grows when the hub gets to run."""
        if not self._looks:
            self._looks = True
            self._loop.run_callback(self._ran)
        return self.count

    def _ran(self) -> None:
        self._looks = False
        self.count += 1


_turns: WeakKeyDictionary[Any, _Turns] = WeakKeyDictionary()


def waiting(node: Any, handle: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The handler of a node that may wait, with all that such a one has."""
    if node.services.tracer is not None:
        handle = traced(node, handle)
    return counted_anew(handle)


def counted_anew(handle: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The handler of a node that may wait: if the hub got to run meanwhile, what it sends is the
    first write of its descent."""

    def handle_and_look(ctx: Any, payload: Any) -> Any:
        hub = get_hub()
        turns = _turns.get(hub)
        if turns is None:
            turns = _turns[hub] = _Turns(hub.loop)
        before = turns.look()
        try:
            return handle(ctx, payload)
        finally:
            if turns.count != before:
                ctx.packet.hops = 0

    return handle_and_look
