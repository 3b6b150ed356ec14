"""From tokens to a tree.

Lives here: the grammar, the nodes of the tree and the limits of its size and depth. Operators are
parsed with a stack of their own, so only brackets recurse: about three Python frames for each.
`a && b && c` is one node, as is every chain of `||`: they are evaluated in a loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from greenflow.lang.cel.lexer import RESERVED, Token, Wrong, tokens
from greenflow.lang.cel.values import MAX_INT, MIN_INT

#: Characters of code, as in cel-go: what a person writes is far below.
MAX_CODE = 100_000

#: Nodes of a tree: keeps one compile near 50 ms.
MAX_NODES = 10_000

#: Brackets inside brackets; three Python frames each, of the thousand that there are.
MAX_NESTING = 100

#: Nodes above each other; up to two Python frames each when it runs.
MAX_DEPTH = 200


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
    operator: str
    operands: list[Node]
    closed: bool = False  # in brackets: what follows is not part of the chain


@dataclass(slots=True)
class Condition(Node):
    test: Node
    then: Node
    otherwise: Node


Made = TypeVar("Made", bound=Node)

_BINDING = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_CONSTANTS = {"true": True, "false": False, "null": None}


def parse(code: str) -> Node:
    """The tree of an expression. Raises Wrong."""
    if len(code) > MAX_CODE:
        raise Wrong(f"the code is longer than {MAX_CODE} characters", 0)
    parser = _Parser(code)
    tree = parser.expression()
    if parser.token.kind != "end":
        parser.unexpected()
    return tree


class _Parser:
    def __init__(self, code: str) -> None:
        self.tokens = tokens(code)
        self.token: Token = next(self.tokens)
        self.nodes = 0
        self.nesting = 0

    def advance(self) -> Token:
        token, self.token = self.token, next(self.tokens)
        return token

    def accept(self, operator: str) -> bool:
        if self.token.kind == "op" and self.token.value == operator:
            self.token = next(self.tokens)
            return True
        return False

    def expect(self, operator: str) -> None:
        if not self.accept(operator):
            self.unexpected(f", {operator!r} is wanted")

    def unexpected(self, wanted: str = "") -> NoReturn:
        shown = "the end" if self.token.kind == "end" else repr(self.token.value)
        raise Wrong(f"unexpected {shown[:80]}{wanted}", self.token.at)

    def made(self, node: Made, *children: Node) -> Made:
        """The node, counted and measured."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Wrong(f"the expression has more than {MAX_NODES} parts", node.at)
        if children:
            node.depth = max(child.depth for child in children) + 1
            if node.depth > MAX_DEPTH:
                raise Wrong(f"the expression is nested deeper than {MAX_DEPTH}", node.at)
        return node

    def expression(self) -> Node:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise Wrong(f"brackets are nested deeper than {MAX_NESTING}", self.token.at)
        tests: list[tuple[Node, Node, int]] = []
        while True:
            node = self.operation()
            at = self.token.at
            if not self.accept("?"):
                break
            then = self.operation()
            self.expect(":")
            tests.append((node, then, at))
            if len(tests) > MAX_DEPTH:
                raise Wrong(f"the expression is nested deeper than {MAX_DEPTH}", at)
        for test, then, at in reversed(tests):
            node = self.made(Condition(test, then, node, at=at), test, then, node)
        self.nesting -= 1
        return node

    def operation(self) -> Node:
        """Operands and operators between them, by precedence."""
        operands = [self.operand()]
        pending: list[Token] = []
        while True:
            token = self.token
            binding = _BINDING.get(token.value, 0) if token.kind in ("op", "name") else 0
            while pending and _BINDING[pending[-1].value] >= binding:
                self.reduce(operands, pending.pop())
            if not binding:
                return operands[0]
            pending.append(self.advance())
            operands.append(self.operand())

    def reduce(self, operands: list[Node], token: Token) -> None:
        right, left = operands.pop(), operands.pop()
        if token.value not in ("&&", "||"):
            operands.append(self.made(Binary(token.value, left, right, at=token.at), left, right))
        elif isinstance(left, Logic) and left.operator == token.value and not left.closed:
            left.operands.append(right)
            operands.append(self.made(left, left, right))
            left.depth = max(left.depth - 1, right.depth + 1)
        else:
            node = Logic(token.value, [left, right], at=token.at)
            operands.append(self.made(node, left, right))

    def operand(self) -> Node:
        """Signs, a primary, and what is selected of it."""
        signs: list[Token] = []
        while self.token.kind == "op" and self.token.value in ("!", "-"):
            signs.append(self.advance())
            if len(signs) > MAX_DEPTH:
                raise Wrong(f"the expression is nested deeper than {MAX_DEPTH}", signs[-1].at)
            if signs[-1].value != signs[0].value:
                self.unexpected(": write brackets between ! and -")
        number = self.token.kind == "literal" and type(self.token.value) in (int, float)
        negative = number and signs and signs[0].value == "-"
        node = self.selection(self.primary(bool(negative)))
        for sign in reversed(signs[:-1] if negative else signs):
            node = self.made(Unary(sign.value, node, at=sign.at), node)
        return node

    def primary(self, negative: bool) -> Node:
        token = self.advance()
        kind, value, at = token
        if kind == "literal":
            value = -value if negative else value
            if type(value) is int and not MIN_INT <= value <= MAX_INT:
                raise Wrong("the integer does not fit 64 bits; append u to an unsigned one", at)
            return self.made(Literal(value, at=at))
        if kind == "name":
            return self.named(value, at, False)
        if kind == "op":
            if value == ".":
                name = self.advance()
                if name.kind == "name":
                    return self.named(name.value, at, True)
            if value == "(":
                node = self.expression()
                self.expect(")")
                if isinstance(node, Logic):
                    node.closed = True
                return node
            if value == "[":
                return self.list_of(at)
            if value == "{":
                return self.map_of(at)
        self.token = token
        self.unexpected()

    def named(self, name: str, at: int, root: bool) -> Node:
        if name in _CONSTANTS and not root:
            return self.made(Literal(_CONSTANTS[name], at=at))
        if name in RESERVED or name == "in":
            raise Wrong(f"{name!r} is a reserved word", at)
        if self.accept("("):
            arguments = self.arguments()
            return self.made(Call(None, name, arguments, at=at), *arguments)
        return self.made(Name(name, root, at=at))

    def selection(self, node: Node) -> Node:
        while self.token.kind == "op":
            at = self.token.at
            if self.accept("."):
                optional = self.accept("?")
                name = self.advance()
                if name.kind not in ("name", "quoted") or name.value == "in":
                    self.token = name
                    self.unexpected(", the name of a field is wanted")
                if name.kind == "name" and not optional and self.accept("("):
                    arguments = self.arguments()
                    node = self.made(Call(node, name.value, arguments, at=at), node, *arguments)
                else:
                    node = self.made(Select(node, name.value, optional, at=at), node)
            elif self.accept("["):
                optional = self.accept("?")
                index = self.expression()
                self.expect("]")
                node = self.made(Index(node, index, optional, at=at), node, index)
            elif self.token.value == "{" and isinstance(node, Name | Select):
                raise Wrong("messages are not supported, write a map", at)
            else:
                break
        return node

    def arguments(self) -> list[Node]:
        found: list[Node] = []
        while not self.accept(")"):
            if found:
                self.expect(",")
            found.append(self.expression())
        return found

    def list_of(self, at: int) -> Node:
        items: list[Node] = []
        optional: list[bool] = []
        while not self.accept("]"):
            optional.append(self.accept("?"))
            items.append(self.expression())
            if not self.accept(","):
                self.expect("]")
                break
        return self.made(ListOf(items, optional, at=at), *items)

    def map_of(self, at: int) -> Node:
        keys: list[Node] = []
        values: list[Node] = []
        optional: list[bool] = []
        while not self.accept("}"):
            optional.append(self.accept("?"))
            keys.append(self.expression())
            self.expect(":")
            values.append(self.expression())
            if not self.accept(","):
                self.expect("}")
                break
        return self.made(MapOf(keys, values, optional, at=at), *keys, *values)
