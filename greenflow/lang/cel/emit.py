"""From a tree to closures.

Lives here: the emitter, fields, literals, logic and calls; the operators' closures are in
arithmetic.py, the macros in macros.py, names and their places in scope.py. A closure takes the
frame and returns the node's value. It treats the common types itself and hands the rest to
operators.py.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from greenflow.lang.cel import arithmetic, macros, operators, tree, unknown
from greenflow.lang.cel.arithmetic import Closure, positioned
from greenflow.lang.cel.library import FUNCTIONS, METHODS, NAMESPACES, VARIADIC, Function
from greenflow.lang.cel.meter import LONG, Frame, breathe, charge_text
from greenflow.lang.cel.scope import Scope
from greenflow.lang.cel.tree import Wrong
from greenflow.lang.cel.values import CelError, Optional, UInt, key, name

#: Nodes that are emitted before others may run: about 3 ms at 3 µs each.
NODES_A_TURN = 1024


_ARITHMETIC = frozenset(("+", "-", "*", "/", "%"))
_NUMBERS: dict[type, str] = {int: "int", UInt: "uint", float: "double"}


def _number(node: tree.Node) -> str | None:
    """The type of a number that is written out; None of anything else."""
    if isinstance(node, tree.Unary) and node.operator == "-":
        return _number(node.operand)
    return _NUMBERS.get(type(node.value)) if isinstance(node, tree.Literal) else None


class Emitter(Scope):
    """Makes the closures of one expression."""

    def emit(self, node: tree.Node) -> Closure:
        """The closure of a node. Raises Wrong."""
        self.steps += 1
        self.emitted += 1
        if self.emitted % NODES_A_TURN == 0:
            breathe()
        return _EMIT[type(node)](self, node)

    def constant(self, node: tree.Literal) -> Closure:
        value = node.value
        return lambda frame: value

    def named(self, node: tree.Name) -> Closure:
        place = None if node.root else self.locals.get(node.name)
        found = self.known(node.name) if place is None else itemgetter(place)
        if found is None:
            names = (*self.locals, *self.variables)
            return self.undeclared(unknown.name(node.name, names), node.at)
        return found

    def select(self, node: tree.Select) -> Closure:
        path = self.path(node)
        found = self.known(path) if path is not None else None
        if found is not None:
            return found
        field, at = node.field, node.at
        if node.optional:
            optional = positioned(operators.field_optional, at)
            inner = self.emit(node.operand)
            return lambda frame: optional(inner(frame), field)
        slow = positioned(operators.field_of, at)
        place = self.place(node.operand)
        if place is not None:

            def run_place(frame: Frame) -> Any:
                value = frame[place]
                if type(value) is dict and field in value:
                    return value[field]
                return slow(value, field)

            return run_place
        operand = self.emit(node.operand)

        def run(frame: Frame) -> Any:
            value = operand(frame)
            if type(value) is dict and field in value:
                return value[field]
            return slow(value, field)

        return run

    def has(self, node: tree.Node) -> Closure:
        if not isinstance(node, tree.Select):
            raise Wrong("has() takes the selection of a field, as in has(self.body)", node.at)
        field = node.field
        slow = positioned(operators.has_field, node.at)
        place = self.place(node.operand)
        if place is not None:

            def run_place(frame: Frame) -> bool:
                value = frame[place]
                return field in value if type(value) is dict else slow(value, field)

            return run_place
        operand = self.emit(node.operand)
        return lambda frame: slow(operand(frame), field)

    def index(self, node: tree.Index) -> Closure:
        operand, index = self.emit(node.operand), self.emit(node.index)
        if node.optional:
            optional = positioned(operators.find_optional, node.at)

            def run_optional(frame: Frame) -> Any:
                container, item = operand(frame), index(frame)
                if type(item) is str:
                    charge_text(frame, item)
                return optional(container, item)

            return run_optional
        slow = positioned(operators.find, node.at)

        def run(frame: Frame) -> Any:
            container, item = operand(frame), index(frame)
            if type(item) is str:
                if len(item) > LONG:
                    charge_text(frame, item)  # a key that is as long may have to be compared
                if type(container) is dict and item in container:
                    return container[item]
            return slow(container, item)

        return run

    def list_of(self, node: tree.ListOf) -> Closure:
        items = [self.emit(item) for item in node.items]
        if not any(node.optional):
            return lambda frame: [item(frame) for item in items]
        pairs = list(zip(items, node.optional, strict=True))
        at = node.at

        def run(frame: Frame) -> list[Any]:
            found = []
            for item, optional in pairs:
                value = item(frame)
                if not optional:
                    found.append(value)
                elif type(value) is not Optional:
                    raise CelError(f"{name(value)} is no optional", at)
                elif value.present:
                    found.append(value.value)
            return found

        return run

    def map_of(self, node: tree.MapOf) -> Closure:
        at = node.at
        values = [self.emit(value) for value in node.values]
        texts = [item.value for item in node.keys if isinstance(item, tree.Literal)]
        if (
            not any(node.optional)
            and len(texts) == len(node.keys) == len(set(texts))
            and all(type(text) is str for text in texts)
        ):
            fixed = list(zip(texts, values, strict=True))
            return lambda frame: {text: value(frame) for text, value in fixed}
        entries = [
            (self.emit(item), value, optional)
            for item, value, optional in zip(node.keys, values, node.optional, strict=True)
        ]

        def run(frame: Frame) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for item, value_of, optional in entries:
                place, value = _key(item(frame)), value_of(frame)
                if optional:
                    if type(value) is not Optional:
                        raise CelError(f"{name(value)} is no optional", at)
                    if not value.present:
                        continue
                    value = value.value
                if place in found:
                    raise CelError("the map has the same key twice", at)
                found[place] = value
            return found

        _key = positioned(key, at)
        return run

    def logic(self, node: tree.Logic) -> Closure:
        self.absorbing += 1
        operands = [self.emit(operand) for operand in node.operands]
        self.absorbing -= 1
        decisive, sign, at = node.operator == "||", node.operator, node.at

        def run(frame: Frame) -> bool:
            failure = None
            for operand in operands:
                try:
                    value = operand(frame)
                except CelError as error:
                    failure = failure or error
                    continue
                if value is decisive:
                    return bool(value)
                if value is not True and value is not False and failure is None:
                    failure = CelError(f"{sign} takes booleans, not {name(value)}", at)
            if failure is not None:
                raise failure
            return not decisive

        return run

    def condition(self, node: tree.Condition) -> Closure:
        test, then = self.emit(node.test), self.emit(node.then)
        otherwise, at = self.emit(node.otherwise), node.at

        def run(frame: Frame) -> Any:
            value = test(frame)
            if value is True:
                return then(frame)
            if value is False:
                return otherwise(frame)
            raise CelError(f"?: takes a boolean, not {name(value)}", at)

        return run

    def unary(self, node: tree.Unary) -> Closure:
        operand, at = self.emit(node.operand), node.at
        if node.operator == "-":
            negate = positioned(operators.negate, at)
            return lambda frame: negate(operand(frame))

        def run(frame: Frame) -> bool:
            value = operand(frame)
            if value is True or value is False:
                return not value
            raise CelError(f"! takes a boolean, not {name(value)}", at)

        return run

    def binary(self, node: tree.Binary) -> Closure:
        left, right = self.emit(node.left), self.emit(node.right)
        if node.operator in _ARITHMETIC:
            kinds = _number(node.left), _number(node.right)
            if None not in kinds and kinds[0] != kinds[1]:
                # Of values whose types come from data it is that of two doubles (operators.py).
                shown = f"{kinds[0]} {node.operator} {kinds[1]}"
                raise Wrong(f"no such overload: {shown}; write both alike", node.at)
        if isinstance(node.right, tree.Literal) and node.operator in ("==", "!="):
            return arithmetic.equals_constant(
                left, node.right.value, node.operator == "==", node.at
            )
        return arithmetic.binary(node.operator, left, right, node.at)

    def call(self, node: tree.Call) -> Closure:
        target, shown, count = node.target, node.name, len(node.arguments)
        if target is None:
            if shown == "has" and count == 1:
                return self.has(node.arguments[0])
            return self.apply(FUNCTIONS.get((shown, count)), shown, node.arguments, node.at)
        path = self.path(target)
        if path in NAMESPACES and self.place(target) is None:
            shown = f"{path}.{shown}"
            if shown == "cel.bind" and count == 3:
                return macros.bind(self, node)
            found = FUNCTIONS.get((shown, count))
            if found is None and count:
                found = FUNCTIONS.get((shown, VARIADIC))
            return self.apply(found, shown, node.arguments, node.at)
        macro = macros.MACROS.get((shown, count))
        if macro is not None:
            return macro(self, node)
        found = METHODS.get((shown, count))
        return self.apply(found, shown, [target, *node.arguments], node.at, is_method=True)

    def apply(
        self,
        found: Function | None,
        shown: str,
        nodes: list[tree.Node],
        at: int,
        is_method: bool = False,
    ) -> Closure:
        if found is None and self.checked:
            if is_method:
                self.emit(nodes[0])  # what is wrong before it is told first
            raise Wrong(unknown.call(shown, len(nodes), is_method), at)
        arguments = [self.emit(node) for node in nodes]
        if found is None:
            return self.undeclared(unknown.call(shown, len(nodes), is_method), at)
        if found.prepare is not None:
            values = [node.value if isinstance(node, tree.Literal) else None for node in nodes]
            try:
                found.prepare(values)
            except CelError as error:
                return self.undeclared(error.reason, at)
        return arithmetic.call(found, arguments, at)


_EMIT: dict[type[tree.Node], Callable[[Emitter, Any], Closure]] = {
    tree.Literal: Emitter.constant,
    tree.Name: Emitter.named,
    tree.Select: Emitter.select,
    tree.Index: Emitter.index,
    tree.Call: Emitter.call,
    tree.ListOf: Emitter.list_of,
    tree.MapOf: Emitter.map_of,
    tree.Unary: Emitter.unary,
    tree.Binary: Emitter.binary,
    tree.Logic: Emitter.logic,
    tree.Condition: Emitter.condition,
}
