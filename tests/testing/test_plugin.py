"""`*.flow.yaml` under pytest, each run in an OS process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from greenflow.spec.batch import Faulty
from greenflow.testing.cases import CaseFailed, read_cases

SHOP = """\
- {kind: listener, name: web, port: 8000, links: {out: {name: checkout}}}
- {kind: try, name: checkout, links: {out: {name: payment}, error: {name: sorry}}}
- {kind: http, name: payment, url: "http://payment.example.com/"}
- {kind: snippet, name: sorry, language: json, code: '{"status": 402, "body": {"ok": false}}'}
"""

GOOD = """\
specs: shop.yaml
replace:
  payment:
    - error: no money
    - answer: {status: 201, header: {X-Paid: "10"}, body: {ok: true}}
cases:
  - name: a refused payment is answered 402
    request: {method: POST, path: /orders, body: {total: 10}}
    response: {status: 402, body: {ok: false}}
    passed:
      sorry: {in: no money}
      payment: {out: []}
  - name: what is not said may be anything
    request: {path: /}
    response: {status: 402}
  - name: an error is one of its messages
    call: payment
    error: no money
"""

BAD = """\
specs: shop.yaml
replace: {payment: {answer: {ok: true, id: 7}}}
cases:
  - name: another answer
    call: checkout
    answer: {ok: true, id: 8}
  - name: no error
    call: checkout
    error: no money
  - name: another status
    request: {path: /}
    response: {status: 402}
  - name: another header
    request: {path: /}
    response:
      header: {Content-Type: text/html}
  - name: something passed
    call: checkout
    passed:
      payment: {out: []}
  - name: no such node
    call: checkout
    passed:
      paiment: {out: []}
  - name: null is a value
    call: checkout
    answer: null
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop.yaml").write_text(SHOP)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."]
    return subprocess.run(
        [*command, "-c", "/dev/null", *options, "."],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )


def test_cases_pass(tmp_path: Path) -> None:
    (tmp_path / "shop.flow.yaml").write_text(GOOD)
    done = run(tmp_path)
    assert "3 passed" in done.stdout
    assert done.returncode == 0


def test_a_case_that_fails_says_where_and_how(tmp_path: Path) -> None:
    (tmp_path / "shop.flow.yaml").write_text(BAD)
    done = run(tmp_path)
    assert "7 failed" in done.stdout
    at = "\nshop.flow.yaml"
    for said in (
        f"{at}:6:5: another answer: the answer is not as expected (- expected, + found)\n  {{\n"
        '-   "id": 8,\n',
        f'{at}:9:5: no error: no error, but the answer {{"ok": true, "id": 7}}',
        f'{at}:12:16: another status: status 200, and the body {{"ok": true, "id": 7}}',
        f"{at}:16:16: another header: Content-Type is not as expected",
        f"{at}:20:17: something passed: what passed 'payment' by 'out' is not as expected",
        f"{at}:24:17: no such node: no node 'paiment'; there are checkout",
        f"{at}:27:5: null is a value: the answer is not as expected",
    ):
        assert said in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[]", ["one map is wanted"]),
        ("specs: a.yaml\ncases: []\n", ["2:1: $.cases"]),
        (
            "specs: a.yaml\ncasse: 1\ncases:\n  - {name: a, cal: b}\n",
            ["2:1: $.casse: unknown field; did you mean 'cases'?", "4:15: $.cases[0].cal"],
        ),
        ("specs: 5\ncases: {name: a, call: b}\n", ["1:1: $.specs[0]: the name of a file"]),
        (
            "specs: a.yaml\ncases:\n  - {name: a}\n  - {name: a, call: b, response: {}}\n",
            ["3:5: $.cases[0]: a case has either", "4:6: $.cases[1].name", "4:24: $.cases[1].resp"],
        ),
        (
            "specs: a.yaml\nreplace: {a: {answer: 1, error: b}, b: []}\ncases: {name: a, call: b}",
            ["2:11: $.replace.a[0]: either", "2:37: $.replace.b: at least one"],
        ),
        ("specs: a.yaml\ncases: {name: a, request: {path: b}}", ["2:28: $.cases[0].request.path"]),
        ("specs: [\n", ["a.flow.yaml:"]),
    ],
)
def test_a_faulty_file_is_told_with_all_its_places(
    tmp_path: Path, text: str, faults: list[str]
) -> None:
    file = tmp_path / "a.flow.yaml"
    file.write_text(text)
    with pytest.raises(Faulty) as raised:
        read_cases(str(file))
    for fault in faults:
        assert fault in str(raised.value)


