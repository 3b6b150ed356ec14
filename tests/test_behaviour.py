"""contrib/docs/behaviour.md, and every reference to one of its rules: `BEHAVIOUR 6.10`.

A reference names a rule (`6.10`), a section (`13`) or a row of a section's table (`14.watch`);
several stand in a list or a range, which may go over the end of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from greenflow import Scheme

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "contrib" / "docs" / "behaviour.md").read_text()

NUMBER = r"\d+(?:\.(?:\d+|[a-z]+))?"
REFERENCE = re.compile(rf"\bBEHAVIOUR\b(?: ({NUMBER}(?:(?: to |, and | and |, ){NUMBER})*))?")
PARTS = re.compile(rf"({NUMBER})(?: to ({NUMBER}))?")
# The end of a line in a docstring or a comment.
BREAK = re.compile(r"\s*\n[ \t]*(?:#:?[ \t]*)?")


def rules(page: str) -> list[str]:
    """What can be named: sections, rules, and rows of tables by each name in their first cell."""
    names: list[str] = []
    section = ""
    for line in page.splitlines():
        if heading := re.match(r"## (\d+) ", line):
            section = heading[1]
            names.append(section)
        elif rule := re.match(r"- \*\*(\d+\.\d+)\*\* \S", line):
            names.append(rule[1])
        elif row := re.match(r"\| ([a-z]+(?:, [a-z]+)*) \|", line):
            names += [f"{section}.{name}" for name in row[1].split(", ") if name != "kind"]
    return names


def spelled(text: str) -> Iterator[tuple[str, str]]:
    """Each number that a list of them names, first and last: those of a range differ."""
    for first, last in PARTS.findall(text):
        yield first, last or first


def between(first: str, last: str) -> list[str]:
    """The rules of a range; it stays in its section and goes upward."""
    if first == last:
        return [first]
    section, _, start = first.rpartition(".")
    above, _, end = last.rpartition(".")
    if section != above or not (start.isdigit() and end.isdigit() and int(start) < int(end)):
        return [f"{first} to {last}"]
    prefix = section and f"{section}."
    return [f"{prefix}{number}" for number in range(int(start), int(end) + 1)]


def unresolved(text: str, known: frozenset[str]) -> list[str]:
    """The references of a text that name no rule; the word alone is one."""
    wrong: list[str] = []
    for reference in REFERENCE.finditer(BREAK.sub(" ", text)):
        if reference[1] is None:
            wrong.append("BEHAVIOUR without a number")
            continue
        for first, last in spelled(reference[1]):
            wrong += [name for name in between(first, last) if name not in known]
    return wrong


NAMES = rules(PAGE)
KNOWN = frozenset(NAMES)


def sources(folder: str) -> Iterator[tuple[str, str]]:
    """What people write in a folder: its path and what it says."""
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in (".py", ".js", ".lark", ".md", ".yaml") and path.is_file():
            yield str(path.relative_to(ROOT)), path.read_text()


def test_rules_are_numbered_in_order_and_once() -> None:
    sections = [name for name in NAMES if "." not in name]
    assert sections == [str(number) for number in range(1, len(sections) + 1)]
    for section in sections:
        numbers = [name for name in NAMES if re.fullmatch(rf"{section}\.\d+", name)]
        assert numbers == [f"{section}.{number}" for number in range(1, len(numbers) + 1)]
        assert [name for name in NAMES if name.startswith(f"{section}.")], section
    assert len(KNOWN) == len(NAMES)


def test_no_line_of_the_page_only_looks_like_a_rule() -> None:
    loose = re.findall(r"(?m)^(?:- )?\**\d+\.\d+\b.*", PAGE)
    assert loose == re.findall(r"(?m)^- \*\*\d+\.\d+\*\* \S.*", PAGE)


@pytest.mark.parametrize("folder", ["greenflow", "tests", "contrib"])
def test_every_reference_names_a_rule(folder: str) -> None:
    own = {"tests/test_behaviour.py"}  # its examples of what is wrong
    wrong = {
        name: missing
        for name, text in sources(folder)
        if name not in own and (missing := unresolved(text, KNOWN))
    }
    assert wrong == {}


def test_the_rules_name_one_another_by_numbers_that_are_there() -> None:
    for parenthesis in re.findall(r"\((\d+\.\d+(?: to \d+\.\d+)?)\)", PAGE):
        for first, last in spelled(parenthesis):
            assert KNOWN.issuperset(between(first, last)), parenthesis


def test_every_built_in_kind_has_a_rule() -> None:
    """A row of a table, or a numbered rule that says its fields and ports."""
    kinds = {
        entry.name
        for entry in entry_points(group="greenflow.nodes")
        if entry.value.startswith("greenflow.")
    }
    rows = {name.partition(".")[2] for name in NAMES}
    aliases = {"wait"}  # BEHAVIOUR 1.6
    told = {kind for kind in kinds if re.search(rf"(?m)^- \*\*\d+\.1\*\*.*`{kind}`", PAGE)}
    assert kinds - rows - told - aliases == set()


def test_the_fields_of_a_kind_are_those_that_it_declares() -> None:
    scheme = Scheme.installed()
    common = {field["name"] for field in scheme.describe("nop")["fields"]}
    rows = re.findall(r"(?m)^\| ([a-z]+(?:, [a-z]+)*) \|([^|]*)\|", PAGE)
    for kinds, fields in rows:
        for kind in kinds.split(", "):
            if kind == "kind":
                continue  # the head of the table
            told = re.sub(r"\{.*?\}|\[.*?\]|\(.*?\)|\bor\b", " ", fields)
            declared = {field["name"] for field in scheme.describe(kind)["fields"]}
            assert set(re.findall(r"\w+", told)) == declared - common, kind


def test_nothing_is_referred_to_that_is_not_in_the_repository() -> None:
    pages = re.compile(r"\b(FACTS|DESIGN)\b")
    assert [name for name, text in sources("greenflow") if pages.search(text)] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("(BEHAVIOUR 6.10)", []),
        ("BEHAVIOUR 13 and 14, 13.1", []),
        ("BEHAVIOUR 14.watch, 13.pipe.", []),
        ("BEHAVIOUR 1.5 to 1.7, 16.3)", []),
        ("as BEHAVIOUR 5.5 says, 99.9 % of the time", []),
        ("# (BEHAVIOUR\n    # 8.2).", []),
        ("BEHAVIOUR 6.99", ["6.99"]),
        ("BEHAVIOUR 99", ["99"]),
        ("BEHAVIOUR 14.listen", ["14.listen"]),
        ("BEHAVIOUR 3.1, 3.77 and 3.2", ["3.77"]),
        ("BEHAVIOUR 9.10 to 9.13", ["9.12", "9.13"]),
        ("BEHAVIOUR 13 to 15", []),
        ("BEHAVIOUR 97 to 98", ["97", "98"]),
        ("BEHAVIOUR 13 to 14.1", ["13 to 14.1"]),
        ("BEHAVIOUR 14.sql to 14.watch", ["14.sql to 14.watch"]),
        ("BEHAVIOUR 9.7 to 9.3", ["9.7 to 9.3"]),
        ("BEHAVIOUR 9.7 to 10.3", ["9.7 to 10.3"]),
        ("    #: text (BEHAVIOUR\n    #: 6.99)", ["6.99"]),
        ('"""text (BEHAVIOUR\n    16, 6.99)."""', ["6.99"]),
        ("BEHAVIOUR: all of it", ["BEHAVIOUR without a number"]),
        ("BEHAVIOURS = ()", []),
    ],
)
def test_the_checker_itself(text: str, wrong: list[str]) -> None:
    assert unresolved(text, KNOWN) == wrong
