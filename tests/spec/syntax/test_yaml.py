"""YAML: what both readers of it make of a text, and that they never disagree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml.error import YAMLError

from greenflow.spec.syntax import MAX_DEPTH, Part, SyntaxFault
from greenflow.spec.syntax.spans import Span, spans_of_events, spans_of_yaml
from greenflow.spec.syntax.yaml import events, parts_of_yaml, scanner, to_yaml
from greenflow.spec.syntax.yaml.composer import compose
from greenflow.spec.syntax.yaml.faults import fault_of

ROOT = Path(__file__).parent.parent.parent.parent
TEXTS = [path.read_text() for path in sorted((ROOT / "contrib").rglob("*.yaml"))]

# The machine may be busy; what is tested is not how fast it is.
untimed = settings(deadline=None, suppress_health_check=list(HealthCheck))


def value(text: str) -> Any:
    [part] = parts_of_yaml(text)
    return part.value


def fault(text: str) -> str:
    with pytest.raises(SyntaxFault) as caught:
        parts_of_yaml(text)
    return f"{caught.value.line}:{caught.value.column}: {caught.value.reason}"


def parts_of_judge(text: str) -> list[Part]:
    try:
        return compose(scanner.events(text))
    except YAMLError as error:
        raise fault_of(error, text) from None


def read_fast(text: str) -> list[tuple[Any, Any]] | None:
    """Values and places by the fast way; None where it is not left with the text."""
    try:
        return [(part.value, part.place()) for part in compose(events.fast(text))]
    except (YAMLError, SyntaxFault, events.Doubt):
        return None


# What is read


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # A `?` or `:` glued to text is text.
        ("[?x]", ["?x"]),
        ("{?foo: 1}", {"?foo": 1}),
        ("{a: ?b}", {"a": "?b"}),
        ("[a?, b?c, a ?d]", ["a?", "b?c", "a ?d"]),
        ("{url: http://h/?q=1, x?y: 2}", {"url": "http://h/?q=1", "x?y": 2}),
        ("[? a : b]", [{"a": "b"}]),
        ("{? a}", {"a": None}),
        ("{path: :id}", {"path": ":id"}),
        ("{path: /:id/:x, h: h:80, t: 12:30}", {"path": "/:id/:x", "h": "h:80", "t": "12:30"}),
        ("[:x, a:b, a :c]", [":x", "a:b", "a :c"]),
        ("{!!str :x : 1}", {":x": 1}),
        ('{"a":1, "b" :2, [c]: 3}', SyntaxFault),
        ('{"a":1, "b" :2}', {"a": 1, "b": 2}),
        ('["a":b, {c: d}, "e" : f]', [{"a": "b"}, {"c": "d"}, {"e": "f"}]),
        ("{a:, b: , c:}", {"a": None, "b": None, "c": None}),
        ("[a:]", [{"a": None}]),
        ("[-, -1, -a]", ["-", -1, "-a"]),
        ("{a: 'b ? c :d', e: \"?\"}", {"a": "b ? c :d", "e": "?"}),
        ("{a: 'b', ?c: \"?\", d?: 'e'}", {"a": "b", "?c": "?", "d?": "e"}),
        ("{&x :'y' : z}", {":'y'": "z"}),
        ("{http://a.b, c}", {"http://a.b": None, "c": None}),
        # Line breaks of YAML 1.1 are text in 1.2.
        ("a: b\x85c", {"a": "b\x85c"}),
        ("a: 'b\u2028c'\nd: e", {"a": "b\u2028c", "d": "e"}),
        ('a: "b\u2029 c"', {"a": "b\u2029 c"}),
        ("a: |\n  b\u2028c\n  d\x85\n", {"a": "b\u2028c\nd\x85\n"}),
        ("a\u2028b: \x85", {"a\u2028b": "\x85"}),
        ("\x85", "\x85"),
        ("# a\u2028b: 1\nc: 2", {"c": 2}),
        ("a: b\ufeffc", {"a": "b\ufeffc"}),
        ("\ufeffa: \ufeffb", {"a": "\ufeffb"}),
        ("\ue000: \x85\ue001", {"\ue000": "\x85\ue001"}),
        ("a: &x\u2028 b\nc: *x\u2028", {"a": "b", "c": "b"}),
        # Tabs.
        ("code: |\n  \tfoo\n  bar\n", {"code": "\tfoo\nbar\n"}),
        ("code: |\n \t\n  foo\n", {"code": "\t\n foo\n"}),
        ("code: |2\n  \tfoo\n", {"code": "\tfoo\n"}),
        ("a:\tb\t# note\nc: d\te\t\n\t\n \t# note\nf: 1", {"a": "b", "c": "d\te", "f": 1}),
        ("a: b\n  \tc", {"a": "b c"}),
        ("[\ta,\n\tb]", ["a", "b"]),
        # Anchors.
        ("k: &an:chor v\nl: *an:chor", {"k": "v", "l": "v"}),
        ("k: &a.b/c? v\nl: [*a.b/c?]", {"k": "v", "l": ["v"]}),
        ("a: &x n\n*x : 1", {"a": "n", "n": 1}),
        ("a: &x n\n*x: 1", {"a": "n", "n": 1}),
        ("a: &x: n\nb: *x:", {"a": "n", "b": "n"}),
        # Blocks.
        ("a: |\n \n  b\n\n   c\n", {"a": "\nb\n\n c\n"}),
        ("a: >\n b\n c\n\n d\n  e\n f\n", {"a": "b c\nd\n e\nf\n"}),
        ("a: |-\n  b\n\nc: |+\n  d\n\n", {"a": "b", "c": "d\n\n"}),
        ("a: |\nb: >-\nc: |+\n\n", {"a": "", "b": "", "c": "\n"}),
        ("--- |\na\n b\n", "a\n b\n"),
        ("--- |\n# a\n--- b", ["# a\n", "b"]),
        ("- |\n   ", [""]),
        ("a: |\r\n  b\r\n  c\r\n", {"a": "b\nc\n"}),
        # Quotes.
        ("'it''s' : \"\\x41\\u00e9\\U0001f600\\/\\\n  b\"", {"it's": "Aé\U0001f600/b"}),
        ('a: "b  \n\n  c\n d"', {"a": "b\nc d"}),
        # Directives and documents.
        ("%YAML 1.2 # note\n---\na: 1", {"a": 1}),
        ("%TAG ! tag:yaml.org,2002:\n--- !str 1", "1"),
        ("%FUTURE x y\n---\na: 1", {"a": 1}),
        ("a: 1\n...\n...\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: [!!str, !!null, ! ]", {"a": ["", None, ""]}),
        ("!<tag:yaml.org,2002:str> 1", "1"),
    ],
)
def test_what_is_read(text: str, wanted: Any) -> None:
    if wanted is SyntaxFault:
        assert fault(text)
        return
    values = [part.value for part in parts_of_yaml(text)]
    assert values in ([wanted], wanted)
    assert [part.value for part in parts_of_judge(text)] == values


def test_lines_and_columns_count_no_break_but_those_of_yaml_1_2() -> None:
    [part] = parts_of_yaml("a: b\x85\u2028c\r\nb: [\ufeff, c]\rd: 1\n")
    assert part.place() == (
        *(1, 1),
        {
            "a": (1, 1, None),
            "b": (2, 1, [(2, 5, None), (2, 8, None)]),
            "d": (3, 1, None),
        },
    )
    assert fault("a: b\u2028c\x85d\n\u2029e: @").startswith("2:5: the character '@'")


# What is refused, and what is said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a:\n   b: 1\n  c: 2\n",
            "3:3: the line is indented by 2 blanks, which fits nothing above it: the map that "
            "begins in line 1 is indented by 0 blanks",
        ),
        ("a:\n  - x\n - y\n", "3:2: the line is indented by 1 blank, which fits nothing above it"),
        ("routes:\n- a: 1\n  b: 2\n c: 3", "4:2: the line is indented by 1 blank"),
        ("a: b\n  c: d\n", "2:4: mapping values are not allowed in this context: begin the map"),
        ("a: 1\nb\nc: 2\n", "2:1: a key without a value: write `key: value`, or indent the line"),
        ("a: 1\n- b\n", "2:1: a list entry among the keys of the map that begins in line 1"),
        ("- a\nb: 1\n", "2:1: this is no entry of the list that begins in line 1, column 1"),
        ("- - a\n  b: 1", "2:3: this is no entry of the list that begins in line 1, column 3"),
        ('a: "b" c', "1:8: something stands behind a value: put the whole in quotes"),
        ("a: - b", "1:4: a list entry cannot begin here: begin the list in a line of its own"),
        ("a: [1, 2\nb: 3\n", "2:2: ':' in the list that begins in line 1, column 4: ',' or ']'"),
        ("a: {b: 1", "2:1: the end of the text in the map that begins in line 1, column 4: ','"),
        ("a: [1}", "1:6: '}' in the list that begins in line 1, column 4: ',' or ']' is missing"),
        ("a: ]", "1:4: did not find expected node content but ']': write a value, or put"),
        ("{a: 1}}", "1:7: no document goes on here"),
        ("%YAML 1.2\na: b", "2:1: no document goes on here"),
        ("a\n... b", "2:5: a document begins in a line of its own, behind '...'"),
        ("a: 'x\n---\n'", "2:1: the text in quotes that begins in line 1, column 4 is not closed"),
        ('a: "x', "1:6: found unexpected end of stream: the text in quotes that begins in line 1"),
        ('a: "\\q"', "1:5: no escape sequence: write \\\\ for a backslash, or put the text in"),
        ('a: "\\ud800"', "1:5: no escape sequence"),
        ('a: "\\U00110000"', "1:5: no escape sequence"),
        ('a: "\\xg0"', "1:5: no escape sequence"),
        ("a: |x\n b", "1:4: behind '|' or '>' stand at most '+' or '-' and a digit from 1 to 9"),
        ("a: |0\n b", "1:4: behind '|' or '>' stand at most"),
        ("a: |\n    \n  x\n", "2:3: this empty line has more blanks than the text below it"),
        ("a: |\n  \n # x\n", "2:2: this empty line has more blanks than the text below it"),
        ("a: |\n\tb", "2:1: a tab cannot indent: use blanks"),
        ("a: |\n\t\nb: 1", "2:1: a tab cannot indent: use blanks"),
        ("a: b\n\tc", "2:1: a tab cannot indent: use blanks"),
        ("-\tb: 1", "1:2: a tab cannot indent: use blanks"),
        ("a: &", "1:4: '&' and '*' stand before the name of an anchor: put a text in quotes"),
        ("a: * b", "1:4: '&' and '*' stand before the name of an anchor: put a text in quotes"),
        ("a: !!<x> b", "1:4: '!' stands before the name of a tag: put a text in quotes"),
        ("a: !!str, b", "1:4: '!' stands before the name of a tag: put a text in quotes"),
        ("a: !%zz b", "1:4: '!' stands before the name of a tag: put a text in quotes"),
        ("a: !e!x b", "1:4: the tag's handle is not known: no %TAG line says what it means"),
        ("%YAML\n---\n", "1:1: neither a %YAML line, like `%YAML 1.2`, nor a %TAG line"),
        (f"%YAML 1.{'9' * 5000}\n---\n", "1:1: neither a %YAML line, like `%YAML 1.2`"),
        ("%YAML 1.2\n%YAML 1.2\n---\n", "2:1: there is a %YAML line above already"),
        ("%TAG ! x\n%TAG ! y\n---\na", "2:1: the handle of this %TAG line has been given before"),
    ],
)
def test_a_fault_says_what_to_do(text: str, message: str) -> None:
    assert fault(text).startswith(message)


@pytest.mark.parametrize("sign", ["[", "{a: ", "- ", "? ", "[{", "*a", "&a ", "!", "'", '"', "\\"])
def test_a_bomb_is_refused_or_read_soon(sign: str) -> None:
    for text in (sign * 20_000, "?" + sign * 20_000, (sign + "\n") * 20_000):
        for parts in (parts_of_yaml, parts_of_judge):
            try:
                parts(text)
            except SyntaxFault:
                continue


# Both readers

SIGNS = [
    *"{}[]:,-&*!<|>#'\"ab1 \n\t?%~@`.\\=",
    *("\n  ", "\n ", "  ", "\r\n", "\r", "---\n", "...\n", "|\n", "|+\n", ">-\n", "|2\n", "\n\n"),
    *("&a ", "*a", "!!str ", "? ", ": ", "- ", "key: ", "\\\n", "''", "\\x41", "é", "\U0001f600"),
    *("%YAML 1.1\n", "%TAG ! t:\n", "\x85", "\u2028", "\ufeff", "<<: "),
]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Texts of signs, and parts of real texts into which signs were put."""
    some = "".join(draw(st.lists(st.sampled_from(SIGNS), max_size=14)))
    if draw(st.booleans()):
        return some
    text = draw(st.sampled_from(TEXTS))
    begin = draw(st.integers(0, len(text)))
    part = text[begin : begin + draw(st.integers(0, 300))]
    for sign in draw(st.lists(st.sampled_from(SIGNS), max_size=4)):
        at = draw(st.integers(0, len(part)))
        part = part[:at] + sign + part[at + draw(st.integers(0, 2)) :]
    return part