def test_faults_of_specs_in_the_file_have_their_places(tmp_path: Path) -> None:
    file = tmp_path / "a.flow.yaml"
    file.write_text("specs:\n  - {kind: nop}\n  - {kind: nopp}\ncases:\n  - {name: a, call: nop}\n")
    (case,) = read_cases(str(file))
    with pytest.raises(Faulty, match=rf"^{file}:3:6: \$\.specs\[1\]\.kind: unknown kind 'nopp'"):
        case.run()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("specs: lost.yaml\ncases: {name: a, call: b}\n", "lost.yaml: no such file"),
        (
            "specs: {kind: fork, name: a, links: {out: {name: lost}}}\ncases: {name: a, call: a}\n",
            "not every node is active: a: links.out: no node 'lost'",
        ),
        ("specs: {kind: nop}\nreplace: {z: {}}\ncases: {name: a, call: b}\n", "no node to replace"),
        ("specs: {kind: nop}\ncases: {name: a, request: {}}\n", "which listener?"),
    ],
)
def test_what_cannot_run_is_told_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "a.flow.yaml"
    file.write_text(text)
    (case,) = read_cases(str(file))
    with pytest.raises(CaseFailed) as raised:
        case.run()
    assert str(raised.value).startswith(f"{file}:{case.line}:9: a: ")
    assert reason in str(raised.value)


def test_specs_may_be_of_a_namespace(tmp_path: Path) -> None:
    file = tmp_path / "a.flow.yaml"
    file.write_text(
        "namespace: shop\nspecs: {kind: nop, name: a, namespace: shop}\ncases: {name: a, call: a}\n"
    )
    (case,) = read_cases(str(file))
    case.run()


def test_a_process_that_goes_on_too_long_fails_the_case(tmp_path: Path) -> None:
    file = tmp_path / "a.flow.yaml"
    specs = (
        "[{kind: fork, name: a, links: {out: {name: b}}}, {kind: sleep, name: b, interval: 100ms}]"
    )
    file.write_text(f"specs: {specs}\ncases: {{name: a, call: a, timeout: 10ms}}\n")
    (case,) = read_cases(str(file))
    with pytest.raises(CaseFailed, match=r"processes still run after 0\.01 s"):
        case.run()


def test_a_faulty_file_is_an_error_of_the_collection(tmp_path: Path) -> None:
    (tmp_path / "shop.flow.yaml").write_text("specs: shop.yaml\ncases: {nam: a}\n")
    done = run(tmp_path)
    assert "\nshop.flow.yaml:2:9: $.cases[0].nam: unknown field" in done.stdout
    assert done.returncode == 2


def test_sleeps_take_no_time_when_the_clock_jumps(tmp_path: Path) -> None:
    file = tmp_path / "a.flow.yaml"
    specs = "specs: {kind: sleep, name: a, interval: 1h}\n"
    file.write_text(f"{specs}clock: jump\ncases: {{name: a, call: a, payload: 1, answer: 1}}\n")
    (case,) = read_cases(str(file))
    case.run()


def test_a_file_hands_over_values_and_an_environment(tmp_path: Path) -> None:
    (tmp_path / "values.flow.yaml").write_text(
        "specs:\n"
        "  - kind: snippet\n"
        "    name: says\n"
        "    env: {DB: {name: db}, WHO: {data: '{{ .WHO }}'}}\n"
        "    code: '{{ .DB.user }} {{ .WHO }}'\n"
        "values: {db: {user: shop}}\n"
        "environment: {WHO: me}\n"
        "cases: {name: both, call: says, answer: shop me}\n"
    )
    [case] = read_cases(str(tmp_path / "values.flow.yaml"))
    case.run()


def test_a_project_without_such_files_pays_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n\n\ndef test_nothing():\n"
        "    heavy = {'gevent', 'msgspec', 'greenflow.runtime', 'yaml'} & set(sys.modules)\n"
        "    assert 'greenflow.testing.plugin' in sys.modules\n    assert not heavy\n"
    )
    done = run(tmp_path, "-p", "no:hypothesispytest")
    assert "1 passed" in done.stdout, done.stdout
