"""Where the characters of strings stand in the text, in every style that a text can have."""

from __future__ import annotations

import json
import textwrap

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from greenflow.errors import SpecFault
from greenflow.spec.document import DocumentError, read
from greenflow.spec.syntax.characters import Written


def place_of(text: str, value: str, index: int, source: str = "x.yaml") -> tuple[int, int] | None:
    """Where the character is of the value at `$.code`, which must have been read so."""
    (document,) = read(text, source)
    assert document.data["code"] == value
    line, column = value.count("\n", 0, index) + 1, index - value.rfind("\n", 0, index)
    return Written(text, source).place(0, ["code"], line, column)


def character(text: str, place: tuple[int, int] | None) -> str:
    """What stands there; lines end as YAML has it."""
    assert place is not None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return (lines[place[0] - 1] + "\n")[place[1] - 1]


#: A text with `@` where the character is, and the value with `@`, each once.
STYLES = {
    "plain": ("code: ab @c\n", "ab @c"),
    "plain, the value in a line of its own": ("code:\n  ab @c\n", "ab @c"),
    "plain, folded": ("code: ab\n  cd\n\n\n  e@f\n", "ab cd\n\ne@f"),
    "plain, in brackets": ("{code: ab\n cd @e, b: 1}\n", "ab cd @e"),
    "plain, with a comment": ("code: a@b # c\nb: 1\n", "a@b"),
    "single quotes": ("code: 'it''s @'\n", "it's @"),
    "single quotes, folded": ("code: 'a  \n\n   b ''@'' c'\n", "a\nb '@' c"),
    "double quotes": ('code: "\\ta\\x41\\u0042\\U0001F600\\"@"\n', '\taAB😀"@'),
    "double quotes, folded": ('code: "a\n\n  b\\n\\\n   c @"\n', "a\nb\nc @"),
    "double quotes, JSON's escapes": ('code: "\\/\\\\@"\n', "/\\@"),
    "literal": ("code: |\n  a\n    b @\n", "a\n  b @\n"),
    "literal, blank lines": ("code: |\n\n  a\n\n\n    b @\n  c\nb: 1\n", "\na\n\n\n  b @\nc\n"),
    "literal, stripped": ("code: |-\n  a\n  @b\n\n", "a\n@b"),
    "literal, kept": ("code: |+\n  a\n  @b\n\n", "a\n@b\n\n"),
    "literal, indented by a number": ("code: |2\n    a\n   @b\nb: 1\n", "  a\n @b\n"),
    "literal, number and sign": ("code: |-1 # why\n   a\n  @b\n", "  a\n @b"),
    "literal, tabs": ("code: |\n  \ta\t@\n", "\ta\t@\n"),
    "literal, a comment behind": ("code: |\n  a@\n# c\nb: 1\n", "a@\n"),
    "folded": ("code: >\n  a\n  b\n\n  c @\n", "a b\nc @\n"),
    "folded, with lines indented more": ("code: >\n  a\n    b\n    @\n  c\n", "a\n  b\n  @\nc\n"),
    "folded, kept": ("code: >+\n  a\n  @\n\n\n", "a @\n\n\n"),
    "folded, indented by a number": ("code: >2\n   a\n  @b\n", " a\n@b\n"),
    "a tag": ("code: !!str 'a@'\n", "a@"),
    "a tag, an anchor, a comment": ("code: !!str &a # c\n  a b\n  @\n", "a b @"),
    "a local tag's brackets": ("code: !<tag:yaml.org,2002:str> |\n  a\n  @\n", "a\n@\n"),
    "an alias": ("b: &x |\n  a\n  @\ncode: *x\n", "a\n@\n"),
    "merged": ("b: &x {code: 'a@'}\n<<: *x\n", "a@"),
    "CRLF, literal": ("code: |\r\n  a\r\n\r\n  @b\r\n", "a\n\n@b\n"),
    "CRLF, folded": ("code: >\r\n  a\r\n  b @\r\n", "a b @\n"),
    "CRLF, plain": ("code: a\r\n  b\r\n\r\n  @\r\n", "a b\n@"),
    "CRLF, double quotes": ('code: "a\\\r\n  b\r\n  @"\r\n', "ab @"),
    "beyond the BMP": ("b: 😀\ncode: |\n  😀 é @\n", "😀 é @\n"),
    "odd characters": ("code: |\n  a\u2028b\x85 @\n", "a\u2028b\x85 @\n"),
    "a second document": ("code: a @\n---\n", "a @"),
    "looks like JSON": ("{'code': 'a @'}", "a @"),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_character_is_found(style: str) -> None:
    text, value = STYLES[style]
    at = text.index("@")
    line = text.count("\n", 0, at) + 1
    expected = line, at - text.rfind("\n", 0, at)
    assert place_of(text, value, value.index("@")) == expected


def test_with_and_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    from greenflow.spec.syntax.yaml import events

    monkeypatch.setattr(events, "libyaml", lambda: None)
    for style in STYLES:
        test_a_character_is_found(style)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("code: a &&\nb: 1\n", "a &&", (1, 11)),
        ("code: 'a &&'\n", "a &&", (1, 12)),
        ('code: "a &\\x26"\n', "a &&", (1, 15)),
        ("code: |\n  a &&\n\nb: 1\n", "a &&\n", (2, 7)),
        ("code: |+\n  a &&\n\nb: 1\n", "a &&\n\n", (2, 7)),
        ("code: |-\n  a &&", "a &&", (2, 7)),
        ("code: >\n  a\n  &&\n", "a &&\n", (3, 5)),
        ("code: ''\n", "", (1, 8)),
    ],
)
def test_the_end_is_behind_the_last_character(
    text: str, value: str, expected: tuple[int, int]
) -> None:
    assert place_of(text, value, len(value)) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"code": "a\\n\\t\\u0041\\ud83d\\ude00\\"@"}', 'a\n\tA😀"@'),
        ('[\n  {"b": {"code": 1}, "code": "@"}\n]', "@"),
        ('{"code":\r\n "😀\\\\@"}', "😀\\@"),
    ],
)
def test_json(text: str, value: str) -> None:
    (document,) = read(text, "x.json")
    assert document.data["code"] == value
    at = text.index("@")
    expected = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    index = value.index("@")
    line, column = value.count("\n", 0, index) + 1, index - value.rfind("\n", 0, index)
    assert Written(text, "x.json").place(0, ["code"], line, column) == expected


