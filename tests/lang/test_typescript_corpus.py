"""TypeScript in a few hundred texts (typescript/*.txt): each has the value that it is to have, and
the compiler of TypeScript, where node and npm are installed, says the same.

A text begins with `////` and its name, and ends with `//=` and the value of its default export, or
of `r`, as JSON, or with `//!` and a part of why it is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from greenflow.errors import CompileFailed
from greenflow.lang import typescript
from greenflow.lang.script import scanner, without_html_comments, without_types
from greenflow.lang.script.scanner import Scanner
from greenflow.lang.typescript import erase
from tests.lang.scripts import shared_workers

pytestmark = pytest.mark.usefixtures(shared_workers.__name__)

FOLDER = Path(__file__).parent / "typescript"

VERSION = "~5.9"  # of the compiler

# Other line ends for a text, by the end of its name.
LINE_ENDS = {"(CRLF)": "\r\n", "(CR)": "\r", "(LS)": "\u2028"}

# Texts that the compiler takes and we refuse, beside those with `//!`.
REFUSED = {
    "a field without a type before in": "the parser of JavaScript (languages.md)",
    "export with line ends": "the parser of JavaScript (languages.md)",
}


class Case(NamedTuple):
    """A text, and what comes of it."""

    name: str
    code: str
    value: str | None
    refusal: str | None


def _cases() -> list[Case]:
    cases = []
    for path in sorted(FOLDER.glob("*.txt")):
        with path.open(encoding="utf-8", newline="") as file:
            parts = re.split(r"^//// ", file.read(), flags=re.MULTILINE)[1:]
        for part in parts:
            name, _, rest = part.partition("\n")
            code, mark, end = re.split(r"^(//[=!]) ", rest, flags=re.MULTILINE)
            if not re.search(r"export default|as\s+default|export\s*=", code):
                code += "export default () => r;\n"
            for suffix, line_end in LINE_ENDS.items():
                if name.endswith(suffix):
                    code = code.replace("\n", line_end)
            if name.endswith("(BOM)"):
                code = "\ufeff" + code
            value, refusal = (end.strip(), None) if mark == "//=" else (None, end.strip())
            cases.append(Case(name, code, value, refusal))
    return cases


CASES = _cases()


def _named(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.name) for case in cases]


def test_the_names_are_different() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 350


@pytest.mark.parametrize(
    "case", _named([it for it in CASES if it.value and it.name not in REFUSED])
)
def test_a_text_has_its_value(case: Case) -> None:
    assert case.value is not None
    assert typescript.compile(case.code)(None) == json.loads(case.value)


@pytest.mark.parametrize("case", _named([it for it in CASES if it.refusal]))
def test_a_text_is_refused_with_a_reason(case: Case) -> None:
    assert case.refusal is not None
    with pytest.raises(CompileFailed, match=re.escape(case.refusal)) as caught:
        typescript.compile(case.code)
    assert caught.value.line


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_we_refuse_is_still_so(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    with pytest.raises(CompileFailed):
        typescript.compile(case.code)


def test_lines_and_columns_stay() -> None:
    """Only what gets a meaning of its own moves what stands behind it in its line."""
    moved = re.compile(r"enum|constructor|accessor|<!--|-->|export\s*=")
    for case in CASES:
        if case.refusal:
            continue
        written, erased = case.code.splitlines(), erase(case.code).splitlines()
        assert len(erased) == len(written), case.name
        if moved.search(case.code):
            continue
        for before, after in zip(written, erased, strict=True):
            for column, (one, other) in enumerate(zip(before, after, strict=False)):
                if len(after) > len(before) and other in (")", ";") and other != one:
                    break  # ours, behind what it ends
                assert other in (one, " ", ";", "(", ")"), (case.name, before, after, column)
            else:
                assert after[len(before) :] in ("", ")", ";", ");"), (case.name, after)


def test_what_is_erased_has_no_types_any_more() -> None:
    for case in CASES:
        if not case.refusal:
            erased = erase(case.code)
            assert erase(erased) == erased, case.name


def _compiler() -> Path:
    """The folder where the compiler is; it is fetched once."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "greenflow-tests" / "typescript-5.9"
    if not (folder / "node_modules" / "typescript" / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-save")
        command = ["npm", "install", "--prefix", str(folder), *options, f"typescript@{VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"npm cannot install typescript: {done.stderr.strip()[-200:]}")
    return folder


def test_the_compiler_of_typescript_says_the_same() -> None:
    command = ["node", str(FOLDER / "compare.mjs"), str(_compiler())]
    codes = json.dumps([case.code for case in CASES])
    done = subprocess.run(command, input=codes, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for case, result in zip(CASES, results, strict=True):
        if case.value:
            assert erase(result["code"]) == result["code"], f"{case.name}: JavaScript was edited"
            assert result["faults"] == [], case.name
            assert json.loads(result["value"]) == json.loads(case.value), case.name
    equal = sum(1 for case in CASES if case.value and case.name not in REFUSED)
    assert equal >= 0.99 * sum(1 for case in CASES if case.value)


# How a text grows that makes a parser try again and again.
GROWING = {
    "comparisons": lambda n: "const r = a" + " < b" * n,
    "comparisons in calls": lambda n: "const r = " + "f(a < b, c > d) + " * n + "1",
    "arrays that are no arguments": lambda n: "const r = " + "a < [1, " * n + "1" + "]" * n,
    "parentheses that begin no arrow": lambda n: "const r = " + "(a = " * n + "1" + ")" * n,
    "patterns that are objects": lambda n: "const r = " + "({a = " * n + "1" + "})" * n,
    "conditions": lambda n: "const r = " + "a ? (b) : " * n + "1",
    "arrows in conditions": lambda n: "const r = " + "a ? (b) : c => " * n + "1",
    "constraints": lambda n: (
        "type T = " + "A extends (infer B extends " * n + "1" + " ? 1 : 2)" * n
    ),
    "functions in types": lambda n: "let x: " + "(a: " * n + "1" + ") => 1" * n,
    "comments": lambda n: "let x: number /* " + "* /" * n + " */ = 1",
    "statements": lambda n: "let x: number = 1 as any\n" * n,
    "casts": lambda n: "const r = a" + " as any" * n,
}


@pytest.mark.parametrize("kind", GROWING)
def test_the_tokens_read_grow_with_the_text(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Scanner._read
    count = 0

    def counted(scanner: Scanner, place: int) -> None:
        nonlocal count
        count += 1
        read(scanner, place)

    monkeypatch.setattr(Scanner, "_read", counted)
    counts = []
    for times in (50, 100, 200):
        count = 0
        text = GROWING[kind](times)
        with contextlib.suppress(CompileFailed):
            without_types(text)
        counts.append(count / len(text))
    # What is nested may be read once for each level, of which there are MAX_DEPTH.
    limit = 6 if kind in ("comments", "statements", "casts", "comparisons in calls") else 200
    assert counts[-1] < limit, counts
    assert counts[-1] < 2.5 * counts[-2], counts


@pytest.mark.parametrize(
    "part",
    ["f(1);", "type T = {a: 1}\n", "class A { a = 1; b() {} }\n", "enum E { A }\n"],
)
def test_others_run_while_a_text_is_read(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = 0

    def pause() -> None:
        nonlocal pauses
        pauses += 1

    monkeypatch.setattr(scanner, "pause", pause)
    without_types(part * 1000)
    assert pauses >= 1000 // 16
    pauses = 0
    without_types("const r = [" + "1," * 1000 + "]")
    assert pauses >= 1000 // 16


@pytest.mark.parametrize(
    "text",
    ["(" * 3000, "[" * 3000, "{" * 3000, "f(" * 3000, "a => " * 3000, "let x: " + "(" * 3000],
)
def test_what_is_nested_too_deep_is_refused(text: str) -> None:
    with pytest.raises(CompileFailed, match=r"nested deeper|syntax error"):
        erase(text)


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("let n = 3; const r = 5<!--n; export default () => [r, n]", [False, 2]),
        ("let n = 3, m = 0; while (n-->0) m++; export default () => [m, n]", [3, -1]),
        ("const r = '<!-- -->' // <!--\nexport default () => r", "<!-- -->"),
        ("/* --> */ export default () => `<!--${/-->/.source}`", "<!---->"),
    ],
)
def test_a_module_of_javascript_has_no_html_comments(code: str, value: Any) -> None:
    from greenflow.lang import javascript

    assert javascript.compile(code)(None) == value
    assert typescript.compile(code)(None) == value


def test_types_do_not_slip_into_javascript_behind_such_a_comment() -> None:
    text = "let n: number = 3; const r = 5<!--n"
    assert without_html_comments(text) == text
