"""Whose code runs: the node that a hub's guard names when it blocks the hub.

Lives here: how a node is told from the frames of its greenlet. Looking at them is hub/guard.py's.
"""

from __future__ import annotations

from types import FrameType

from greenflow.engine.node import Node, describe
from greenflow.engine.origin import name_of
from greenflow.hub.guard import Culprit


def running_in(frame: FrameType) -> Culprit | None:
    """The node whose code runs, for the guard of a hub: known by the frame that received a
    packet."""
    if frame.f_code.co_name != "receive":
        return None
    node = frame.f_locals.get("node")
    if not isinstance(node, Node):
        return None
    return Culprit(node.spec.namespace, name_of(node), describe(node))
