"""Trees of CEL: written as text, with brackets only where they are needed, and compared."""

from __future__ import annotations

import re
from typing import Any

from greenflow.lang.cel import tree
from greenflow.lang.cel.builder import RESERVED
from greenflow.lang.cel.values import UInt

# How tightly each operator binds; a condition least, what is selected most.
CONDITION, OR, AND, RELATION, SUM, PRODUCT, SIGN, PRIMARY = range(8)
BINDING = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), RELATION),
    **dict.fromkeys(("+", "-"), SUM),
    **dict.fromkeys(("*", "/", "%"), PRODUCT),
    "||": OR,
    "&&": AND,
}

NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORDS = RESERVED | {"in", "true", "false", "null"}


def text(node: tree.Node, least: int = CONDITION, gap: str = " ") -> str:
    """The node as CEL, in brackets if it binds less than that; `gap` stands around operators."""
    binding, written = _written(node, gap)
    return f"({written})" if binding < least else written


def _written(node: tree.Node, gap: str) -> tuple[int, str]:
    match node:
        case tree.Condition(test=test, then=then, otherwise=otherwise):
            parts = text(test, OR, gap), text(then, OR, gap), text(otherwise, CONDITION, gap)
            return CONDITION, f"{parts[0]}{gap}?{gap}{parts[1]}{gap}:{gap}{parts[2]}"
        case tree.Logic(operator=operator, operands=operands):
            binding = BINDING[operator]
            inner = [text(operand, binding + 1, gap) for operand in operands]
            return binding, f"{gap}{operator}{gap}".join(inner)
        case tree.Binary(operator=operator, left=left, right=right):
            binding = BINDING[operator]
            around = " " if operator == "in" and not gap else gap
            sides = text(left, binding, gap), text(right, binding + 1, gap)
            return binding, f"{sides[0]}{around}{operator}{around}{sides[1]}"
        case tree.Unary(operator=sign, operand=operand):
            inside = text(operand, SIGN, gap)
            other = "!" if sign == "-" else "-"
            number = sign == "-" and inside[0] in ".0123456789"
            return SIGN, f"{sign}({inside})" if number or inside[0] == other else sign + inside
        case tree.Select(operand=operand, field=field, optional=optional):
            plain = NAMES.fullmatch(field) and field != "in"
            shown = field if plain else f"`{field}`"
            return PRIMARY, f"{text(operand, PRIMARY, gap)}.{'?' * optional}{shown}"
        case tree.Index(operand=operand, index=index, optional=optional):
            return PRIMARY, f"{text(operand, PRIMARY, gap)}[{'?' * optional}{text(index, 0, gap)}]"
        case tree.Call(target=target, name=name, arguments=arguments):
            before = "" if target is None else f"{text(target, PRIMARY, gap)}."
            inner = [text(argument, 0, gap) for argument in arguments]
            return PRIMARY, f"{before}{name}({f',{gap}'.join(inner)})"
        case tree.ListOf(items=items, optional=optional):
            flags = zip(items, optional, strict=True)
            inner = [f"{'?' * flag}{text(item, 0, gap)}" for item, flag in flags]
            return PRIMARY, f"[{f',{gap}'.join(inner)}]"
        case tree.MapOf(keys=keys, values=values, optional=optional):
            entries = zip(keys, values, optional, strict=True)
            inner = [f"{'?' * o}{text(k, 0, gap)}:{gap}{text(v, 0, gap)}" for k, v, o in entries]
            return PRIMARY, f"{{{f',{gap}'.join(inner)}}}"
        case tree.Name(name=name, root=root):
            return PRIMARY, f"{'.' * root}{name}"
        case tree.Literal(value=value):
            return PRIMARY, _literal(value)
    raise AssertionError(node)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, UInt):
        return f"{int(value)}u"
    if isinstance(value, bytes):
        return "b'" + "".join(f"\\x{byte:02x}" for byte in value) + "'"
    if isinstance(value, str):
        return "'" + "".join(_character(character) for character in value) + "'"
    return repr(value)


def _character(character: str) -> str:
    simple = {"\n": "\\n", "\r": "\\r", "'": "\\'", "\\": "\\\\"}
    return simple.get(character, character)


def shape(node: Any) -> Any:
    """What two trees have in common when only places and brackets differ."""
    if isinstance(node, list):
        return [shape(item) for item in node]
    if not isinstance(node, tree.Node):
        return type(node), repr(node)
    fields = [name for kind in type(node).__mro__[:-1] for name in getattr(kind, "__slots__", ())]
    kept = sorted(set(fields) - {"at", "depth", "closed"})
    return type(node), [(name, shape(getattr(node, name))) for name in kept]
