"""What leaves CEL: payloads (BEHAVIOUR 15.9).

Lives here: `payload`, and `is_payload`, which tells from the code alone that a result needs no
conversion, so that what only passes through is not walked.

A uint becomes an int, a duration its seconds (an int where they are whole), a type its name, an
optional its value or null, a timestamp a `datetime` cut to microseconds, a key that is no string
its text.
"""

from __future__ import annotations

from typing import Any

from greenflow.lang.cel.meter import PIECE, Frame, charge, pieces
from greenflow.lang.cel.standard import text_of
from greenflow.lang.cel.tree import (
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
)
from greenflow.lang.cel.values import (
    SECOND,
    CelError,
    Duration,
    Optional,
    Timestamp,
    Type,
    UInt,
    unkey,
)

_PLAIN = frozenset((type(None), bool, int, float, str, bytes))

#: Steps that the copy of a container takes, beside two for each element.
_CONTAINER = 4

_LOGIC = frozenset(("==", "!=", "<", "<=", ">", ">=", "in"))


def payload(value: Any, frame: Frame) -> Any:
    """The payload of a value; its size is charged."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        charge(frame, _CONTAINER)
        if len(value) > PIECE:
            return [inner for piece in pieces(frame, value, 2) for inner in _payloads(piece, frame)]
        charge(frame, 2 * len(value))
        return _payloads(value, frame)
    if kind is dict:
        charge(frame, _CONTAINER)
        made = {
            item if type(item) is str else text_of(unkey(item)): (
                inner if type(inner) in _PLAIN else payload(inner, frame)
            )
            for piece in pieces(frame, list(value.items()), 2)
            for item, inner in piece
        }
        if len(made) < len(value):
            raise CelError("two keys of the resulting map are the same text")
        return made
    if kind is UInt:
        return int(value)
    if kind is Duration:
        seconds, rest = divmod(value.ns, SECOND)
        return value.ns / SECOND if rest else seconds
    if kind is Timestamp:
        return value.datetime()
    if kind is Type:
        return value.name
    if kind is Optional:
        return payload(value.value, frame) if value.present else None
    return value


def _payloads(values: list[Any], frame: Frame) -> list[Any]:
    return [value if type(value) in _PLAIN else payload(value, frame) for value in values]


def is_payload(node: Node, variables: frozenset[str]) -> bool:
    """Whether the value of a node is surely a payload already, given variables that are."""
    if isinstance(node, Literal):
        return type(node.value) is not UInt
    if isinstance(node, Name):
        return node.name in variables
    if isinstance(node, Select | Index):
        return not node.optional and is_payload(node.operand, variables)
    if isinstance(node, Condition):
        return is_payload(node.then, variables) and is_payload(node.otherwise, variables)
    if isinstance(node, ListOf):
        return not any(node.optional) and all(is_payload(n, variables) for n in node.items)
    if isinstance(node, MapOf):
        texts = all(isinstance(n, Literal) and type(n.value) is str for n in node.keys)
        inner = all(is_payload(n, variables) for n in node.values)
        return texts and inner and not any(node.optional)
    if isinstance(node, Binary):
        return node.operator in _LOGIC
    if isinstance(node, Call) and node.target is not None and len(node.arguments) == 2:
        return _macro(node, variables)
    return isinstance(node, Logic)


def _macro(node: Call, variables: frozenset[str]) -> bool:
    """Whether a filter or map over payloads makes payloads. Its variable is one of them then; that
    of a macro that is not seen through hides a payload of the same name only further inside."""
    variable, body = node.arguments
    if node.target is None or not is_payload(node.target, variables):
        return False
    if node.name == "filter":
        return True
    if node.name != "map" or not isinstance(variable, Name):
        return False
    return is_payload(body, variables | {variable.name})
