"""CEL in which the keys of the payload are names (`count > 10`), said with `self`.

Lives here: which names of an expression are keys, and where `self.` has to be put. How CEL is read
is lang/cel's.

A name is a key unless a macro binds it, it is `self`, or a function is behind it (`math.abs`). The
names of types are keys, too, where a payload has them; so they are types only in an expression that
asks for one, `type(x) == int`, and `type` without brackets is always a key.
"""

from __future__ import annotations

from collections.abc import Iterator

from greenflow.lang.cel.library import FUNCTIONS, NAMESPACES
from greenflow.lang.cel.macros import variables
from greenflow.lang.cel.parsing import parse
from greenflow.lang.cel.tree import (
    Binary,
    Call,
    Condition,
    Index,
    ListOf,
    Logic,
    MapOf,
    Name,
    Node,
    Select,
    Unary,
    Wrong,
)
from greenflow.lang.cel.values import TYPES
from greenflow.spec.translated import Insertion

_SELF = "self"


def keys_as_fields(code: str) -> tuple[Insertion, ...]:
    """What to put into an expression so that each key is a field of `self`. Code that is no
    expression stays as it is: whoever compiles it says what is wrong."""
    try:
        tree = parse(code)
    except (Wrong, RecursionError, ImportError):
        return ()
    asks_for_types = any(type(node) is Call and node.name == "type" for node in _all(tree))
    types = frozenset(TYPES) - {"type"} if asks_for_types else frozenset[str]()
    places = {name.at: name for name in _keys(tree, frozenset({_SELF}), types)}
    return tuple(
        Insertion(at, _SELF if name.root else f"{_SELF}.") for at, name in sorted(places.items())
    )


def _all(node: Node) -> Iterator[Node]:
    yield node
    for part in _parts(node):
        yield from _all(part)


def _keys(node: Node, bound: frozenset[str], types: frozenset[str]) -> Iterator[Name]:
    if isinstance(node, Name):
        if node.root or (node.name not in bound and node.name not in types):
            yield node
        return
    if isinstance(node, Select) and _path(node) in TYPES:
        return
    if isinstance(node, Call):
        yield from _keys_of_call(node, bound, types)
        return
    for part in _parts(node):
        yield from _keys(part, bound, types)


def _keys_of_call(node: Call, bound: frozenset[str], types: frozenset[str]) -> Iterator[Name]:
    behind = None if node.target is None else _path(node.target)
    is_function = (
        behind in NAMESPACES and behind not in bound and _is_known(f"{behind}.{node.name}")
    )
    if is_function and behind == "cel" and node.name == "bind":
        name, value, body = node.arguments
        yield from _keys(value, bound, types)
        yield from _keys(body, bound | _names([name]), types)
        return
    if node.target is not None and not is_function:
        yield from _keys(node.target, bound, types)
    count = 0 if node.target is None else variables(node.name, len(node.arguments))
    inside = bound | _names(node.arguments[:count])
    for argument in node.arguments[count:]:
        yield from _keys(argument, inside, types)


def _is_known(function: str) -> bool:
    return function == "cel.bind" or any(known == function for known, _ in FUNCTIONS)


def _names(nodes: list[Node]) -> frozenset[str]:
    return frozenset(node.name for node in nodes if isinstance(node, Name))


def _path(node: Node) -> str | None:
    """A chain of names with dots."""
    fields: list[str] = []
    while isinstance(node, Select) and not node.optional:
        fields.append(node.field)
        node = node.operand
    return ".".join((node.name, *reversed(fields))) if isinstance(node, Name) else None


def _parts(node: Node) -> list[Node]:
    match node:
        case Select(operand=operand) | Unary(operand=operand):
            return [operand]
        case Index(operand=operand, index=index):
            return [operand, index]
        case Call(target=target, arguments=arguments):
            return [*([] if target is None else [target]), *arguments]
        case ListOf(items=items):
            return items
        case MapOf(keys=keys, values=values):
            return [*keys, *values]
        case Binary(left=left, right=right):
            return [left, right]
        case Logic(operands=operands):
            return operands
        case Condition(test=test, then=then, otherwise=otherwise):
            return [test, then, otherwise]
    return []