@untimed
@given(texts())
def test_the_fast_way_and_the_judge_agree_on_what_the_fast_way_takes(text: str) -> None:
    fast = read_fast(text)
    if fast is not None:
        assert [(part.value, part.place()) for part in parts_of_judge(text)] == fast
        assert [shape(span, text) for span in spans_of_yaml(text)] == [
            shape(span, text) for span in spans_of_judge(text)
        ]


def test_nearly_all_real_texts_are_taken_by_the_fast_way() -> None:
    taken = [read_fast(text) for text in TEXTS]
    judged = [[(part.value, part.place()) for part in parts_of_judge(text)] for text in TEXTS]
    assert all(fast in (None, judge) for fast, judge in zip(taken, judged, strict=True))
    assert taken.count(None) <= len(TEXTS) // 5


def shape(span: Span, text: str) -> Any:
    """What a span is. Where an empty value stands means nothing."""
    if span.value is not None:
        return text[span.start : span.end], span.value
    inner = [*span.items, *(each for pair in span.pairs for each in pair)]
    return span.start, span.end, [shape(each, text) for each in inner]


def spans_of_judge(text: str) -> list[Span]:
    return spans_of_events(scanner.events(text))


@untimed
@given(st.text(max_size=20) | texts())
def test_any_text_is_read_or_refused_by_the_judge(text: str) -> None:
    try:
        parts = parts_of_yaml(text)
    except SyntaxFault as found:
        line = found.line
    else:
        assert [part.value for part in parts_of_judge(text)] == [part.value for part in parts]
        line = 1
    assert 1 <= line <= len(re.split("\r\n|\r|\n", text)) + 1