# -- random texts ----------------------------------------------------------------------------------

CHARACTERS = st.sampled_from("ab 'c\"\\#:-|>&*!%@`{}[],?\t\n\n é😀\u2028")
VALUES = st.text(CHARACTERS, min_size=1, max_size=30)


def holds(text: str, value: str, source: str = "x.yaml") -> None:
    """Every character of the value that stands in the text as it is is found as itself."""
    try:
        (document,) = read(text, source)
    except DocumentError:
        assume(False)
    assume(document.data.get("code") == value)
    places = [place_of(text, value, index, source) for index in range(len(value))]
    assert None not in places
    assert places == sorted(places, key=lambda place: place or (0, 0))
    end = len(value.rstrip("\n"))
    for index, place in enumerate(places):
        found = character(text, place)
        written = found == value[index] or found in "\\\n" or (value[index] == "'" == found)
        assert written or index >= end, (text, value, index, place)
        if found == "\\":
            assert value[index] in '"\\\t\n\u2028éé😀' or value[index] < "\x80"
        if found == "\n":
            assert value[index] in " \n"


@given(VALUES, st.sampled_from(["", "-", "+"]), st.sampled_from(["\n", "\r\n"]), st.booleans())
@example("\n a", "", "\n", True)
@example(" \n", "-", "\n", True)
def test_literal(value: str, chomping: str, line_end: str, numbered: bool) -> None:
    header = f"|{2 if numbered else ''}{chomping}"
    body = "\n".join(f"  {line}" if line else "" for line in value.split("\n"))
    text = f"code: {header}\n{body}\nb: 1\n".replace("\n", line_end)
    try:
        (document,) = read(text, "x.yaml")
    except DocumentError:
        assume(False)
    read_as = document.data["code"]
    assume(read_as is not None and read_as.rstrip("\n") == value.rstrip("\n") and read_as)
    if read_as.strip("\n"):
        holds(text, read_as)


