"""Scopes: what a node encloses ends, and what follows is outside (BEHAVIOUR 5.13).

Lives here: how the answer of what `out` leads to goes on over the port that follows. Whether it is
tried again, kept or let pass is the kind's to say. A scope that only watches its answer is a place
on the answer's way, so it costs no greenlet.
"""

from __future__ import annotations

from typing import Any

from greenflow.engine.node import Edge, Node
from greenflow.engine.packet import NOTHING, Carrier, Fault, Packet, Reply
from greenflow.engine.port import OutPort
from greenflow.engine.process import RUNNING
from greenflow.engine.result import Answer, Send


class Scope(Edge):
    """The end of a scope: an error goes to the node's `error` link, any other answer on."""

    __slots__ = ("after",)

    def __init__(self, node: Node[Any], packet: Packet, after: OutPort) -> None:
        super().__init__(node, packet)
        node.guarded(1)
        self.after = after

    def passes(self, answer: Any) -> bool:
        if not goes_on(self.after, self.process, answer):
            return super().passes(answer)
        send_on(self, self.node, self.process, self.hops, self.after, answer)
        self.node.guarded(-1)
        return False


def goes_on(after: OutPort, process: Carrier, answer: Any) -> bool:
    """Whether an answer leaves by the port that follows its scope."""
    if type(answer) is Fault or process.state != RUNNING:
        return False
    return after.leads(process.generation)


def send_on(
    end: Reply, node: Node[Any], process: Any, hops: int, after: OutPort, answer: Any
) -> None:
    """Let the answer of a scope leave by the port that follows; what is answered there goes where
    the answer would have gone."""
    assert end.up is not None
    value = left(answer)
    node.send(Packet(value, process, end.up, end.place, hops), after, value)


def leave(after: OutPort, process: Carrier, answer: Any) -> Send | Answer:
    """The same for a handler to return; without a link the answer is the answer."""
    return Send(after, left(answer)) if after.leads(process.generation) else Answer(answer)


def left(answer: Any) -> Any:
    """What leaves where an answer goes on: nothing is null."""
    return None if answer is NOTHING else answer
