"""Levels, comments, mending and the forms of a report."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from greenflow.config import Settings
from greenflow.lint.linting import UnknownRule, levels_of, lint
from greenflow.lint.mending import mended, with_ignores
from greenflow.lint.report import LintReport, as_github, as_json, as_text
from greenflow.lint.rules import BY_ID, RULES, page
from greenflow.lint.sarif import as_sarif
from greenflow.scheme.migration import migrate
from greenflow.scheme.registry import Scheme

FAULTY = """\
# The way in.
- kind: listener # here
  name: web
  port: 0
  ports: {out: {name: hello}} # old
- kind: snippet
  name: hello
  language: text
  code: |
    # greenflow: ignore GF020
    hi
  env:
    A: {data: 1}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.yaml"
    path.write_text(FAULTY)
    return path


def settings(**levels: list[str]) -> Settings:
    return msgspec.convert({"lint": levels}, Settings)


def report(path: Path, **levels: list[str]) -> LintReport:
    return lint([str(path)], Scheme.installed(), settings(**levels), False).report


def rules(path: Path) -> list[str]:
    return [finding.rule for finding in report(path).findings]


def test_ids_are_taken_once_and_in_order() -> None:
    ids = [rule.id for rule in RULES]
    assert ids == sorted(set(ids))
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_settings_change_levels() -> None:
    levels = levels_of(settings(error=["GF020"], off=["GF013"], warning=["GF026"]), False)
    assert (levels["GF020"], levels["GF013"], levels["GF026"]) == ("error", "off", "warning")
    assert levels_of(Settings(), False)["GF026"] == "off"
    assert levels_of(Settings(), True)["GF026"] == "info"
    with pytest.raises(UnknownRule, match=r"lint\.error: there is no rule 'GF999'"):
        levels_of(settings(error=["GF999"]), False)


def test_what_is_off_is_not_told(file: Path) -> None:
    assert rules(file) == ["GF017", "GF023", "GF020"]
    left = report(file, off=["GF017", "GF023"], error=["GF020"])
    assert left.counts() == {"error": 1, "warning": 0, "info": 0}


@pytest.mark.parametrize(
    ("before", "comment"),
    [
        ("- kind: snippet\n", "# greenflow: ignore GF020 it is for later\n- kind: snippet\n"),
        ("- kind: snippet\n", "- kind: snippet # greenflow: ignore GF020, GF013\n"),
        ("  env:\n", "  # greenflow: ignore GF020\n  # and more\n\n  env:\n"),
        ("  env:\n", "  env: # greenflow: ignore GF020 why not\n"),
        ("    A: {data: 1}\n", "    A: {data: 1} #greenflow:ignore GF020\n"),
    ],
)
def test_a_comment_silences_a_rule_where_it_stands(file: Path, before: str, comment: str) -> None:
    assert before in FAULTY
    file.write_text(FAULTY.replace(before, comment))
    done = report(file)
    assert "GF020" not in [finding.rule for finding in done.findings]
    assert done.suppressed == 1


@pytest.mark.parametrize(
    ("before", "comment"),
    [
        ("  code: |\n", "  # greenflow: ignore GF020\n  code: |\n"),
        ("  ports:", "  # greenflow: ignore GF020\n  ports:"),
        ("- kind: listener # here", "- kind: listener # greenflow: ignore GF020"),
        ("  env:\n", "  env:\n    # ignore GF020\n"),
    ],
)
def test_a_comment_elsewhere_silences_nothing(file: Path, before: str, comment: str) -> None:
    assert before in FAULTY
    file.write_text(FAULTY.replace(before, comment, 1))
    assert "GF020" in rules(file)


def test_a_comment_of_a_rule_that_is_off_is_not_unused(file: Path) -> None:
    file.write_text("# greenflow: ignore GF026 by hand\n" + FAULTY)
    assert "GF025" not in rules(file)


def test_mending_changes_what_is_sure_and_nothing_else(file: Path) -> None:
    file.write_text("# greenflow: ignore GF020 GF017\n" + FAULTY)
    linted = lint([str(file)], Scheme.installed(), Settings(), False)
    text = mended(linted.files[0], linted.report.findings)
    assert text == "# greenflow: ignore GF017\n" + FAULTY.replace("ports:", "links:")
    file.write_text(text)
    assert rules(file) == ["GF020"]


def test_an_unused_comment_goes_with_its_line(file: Path) -> None:
    file.write_text(FAULTY.replace("  port: 0\n", "  port: 0 # greenflow: ignore GF013\n"))
    linted = lint([str(file)], Scheme.installed(), Settings(), False)
    assert mended(linted.files[0], linted.report.findings) == FAULTY.replace("ports:", "links:")
    file.write_text(FAULTY.replace("  port: 0\n", "  # greenflow: ignore GF013\n  port: 0\n"))
    linted = lint([str(file)], Scheme.installed(), Settings(), False)
    assert mended(linted.files[0], linted.report.findings) == FAULTY.replace("ports:", "links:")


