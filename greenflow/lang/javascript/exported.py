"""Whether what a module exports can be called, as far as its text says.

Lives here: `check_callable`, for modules of both kinds (module.py, commonjs.py).
"""

from __future__ import annotations

from tree_sitter import Node

from greenflow.lang.javascript.syntax import Code, walk

ADVICE = "write `export default function (args) { ... }`"

# Expressions that are never functions.
_VALUES = frozenset(
    (
        "array",
        "class",
        "class_declaration",
        "abstract_class_declaration",
        "false",
        "null",
        "number",
        "object",
        "regex",
        "string",
        "template_string",
        "true",
        "undefined",
    )
)


def check_callable(code: Code, value: Node) -> None:
    """Raise if what is exported can be seen not to be a function."""
    meant: Node | None = value
    if value.type == "identifier":
        meant = declared(code, code.text(value))
        if meant is None:
            raise code.fault(value, f"{code.text(value)} is not defined; {ADVICE}")
    while meant is not None and meant.type == "parenthesized_expression" and meant.named_children:
        meant = meant.named_children[0]
    if meant is not None and meant.type in _VALUES:
        raise code.fault(value, f"the default export cannot be called; {ADVICE}")


def declared(code: Code, name: str) -> Node | None:
    """What a name at the top level stands for, as far as it can be seen: a value that never
    changes, or whatever names it."""
    for statement in code.root.named_children:
        if statement.type == "export_statement":
            statement = statement.child_by_field_name("declaration") or statement
        own = statement.child_by_field_name("name")
        if own is not None and code.text(own) == name:
            return statement
        is_constant = code.text(statement).startswith("const")
        for declarator in statement.named_children:
            if declarator.type != "variable_declarator":
                continue
            own, value = declarator.child_by_field_name("name"), None
            if own is not None and own.type == "identifier" and code.text(own) == name:
                value = declarator.child_by_field_name("value")
                return value if is_constant and value is not None else declarator
            if own is not None and any(
                code.text(part) == name for part in walk(own) if "identifier" in part.type
            ):
                return declarator
    for node in walk(code.root):  # a `var` in a block, and the like
        if node.type in ("variable_declarator", "function_declaration") and (
            (own := node.child_by_field_name("name")) is not None and code.text(own) == name
        ):
            return node
    return None