def test_without_libyaml_the_judge_reads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "libyaml", lambda: None)
    for text in TEXTS:
        assert [(part.value, part.place()) for part in parts_of_yaml(text)] == [
            (part.value, part.place()) for part in parts_of_judge(text)
        ]


def test_the_fast_way_is_there() -> None:
    assert events.libyaml() is not None


# Depth


@pytest.mark.parametrize("entry", ["{a: ", '{"a": '])
def test_the_list_around_specs_does_not_count_as_depth(entry: str) -> None:
    for parts in (parts_of_yaml, parts_of_judge):
        deep = entry * MAX_DEPTH + "1" + "}" * MAX_DEPTH
        assert len(parts(f"[{deep}]")) == 1
        assert len(parts(f"- {deep}\n- {deep}")) == 1
        assert len(parts(f"- &a {deep}\n- *a")) == 1
        for text in (f"[{entry}{deep}}}]", f"[[{deep}]]", f"- &a {deep}\n- b: *a"):
            with pytest.raises(SyntaxFault, match="nested deeper"):
                parts(text)


# Writing


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"a": None, "b": True, "c": 1e20, "d": -0.5, "e": []}, "a: null\nb: true\nc: 1.0e+20\n"),
        (["yes", "on", "2020-01-01", "1_000"], "- 'yes'\n- 'on'\n- '2020-01-01'\n- '1_000'\n"),
        (["1", "null", "~", "", "<<", "010"], '- "1"\n- "null"\n- "~"\n- ""\n- "<<"\n- "010"\n'),
        (["a: b", "- a", "#", "it's", "x #y"], "- 'a: b'\n- '- a'\n- '#'\n- it's\n- 'x #y'\n"),
        (["a\nb\n", "a\nb", "a \nb"], '- |\n  a\n  b\n- |-\n  a\n  b\n- "a \\nb"\n'),
        (["a\x85\u2028\t\x00", "é\U0001f600"], '- "a\\N\\L\\t\\0"\n- é\U0001f600\n'),
        ({"a": {"b": [{"c": 1, "d": [2]}]}}, "a:\n  b:\n  - c: 1\n    d:\n    - 2\n"),
        ("a", "a\n"),
        (5, "5\n"),
    ],
)
def test_what_is_written(data: Any, text: str) -> None:
    assert to_yaml(data).startswith(text)
    assert value(to_yaml(data)) == data


@pytest.mark.parametrize("text", ["a\n--- b\n", "a\n...\n", "\n", " a\nb", "a\n\n", "---", "..."])
def test_a_text_alone_is_read_as_it_was(text: str) -> None:
    assert value(to_yaml(text)) == text
    assert value(to_yaml([text, {text: text}])) == [text, {text: text}]
