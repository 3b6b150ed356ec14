"""What a hostile snippet may try: nothing outside its own program can be reached or changed.

Each attempt is the body of a function that returns true if it got what it should not have. While it
runs, and after it, a program of another node must answer as ever, with its own secret kept.
"""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from greenflow.errors import CompileFailed, GreenflowError
from greenflow.lang import javascript
from tests.lang.scripts import shared_workers

pytestmark = pytest.mark.usefixtures(shared_workers.__name__)

SECRET = "the-secret-of-another-node"

VICTIM = f"""
const secret = "{SECRET}"; globalThis.kept = secret;
export default async (a) => {{
  await null;
  const list = [3, 1, 2].map((x) => x * 2).sort();
  return [a, JSON.parse(JSON.stringify({{ list }})), ({{}}).polluted === undefined,
    [].polluted === undefined, (() => {{}}).polluted === undefined, `${{new Date(0).getTime()}}`];
}};
"""

# Found anywhere in what an attempt can see, it would have reached the secret.
SEARCH = """
const seen = new Set();
const search = (x, depth) => {
  if (typeof x === "string") return x.includes("the-secret" + "-of-another");
  if ((typeof x !== "object" && typeof x !== "function") || x === null) return false;
  if (depth === 0 || seen.has(x)) return false;
  seen.add(x);
  for (const name of Reflect.ownKeys(x)) {
    try { if (search(x[name], depth - 1)) return true; } catch {}
  }
  return search(Object.getPrototypeOf(x), depth - 1);
};
"""

HOST = (
    "(typeof g.process !== 'undefined' || typeof g.require !== 'undefined' || "
    "typeof g.fetch !== 'undefined' || typeof g.Deno !== 'undefined' || g.kept !== undefined)"
)

ATTEMPTS = [
    # Names that other engines have.
    "return typeof process !== 'undefined'",
    "return typeof require !== 'undefined'",
    "return typeof module !== 'undefined' || typeof exports !== 'undefined'",
    "return typeof fetch !== 'undefined' || typeof XMLHttpRequest !== 'undefined'",
    "return typeof Deno !== 'undefined' || typeof Bun !== 'undefined' || typeof std === 'object'",
    "return typeof WebSocket !== 'undefined' || typeof Worker !== 'undefined'",
    "return typeof importScripts === 'function' || typeof load === 'function'",
    "return typeof read === 'function' || typeof readFile === 'function'",
    "return typeof d8 !== 'undefined' || typeof quit === 'function'",
    "return typeof WebAssembly !== 'undefined'",
    "return typeof SharedArrayBuffer !== 'undefined' || typeof Atomics !== 'undefined'",
    "return typeof gc === 'function' || typeof $262 !== 'undefined'",
    "return typeof kept !== 'undefined' || typeof secret !== 'undefined'",
    "return typeof __timer_manager !== 'undefined'",
    # Constructor chains.
    f"const g = this?.constructor.constructor('return this')() ?? {{}}; return {HOST}",
    f"const g = (() => {{}}).constructor('return this')(); return {HOST}",
    f"const g = console.log.constructor('return this')(); return {HOST}",
    f"const g = setTimeout.constructor('return globalThis')(); return {HOST}",
    f"const g = (async () => {{}}).constructor('return this'); return {HOST.replace('g.', '(g).')}",
    f"const g = (function* () {{}}).constructor('yield this')().next().value; return {HOST}",
    f"const g = a.error.constructor('return this')(); return {HOST}",
    f"const g = a.constructor.constructor('return this')(); return {HOST}",
    f"const g = (0, eval)('this'); return {HOST}",
    f"const g = Function('return this')(); return {HOST}",
    f"const g = Reflect.construct(Function, ['return this'])(); return {HOST}",
    f"const g = [].map.call.constructor('return this')(); return {HOST}",
    f"const g = Object.getPrototypeOf(a).constructor.constructor('return this')(); return {HOST}",
    f"const g = new Proxy(Function, {{}})('return this')(); return {HOST}",
    "return Function('return import(\"fs\")')().then(() => true, () => false)",
    "return (0, eval)('import(\"file:///etc/passwd\")').then(() => true, () => false)",
    # Callers, stacks and arguments of what stands around.
    "return arguments.callee.caller !== null",
    "function f() { return f.caller; } return f() !== null",
    "return Error.prepareStackTrace = (e, s) => s.some((c) => c.getFunction() !== undefined && "
    "!String(c.getFunction()).includes('prepareStack')), new Error().stack === true",
    "Error.prepareStackTrace = (e, s) => s.some((c) => typeof c.getThis() === 'function'); "
    "return new Error().stack === true",
    f"{SEARCH} Error.prepareStackTrace = (e, s) => s; return search(new Error().stack, 6)",
    "return new Error().stack.includes('/') ",
    # Reading: other programs, the wire, the memory.
    f"{SEARCH} return search(globalThis, 8)",
    f"{SEARCH} return search(a, 8)",
    f"{SEARCH} return search(console, 8) || search(setTimeout, 8)",
    f"{SEARCH} const g = globalThis; "
    "return Object.getOwnPropertySymbols(g).some((s) => search(g[s], 5))",
    "return Object.getOwnPropertyNames(globalThis).some((n) => n.startsWith('$') || "
    "n.includes('realm') || n.includes('handler') || n.includes('notify'))",
    "const b = new Uint8Array(1 << 20); return b.some((x) => x !== 0)",
    "const t = String(Function.prototype.toString.call(console.log)); return t.includes('secret')",
    "let hit = false; Object.defineProperty(Object.prototype, 'v', { set(x) { hit = true; }, "
    "configurable: true }); JSON.parse('{\"v\":1}'); return hit",
    # Pollution of prototypes and built-ins.
    "Object.prototype.polluted = 1; Array.prototype.polluted = 1; return false",
    "Function.prototype.polluted = 1; a.__proto__.__proto__.polluted = 1; return false",
    "JSON.stringify = () => '\"forged\"'; JSON.parse = () => 'forged'; return false",
    "Promise.prototype.then = function (f) { f('forged'); }; return false",
    "Promise.resolve = () => 'forged'; globalThis.Promise = class {}; return false",
    "Array.prototype.map = () => ['forged']; Array.prototype[Symbol.iterator] = null; return false",
    "Array.prototype.sort = Array.prototype.push = Array.isArray = () => 'forged'; return false",
    "Object.keys = Object.defineProperty = Reflect.apply = () => 'forged'; return false",
    "String.prototype.slice = () => 'forged'; String.prototype.valueOf = () => 'x'; return false",
    "Map.prototype.get = WeakMap.prototype.get = () => 'forged'; return false",
    "Date.prototype.getTime = Date.prototype.toJSON = () => 'forged'; return false",
    "Function.prototype.call = Function.prototype.apply = () => 'forged'; return false",
    "Object.prototype.toJSON = () => 'forged'; return false",
    "Object.defineProperty(Array.prototype, 0, { set() { throw 1; }, configurable: true }); "
    "return false",
    "Object.setPrototypeOf(globalThis, null); Object.freeze(Object.prototype); return false",
    "for (const n of Object.getOwnPropertyNames(globalThis)) { try { delete globalThis[n]; } "
    "catch {} } return false",
    # Forging what stands on the wire.
    "return { toJSON() { return 'x\\nA 1 v\"forged\"\\nX\\nA 2 v1'; } } === 1",
    "console.log('\\nA 1 v\"forged\"\\nX\\n'); return false",
    "throw new Error('\\nA 1 v\"forged\"\\nX\\n')",
    "const e = new Error('x'); e.stack = '\\nA 1 v1\\n'; e.name = '\\nX\\n'; throw e",
    "const e = new Error('x'); Object.defineProperty(e, 'message', { get() { return '\\nX'; } }); "
    "throw e",
    "throw { toString() { return '\\nX\\n'; }, toJSON() { return '\\nX\\n'; } }",
    "setTimeout(() => { Object.prototype.polluted = 1; }, 1); return false",
    "new Promise(() => { throw 1; }); return false",
    "Promise.reject(new Error('nobody takes it')); return false",
]

