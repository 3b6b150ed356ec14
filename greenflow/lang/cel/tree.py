"""The tree of an expression.

Lives here: its nodes, the limit of its depth, and `Wrong`, which says what cannot be compiled and
where. builder.py makes the nodes, emit.py and macros.py make closures of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Nodes above each other; up to two Python frames each, of the thousand that there are, when a tree
#: is emitted and when it runs.
MAX_DEPTH = 200


class Wrong(Exception):
    """Code that cannot be compiled: why, and at which offset."""

    def __init__(self, reason: str, at: int) -> None:
        self.reason, self.at = reason, at
        super().__init__(reason)


@dataclass(slots=True, kw_only=True)
class Node:
    """A part of an expression; `at` is its offset in the code."""

    at: int
    depth: int = field(default=1, init=False)


@dataclass(slots=True)
class Literal(Node):
    value: Any


@dataclass(slots=True)
class Name(Node):
    name: str
    root: bool = False  # written with a leading dot


@dataclass(slots=True)
class Select(Node):
    operand: Node
    field: str
    optional: bool


@dataclass(slots=True)
class Index(Node):
    operand: Node
    index: Node
    optional: bool


@dataclass(slots=True)
class Call(Node):
    target: Node | None
    name: str
    arguments: list[Node]


@dataclass(slots=True)
class ListOf(Node):
    items: list[Node]
    optional: list[bool]


@dataclass(slots=True)
class MapOf(Node):
    keys: list[Node]
    values: list[Node]
    optional: list[bool]


@dataclass(slots=True)
class Unary(Node):
    operator: str
    operand: Node


@dataclass(slots=True)
class Binary(Node):
    operator: str
    left: Node
    right: Node


@dataclass(slots=True)
class Logic(Node):
    """`a && b && c` is one node, as is every chain of `||`: they are evaluated in a loop."""

    operator: str
    operands: list[Node]
    closed: bool = False  # in brackets: what follows is not part of the chain


@dataclass(slots=True)
class Condition(Node):
    test: Node
    then: Node
    otherwise: Node
