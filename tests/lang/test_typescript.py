"""TypeScript: what is erased, what is rewritten, what is refused, and that positions stay."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.errors import CompileFailed, JavaScriptError
from greenflow.lang import typescript
from greenflow.lang.typescript import erase
from tests.lang.scripts import shared_workers

pytestmark = pytest.mark.usefixtures(shared_workers.__name__)


def run(code: str, payload: Any = None) -> Any:
    return typescript.compile(code)(payload)


@pytest.mark.parametrize(
    ("typed", "erased"),
    [
        ("let a: number = 1;", "let a         = 1;"),
        ("type T = string;\nf();", ";               \nf();"),
        ("x\ninterface I {\n  a: string\n}\n(y)", "x\n;            \n           \n \n(y)"),
        ("const a = b as unknown as T;", "const a = b                ;"),
        ("const a = b!.c!;", "const a = b .c ;"),
        ("const a = {} satisfies T;", "const a = {}            ;"),
        ("const a = <T>b;", "const a =    b;"),
        ("f<T, U>(x);", "f      (x);"),
        ("new Map<string, number[]>();", "new Map                  ();"),
        ("const f = <T,>(x?: T): x is T => x;", "const f =     (x    )         => x;"),
        ("const f = (x): {\n a: 1 } => x;", "const f = (x    \n      ) => x;"),
        ("function f(this: T, x: U): asserts x {}", "function f(         x   )            {}"),
        ("declare function f(): void;\ng();", ";                          \ng();"),
        ("let ü: string = 'ü', b: T;", "let ü         = 'ü', b   ;"),
        ("class A<T> extends B<T> implements C {}", "class A    extends B                 {}"),
        ("import type { T } from 'x';", ";                          "),
        ("export type { T };", ";                 "),
    ],
)
def test_types_become_spaces(typed: str, erased: str) -> None:
    assert erase(typed) == erased


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (
            "enum E { A, B = 5, C, D = B | 2, F = -1, G }\n"
            "export default () => [E.A, E.B, E.C, E.D, E.F, E.G, E[6]]",
            [0, 5, 6, 7, -1, 0, "C"],
        ),
        (
            "const enum E { A = 'a',\n 'b c' = `x` }\nexport default () => [E.A, E['b c'], {...E}]",
            ["a", "x", {"A": "a", "b c": "x"}],
        ),
        ("export enum E { default, class = 3 }\nexport default () => [E.default, E.class]", [0, 3]),
        (
            "class A { constructor(readonly a: number, private b = 2, c?: string) {} }\n"
            "export default () => new A(1)",
            {"a": 1, "b": 2},
        ),
        (
            "class B {}\nclass A extends B { constructor(public a: number) { super(); } }\n"
            "export default () => new A(1).a",
            1,
        ),
        (
            "abstract class A { abstract f(): void; declare x: string; y?: number;\n"
            "  g(a: string): void;\n  g(a: any) { return a } }\n"
            "class B extends A { override f() {} }\nexport default () => Object.keys(new B())",
            ["y"],
        ),
        ("export default function <T>(x: T, ...r: any[]) { return typeof x }", "object"),
        (
            "namespaces();\nfunction namespaces() {}\nexport default async (): Promise<1> => 1",
            1,
        ),
        ("function f(a: string): void;\nfunction f(a: any) { return a }\nexport default f", None),
        ("const v = 1 as number\nexport default (): number => v", 1),
        ("declare namespace N { const a: 1 }\nexport default () => 1", 1),
    ],
)
def test_typescript_runs(code: str, result: Any) -> None:
    assert run(code) == result


@pytest.mark.parametrize(
    ("code", "line", "column", "reason"),
    [
        ("\n  namespace N {}\nexport default () => 1", 2, 3, "namespaces"),
        ("module N {}", 1, 1, "namespaces"),
        ("let ü = 1; @d class A {}", 1, 12, "decorators"),
        ("class A {\n  @d m() {}\n}", 2, 3, "decorators"),
        ("export = 5", 1, 1, "export ="),
        ("import a = N.b;", 1, 1, "import|syntax"),
        ("import x from 'y';\nexport default () => x", 1, 1, "import"),
        ("enum E { [f()] = 1 }", 1, 10, "computed"),
        ("let x: = 5", 1, 8, "syntax error"),
        ("class A { m(private x: number) {} }", 1, 13, "constructor"),
        ("type T = string", 1, 1, "no default export"),
        ("interface A {}\nexport default A", 2, 16, "not defined"),
    ],
)
def test_what_is_refused_has_its_place(code: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(CompileFailed, match=reason) as caught:
        typescript.compile(code)
    assert (caught.value.line, caught.value.column) in ((line, column), (line, column + 7))


def test_the_place_of_a_run_error_is_the_authors() -> None:
    code = (
        "type T = {\n  a: string;\n};\nenum E {\n  A,\n  B,\n}\n"
        "export default (x: T): never => {\n  const y: any = x as unknown; throw new Error(y);\n};"
    )
    with pytest.raises(JavaScriptError) as caught:
        run(code)
    assert (caught.value.line, caught.value.column) == (9, 38)
