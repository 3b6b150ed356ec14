"""Mending files: what lint is sure of, and comments for what it is not.

Lives here: edits of single lines, which leave all else of a file as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from greenflow.lint.finding import File, LintFinding
from greenflow.lint.ignores import ignores

_WORD = re.compile(r"`([\w.-]+)` is `([\w.-]+)`")


def mended(file: File, findings: Iterable[LintFinding]) -> str:
    """The text of a file with everything mended that can be: other words than ours, and comments
    that silence nothing."""
    lines = file.text.split("\n")
    comments = {comment.line: comment for comment in ignores(file)}
    unused: dict[int, set[str]] = {}
    # From the right: what is mended moves what is behind it.
    for finding in sorted(findings, key=lambda found: found.column, reverse=True):
        index = finding.line - 1
        words = _WORD.match(finding.message)
        if finding.rule == "GF023" and words is not None:
            lines[index] = _renamed(lines[index], finding.column - 1, *words.groups())
        elif finding.rule == "GF025" and finding.line in comments:
            named = re.search(r"GF\d{3}$", finding.message)
            if named is not None:
                unused.setdefault(finding.line, set()).add(named[0])
    for line, rules in unused.items():
        comment = comments[line]
        left = [rule for rule in comment.rules if rule not in rules]
        lines[line - 1] = _without(lines[line - 1], comment.column, comment.rules, left)
    return "\n".join(line for line in lines if line != _GONE)


# What stands for a line that goes; no line of a file has it, for NUL is refused.
_GONE = "\0"


def _renamed(line: str, column: int, old: str, new: str) -> str:
    """The line with a key that begins at the column, or else its value, in the new word."""
    for quote in ("", '"', "'"):
        before = f"{quote}{old}{quote}"
        if line.startswith(before, column):
            return f"{line[:column]}{quote}{new}{quote}{line[column + len(before) :]}"
    value = re.compile(rf"""(:\s*)(["']?){re.escape(old)}\2(?=\s*(?:[,}}\]#]|$))""")
    found = value.search(line, column)
    if found is None:
        return line  # on another line, or written in a way of its own: by hand
    quote = found[2] or ('"' if line.startswith('"', column) else "")  # JSON has no text without
    return f"{line[: found.start()]}{found[1]}{quote}{new}{quote}{line[found.end() :]}"


def _without(line: str, column: int, rules: tuple[str, ...], left: list[str]) -> str:
    before, comment = line[: column - 1], line[column - 1 :]
    if left:
        for rule in rules:
            if rule not in left:
                comment = re.sub(rf"\s*\b{rule}\b,?", "", comment, count=1)
        return before + comment
    return before.rstrip() if before.strip() else _GONE


def with_ignores(file: File, findings: Iterable[LintFinding]) -> str:
    """The text of a file with a comment before each spec or field that something was found in, so
    that only what is new is told from then on."""
    lines = file.text.split("\n")
    rules: dict[int, set[str]] = {}
    for finding in findings:
        if finding.rule not in ("GF001", "GF025"):  # nothing silences those
            rules.setdefault(finding.anchor or finding.line, set()).add(finding.rule)
    for line in sorted(rules, reverse=True):
        text = lines[line - 1]
        indent = text[: len(text) - len(text.lstrip(" "))]
        named = " ".join(sorted(rules[line]))
        lines.insert(line - 1, f"{indent}# greenflow: ignore {named}")
    return "\n".join(lines)
