"""greenflow: workflows that are data, compiled into linked nodes, changed while they run.

Lives here: the public names, nothing else. They are imported when they are first asked for, so that
`import greenflow` costs nothing and patches nothing. How a kind is written is in `greenflow.node`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenflow import lazy

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.errors import GreenflowError
    from greenflow.local import Local, enter
    from greenflow.node import Context, Node
    from greenflow.packet import NOTHING, Fault
    from greenflow.process import current
    from greenflow.runtime import Runtime
    from greenflow.scheme import Scheme
    from greenflow.source import Source
    from greenflow.spec import Spec

__all__ = [
    "NOTHING",
    "Context",
    "Fault",
    "GreenflowError",
    "Local",
    "Node",
    "Runtime",
    "Scheme",
    "Settings",
    "Source",
    "Spec",
    "current",
    "enter",
]

__getattr__ = lazy.names(
    __name__,
    {
        "NOTHING": "packet",
        "Context": "node",
        "Fault": "packet",
        "GreenflowError": "errors",
        "Local": "local",
        "Node": "node",
        "Runtime": "runtime",
        "Scheme": "scheme",
        "Settings": "config",
        "Source": "source",
        "Spec": "spec",
        "current": "process",
        "enter": "local",
    },
)
