"""Modules of CommonJS: what they export is called."""

from __future__ import annotations

import pytest

from greenflow.errors import CompileFailed, JavaScriptError
from greenflow.lang import javascript, typescript
from tests.lang.scripts import run, shared_workers

pytestmark = pytest.mark.usefixtures(shared_workers.__name__)

FORMS = [
    "module.exports = function (args) { return args + 1; }",
    "module.exports = (args) => args + 1;",
    "module.exports = async (args) => args + 1;",
    "exports.default = function (args) { return args + 1; };",
    "module.exports.default = (args) => args + 1;",
    "module.exports = { default: (args) => args + 1 };",
    "module.exports = { default(args) { return args + 1; }, other: 1 };",
    "exports = module.exports = add; function add(args) { return args + 1; }",
    "const add = (args) => args + 1; module.exports = add; module.exports.default = add;",
    "const api = {}; api.default = (args) => args + 1; module.exports = api;",
    "module['exports'] = (args) => args + 1",
    "exports.one = 1; exports.default = (args) => args + exports.one;",
    "Object.defineProperty(exports, '__esModule', { value: true });"
    " exports.default = void 0; exports.default = (args) => args + 1;",
    "'use strict'; module.exports = (args) => args + 1;",
    "(function (root, make) { if (typeof module === 'object') module.exports = make();"
    " else root.add = make(); })(this, function () { return (args) => args + 1; });",
    "module.exports = (args) => args + 1; if (this !== exports) throw new Error('this');",
    "one = 1; module.exports = (args) => args + one;",
    "module.exports = require('x'); module.exports = (args) => args + 1;"
    " function require() { return 1; }",
]


@pytest.mark.parametrize("code", FORMS)
def test_forms(code: str) -> None:
    assert run(code, 1) == 2


@pytest.mark.parametrize(
    "code",
    [
        "module.exports = function (args: number): number { return args + 1; }",
        "exports.default = (args: number) => args + 1 as number;",
        "type N = number;\nconst add = (args: N): N => args + 1;\nmodule.exports = add;",
    ],
)
def test_typescript(code: str) -> None:
    assert typescript.compile(code)(1) == 2


@pytest.mark.parametrize(
    ("code", "line", "column", "reason"),
    [
        ("module.exports = 5", 1, 18, "cannot be called"),
        ("module.exports = { run: () => 1 }", 1, 18, "cannot be called"),
        ("exports.default = 'x'", 1, 19, "cannot be called"),
        ("exports.run = () => 1", 1, 1, "ES module"),
        ("const fs = require('fs');\nmodule.exports = () => fs", 1, 12, "cannot require"),
        ("export const a = 1; module.exports = () => a", 1, 21, "ES module"),
        ("const module = {}; module.exports = () => 1", 1, 20, "ES module"),
        ("module.exports = nowhere", 1, 18, "not defined"),
    ],
)
def test_what_is_none(code: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(CompileFailed, match=reason) as caught:
        javascript.compile(code)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_an_error_has_its_place() -> None:
    with pytest.raises(JavaScriptError, match="late") as caught:
        run("module.exports = function (args) {\n  throw new Error('late');\n}")
    assert (caught.value.line, caught.value.column) == (2, 9)


def test_what_turns_out_to_be_no_function() -> None:
    with pytest.raises(JavaScriptError, match="not callable"):
        run("const api = {}; module.exports = api")


def test_code_that_is_not_strict_sees_nobody_who_calls_it() -> None:
    code = "module.exports = function f() { return [f.caller, arguments.callee.caller]; }"
    assert run(code) == [None, None]
    assert run("const seen = (function f() { return f.caller; })();"
               " module.exports = () => seen && seen.caller") is None  # fmt: skip