@given(VALUES, st.sampled_from(["", "-", "+"]), st.sampled_from(["\n", "\r\n"]))
def test_folded(value: str, chomping: str, line_end: str) -> None:
    body = textwrap.indent(value, "   ", lambda line: line != "\n")
    text = f"x:\n code: >2{chomping}\n{body}\n b: 1\n".replace("\n", line_end)
    try:
        (document,) = read(text, "x.yaml")
    except DocumentError:
        assume(False)
    read_as = document.data["x"].get("code")
    assume(isinstance(read_as, str) and read_as.strip("\n"))
    for index in range(len(read_as.rstrip("\n"))):
        line, column = (
            read_as.count("\n", 0, index) + 1,
            index - read_as.rfind("\n", 0, index),
        )
        found = character(text, Written(text, "x.yaml").place(0, ["x", "code"], line, column))
        assert found == read_as[index] or (found == "\n" and read_as[index] == " ")


@given(VALUES, st.booleans())
def test_double_quotes(value: str, ascii_only: bool) -> None:
    text = f"b: 1\n? x\n: 2\ncode: {json.dumps(value, ensure_ascii=ascii_only)}\n"
    assume(not ascii_only or value.isascii() or "😀" not in value)
    holds(text, value)


@given(VALUES)
def test_json_strings(value: str) -> None:
    for ascii_only in (False, True):
        holds(json.dumps({"b": [1], "code": value}, ensure_ascii=ascii_only), value, "x.json")


@given(VALUES, st.sampled_from(["\n  ", "\n\n   ", "  \n "]))
def test_single_quotes(value: str, fold: str) -> None:
    quoted = value.replace("'", "''").replace("\n", fold)
    text = f"code: '{quoted}'\n"
    try:
        (document,) = read(text, "x.yaml")
    except DocumentError:
        assume(False)
    holds(text, document.data["code"])


@given(VALUES, st.sampled_from(["\n  ", "\n\n   ", "  \n "]), st.booleans())
def test_plain(value: str, fold: str, in_flow: bool) -> None:
    plain = value.replace("\n", fold)
    text = f"{{b: 1, code: {plain}}}\n" if in_flow else f"code: {plain}\nb: 1\n"
    try:
        (document,) = read(text, "x.yaml")
    except DocumentError:
        assume(False)
    read_as = document.data.get("code")
    assume(isinstance(read_as, str) and read_as and plain.strip()[:1] not in ("'", '"', "|", ">"))
    holds(text, read_as)


# -- what faults tell ------------------------------------------------------------------------------


def test_a_fault_without_place_is_at_the_key() -> None:
    (document,) = read("kind: x\ncode: |\n  a\n", "x.yaml")
    assert document.told(SpecFault("$.code", "no")) == "x.yaml:2:1: $.code: no"


def test_what_cannot_be_found_is_told_as_in_the_code() -> None:
    (document,) = read("kind: x\ncode: [a]\n", "x.yaml")
    for path in ("$.code", "$.none"):
        line = document.told(SpecFault(path, "no", 2, 3))
        assert line.endswith(f": {path}: line 2, column 3: no")


def test_each_document_of_a_file_and_each_of_a_list() -> None:
    text = "code: a@\n---\n- code: b@\n- x:\n  - code: |\n      c\n      @\n"
    documents = read(text, "x.yaml")
    paths = ["$.code", "$.code", "$.x[0].code"]
    wanted = [(1, 8), (3, 10), (7, 7)]
    columns = [(1, 2), (1, 2), (2, 1)]
    for document, path, place, at in zip(documents, paths, wanted, columns, strict=True):
        told = document.told(SpecFault(path, "no", *at))
        assert told == f"x.yaml:{place[0]}:{place[1]}: {path}: no"
