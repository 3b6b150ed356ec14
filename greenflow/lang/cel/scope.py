"""The names of an expression and their places in the frame.

Lives here: Scope, what the emitter and the macros share: which names are declared, where their
values are when it runs, which a macro binds, and how many steps a loop's turn takes. How a node
becomes a closure is the emitter's (emit.py), which is a scope that can do that.

A name or function that nobody declared is a compile error wherever it stands, as in every CEL that
is checked: `&&` and `||` absorb errors of a run, and this is none. An expression that is not
`checked` is as the language definition has it without its check ("Evaluation"): below `&&`, `||`
and in what `all` and `exists` ask it is an error when it runs, which other operands may absorb.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from greenflow.lang.cel.arithmetic import Closure
from greenflow.lang.cel.meter import FIRST_SLOT, Frame
from greenflow.lang.cel.tree import Name, Node, Select, Wrong
from greenflow.lang.cel.values import TYPES, CelError


class Scope(ABC):
    """The names of one expression. `slots` is how many places its frame has."""

    def __init__(self, variables: Sequence[str], checked: bool = True) -> None:
        self.checked = checked
        self.variables = {variable: FIRST_SLOT + i for i, variable in enumerate(variables)}
        self.locals: dict[str, int] = {}
        self.slots = FIRST_SLOT + len(variables)
        self.emitted = 0  # nodes of the whole expression
        self.steps = 0  # nodes emitted since the innermost loop's body began
        self.absorbing = 0  # logic operators and quantifiers around

    @abstractmethod
    def emit(self, node: Node) -> Closure:
        """The closure of a node. Raises Wrong."""

    def known(self, path: str) -> Closure | None:
        """The variable or type of a name with or without dots."""
        if path in self.variables:
            return itemgetter(self.variables[path])
        if path in TYPES:
            kind = TYPES[path]
            return lambda frame: kind
        return None

    def undeclared(self, reason: str, at: int) -> Closure:
        """An error now; unchecked, when it runs where something may absorb it."""
        if self.checked or not self.absorbing:
            raise Wrong(reason, at)

        def run(frame: Frame) -> Any:
            raise CelError(reason, at)

        return run

    def path(self, node: Node) -> str | None:
        """A chain of names with dots, unless it begins with a local name."""
        fields = []
        while isinstance(node, Select) and not node.optional:
            fields.append(node.field)
            node = node.operand
        if not isinstance(node, Name) or (node.name in self.locals and not node.root):
            return None
        return ".".join((node.name, *reversed(fields)))

    def place(self, node: Node) -> int | None:
        """The place in the frame that a name stands for."""
        if not isinstance(node, Name):
            return None
        if not node.root and node.name in self.locals:
            return self.locals[node.name]
        return self.variables.get(node.name)

    def bound(self, node: Node) -> tuple[str, int]:
        """The name that a macro binds, and a place for it."""
        if not isinstance(node, Name) or node.root:
            raise Wrong("a macro's variable is a plain name", node.at)
        self.slots += 1
        return node.name, self.slots - 1

    def within(self, bound: Sequence[tuple[str, int]], node: Node) -> tuple[Closure, int]:
        """The closure of a loop's body with names bound, and the steps of one turn."""
        outer, self.locals = self.locals, {**self.locals, **dict(bound)}
        steps, self.steps = self.steps, 1
        try:
            return self.emit(node), self.steps
        finally:
            self.locals, self.steps = outer, steps
