"""JavaScript snippets: forms of a module, values and errors on their way, what is refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.errors import (
    CompileFailed,
    InvalidArgument,
    JavaScriptError,
    SnippetFailed,
    WorkflowError,
    messages,
)
from greenflow.lang import javascript
from tests.lang.scripts import returning, run, shared_workers

pytestmark = pytest.mark.usefixtures(shared_workers.__name__)


@pytest.mark.parametrize(
    "code",
    [
        "export default function (args) { return args + 1; }",
        "export default function add(args) { return args + 1; }",
        "export default (args) => args + 1",
        "export default async function (args) { return args + 1; }",
        "export default async (args) => { await null; return args + 1; };",
        "export default (function (args) { return args + 1; })",
        "function add(args) { return args + 1; }\nexport default add;",
        "export default add; function add(args) { return args + 1; }",
        "const add = (args) => args + 1;\nexport { add as default };",
        "const one = 1; function add(a) { return a + one; } export default (a) => add(a);",
        "export const one = 1; export function two() {} export default (a) => a + one;",
        "const one = 1; export { one }; export default (a) => a + one;",
        "export default function (a) { return later(a); }\nfunction later(a) { return a + 1; }",
        "const $$d00 = 1; export default (a) => a + $$d00;",
        "const { add } = { add: (a) => a + 1 }; export default add;",
        "export default Math.max.bind(null, 2);",
        "export default (args) => new Promise((done) => setTimeout(() => done(args + 1), 5))",
        "export default (a) => ({ then(done) { done(a + 1); } })",
    ],
)
def test_forms(code: str) -> None:
    assert run(code, 1) == 2


@pytest.mark.parametrize(
    ("code", "line", "column", "reason"),
    [
        ("let x = 1;\nlet y = ;\nexport default () => y", 2, 7, "syntax error"),
        ("export default (a) => { if (a { return 1 } }", 1, 30, "missing"),
        ("const ü = 'ü', z = ,;", 1, 18, "syntax error"),
        ("", 1, 1, "no default export"),
        ("export const f = () => 1", 1, 1, "no default export"),
        ("export default 5", 1, 16, "cannot be called"),
        ("export default {}", 1, 16, "cannot be called"),
        ("export default class {}", 1, 16, "cannot be called"),
        ("class A {}\nexport default A", 2, 16, "cannot be called"),
        ("const a = 'x';\nexport { a as default }", 2, 10, "cannot be called"),
        ("export default nowhere", 1, 16, "not defined"),
        ("\n  module.exports = 5", 2, 20, "cannot be called"),
        ("exports.f = () => 1", 1, 1, "ES module"),
        ("import fs from 'fs';\nexport default () => fs", 1, 1, "cannot import"),
        ("export * from 'fs'", 1, 1, "cannot import"),
        ("export default () =>\n  import('fs')", 2, 3, "import"),
        ("export default () => import.meta.url", 1, 22, "import"),
        ("const a = await 1; export default () => a", 1, 11, "await"),
        ("return 1", 1, 1, "return"),
        ("export default () => 1;\nexport default () => 2", 2, 1, "second"),
    ],
)
def test_a_compile_error_has_its_place(code: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(CompileFailed, match=reason) as caught:
        javascript.compile(code)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_what_only_v8_refuses_is_an_error_of_the_call_with_its_place() -> None:
    with pytest.raises(JavaScriptError, match="already been declared") as caught:
        run("let a = 1;\n  let a = 2;\nexport default () => a")
    assert (caught.value.name, caught.value.line, caught.value.column) == ("SyntaxError", 2, 7)


def test_deep_syntax_is_a_compile_error() -> None:
    with pytest.raises(CompileFailed, match="deeper"):
        javascript.compile(f"export default () => {'(' * 5000}1{')' * 5000}")


VALUES = [
    None,
    True,
    0,
    -1,
    2**53,
    1.5,
    "",
    "text\n\u2028 ü \U0001f600 \0",
    b"",
    bytes(range(256)),
    datetime(2024, 2, 29, 12, 30, 1, 250000, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    [],
    {},
    [None, [b"x"], {"a": {"b": []}}],
    {"__proto__": 1, "constructor": 2, "": 3, "toString": "x", "then": 1},
    {"v": 1, "b": b"\xff", "list": [datetime(1970, 1, 1, tzinfo=UTC)], "__proto__": b""},
]


@pytest.mark.parametrize("value", VALUES)
def test_values_survive_the_way_in_and_out(value: Any) -> None:
    came = run(returning("a"), value)
    assert came == value
    assert type(came) is type(value)


_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
_payloads = st.recursive(
    _scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
_same = javascript.compile(returning("a"))
_copied = javascript.compile(returning("Array.isArray(a) ? [...a] : a"))


@settings(max_examples=100, deadline=None)
@given(_payloads)
def test_any_payload_survives(payload: Any) -> None:
    assert _same(payload) == payload
    assert _copied([payload, payload]) == [payload, payload]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("undefined", None),
        ("NaN", None),
        ("[NaN, undefined, Infinity, () => 1]", [None, None, None, None]),
        ("({ a: undefined, b: 1 })", {"b": 1}),
        ("({ a: undefined, b: new Uint8Array(1) })", {"b": b"\0"}),
        (
            "({ a: () => 1, b: Symbol(), c: new Date(0), d: { e: undefined } })",
            {"c": datetime(1970, 1, 1, tzinfo=UTC), "d": {}},
        ),
        ("({ a: () => 1, b: Symbol(), d: { e: undefined }, f: NaN })", {"d": {}, "f": None}),
        ("[undefined, new Uint8Array(1), () => 1]", [None, b"\0", None]),
        ("new Date(NaN)", None),
        ("new Date(1500)", datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC)),
        ("new Uint16Array([258])", b"\x02\x01"),
        ("new Uint8Array([1, 2, 3, 4]).subarray(1, 3)", b"\x02\x03"),
        ("new ArrayBuffer(2)", b"\0\0"),
        ("({ toJSON() { return { a: new Uint8Array([1]) }; } })", {"a": b"\1"}),
        ("new Map([[1, 2]])", {}),
        ("1e20", 1e20),
        ("2 ** 62", 2**62),
        ("-0", 0),
        ("Symbol('x')", None),
    ],
)
def test_what_becomes_of_results(code: str, result: Any) -> None:
    assert run(returning(code)) == result


def test_what_has_no_json_goes_in_as_null() -> None:
    assert run(returning("a"), {"a": math.nan, "b": [math.inf], "c": b"x"}) == {
        "a": None,
        "b": [None],
        "c": b"x",
    }


@pytest.mark.parametrize("payload", [object(), {"a": {1}}, datetime])
def test_what_is_no_payload(payload: Any) -> None:
    with pytest.raises(InvalidArgument):
        run(returning("a"), payload)


@pytest.mark.parametrize("depth", [201, 300, 5000, 50_000])
def test_a_payload_that_is_too_deep(depth: int) -> None:
    deep: list[Any] = []
    for _ in range(depth - 1):
        deep = [deep]
    with pytest.raises(InvalidArgument) as raised:
        run(returning("a"), deep)
    assert "nested deeper than 200 lists and maps" in ": ".join(messages(raised.value))


def test_a_payload_that_is_as_deep_as_may_be_among_many() -> None:
    deep: list[Any] = [[] for _ in range(300)]
    for _ in range(198):
        deep = [deep]
    assert run(returning("a"), deep) == deep


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1n", "BigInt"),
        ("[1n]", "BigInt"),
        ("((x) => { x.x = x; return x; })({})", "cycle"),
        ("((x) => { x.x = [x, new Date()]; return x; })({})", "cycle"),
        ("'\\ud800'", "surrogate"),
        ("new Date(8.64e15)", "timestamp"),
        ("({ get a() { throw new Error('getter'); } })", "getter"),
        ("({ toJSON() { throw new Error('json'); } })", "json"),
    ],
)
def test_results_that_are_none(code: str, reason: str) -> None:
    with pytest.raises(JavaScriptError, match=reason):
        run(returning(code))


@pytest.mark.parametrize(
    ("thrown", "message", "name"),
    [
        ("new TypeError('bad')", "bad", "TypeError"),
        ("'text'", "text", "Error"),
        ("{ a: [1] }", '{"a":[1]}', "Error"),
        ("null", "null", "Error"),
        ("undefined", "undefined", "Error"),
        ("7n", "7", "Error"),
        ("Symbol('s')", "Symbol(s)", "Error"),
        ("Object.create(null)", "{}", "Error"),
        ("(() => { const x = {}; x.x = x; return x; })()", "a value that has no text", "Error"),
        ("new Proxy({}, { get() { throw 1; } })", "a value that has no text", "Error"),
    ],
)
@pytest.mark.parametrize("keyword", ["", "async "])
def test_thrown_values(keyword: str, thrown: str, message: str, name: str) -> None:
    with pytest.raises(JavaScriptError) as caught:
        run(f"export default {keyword}() => {{ throw {thrown}; }}")
    assert str(caught.value).startswith(message)
    assert caught.value.name == name


def test_a_thrown_error_has_its_place_and_its_cause() -> None:
    with pytest.raises(JavaScriptError, match="outer") as caught:
        run(
            "function helper() {\n  throw new Error('outer', { cause: new RangeError('inner') });\n"
            "}\nexport default () => helper();"
        )
    assert (caught.value.line, caught.value.column) == (2, 9)
    assert isinstance(caught.value.__cause__, JavaScriptError)
    assert (str(caught.value.__cause__), caught.value.__cause__.name) == ("inner", "RangeError")


def _chain() -> WorkflowError:
    error = WorkflowError("outer")
    error.__cause__ = ValueError("middle")
    error.__cause__.__cause__ = InvalidArgument("root")
    return error


def test_an_error_payload() -> None:
    code = returning(
        "[a.error(), a.message, a.cause.message, a.cause.error(), a instanceof Error,"
        " Object.keys(a), String(a)]"
    )
    assert run(code, _chain()) == [
        "outer: middle: invalid argument: root",
        "outer",
        "middle",
        "middle: invalid argument: root",
        True,
        [],
        "Error: outer",
    ]


def test_a_group_of_errors() -> None:
    group = ExceptionGroup("branches failed", [ValueError("a"), ValueError("b")])
    code = returning("[a.message, a.error(), a.errors.map((e) => e.message)]")
    assert run(code, group) == ["branches failed", "branches failed: a: b", ["a", "b"]]


def test_an_error_that_comes_back_is_the_same() -> None:
    error = _chain()
    assert run(returning("[a, a.cause]"), error) == [error, error.__cause__]
    with pytest.raises(WorkflowError) as caught:
        run("export default (a) => { throw a; }", error)
    assert caught.value is error


def test_a_returned_error_is_a_value() -> None:
    error = run(returning("({ e: new Error('x', { cause: new TypeError('y') }) })"))["e"]
    assert isinstance(error, JavaScriptError)
    assert [str(error), str(error.__cause__)] == ["x", "y"]


def test_console_reaches_the_log() -> None:
    lines: list[str] = []
    code = (
        "export default async (a) => { console.log('hi', { a }, 1, undefined); await null;"
        " console.warn('two\\nlines'); console.error(new Error('e').message); return a; }"
    )
    assert run(code, 5, log=lines.append) == 5
    assert lines == ['hi {"a":5} 1 undefined', "two\nlines", "e"]


def test_what_was_logged_before_an_error_reaches_the_log() -> None:
    lines: list[str] = []
    with pytest.raises(JavaScriptError, match="x"):
        run(
            "export default () => { console.log('before'); throw new Error('x'); }",
            log=lines.append,
        )
    assert lines == ["before"]


def test_a_log_is_bounded() -> None:
    lines: list[str] = []
    run(
        "export default () => { for (let i = 0; i < 1e4; i++) console.log('x'.repeat(100)); }",
        log=lines.append,
    )
    assert sum(map(len, lines)) == 65536


def test_a_log_says_how_many_lines_were_cut() -> None:
    lines: list[str] = []
    loop = "export default () => { for (let i = 0; i < 5000; i++) console.log(i % 2 ? i : ''); }"
    run(loop, log=lines.append)
    assert lines[:4] == ["", "1", "", "3"]
    assert [len(lines), lines[-1]] == [1001, "... [4000 lines cut]"]
    lines.clear()
    run("export default () => console.log('😀' + 'x'.repeat(70000))", log=lines.append)
    assert lines[0].startswith("😀xxx")
    assert lines[1:] == ["... [1 line cut]"]


@pytest.mark.parametrize("code", [r"console.log('a\\\ud800b')", r"throw new Error('a\\\ud800b')"])
def test_half_a_surrogate_pair_in_what_is_for_people_is_shown_as_an_escape(code: str) -> None:
    lines: list[str] = []
    try:
        run(f"export default () => {{ {code} }}", log=lines.append)
    except JavaScriptError as error:
        lines.append(str(error))
    assert lines == [r"a\\ud800b"]


def test_a_result_has_16_mib_at_most() -> None:
    size = 16 * 1024 * 1024
    result = run("export default (n) => 'x'.repeat(n)", size - 2, timeout=10)
    assert len(result) == size - 2
    lines: list[str] = []
    code = "export default (n) => { console.log('before'); return 'é'.repeat(n); }"
    with pytest.raises(SnippetFailed, match=r"the result .* is 16,777,218 bytes .* 16 MiB"):
        run(code, size // 2, log=lines.append, timeout=10)
    assert lines == ["before"]
    with pytest.raises(SnippetFailed, match="the error of the JavaScript call is 40,00"):
        run("export default (n) => { throw new Error('x'.repeat(n)); }", 40_000_000, timeout=10)


def test_a_timer_can_be_cleared_and_ends_with_its_call() -> None:
    code = (
        "let ran = 0; export default async (a) => { const t = setTimeout(() => ran++, 1);"
        " clearTimeout(t); await new Promise((done) => setTimeout(done, 10));"
        " setTimeout(() => ran++, 0); return ran; }"
    )
    program = javascript.compile(code)
    assert [program(None), program(None)] == [0, 0]


def test_calls_of_many_programs_under_way_get_their_own_answers() -> None:
    programs = [
        javascript.compile(f"export default async (a) => {{ await null; return [{i}, a]; }}")
        for i in range(10)
    ]
    jobs = [gevent.spawn(programs[i % 10], i) for i in range(500)]
    gevent.joinall(jobs)
    assert [job.value for job in jobs] == [[i % 10, i] for i in range(500)]


def test_equal_code_compiled_twice_shares_nothing() -> None:
    code = "export default () => { globalThis.n = (globalThis.n ?? 0) + 1; return n; }"
    one, other = javascript.compile(code), javascript.compile(code)
    for _ in range(4):
        one(None)
    assert other(None) == 1


def test_large_values() -> None:
    text = "ü" * 3_000_000
    assert run(returning("a"), [text, b"x" * 1_000_000], timeout=10) == [text, b"x" * 1_000_000]
