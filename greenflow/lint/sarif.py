"""A report as SARIF 2.1.0, which code hosts and editors read (OASIS, 2020).

Lives here: `as_sarif`. Every region begins at line 1 at least; a finding's fingerprint is of its
rule, file, spec and words, not of its line, so it stays the same when lines move (3.27.17).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from greenflow.lint.finding import LintFinding
from greenflow.lint.report import LintReport
from greenflow.lint.rules import RULES, Rule

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

# 3.27.10: what is neither error nor warning is a note.
_LEVELS = {"error": "error", "warning": "warning", "info": "note", "off": "none"}


def as_sarif(report: LintReport, version: str) -> str:
    """The report as one log of one run."""
    rules = [rule for rule in RULES if rule.id in report.levels]
    indices = {rule.id: index for index, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    results = []
    for finding in report.findings:
        print_ = _fingerprint(finding)
        seen[print_] += 1
        results.append(
            {
                "ruleId": finding.rule,
                "ruleIndex": indices[finding.rule],
                "level": _LEVELS[report.level(finding)],
                "message": {"text": finding.message},
                "locations": [_location(finding)],
                "partialFingerprints": {"greenflow/v1": f"{print_}:{seen[print_]}"},
            }
        )
    log: dict[str, Any] = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "greenflow",
                        "version": version,
                        "rules": [_rule(rule, report) for rule in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False)


def _rule(rule: Rule, report: LintReport) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "defaultConfiguration": {"level": _LEVELS[report.levels[rule.id]]},
    }


def _location(finding: LintFinding) -> dict[str, Any]:
    path = PurePath(finding.path)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": uri},
            "region": {"startLine": max(finding.line, 1), "startColumn": max(finding.column, 1)},
        }
    }


def _fingerprint(finding: LintFinding) -> str:
    parts = (finding.rule, finding.path, finding.subject, finding.message)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
