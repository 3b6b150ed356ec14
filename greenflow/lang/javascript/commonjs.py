"""A module of CommonJS becomes a function that returns what it exports (BEHAVIOUR 15.5).

Lives here: what makes a module one of CommonJS, and its function. It is one that has no `export`
and assigns `module.exports` or `exports.default`. What it exports is `module.exports` if that is a
function, else its `default`. As in Node.js it is no strict code unless it says so, and `this` is
what it exports; there is no `require`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from greenflow.lang.javascript.exported import check_callable, declared
from greenflow.lang.javascript.syntax import Code, walk

_MODULE, _DEFAULT = ("module", "exports"), ("exports", "default")
_TARGETS = (_MODULE, _DEFAULT, ("module", "exports", "default"))


def is_one(code: Code) -> bool:
    """Whether the module is one of CommonJS. Raises CompileFailed if so, but it exports what cannot
    be called, or asks for another module."""
    last = None
    for target, value in _assigned(code):
        last = target, value
    if last is None:
        return False
    for node in walk(code.root):
        if node.type != "call_expression":
            continue
        called = node.child_by_field_name("function")
        if called is not None and code.text(called) == "require" and not declared(code, "require"):
            raise code.fault(node, "a snippet cannot require: it has nothing but its own code")
    target, value = last
    if target != _MODULE or not _may_have_default(code, value):
        check_callable(code, value)
    return True


def function(code: Code, name: str) -> str:
    """The script whose value is the function; `name` is none of the module's."""
    return "\n".join(
        (
            f"(function(){{let {name}={{exports:{{}}}};(function(module,exports){{",
            code.result(),
            f"}}).call({name}.exports,{name},{name}.exports);{name}={name}.exports;",
            f'return typeof {name}==="function"?{name}:{name}?.default;}})',
            "//# sourceURL=snippet",
        )
    )


def _assigned(code: Code) -> Iterator[tuple[tuple[str, ...], Node]]:
    """What is assigned to what is exported, wherever that stands."""
    for node in walk(code.root):
        if node.type != "assignment_expression":
            continue
        left, value = node.child_by_field_name("left"), node.child_by_field_name("right")
        target = _names(code, left)
        if target in _TARGETS and value is not None and not declared(code, target[0]):
            while value.type == "assignment_expression":  # exports = module.exports = f
                inner = value.child_by_field_name("right")
                assert inner is not None
                value = inner
            yield target, value


def _names(code: Code, node: Node | None) -> tuple[str, ...]:
    """`a.b["c"]`: a, b, c; () for what is none of this."""
    names: list[str] = []
    while node is not None and node.type in ("member_expression", "subscript_expression"):
        part = node.child_by_field_name("property") or node.child_by_field_name("index")
        if part is None or (node.type == "subscript_expression" and part.type != "string"):
            return ()
        names.insert(0, code.text(part).strip("'\""))
        node = node.child_by_field_name("object")
    if node is None or node.type != "identifier":
        return ()
    return (code.text(node), *names)


def _may_have_default(code: Code, value: Node) -> bool:
    """Whether it is an object that has, or may have, a `default`."""
    if value.type == "identifier":
        return declared(code, code.text(value)) is not None  # an object may get one later
    if value.type != "object":
        return False
    for item in value.named_children:
        key = item.child_by_field_name("key") or item.child_by_field_name("name") or item
        if item.type == "spread_element" or code.text(key).strip("'\"") == "default":
            return True
    return False
