"""A module becomes a function that returns its default export (BEHAVIOUR 15.5).

Lives here: what is an export of an ES module, and what a snippet may not contain. A module without
any export may be one of CommonJS (commonjs.py). The rewriting keeps every line,
and in a line every column up to the end of an exported expression, so what V8 says of positions is
true of the author's code, one line further down.
"""

from __future__ import annotations

from tree_sitter import Node

from greenflow.errors import CompileFailed
from greenflow.lang import remembered
from greenflow.lang.javascript import commonjs
from greenflow.lang.javascript.beside import parsing_beside
from greenflow.lang.javascript.exported import ADVICE, check_callable
from greenflow.lang.javascript.syntax import Code, is_in_function, token, walk


@remembered
@parsing_beside
def function(code: str) -> str:
    """The script whose value is the function. Raises CompileFailed for a syntax error, an import,
    and a default export that is missing or cannot be called."""
    if "<!--" in code or "-->" in code:
        from greenflow.lang.script import without_html_comments

        code = without_html_comments(code)
    parsed = Code(code)
    name = next(it for i in range(100) if (it := f"$$d{i:02}") not in code)
    result: str | None = None
    has_exports = False
    for node in walk(parsed.root):
        _refuse(parsed, node)
        if node.type != "export_statement":
            continue
        has_exports = True
        found = _export(parsed, node, name)
        if found is not None:
            if result is not None:
                raise parsed.fault(node, "a second default export")
            result = found
    if result is None and not has_exports and commonjs.is_one(parsed):
        return commonjs.function(parsed, name)
    if result is None:
        _raise_missing(parsed)
    # The author's first line is the second here; wire.py counts with that.
    return "\n".join(
        (
            f'(function(){{"use strict";let {name};',
            parsed.result(),
            f";return {result};}})",
            "//# sourceURL=snippet",
        )
    )


def _refuse(code: Code, node: Node) -> None:
    """Raise for what a snippet may not contain."""
    kind = node.type
    if kind == "import_statement":
        raise code.fault(node, "a snippet cannot import: it has nothing but its own code")
    if kind == "import":
        raise code.fault(node, "`import` cannot be used: a snippet has nothing but its own code")
    if kind == "hash_bang_line":
        raise code.fault(node, "a snippet is no script: remove the line that begins with `#!`")
    if kind == "html_comment":
        raise code.fault(node, "a module has no HTML comments")
    if kind == "with_statement":
        raise code.fault(node, "a module has no `with`")
    if kind == "await_expression" and not is_in_function(node):
        raise code.fault(node, "`await` stands in no function: put it into the default export")
    if kind == "return_statement" and not is_in_function(node):
        raise code.fault(node, "`return` stands in no function")
    if kind == "export_statement" and node.parent is not None and node.parent.type != "program":
        raise code.fault(node, "`export` stands at the top level only")


def _export(code: Code, node: Node, name: str) -> str | None:
    """Take `export` away; what is returned for it if it is the default."""
    if node.child_by_field_name("source") is not None or token(node, "*") is not None:
        raise code.fault(node, "a snippet cannot import: it has nothing but its own code")
    exported = token(node, "export")
    assert exported is not None
    default = token(node, "default")
    declared = node.child_by_field_name("declaration")
    if default is None:
        clause = token(node, "export_clause")
        if clause is None:
            code.erase(exported)
            return None
        code.erase(node, ";")
        return _named_default(code, clause)
    value = node.child_by_field_name("value") or declared
    assert value is not None
    check_callable(code, value)
    own = value.child_by_field_name("name")
    if declared is not None and own is not None:
        code.erase(exported)
        code.erase(default)
        return code.text(own)
    code.erase(exported, ";")
    code.put(default.start_byte, default.end_byte, f"{name} =")
    code.put(value.end_byte, value.end_byte, ";")
    return name


def _named_default(code: Code, clause: Node) -> str | None:
    """`export { f as default }`: f."""
    for item in clause.named_children:
        alias = item.child_by_field_name("alias")
        local = item.child_by_field_name("name")
        if alias is not None and local is not None and code.text(alias).strip("'\"") == "default":
            check_callable(code, local)
            return code.text(local)
    return None


def _raise_missing(code: Code) -> None:
    for node in walk(code.root):
        if node.type == "member_expression" and (
            code.text(node).startswith(("module.exports", "exports."))
        ):
            raise code.fault(node, f"`{code.text(node)}` is not of an ES module; {ADVICE}")
    raise CompileFailed(f"there is no default export; {ADVICE}", 1, 1)
