"""The web's APIs in snippets: as Node.js has them, made when they are asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from greenflow.lang import javascript
from greenflow.lang.javascript import web
from tests.lang.scripts import returning, run, shared_workers
from tests.waiting import DEADLINE

pytestmark = pytest.mark.usefixtures(shared_workers.__name__)

SHOW = Path(__file__).with_name("web.js").read_text()
NODE = (
    f"{SHOW}\nall(JSON.parse(require('fs').readFileSync(0)))"
    ".then((it) => console.log(JSON.stringify(it)));"
)
OLDEST = 20  # of Node.js, which the tables were written for


def _node() -> str:
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not installed, whose answers these are compared with")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < OLDEST:
        pytest.skip(f"node is {version.strip()}; {OLDEST} or newer is needed")
    return path


def _expressions() -> dict[str, str]:
    """Each expression of the table, and what it comes to where Node.js finds something else."""
    text = Path(__file__).with_name("web.txt").read_text()
    lines = [line for line in text.split("\n") if line and not line.startswith("# ")]
    return {code: right for code, _, right in (line.partition("\t") for line in lines)}


def test_the_answers_are_those_of_node() -> None:
    right = _expressions()
    codes = list(right)
    assert len(codes) >= 900
    ours = run(f"{SHOW}\nexport default (codes) => all(codes);", codes, timeout=DEADLINE)
    wrong = {
        code: mine for code, mine in zip(codes, ours, strict=True) if right[code] not in ("", mine)
    }
    assert not wrong
    answer = subprocess.run(
        [_node(), "-e", NODE], input=json.dumps(codes), capture_output=True, text=True, check=True
    ).stdout
    unlike = [
        f"{code}\n  {mine}\n  {other}"
        for code, mine, other in zip(codes, ours, json.loads(answer), strict=True)
        if mine != other and not right[code]
    ]
    assert not unlike, "\n".join(unlike)


USES = {
    "TextEncoder": ("[...new TextEncoder().encode('ä')]", [195, 164]),
    "TextDecoder": ("new TextDecoder('iso-8859-1').decode(Uint8Array.of(228))", "ä"),
    "atob": ("atob('YQ==')", "a"),
    "btoa": ("btoa('a')", "YQ=="),
    "URL": ("new URL('/b?c=d', 'http://x/a').searchParams.get('c')", "d"),
    "URLSearchParams": ("String(new URLSearchParams({a: 'b c'}))", "a=b+c"),
    "structuredClone": ("structuredClone(new Map([[1, 2]])).get(1)", 2),
    "queueMicrotask": ("new Promise((done) => queueMicrotask(() => done(1)))", 1),
    "setTimeout": ("new Promise((done) => setTimeout(done, 1, 2))", 2),
    "setInterval": ("new Promise((done) => setInterval(done, 1, 3))", 3),
    "clearTimeout": ("clearTimeout(1)", None),
    "clearInterval": ("clearInterval(1)", None),
    "crypto": ("crypto.randomUUID().length", 36),
    "Crypto": ("typeof Crypto", "function"),
    "CryptoKey": ("typeof CryptoKey", "function"),
    "SubtleCrypto": ("typeof SubtleCrypto", "function"),
    "Event": ("new Event('x').type", "x"),
    "CustomEvent": ("new CustomEvent('x', {detail: 1}).detail", 1),
    "ErrorEvent": ("new ErrorEvent('x', {message: 'm'}).message", "m"),
    "EventTarget": ("new EventTarget().dispatchEvent(new Event('x'))", True),
    "AbortController": ("new AbortController().signal.aborted", False),
    "AbortSignal": ("AbortSignal.abort().reason.name", "AbortError"),
    "DOMException": ("new DOMException('m', 'AbortError').code", 20),
    "Headers": ("new Headers({A: 'b'}).get('a')", "b"),
    "Blob": ("new Blob(['a']).text()", "a"),
    "File": ("new File(['a'], 'n').name", "n"),
    "FormData": ("(f => { f.set('a', 1); return f.get('a'); })(new FormData())", "1"),
    "self": ("self === globalThis", True),
    "navigator": ("navigator.userAgent", "greenflow"),
    "performance": ("performance.now() >= 0", True),
    "reportError": ("reportError(1)", None),
}  # fmt: skip


@pytest.mark.parametrize("name", [*web._file_of])
def test_each_is_there_for_who_says_its_name(name: str) -> None:
    expression, result = USES[name]
    assert run(returning(expression)) == result


@pytest.mark.parametrize(
    "reached",
    ["globalThis['UR' + 'L']", "new Function('return U' + 'RL')()", "(0, eval)('UR' + 'L')",
     "(() => {}).constructor('return UR' + 'L')()", "\\u0055RL", "self[['U', 'RL'].join('')]"],
)  # fmt: skip
def test_a_name_that_is_not_said_is_there_too(reached: str) -> None:
    assert run(returning(f"new ({reached})('http://a/b').pathname")) == "/b"


def test_a_snippet_that_says_none_is_given_none() -> None:
    assert web.needed("export default ({ body }) => ({ body, status: 200 })") == ""
    files = json.loads(web.needed("new URLSearchParams()"))["sources"]
    assert "search" in files
    assert "crypto" not in files


def test_a_snippet_may_have_names_of_its_own() -> None:
    assert run("const URL = 5; const crypto = 6; export default () => URL + crypto;") == 11
    assert run("globalThis.URL = 5; export default () => URL;") == 5


def test_random_numbers_differ_between_isolates_and_calls() -> None:
    code = returning(
        "[crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(99))].join()]"
    )
    programs = [javascript.compile(code) for _ in range(3)]
    seen = [text for _ in range(4) for program in programs for text in program(None)]
    assert len(set(seen)) == len(seen) == 24


def test_what_a_snippet_spoils_shows_it_nothing_of_the_calls() -> None:
    code = """
    const seen = new Set();
    const { apply, ownKeys } = Reflect;
    const add = Set.prototype.add;
    let isLooking = false;
    const look = (it) => {
      if (isLooking || typeof it !== "object" || it === null) return;
      isLooking = true;
      apply(add, seen, [ownKeys(it).map(String).join()]);
      isLooking = false;
    };
    for (const type of [Map, WeakMap, Array, Function, Promise, String]) {
      for (const key of Object.getOwnPropertyNames(type.prototype)) {
        const was = Object.getOwnPropertyDescriptor(type.prototype, key);
        if (typeof was.value !== "function" || key === "constructor") continue;
        Object.defineProperty(type.prototype, key, { configurable: true, writable: true,
          value(...given) {
            look(this);
            for (let i = 0; i < given.length; i++) look(given[i]);
            return apply(was.value, this, given);
          } });
      }
    }
    Object.defineProperty(Object.prototype, "call", { set(it) { look(this); } });
    export default async (a) => {
      await new Promise((done) => setTimeout(done, 1));
      clearTimeout(setInterval(() => {}, 1));
      setTimeout(() => {}, 1);
      return [...seen].filter((it) => /outcome|logged|timers|number/.test(it));
    };
    """
    program = javascript.compile(code)
    assert program(None) == []
    assert program(None) == []


CONSOLE = {
    "console.log('%s is %d, %i, %f', 'a', '4.5', '4.5', '1.5x', 7)": ["a is 4.5, 4, 1.5 7"],
    "console.log('100%', 1); console.log('%s'); console.log('%% %s', 1)": ["100% 1", "%s", "% 1"],
    "console.log('%o %c%j', {a: 1}, 'css', [1])": ['{"a":1} [1]'],
    "console.group('g'); console.log('in\\nside'); console.groupEnd(); console.log('out')": [
        "g",
        "  in\n  side",
        "out",
    ],
    "for (const it of [, 'x']) console.count(it); console.countReset(); console.count()": [
        "default: 1",
        "x: 1",
        "default: 1",
    ],
    "console.assert(1, 'no'); console.assert(0, 'yes %s', 1); console.assert(0)": [
        "Assertion failed: yes 1",
        "Assertion failed",
    ],
    "console.dir({a: 1}); console.timeEnd('x')": [
        '{"a":1}',
        "No such label 'x' for console.timeEnd()",
    ],
    "console.table([{a: 1}, {a: 'b', c: 2}])": [
        "| (index) | a   | c |\n|---------|-----|---|\n| 0       | 1   |   |\n| 1       | 'b' | 2 |"
    ],
    "console.table(5); console.table(['x'])": [
        "5",
        "| (index) | Values |\n|---------|--------|\n| 0       | 'x'    |",
    ],
    "reportError(new TypeError('t'))": ["Uncaught TypeError: t"],
}


@pytest.mark.parametrize(("code", "lines"), CONSOLE.items())
def test_console(code: str, lines: list[str]) -> None:
    program = javascript.compile(f"export default () => {{ {code}; }}")
    for _ in range(2):  # groups and counts end with their call
        logged: list[str] = []
        program(None, log=logged.append)
        assert [line.partition("\n    at ")[0] for line in logged] == lines
