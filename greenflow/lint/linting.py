"""A whole run of lint: files in, a report out.

Lives here: `lint`, which asks all checks, and the levels that settings give to rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from greenflow.config import Settings
from greenflow.errors import GreenflowError
from greenflow.lint.checks import activity, shape, text, validity
from greenflow.lint.finding import File, LintFinding
from greenflow.lint.ignores import silenced
from greenflow.lint.report import LintReport, in_order
from greenflow.lint.rules import BY_ID, RULES, Level
from greenflow.scheme.registry import Scheme


class UnknownRule(GreenflowError):
    """A setting names a rule that there is none of. The operator must act."""

    exit_code = 2


class Linted(NamedTuple):
    """A report, and the files that it is about."""

    report: LintReport
    files: list[File]


def lint(paths: Iterable[str], scheme: Scheme, settings: Settings, preview: bool) -> Linted:
    """All findings about files and folders that are of a rule that is on. Raises OSError for what
    cannot be opened, UnknownRule for a setting."""
    levels = levels_of(settings, preview)
    reading = validity.read(paths, scheme, settings.namespace)
    found: list[LintFinding] = list(reading.findings)
    broken = [document.data for document in reading.broken]
    found += activity.check(reading.entries, broken, scheme, settings)
    found += shape.check(reading.entries, broken, scheme)
    found += text.check(reading.entries, scheme)
    found = [finding for finding in found if levels[finding.rule] != "off"]
    known = [rule for rule, level in levels.items() if level != "off"]
    stay, gone = silenced(found, reading.files, known)
    stay = [finding for finding in stay if levels[finding.rule] != "off"]
    specs = sum(len(file.documents) for file in reading.files)
    unreadable = sum(finding.rule == "GF001" for finding in reading.findings)
    files = len(reading.files) + unreadable
    return Linted(LintReport(in_order(stay), len(gone), files, specs, levels), reading.files)


def levels_of(settings: Settings, preview: bool) -> Mapping[str, Level]:
    """The level of each rule: its own, unless the settings say another one. Rules in preview are
    off unless they are asked for, or a setting names them."""
    levels: dict[str, Level] = {
        rule.id: "off" if rule.preview and not preview else rule.level for rule in RULES
    }
    chosen: tuple[tuple[Level, list[str]], ...] = (
        ("error", settings.lint.error),
        ("warning", settings.lint.warning),
        ("info", settings.lint.info),
        ("off", settings.lint.off),
    )
    for level, ids in chosen:
        for id in ids:
            if id not in BY_ID:
                known = f"{RULES[0].id} to {RULES[-1].id}"
                raise UnknownRule(f"lint.{level}: there is no rule {id!r}; they are {known}")
            levels[id] = level
    return levels
