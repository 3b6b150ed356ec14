"""What is wrong in a YAML text, in our words: what, where, and what to do.

Lives here: the words. ruamel.yaml and the judge (scanner.py) say by exceptions what they expected;
their marks count from 0.
"""

from __future__ import annotations

from typing import Any

from greenflow.spec.syntax import SyntaxFault

_SIGNS = {
    "<stream end>": "the end of the text",
    "<document start>": "'---'",
    "<document end>": "'...'",
    "<block end>": "the end of what is indented",
    "<block sequence start>": "'-'",
}


class _Fault:
    """An exception of the parser, with the text around its place."""

    def __init__(self, error: Any, text: str) -> None:
        mark = error.problem_mark or error.context_mark
        self.line: int = mark.line if mark is not None else 0
        self.column: int = mark.column if mark is not None else 0
        self.before = text[mark.index - self.column : mark.index] if mark is not None else ""
        self.here = text[mark.index : mark.index + 1] if mark is not None else ""
        self.problem: str = error.problem or error.context or ""
        self.context: str = error.context or ""
        self.start = error.context_mark or mark

    def told(self, reason: str) -> SyntaxFault:
        return SyntaxFault(self.line + 1, self.column + 1, reason)

    def at_start(self, reason: str) -> SyntaxFault:
        return SyntaxFault(self.start.line + 1, self.start.column + 1, reason)

    @property
    def began(self) -> str:
        return f"line {self.start.line + 1}, column {self.start.column + 1}"


def fault_of(error: Any, text: str) -> SyntaxFault:
    """The fault that an exception of ruamel.yaml or of the judge stands for."""
    fault = _Fault(error, text)
    problem = fault.problem
    if fault.here == "\t" and ("cannot start any token" in problem or "found a tab" in problem):
        return fault.told("a tab cannot indent: use blanks")
    if "cannot start any token" in problem:
        reason = f"the character {fault.here!r} cannot start a value: put the text in quotes"
        return fault.told(reason)
    if "could not find expected ':'" in problem:
        return fault.at_start(
            "a key without a value: write `key: value`, or indent the line if it belongs to the "
            "value above it"
        )
    if "expected <block end>" in problem:
        return _indentation(fault)
    for part, words in _WORDS.items():
        if part in problem:
            return fault.told(words.format(began=fault.began, sign=_sign(problem)))
    return fault.told(f"not YAML: {problem}")


def _indentation(fault: _Fault) -> SyntaxFault:
    """Something stands between the entries of a list or map that is no entry of it."""
    sign = _sign(fault.problem)
    thing = "map" if "mapping" in fault.context else "list"
    wanted = fault.start.column
    if sign in ("','", "']'", "'}'"):
        return fault.told(f"{sign} without a '[' or '{{' before it: put the text in quotes")
    if fault.before.strip():
        return fault.told(
            "something stands behind a value: put the whole in quotes, or begin a new line"
        )
    if fault.column != wanted:
        return fault.told(
            f"the line is indented by {_blanks(fault.column)}, which fits nothing above it: the "
            f"{thing} that begins in line {fault.start.line + 1} is indented by {_blanks(wanted)}"
        )
    if sign == "'-'":
        return fault.told(
            f"a list entry among the keys of the map that begins in {fault.began}: indent it, or "
            "write its key above it"
        )
    if thing == "list":
        return fault.told(
            f"this is no entry of the list that begins in {fault.began}: begin it with '- ', or "
            "indent it"
        )
    return fault.told(
        f"this is no key of the map that begins in {fault.began}: write `key: value`, or indent it"
    )


def _blanks(number: int) -> str:
    return "1 blank" if number == 1 else f"{number} blanks"


def _sign(problem: str) -> str:
    """The token that ruamel has found, as a person writes it."""
    if "'" not in problem or ("found" not in problem and "got" not in problem):
        return ""
    name = problem[: problem.rindex("'")]
    name = name[name.rindex("'") + 1 :]
    return _SIGNS.get(name, f"'{name}'" if not name.startswith("<") else "a text")


# What stands in a problem of ruamel or the judge, and our words for it.
_WORDS = {
    "sequence entries are not allowed": (
        "a list entry cannot begin here: begin the list in a line of its own"
    ),
    "mapping keys are not allowed": (
        "a key cannot begin here: begin the map in a line of its own, or put the text in quotes"
    ),
    "mapping values are not allowed": (
        "mapping values are not allowed in this context: begin the map in a line of its own, or "
        "put a text that holds ': ' in quotes"
    ),
    "found a tab": "a tab cannot indent: use blanks",
    "found unexpected end of stream": (
        "found unexpected end of stream: the text in quotes that begins in {began} is not closed"
    ),
    "found unexpected document separator": (
        "the text in quotes that begins in {began} is not closed before this line"
    ),
    "found unknown escape": (
        "no escape sequence: write \\\\ for a backslash, or put the text in single quotes"
    ),
    "expected chomping": (
        "behind '|' or '>' stand at most '+' or '-' and a digit from 1 to 9; the text begins in "
        "the next line"
    ),
    "found an empty line": (
        "this empty line has more blanks than the text below it: remove them, or write the text's "
        "indentation behind the '|' or '>'"
    ),
    "expected a name": "'&' and '*' stand before the name of an anchor: put a text in quotes",
    "found no tag": "'!' stands before the name of a tag: put a text in quotes",
    "undefined tag handle": "the tag's handle is not known: no %TAG line says what it means",
    "duplicate tag handle": "the handle of this %TAG line has been given before",
    "found no directive": "neither a %YAML line, like `%YAML 1.2`, nor a %TAG line",
    "duplicate YAML directive": "there is a %YAML line above already",
    "incompatible YAML": "found incompatible YAML document: this is not version 1 of YAML",
    "expected ',' or ']'": "{sign} in the list that begins in {began}: ',' or ']' is missing",
    "expected ',' or '}'": "{sign} in the map that begins in {began}: ',' or '}}' is missing",
    "expected the node content": (
        "did not find expected node content but {sign}: write a value, or put the text in quotes"
    ),
    "expected '<document start>'": (
        "no document goes on here: indent the line, or begin a document with '---' above it"
    ),
    "content after document end": "a document begins in a line of its own, behind '...'",
}
