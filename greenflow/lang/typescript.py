"""The language `typescript`: JavaScript with types, which are erased, not checked (15.10).

Lives here: which syntax is only a type, and the little that has a meaning at run time (enums,
parameter properties). What is erased becomes spaces, so lines and columns stay the author's. An
enum keeps its lines, not its columns. Namespaces, decorators and imports that need a compiler are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from greenflow.lang import javascript, remembered
from greenflow.lang.javascript import hold, release
from greenflow.lang.javascript.syntax import Code, token

# Statements and members that are only types. A `;` is left: without it, the line before might go on
# in the line after.
_STATEMENTS = frozenset(
    (
        "abstract_method_signature",
        "ambient_declaration",
        "function_signature",
        "index_signature",
        "interface_declaration",
        "method_signature",
        "type_alias_declaration",
    )
)

# Parts of expressions and declarations that are only types.
_PARTS = frozenset(
    (
        "accessibility_modifier",
        "asserts_annotation",
        "implements_clause",
        "override_modifier",
        "type_annotation",
        "type_arguments",
        "type_parameters",
        "type_predicate_annotation",
    )
)

__all__ = ["compile", "erase", "hold", "release"]  # the workers are those of JavaScript

_REFUSED = {
    "decorator": "decorators are not supported",
    "import_alias": "`import ... =` is not supported: a snippet has nothing but its own code",
    "internal_module": "namespaces are not supported: use an object, or plain functions",
    "module": "namespaces are not supported: use an object, or plain functions",
}


def compile(code: str) -> javascript.JavaScript:
    """A program of an ES module with types. Raises CompileFailed."""
    return javascript.compile(erase(code))


@remembered
def erase(text: str) -> str:
    """The JavaScript of a TypeScript text. Raises CompileFailed for a syntax error and for what is
    not supported, with the author's line and column."""
    code = Code("typescript", text)
    pending = [code.root]
    while pending:
        node = pending.pop()
        if _takes(code, node):
            pending.extend(node.children)
    return code.result()


def _takes(code: Code, node: Node) -> bool:
    """Edit the node; whether to look at what is in it."""
    kind = node.type
    if kind in _STATEMENTS:
        code.erase(node, ";")
        return False
    if kind in _PARTS:
        _erase_part(code, node)
        return False
    if kind in _REFUSED:
        raise code.fault(node, _REFUSED[kind])
    special = _SPECIAL.get(kind)
    return True if special is None else special(code, node)


def _erase_part(code: Code, node: Node) -> None:
    """Erase a type. The result type of an arrow function may have line ends, where JavaScript has
    none before the arrow: its `)` is moved behind them."""
    above, before = node.parent, node.prev_sibling
    if (
        above is not None
        and above.type == "arrow_function"
        and before is not None
        and before.type == "formal_parameters"
        and b"\n" in code.data[node.start_byte : node.end_byte]
    ):
        code.blank(before.end_byte - 1, before.end_byte)
        code.blank(node.start_byte, node.end_byte - 1)
        code.put(node.end_byte - 1, node.end_byte, ")")
        return
    code.erase(node)


def _export(code: Code, node: Node) -> bool:
    if token(node, "=") is not None and token(node, "default") is None:
        raise code.fault(node, "`export =` is not of an ES module: write `export default`")
    declared = node.child_by_field_name("declaration")
    if token(node, "type") is not None or (declared is not None and declared.type in _STATEMENTS):
        code.erase(node, ";")
        return False
    return True


def _import(code: Code, node: Node) -> bool:
    if token(node, "type") is not None:
        code.erase(node, ";")
        return False
    return True  # javascript/module.py refuses it


def _specifier(code: Code, node: Node) -> bool:
    """`export { type T, f }`: the name of a type, with its comma."""
    if token(node, "type") is None:
        return True
    after = node.next_sibling
    code.erase(node)
    if after is not None and after.type == ",":
        code.erase(after)
    return False


def _cast(code: Code, node: Node) -> bool:
    """`value as T`, `value satisfies T`, `value!`."""
    value = node.children[0]
    code.blank(value.end_byte, node.end_byte)
    return True


def _erases(*kinds: str) -> Callable[[Code, Node], bool]:
    def erase_tokens(code: Code, node: Node) -> bool:
        for child in node.children:
            if child.type in kinds:
                code.erase(child)
        return True

    return erase_tokens


