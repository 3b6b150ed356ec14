"""`greenflow eval`."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests import programs

pytestmark = pytest.mark.usefixtures("templates")


def evaluate(*arguments: str, stdin: str = "") -> CompletedProcess[str]:
    done = programs.run(("eval", *arguments), stdin.encode())
    return CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_code_is_run_on_a_payload(tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text('{"a": [1, 2, 3]}')
    done = evaluate("--input", str(file), "self.a.filter(x, x > 1)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[2,3]\n", "")
    done = evaluate("-l", "cel", "--input", "-", "self + 1", stdin="41")
    assert (done.returncode, done.stdout) == (0, "42\n")


@pytest.mark.parametrize(
    ("language", "code", "result"),
    [
        ("text", "hi", '"hi"\n'),
        ("json", "[1, 2]", "[1,2]\n"),
        ("yaml", "a: no", '{"a":"no"}\n'),
        ("javascript", "export default () => [1]", "[1]\n"),
        ("typescript", "export default (a: unknown): number[] => [1]", "[1]\n"),
    ],
)
def test_every_language_can_be_tried(language: str, code: str, result: str) -> None:
    assert evaluate("-l", language, code).stdout == result


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("1 +",), 3, "line 1"),
        (("self.a",), 1, "line 1"),
        (("-l", "javascript", "let a"), 3, "line 1"),
        (("-l", "typescript", "export default (a: any) =>\n  a.b.c"), 1, "line 2, column 5"),
        (("-l", "klingon", "x"), 3, "unknown language 'klingon'"),
        (("--timeout", "soon", "1"), 2, "--timeout"),
        (("--input", "no such file", "1"), 1, "no such file"),
    ],
)
def test_a_failure_is_one_clear_line(arguments: tuple[str, ...], code: int, said: str) -> None:
    done = evaluate(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
