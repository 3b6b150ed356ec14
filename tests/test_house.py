"""The house: what every module keeps to, so that a newcomer finds any behaviour in one guess."""

from __future__ import annotations

import ast
import configparser
import functools
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "greenflow"
MODULES = sorted(PACKAGE.rglob("*.py"))
OTHERS = sorted(path for room in ("tests", "contrib") for path in (ROOT / room).rglob("*.py"))

MOST_LINES = 400
MOST_LOOSE = 8
MOST_ROWS = 9

# Files that are longer, and why each is one thing. A file leaves when it is short enough.
LONG = {
    "greenflow/engine/process.py": "packets, greenlets, resources and end of a process: one state",
    "greenflow/net/websocket/channel.py": "one WebSocket, from its first frame to its closing one",
}

NAMED = re.compile(r"(?<![\w/.*-])((?:[\w-]+/)*\w+\.py)\b")
DOTTED = re.compile(r"(?<![\w./:-])greenflow((?:\.\w+)+)")
# What begins like a module and is none: groups of entry points, files, public names.
NO_MODULES = {"brokers", "languages", "stores", "schema", "toml"}
CLASS = re.compile(r"^class ([A-Za-z]\w*)", re.MULTILINE)
UNDONE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.lru_cache(maxsize=1)  # of the module that is looked at
def prose(text: str) -> list[str]:
    """The docstrings and comments of a module."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    said = [
        ast.get_docstring(item) or ""
        for item in ast.walk(ast.parse(text))
        if isinstance(item, documented)
    ]
    if "#" in text:  # to find the comments takes longer than all else
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                said.append(token.string)
    return said


def missing(text: str, folder: Path) -> set[str]:
    """The files that a module's prose names, and that are neither beside it nor at that path from
    its package, from greenflow/ or from the project."""
    named = {file for part in prose(text) for file in NAMED.findall(part)}
    places = [folder, *folder.parents[: len(folder.relative_to(ROOT).parts)], PACKAGE]
    return {file for file in named if not any((place / file).is_file() for place in places)}


def unknown(text: str) -> set[str]:
    """The modules that a module's prose names by their dotted names, and that are not there."""
    named = {dotted for part in prose(text) for dotted in DOTTED.findall(part)}
    return {f"greenflow{dotted}" for dotted in named if not known(dotted[1:].split("."))}


def known(names: list[str]) -> bool:
    """Whether they are a module, and perhaps what is written in it."""
    if names[0] in NO_MODULES:
        return True
    place = PACKAGE
    while names and (place / names[0]).is_dir():
        place /= names.pop(0)
    if names and (place / f"{names[0]}.py").is_file():
        file = place / f"{names.pop(0)}.py"
    else:
        file = place / "__init__.py"
    text = file.read_text()
    return all(re.search(rf"(?<![.\w]){part}\b", text) for part in names)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_opens_with_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "no docstring"


@pytest.mark.parametrize("path", MODULES + OTHERS, ids=name)
def test_a_file_or_module_that_is_named_is_there(path: Path) -> None:
    text = path.read_text()
    if path != Path(__file__):  # its examples of what is wrong
        assert missing(text, path.parent) | unknown(text) == set()


def test_the_reason_of_a_bad_argument_is_kept() -> None:
    """`raise InvalidArgument("the reason") from error` puts the error in the place of the reason,
    and `from None` nothing."""
    lost = re.compile(r"raise InvalidArgument\((?!error\))[^()\n]*(?:\([^()\n]*\))?\S*\)\s+from\b")
    lost_entirely = re.compile(r"raise InvalidArgument\([^)\n]+\)\s+from None")
    for path in MODULES:
        text = path.read_text()
        found = lost.search(text.replace("InvalidArgument()", "")) or lost_entirely.search(text)
        assert found is None, f"{name(path)}: {found and found[0]}"


def test_nothing_is_left_undone() -> None:
    assert [name(path) for path in MODULES if UNDONE.search(path.read_text())] == []


def test_a_file_is_read_in_one_sitting() -> None:
    lines = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    long = {path for path, count in lines.items() if count > MOST_LINES}
    assert long - LONG.keys() == set(), "split it, or say in LONG why it is one thing"
    assert LONG.keys() - long == set(), "short enough, or gone: take it out of LONG"


def test_there_are_rooms_and_no_hall() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_LOOSE


def test_imports_go_down_in_few_steps() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    rows = settings["importlinter:contract:layers"]["layers"].split("\n")
    assert 0 < len([row for row in rows if row]) <= MOST_ROWS
    assert settings["importlinter"]["exclude_type_checking_imports"] == "False"
    rooms = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    rooms |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(re.findall(r"greenflow\.(\w+)", "\n".join(rows))) == sorted(rooms)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('"""How is in packet.py and engine/node.py, tests/test_house.py."""', set()),
        ('"""How is in lost.py."""', {"lost.py"}),
        ("x = 1  # as store/base.py and engine/base.py say", {"engine/base.py"}),
        ('x = "lost.py"', set()),
    ],
)
def test_the_checker_itself(text: str, wrong: set[str]) -> None:
    assert missing(text, PACKAGE / "engine") == wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('"""As greenflow.engine.packet, greenflow.net and greenflow.Stream are."""', set()),
        ('"""As greenflow.engine.packet.Fault in greenflow.toml is."""', set()),
        ('"""As greenflow.packet is."""', {"greenflow.packet"}),
        ("# As greenflow.engine.packet.Lost is.", {"greenflow.engine.packet.Lost"}),
    ],
)
def test_the_checker_of_modules_itself(text: str, wrong: set[str]) -> None:
    assert unknown(text) == wrong


# Names of two classes, and why neither is another: each is the field's own word in its room.
TWICE = {
    "Call": "the kind `call`; a call in a tree of CEL",
    "Edit": "one document of a change; a piece of a script that is written anew",
    "LimitsSpec": "`limits` of each kind that has some",
    "Node": "what a spec is made to; a node of a tree of CEL",
    "Origin": "where an error arose; who a page of the web is",
    "Place": "where a client connects to; where a server listens",
    "Program": "what a language compiles to, and CEL's",
    "Refused": "what a server answers with an error; a text that CEL's grammar does not have",
    "Response": "the answer that is written; the one that a test looks at",
    "Scope": "the names of placeholders; those of CEL",
    "Test": "the kind `test`; what `greenflow test` runs, which is also a case of a file",
    "TlsSpec": "`tls` of a client; of a listener",
}


def test_a_class_is_known_by_its_name() -> None:
    names = [found for path in MODULES for found in CLASS.findall(path.read_text())]
    twice = {each for each in names if names.count(each) > 1}
    assert twice - TWICE.keys() == set(), "one has a name that says which it is"
    assert TWICE.keys() - twice == set(), "take it out of TWICE"
