"""How a kind is declared: @node.

Lives here: the decorator, and nothing it decorates. What a kind is written against is node.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenflow.engine.node import Node
from greenflow.spec.ports import canonical, parse


def node(
    kind: str,
    *,
    inputs: tuple[str, ...] | None = None,
    outputs: tuple[str, ...] | None = None,
    reads_only: bool | None = None,
    reaches_outside: bool | None = None,
) -> Callable[[Any], type[Node[Any]]]:
    """Declare a kind: decorates a Node class, or a function `(ctx, payload)` that becomes one."""

    def declare(declared: Any) -> type[Node[Any]]:
        if isinstance(declared, type):
            if not issubclass(declared, Node):
                raise TypeError(f"@node({kind!r}) decorates a function or a sub-class of Node")
            made: type[Node[Any]] = declared
        else:
            body = {
                "handle": lambda self, ctx, payload: declared(ctx, payload),
                "handler": lambda self, port: declared,
                "function": staticmethod(declared),
                "__doc__": declared.__doc__,
                "__module__": declared.__module__,
                "__qualname__": declared.__qualname__,
            }
            made = type(declared.__name__, (Node,), body)
        made.kind = kind
        if inputs is not None:
            made.inputs = tuple(map(_declared_port, inputs))
        if outputs is not None:
            made.outputs = tuple(map(_declared_port, outputs))
        if reads_only is not None:
            made.reads_only = reads_only
        if reaches_outside is not None:
            made.reaches_outside = reaches_outside
        return made

    return declare


def _declared_port(name: str) -> str:
    return name if name.endswith("[i]") and parse(name[:-3]) else canonical(name)
