"""greenflow: workflows that are data, compiled into linked nodes, changed while they run.

Lives here: the public names, nothing else. They are imported when they are first asked for, so that
`import greenflow` costs nothing and patches nothing. How a kind is written is in engine/node.py.
"""

from __future__ import annotations

from greenflow import lazy

TYPE_CHECKING = False  # as typing says it, which takes longer to import than all that is here
if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.engine.declaring import node
    from greenflow.engine.local import Local, enter
    from greenflow.engine.node import Context, Node
    from greenflow.engine.packet import NOTHING, Fault
    from greenflow.engine.process import current
    from greenflow.engine.result import Answer
    from greenflow.engine.source import Source
    from greenflow.errors import GreenflowError
    from greenflow.payload.stream import Stream
    from greenflow.runtime import Runtime
    from greenflow.scheme.registry import Scheme
    from greenflow.spec.fields import Duration, Spec

__all__ = [
    "NOTHING",
    "Answer",
    "Context",
    "Duration",
    "Fault",
    "GreenflowError",
    "Local",
    "Node",
    "Runtime",
    "Scheme",
    "Settings",
    "Source",
    "Spec",
    "Stream",
    "current",
    "enter",
    "node",
]

__getattr__ = lazy.names(
    __name__,
    {
        "NOTHING": "engine.packet",
        "Answer": "engine.result",
        "Context": "engine.node",
        "Duration": "spec.fields",
        "Fault": "engine.packet",
        "GreenflowError": "errors",
        "Local": "engine.local",
        "Node": "engine.node",
        "Runtime": "runtime",
        "Scheme": "scheme.registry",
        "Settings": "config",
        "Source": "engine.source",
        "Spec": "spec.fields",
        "Stream": "payload.stream",
        "current": "engine.process",
        "enter": "engine.local",
        "node": "engine.declaring",
    },
)
