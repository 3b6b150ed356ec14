"""Nodes made of plain functions, and the settings they need, for tests of the core model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenflow.config import Settings
from greenflow.engine.node import Context, Node
from greenflow.engine.port import OutPort
from greenflow.engine.process import Process
from greenflow.engine.services import Services
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Spec

SERVICES = Services("default", Settings(grace=5.0), Scheme({}))


class FunctionNode(Node[Spec]):
    """A node that handles packets with the function it is given."""

    outputs = ("out[i]",)
    reads_only = True

    def __init__(self, function: Callable[[Context, Any], Any], name: str = "") -> None:
        self.function = function
        super().__init__(Spec(kind="function", id=name or function.__name__), SERVICES)

    def handle(self, ctx: Context, payload: Any) -> Any:
        return self.function(ctx, payload)


def link(source: Node[Any] | OutPort, target: Node[Any], port: str = "out") -> None:
    """Add a link to the `in` port of the target."""
    out = source if isinstance(source, OutPort) else source.output(port)
    entry = target.input("in")
    assert entry is not None
    out.links += (entry,)


def entry(*targets: Node[Any]) -> OutPort:
    """An out port of a source, linked to the targets."""
    port = OutPort()
    for target in targets:
        link(port, target)
    return port


def ask(port: OutPort, *values: Any) -> list[Any]:
    """Run a process of its own from start to end."""
    process = Process()
    answers = process.ask(port, *values)
    process.settle()
    process.finish()
    return answers
