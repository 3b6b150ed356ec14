"""--compat: files of a release of uniflow, on every command that reads them, and what is told where
there is no switch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

MANY = """\
- kind: if   # by count
  name: many
  comment: ours
  when: count > 10
  timeout: 500
  ports: {"out[0]": [{name: yes, port: in}], "out[1]": [{name: no, port: in}]}
- {kind: snippet, name: yes, language: text, code: yes}
- {kind: snippet, name: no, language: text, code: no}
"""
HINT = "a.yaml:3:3: $.comment: there is no such field, and uniflow-2025 reads over it: left out"


@pytest.fixture(autouse=True)
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a.yaml"
    file.write_text(MANY)
    return file


def test_it_runs_under_the_switch_only(greenflow: Command) -> None:
    without = greenflow("call", "many", '{"count": 11}', "a.yaml")
    assert without.code == 3
    assert "$.comment: unknown field" in without.err
    called = greenflow("call", "many", '{"count": 11}', "a.yaml", "--compat", "uniflow-2025")
    assert (called.code, called.out) == (0, '"yes"\n')
    assert HINT in called.err


def test_what_is_stored_is_meant_here(greenflow: Command) -> None:
    applied = greenflow("apply", "-f", "a.yaml", "--compat", "uniflow-2025")
    assert applied.code == 0, applied.err
    (stored,) = json.loads(greenflow("get", "many", "-o", "json").out)
    assert (stored["when"], stored["timeout"]) == ("self.count > 10", "500ms")
    assert "comment" not in stored
    called = greenflow("call", "many", '{"count": 3}')
    assert (called.code, called.out) == (0, '"no"\n')
    same = greenflow("diff", "a.yaml", "--compat", "uniflow-2025", "--exit-code")
    assert (same.code, same.out) == (0, "")


def test_the_setting_is_as_good(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "greenflow.toml").write_text('compat = "uniflow-2025"\n')
    assert greenflow("call", "many", '{"count": 11}', "a.yaml").out == '"yes"\n'
    (tmp_path / "greenflow.toml").write_text('compat = "uniflow"\n')
    wrong = greenflow("call", "many", "a.yaml")
    assert wrong.code == 2
    assert "uniflow-2024" in wrong.err


def test_lint_graph_and_eval_read_so_too(greenflow: Command) -> None:
    assert greenflow("lint", "a.yaml").code == 3
    assert greenflow("lint", "a.yaml", "--compat", "uniflow-2025").code == 0
    assert "many" in greenflow("graph", "a.yaml", "--compat", "uniflow-2025").out
    assert greenflow("eval", "count + 1", "--input", "-", stdin='{"count": 1}').code == 3
    done = greenflow(
        "eval", "count + 1", "--input", "-", "--compat", "uniflow-2025", stdin='{"count": 1}'
    )
    assert (done.code, done.out) == (0, "2\n")


CASES = """\
specs: [a.yaml]
cases:
  - {name: many, call: many, payload: {count: 11}, answer: "yes"}
"""


def test_cases_are_of_files_under_the_switch(greenflow: Command, tmp_path: Path) -> None:
    cases = tmp_path / "a.flow.yaml"
    cases.write_text(CASES)
    assert greenflow("test", "a.flow.yaml").code != 0
    assert greenflow("test", "a.flow.yaml", "--compat", "uniflow-2025").code == 0
    cases.write_text(f"compat: uniflow-2025\n{CASES}")
    assert greenflow("test", "a.flow.yaml").code == 0
    inside = CASES.replace(
        "[a.yaml]", json.dumps([{"kind": "if", "name": "many", "when": "count"}])
    )
    cases.write_text(
        f"compat: uniflow-2025\n{inside.replace('yes', 'no')}".replace('"no"', "{count: 11}")
    )
    done = greenflow("test", "a.flow.yaml")
    assert done.code == 0, done.out


def test_migrate_writes_what_the_switch_means(greenflow: Command, file: Path) -> None:
    migrated = greenflow("migrate", "--from", "uniflow-2025", "--write", "a.yaml")
    assert migrated.code == 0, migrated.err
    assert migrated.out.splitlines() == [
        "a.yaml:3:3: comment is left out",
        "a.yaml:4:9: count is now self.count",
        "a.yaml:5:12: 500 is now 500ms",
        "a.yaml:6:3: ports is now links",
    ]
    assert HINT in migrated.err
    assert file.read_text() == (
        MANY.replace("  comment: ours\n", "")
        .replace("count > 10", "self.count > 10")
        .replace("500", "500ms")
        .replace("ports", "links")
    )
    assert greenflow("call", "many", '{"count": 11}', "a.yaml").out == '"yes"\n'
    again = greenflow("migrate", "--from", "uniflow-2025", "--write", "a.yaml")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_without_a_switch_what_may_be_milliseconds_is_told(greenflow: Command, file: Path) -> None:
    file.write_text("- {kind: nop, name: a}\n- kind: sleep\n  name: b\n  interval: 2000\n")
    applied = greenflow("apply", "-f", "a.yaml")
    assert applied.code == 5
    assert "a.yaml:4:3: b: $.interval: 2000 is read as seconds" in applied.err
    assert "write the unit, as 2000s or 2000ms" in applied.err
    assert greenflow("apply", "-f", "a.yaml", "--strict").code == 5
    assert greenflow("apply", "-f", "a.yaml", "--compat", "uniflow-2025").code == 0
    (stored,) = json.loads(greenflow("get", "b", "-o", "json").out)
    assert stored["interval"] == "2s"
