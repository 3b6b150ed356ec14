"""From the rules of the grammar to the tree.

Lives here: Builder, with one method for each rule of cel-python's cel.lark and of grown.lark. Lark
calls it while it parses, from the leaves up, with what the parts of the rule were made into; tokens
are among them, punctuation too, for they say where a node is. It keeps nothing between calls, so
parses may overlap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from greenflow.lang.cel import literals
from greenflow.lang.cel.tree import (
    MAX_DEPTH,
    Binary,
    Call,
    Condition,
    Index,
    ListOf,
    Literal,
    Logic,
    MapOf,
    Name,
    Node,
    Select,
    Unary,
    Wrong,
)

if TYPE_CHECKING:
    from lark import Token

    # What the parts of a rule were made into: nodes, tokens, and what the methods below return.
    Parts = list[Any]

#: Words that no name may be (language definition, "Syntax"); a field may.
RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let"),
        *("loop", "package", "namespace", "return", "var", "void", "while"),
    )
)

_CONSTANTS = {"true": True, "false": False, "null": None}

Above = TypeVar("Above", bound=Node)


def _above(node: Above, *children: Node) -> Above:
    """The node with its depth. Raises Wrong where it is too deep."""
    for child in children:
        if child.depth >= node.depth:
            node.depth = child.depth + 1
    if node.depth > MAX_DEPTH:
        raise Wrong(f"the expression is nested deeper than {MAX_DEPTH}", node.at)
    return node


def _only(parts: Parts) -> Any:
    return parts[0]


def _left(parts: Parts) -> tuple[Node, Token]:
    """The left side of an operator, and the operator."""
    left, operator = parts
    return left, operator


def _binary(parts: Parts) -> Node:
    if len(parts) == 1:
        only: Node = parts[0]
        return only
    (left, operator), right = parts
    return _above(Binary(operator.value, left, right, at=operator.start_pos), left, right)


def _logic(parts: Parts) -> Node:
    left: Node = parts[0]
    if len(parts) == 1:
        return left
    operator, right = parts[1:]
    if isinstance(left, Logic) and left.operator == operator.value and not left.closed:
        left.operands.append(right)
        return _above(left, right)
    return _above(Logic(operator.value, [left, right], at=operator.start_pos), left, right)


def _name(token: Token, at: int) -> str:
    if token.value in RESERVED:
        raise Wrong(f"{token.value!r} is a reserved word", at)
    return str(token.value)


def _arguments(parts: Parts) -> list[Node]:
    """Those of a call, of which the name, the bracket, perhaps a list, and the bracket are left."""
    return parts[2] if len(parts) == 4 else []


class Builder:
    """Makes the tree; a method raises Wrong where the rules allow more than the language does."""

    # -- operators -----------------------------------------------------------------------------

    def expr(self, parts: Parts) -> Node:
        if len(parts) == 1:
            only: Node = parts[0]
            return only
        test, mark, then, _, otherwise = parts
        node = Condition(test, then, otherwise, at=mark.start_pos)
        return _above(node, test, then, otherwise)

    conditionalor = conditionaland = staticmethod(_logic)
    relation = addition = multiplication = staticmethod(_binary)
    relation_lt = relation_le = relation_gt = relation_ge = staticmethod(_left)
    relation_eq = relation_ne = relation_in = staticmethod(_left)
    addition_add = addition_sub = staticmethod(_left)
    multiplication_mul = multiplication_div = multiplication_mod = staticmethod(_left)

    def unary(self, parts: Parts) -> Node:
        if len(parts) == 1:
            only: Node = parts[0]
            return only
        sign, operand = parts
        return _above(Unary(sign.value, operand, at=sign.start_pos), operand)

    unary_not = unary_neg = staticmethod(_only)

    # -- what is selected ----------------------------------------------------------------------

    member = field = staticmethod(_only)

    def member_dot(self, parts: Parts) -> Node:
        operand, dot, field = parts
        return self._select(operand, dot.start_pos, field, optional=False)

    def member_dot_optional(self, parts: Parts) -> Node:
        operand, dot, _, field = parts
        return self._select(operand, dot.start_pos, field, optional=True)

    def _select(self, operand: Node, at: int, field: Token, optional: bool) -> Node:
        name = field.value[1:-1] if field.type == "QUOTED" else field.value
        return _above(Select(operand, str(name), optional, at=at), operand)

    def member_dot_arg(self, parts: Parts) -> Node:
        target, dot, name = parts[:3]
        arguments = _arguments(parts[2:])
        node = Call(target, str(name.value), arguments, at=dot.start_pos)
        return _above(node, target, *arguments)

    def member_index(self, parts: Parts) -> Node:
        operand, bracket, index, _ = parts
        return _above(Index(operand, index, False, at=bracket.start_pos), operand, index)

    def member_index_optional(self, parts: Parts) -> Node:
        operand, bracket, _, index, _ = parts
        return _above(Index(operand, index, True, at=bracket.start_pos), operand, index)

    # -- names, literals, brackets -------------------------------------------------------------

    primary = staticmethod(_only)

    def ident(self, parts: Parts) -> Node:
        (token,) = parts
        return Name(_name(token, token.start_pos), at=token.start_pos)

    def dot_ident(self, parts: Parts) -> Node:
        dot, token = parts
        return Name(_name(token, dot.start_pos), True, at=dot.start_pos)

    def ident_arg(self, parts: Parts) -> Node:
        return self._call(parts, parts[0].start_pos)

    def dot_ident_arg(self, parts: Parts) -> Node:
        return self._call(parts[1:], parts[0].start_pos)

    def _call(self, parts: Parts, at: int) -> Node:
        arguments = _arguments(parts)
        return _above(Call(None, _name(parts[0], at), arguments, at=at), *arguments)

    def exprlist(self, parts: Parts) -> list[Node]:
        return parts[::2]  # commas between

    def literal(self, parts: Parts) -> Node:
        token = parts[-1]
        kind, text, at = token.type, token.value, token.start_pos
        negative = len(parts) == 2
        value: Any
        if kind == "INT_LIT":
            value = literals.integer(text, at, negative)
        elif kind == "UINT_LIT":
            value = literals.unsigned(text, at)
        elif kind == "FLOAT_LIT":
            number = literals.double(text, at)
            value = -number if negative else number
        elif kind in ("BOOL_LIT", "NULL_LIT"):
            value = _CONSTANTS[text]
        else:
            value = literals.string(text, at)
        return Literal(value, at=at)

    def paren_expr(self, parts: Parts) -> Node:
        node: Node = parts[1]
        if isinstance(node, Logic):
            node.closed = True
        return node

    def item(self, parts: Parts) -> tuple[Node, bool]:
        return parts[-1], len(parts) == 2

    def entry(self, parts: Parts) -> tuple[Node, Node, bool]:
        return parts[-3], parts[-1], len(parts) == 4

    def items(self, parts: Parts) -> list[Any]:
        if len(parts) == 1:
            return [parts[0]]
        before: list[Any] = parts[0]
        before.append(parts[2])
        return before

    entries = items

    def list_lit(self, parts: Parts) -> Node:
        items = parts[1] if len(parts) > 2 else ()
        nodes = [node for node, _ in items]
        node = ListOf(nodes, [optional for _, optional in items], at=parts[0].start_pos)
        return _above(node, *nodes)

    def map_lit(self, parts: Parts) -> Node:
        entries = parts[1] if len(parts) > 2 else ()
        keys = [key for key, _, _ in entries]
        values = [value for _, value, _ in entries]
        optional = [optional for _, _, optional in entries]
        return _above(MapOf(keys, values, optional, at=parts[0].start_pos), *keys, *values)
