"""Comments that silence a rule where they stand.

Lives here: `# greenflow: ignore GF012 GF013 a reason`, read from YAML. One that stands alone is
about the node below it, one behind something about the node that begins there: a spec, or a
field with all that is in it. It must say which rules; the reason is for people.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from greenflow.lint.finding import File, LintFinding

_COMMENT = re.compile(
    r"(?P<before>^|\s)#\s*greenflow:\s*ignore\b[ \t]*(?P<rules>(?:GF\d{3}[\s,]*)*)(?P<reason>.*)$"
)
_ID = re.compile(r"GF\d{3}")


class Ignore(NamedTuple):
    """A comment: the rules that it silences, from one line to another, and where it stands."""

    rules: tuple[str, ...]
    first: int
    last: int
    line: int
    column: int


def ignores(file: File) -> list[Ignore]:
    """The comments of a file; JSON has none."""
    if "greenflow:" not in file.text or not file.documents:
        return []
    lines = file.text.split("\n")
    scalars = _scalars(file.text)
    starts = sorted(document.position()[0] for document in file.documents)
    result = []
    for number, line in enumerate(lines, 1):
        match = _COMMENT.search(line)
        if match is None or _within(scalars, number, match.start("before") + 1):
            continue
        alone = not line[: match.start("before")].strip()
        first = _next(lines, number) if alone else number
        last = _end(lines, first, starts)
        rules = tuple(_ID.findall(match["rules"]))
        column = line.index("#", match.start("before")) + 1
        result.append(Ignore(rules, first, last, number, column))
    return result


def silenced(
    findings: Iterable[LintFinding], files: Iterable[File], known: Iterable[str]
) -> tuple[list[LintFinding], list[LintFinding]]:
    """The findings that stay, with those about comments that silence nothing, and the others.
    `known` are the rules that are looked for: an ignore of another one is not unused."""
    comments = {file.path: ignores(file) for file in files}
    used: set[tuple[str, int, str]] = set()
    stay, gone = [], []
    for finding in findings:
        for comment in comments.get(finding.path, ()):
            inside = comment.first <= (finding.anchor or finding.line) <= comment.last
            if finding.rule in comment.rules and inside:
                used.add((finding.path, comment.line, finding.rule))
                gone.append(finding)
                break
        else:
            stay.append(finding)
    wanted = set(known)
    for path, several in comments.items():
        for comment in several:
            if not comment.rules:
                message = "an ignore says which rules: `# greenflow: ignore GF012 why`"
                stay.append(LintFinding("GF025", path, comment.line, comment.column, message))
            for rule in comment.rules:
                if rule in wanted and (path, comment.line, rule) not in used:
                    message = f"nothing here needs the ignore of {rule}"
                    stay.append(LintFinding("GF025", path, comment.line, comment.column, message))
    return stay, gone


def _next(lines: list[str], number: int) -> int:
    """The first line behind one that is neither empty nor a comment."""
    for index in range(number, len(lines)):
        text = lines[index].strip()
        if text and not text.startswith("#") and text != "---":
            return index + 1
    return number


def _end(lines: list[str], first: int, starts: list[int]) -> int:
    """The last line of the node that begins at a line: of a spec, or of what is deeper indented."""
    if first in starts:
        after = starts[bisect_right(starts, first) :]
        return after[0] - 1 if after else len(lines)
    indent = _indent(lines[first - 1])
    last = first
    for index in range(first, len(lines)):
        if lines[index].strip():
            if _indent(lines[index]) <= indent:
                break
            last = index + 1
    return last


def _indent(line: str) -> int:
    """Where a key begins: `- ` before it is indentation."""
    bare = line.lstrip(" ")
    while bare.startswith("- "):
        bare = bare[2:].lstrip(" ")
    return len(line) - len(bare)


def _scalars(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where the strings of a text begin and end, as (line, column) from 1: a `#` in one of them
    begins no comment."""
    from ruamel.yaml import YAML
    from ruamel.yaml.tokens import ScalarToken

    ranges = []
    for token in _tokens(YAML(pure=True), text):
        if isinstance(token, ScalarToken) and not token.plain:
            start, end = token.start_mark, token.end_mark
            ranges.append(((start.line + 1, start.column + 1), (end.line + 1, end.column + 1)))
    return ranges


def _tokens(reader: object, text: str) -> Iterator[object]:
    yield from reader.scan(text)  # type: ignore[attr-defined]


def _within(scalars: list[tuple[tuple[int, int], tuple[int, int]]], line: int, column: int) -> bool:
    at = bisect_right(scalars, ((line, column), (1 << 60, 0)))
    return at > 0 and scalars[at - 1][0] <= (line, column) < scalars[at - 1][1]
