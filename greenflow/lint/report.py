"""A report as text for people, JSON for programs, and the commands of GitHub's workflows.

Lives here: the three short forms; SARIF is sarif.py's. A finding's level is the report's, for
settings change it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from greenflow.lint.finding import LintFinding
from greenflow.lint.rules import BY_ID, LEVELS, Level

# What a level is called in GitHub's workflow commands.
_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


class LintReport(NamedTuple):
    """What was found, in the order of files and lines, and how much was looked at."""

    findings: list[LintFinding]
    suppressed: int
    files: int
    specs: int
    levels: Mapping[str, Level]

    def level(self, finding: LintFinding) -> Level:
        """How bad a finding is."""
        return self.levels[finding.rule]

    def counts(self) -> dict[str, int]:
        """How many findings there are of each level."""
        counted = Counter(self.level(finding) for finding in self.findings)
        return {level: counted[level] for level in LEVELS[:-1]}

    def summary(self) -> str:
        """The last line: what was looked at, and what was found."""
        counted = ", ".join(_many(count, level) for level, count in self.counts().items() if count)
        looked = f"{_many(self.specs, 'spec')} in {_many(self.files, 'file')} checked"
        hidden = f", {self.suppressed} suppressed" if self.suppressed else ""
        return f"{looked}: {counted or 'nothing found'}{hidden}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 or word == 'info' else 's'}"


def as_text(report: LintReport) -> Iterator[str]:
    """A line for each finding, `file:line:column: level GF012: name: message`."""
    for finding in report.findings:
        subject = f"{finding.subject}: " if finding.subject else ""
        yield (
            f"{finding.path}:{finding.line}:{finding.column}: {report.level(finding)}"
            f" {finding.rule}: {subject}{finding.message}"
        )
    yield report.summary()


def as_json(report: LintReport) -> str:
    """All of it as one value."""
    data = {
        "findings": [
            {
                "rule": finding.rule,
                "name": BY_ID[finding.rule].name,
                "level": report.level(finding),
                "file": finding.path,
                "line": finding.line,
                "column": finding.column,
                "spec": finding.subject or None,
                "message": finding.message,
            }
            for finding in report.findings
        ],
        "files": report.files,
        "specs": report.specs,
        "suppressed": report.suppressed,
        **{f"{level}s" if level != "info" else level: n for level, n in report.counts().items()},
    }
    return json.dumps(data, indent=2, ensure_ascii=False)


def as_github(report: LintReport) -> Iterator[str]:
    """A command for each finding, which GitHub shows at the line
    (docs.github.com, "Workflow commands for GitHub Actions")."""
    for finding in report.findings:
        where = {"file": finding.path, "line": finding.line, "col": finding.column}
        given = {**where, "title": f"{finding.rule} {BY_ID[finding.rule].name}"}
        properties = ",".join(f"{key}={_property(str(item))}" for key, item in given.items())
        message = finding.message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        yield f"::{_COMMANDS[report.level(finding)]} {properties}::{message}"


def _property(text: str) -> str:
    for character in "%\r\n:,":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def in_order(findings: Iterable[LintFinding]) -> list[LintFinding]:
    """The findings by file, line, column and rule, each once."""
    return sorted(
        set(findings), key=lambda each: (each.path, each.line, each.column, each.rule, each.message)
    )