def _field(code: Code, node: Node) -> bool:
    """A field of a class, or one that is only declared."""
    if token(node, "declare") is not None or token(node, "abstract") is not None:
        code.erase(node, ";")
        return False
    return _erases("readonly", "?", "!")(code, node)


def _parameter(code: Code, node: Node) -> bool:
    """A parameter; `this` as one is only a type."""
    pattern = node.child_by_field_name("pattern")
    if pattern is not None and pattern.type == "this":
        after = node.next_sibling
        code.erase(node)
        if after is not None and after.type == ",":
            code.erase(after)
        return False
    return _erases("?", "readonly")(code, node)


def _method(code: Code, node: Node) -> bool:
    """A method; a constructor stores the parameters that are properties."""
    name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
    parameters = node.child_by_field_name("parameters")
    if name is not None and body is not None and parameters is not None:
        stored = []
        for parameter in parameters.named_children:
            pattern = parameter.child_by_field_name("pattern")
            is_property = any(
                child.type in ("accessibility_modifier", "override_modifier", "readonly")
                for child in parameter.children
            )
            if not is_property or pattern is None:
                continue
            if code.text(name) != "constructor" or pattern.type != "identifier":
                raise code.fault(parameter, "a property here has to be a name in a constructor")
            stored.append(f"this.{code.text(pattern)}={code.text(pattern)};")
        if stored:
            place = _after_super(code, body)
            code.put(place, place, "".join(stored))
    return _erases("?")(code, node)


def _after_super(code: Code, body: Node) -> int:
    """Where `this` may be used first: after `super(...)`, else at the begin of the body."""
    for statement in body.named_children:
        if statement.type == "expression_statement" and statement.named_children:
            call = statement.named_children[0]
            called = call.child_by_field_name("function")
            if call.type == "call_expression" and called is not None and called.type == "super":
                return statement.end_byte
    return body.start_byte + 1


def _enum(code: Code, node: Node) -> bool:
    """An enum as the object that TypeScript makes of it, with the names of numbers.

    A member may use those before it by their names alone."""
    name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
    assert name is not None
    assert body is not None
    own, row = code.text(name), node.start_point[0]
    parts = [f"var {own}=(()=>{{const $e={{}};let $v=-1;"]
    for member in body.named_children:
        if member.type == "comment":
            continue
        value = member.child_by_field_name("value")
        key = member.child_by_field_name("name") if value is not None else member
        assert key is not None
        if key.type == "computed_property_name":
            raise code.fault(key, "a computed name of an enum's member is not supported")
        is_name = key.type == "property_identifier"
        text = f'"{code.text(key)}"' if is_name else code.text(key)
        parts.append("\n" * (member.start_point[0] - row))
        row = member.end_point[0]
        given = "$v+1" if value is None else f"({code.text(value)})"
        parts.append(f'$v=$e[{text}]={given};if(typeof $v==="number")$e[$v]={text};')
        if is_name and code.text(key) not in _RESERVED:
            parts.append(f"const {code.text(key)}=$v;")
    parts.append("\n" * (node.end_point[0] - row))
    parts.append("return $e;})();")
    code.put(node.start_byte, node.end_byte, "".join(parts))
    return False


# Words that may name an enum's member but no constant.
_RESERVED = frozenset(
    re.findall(
        "[a-z]+",
        """
        arguments await break case catch class const continue debugger default delete do else enum
        eval export extends false finally for function if implements import in instanceof interface
        let new null package private protected public return static super switch this throw true try
        typeof var void while with yield
        """,
    )
)

_SPECIAL: dict[str, Callable[[Code, Node], bool]] = {
    "abstract_class_declaration": _erases("abstract"),
    "as_expression": _cast,
    "enum_declaration": _enum,
    "export_specifier": _specifier,
    "export_statement": _export,
    "import_statement": _import,
    "instantiation_expression": _cast,
    "method_definition": _method,
    "non_null_expression": _cast,
    "optional_parameter": _parameter,
    "public_field_definition": _field,
    "required_parameter": _parameter,
    "satisfies_expression": _cast,
    "variable_declarator": _erases("!"),
}