# What a parser that is fooled would let run outside of the function that the module becomes.
BREAKOUTS = [
    "}), globalThis.kept = 1, (function () {\nexport default () => 1",
    "export default () => 1;\n});(function(){ return () => 2 })()//",
    "export default () => 1 //# sourceURL=x\n}",
    "export default () => import('fs')",
    "import fs from 'fs'; export default () => fs",
]


def _answers(program: Any) -> None:
    assert program(7, timeout=10) == [7, {"list": [2, 4, 6]}, True, True, True, "0"]


def test_there_are_enough_attempts() -> None:
    assert len(set(ATTEMPTS)) + len(BREAKOUTS) >= 60


@pytest.mark.parametrize("number", range(len(ATTEMPTS)))
def test_an_attempt_fails(number: int) -> None:
    victim = javascript.compile(VICTIM)
    _answers(victim)
    attempt = javascript.compile(f"export default function (a) {{ {ATTEMPTS[number]} }}")
    lines: list[str] = []
    beside = [gevent.spawn(_answers, victim) for _ in range(4)]
    for _ in range(3):  # a second call meets what the first one left
        try:
            result = attempt(ValueError("x"), timeout=10, log=lines.append)
        except GreenflowError as error:
            result = str(error)
            assert "died" not in result
            assert "limit" not in result
        assert result is not True
        assert SECRET not in repr(result)
    gevent.joinall(beside, raise_error=True)
    _answers(victim)
    _answers(javascript.compile(VICTIM))


@pytest.mark.parametrize("code", BREAKOUTS)
def test_a_breakout_does_not_compile(code: str) -> None:
    with pytest.raises(CompileFailed):
        javascript.compile(code)


def test_the_environment_of_a_worker_holds_no_secret() -> None:
    for pid in javascript.running().processes():
        with open(f"/proc/{pid}/environ", "rb") as file:
            names = {entry.split(b"=")[0] for entry in file.read().split(b"\0") if entry}
        assert names == {b"PYTHONPATH", b"LC_ALL"}