def test_ignores_for_what_is_there_silence_all_of_it(file: Path) -> None:
    linted = lint([str(file)], Scheme.installed(), Settings(), False)
    file.write_text(with_ignores(linted.files[0], linted.report.findings))
    done = report(file)
    assert (done.findings, done.suppressed) == ([], 3)


def test_lines_for_people_end_with_what_was_looked_at(file: Path) -> None:
    *lines, last = as_text(report(file))
    assert lines[1] == f"{file}:5:3: info GF023: web: `ports` is `links`: write that"
    assert last == "2 specs in 1 file checked: 1 warning, 2 info"
    file.write_text("kind: nop\nname: a\n")
    assert list(as_text(report(file))) == ["1 spec in 1 file checked: nothing found"]


def test_json_has_everything(file: Path) -> None:
    data = json.loads(as_json(report(file)))
    assert data["findings"][-1] == {
        "rule": "GF020",
        "name": "env-unused",
        "level": "warning",
        "file": str(file),
        "line": 13,
        "column": 5,
        "spec": "hello",
        "message": "nothing here uses {{ .A }}",
    }
    assert (data["errors"], data["warnings"], data["info"], data["suppressed"]) == (0, 1, 2, 0)


def test_commands_of_github_are_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "a,b:c%.yaml"
    path.write_text("kind: nop\nname: [\n")
    (line,) = as_github(report(path))
    assert line.startswith("::error file=")
    assert f"{tmp_path}/a%2Cb%3Ac%25.yaml,line=" in line
    assert "title=GF001 unreadable::" in line


def test_sarif_says_rules_places_and_fingerprints_that_stay(file: Path) -> None:
    (run,) = json.loads(as_sarif(report(file), "1.2.3"))["runs"]
    driver = run["tool"]["driver"]
    assert driver["version"] == "1.2.3"
    assert [rule["id"] for rule in driver["rules"]] == [rule.id for rule in RULES]
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        assert location["physicalLocation"]["region"]["startLine"] >= 1
        assert location["physicalLocation"]["artifactLocation"]["uri"] == file.as_uri()
    assert [result["level"] for result in run["results"]] == ["note", "note", "warning"]
    prints = [result["partialFingerprints"] for result in run["results"]]
    file.write_text("\n\n" + FAULTY)
    (moved,) = json.loads(as_sarif(report(file), "1.2.3"))["runs"]
    assert [result["partialFingerprints"] for result in moved["results"]] == prints


def test_two_findings_that_read_alike_have_two_fingerprints(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    bound = "{kind: snippet, language: text, code: a, env: {A: {data: 1}}}"
    path.write_text(f"- {bound}\n- {bound}\n")
    (run,) = json.loads(as_sarif(report(path), "1"))["runs"]
    prints = [result["partialFingerprints"]["greenflow/v1"] for result in run["results"]]
    assert len(set(prints)) == 2


def test_the_page_has_every_rule() -> None:
    text = page()
    for rule in BY_ID.values():
        assert f"## {rule.id} {rule.name}\n" in text
    written = Path(__file__).parents[2] / "contrib" / "docs" / "rules.md"
    assert written.read_text() == text


@pytest.mark.parametrize(
    ("text", "mended_text"),
    [
        (
            "- {kind: wait, name: a, interval: 2000000}\n",
            "- {kind: sleep, name: a, interval: 2ms}\n",
        ),
        ("- kind: 'pipe' # so\n  name: pipe\n", "- kind: 'call' # so\n  name: pipe\n"),
        (
            '[{"kind": "wait", "name": "wait",\n  "interval": 2000000}]\n',
            '[{"kind": "sleep", "name": "wait",\n  "interval": "2ms"}]\n',
        ),
        (
            "- kind: syscall\n  name: a\n  opcode: specs.read\n  ports: {}\n",
            "- kind: syscall\n  name: a\n  opcode: nodes.read\n  links: {}\n",
        ),
        (
            "- kind: block\n  name: a\n  nodes:\n  - {kind: wait, interval: 1s, ports: {}}\n",
            "- kind: block\n  name: a\n  specs:\n  - {kind: sleep, interval: 1s, links: {}}\n",
        ),
    ],
)
def test_other_words_than_ours_are_mended(tmp_path: Path, text: str, mended_text: str) -> None:
    path = tmp_path / ("a.json" if text.startswith("[") else "a.yaml")
    path.write_text(text)
    linted = lint([str(path)], Scheme.installed(), settings(), False)
    (file,) = linted.files
    assert mended(file, linted.report.findings) == mended_text
    assert migrate(text, "a", Scheme.installed()).text == mended_text


def test_an_older_kind_has_its_successor_named(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("- {kind: native, name: a}\n")
    (finding,) = report(path).findings
    assert "unknown kind 'native'; 'syscall' does its work here; known are" in finding.message
