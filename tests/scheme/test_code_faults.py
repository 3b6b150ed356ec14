"""Faults of code in a spec are told at the line and column of the file, in each language, however
the code is written there (BEHAVIOUR 15.1, 17.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenflow.errors import SpecFault, SpecInvalid
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Faulty, check
from greenflow.spec.document import read
from greenflow.values.seal import Keys
from greenflow.values.values import Bindings, Values

#: By language: code of several lines with `@` before what is wrong, and the words for it.
CODE = {
    "cel": (
        "self.a && // 😀\n\n  self.b ||\t@slef.c\n",
        "'slef' is not declared; did you mean self?",
    ),
    "javascript": (
        "export default function (x) {\n\n  const y = '😀';\n\n  @import('z');\n}\n",
        "`import` cannot be used",
    ),
    "typescript": (
        "export default (x: number) => {\n  // 😀\n\n  const n: 'é' = x!; @import('z');\n}\n",
        "`import` cannot be used",
    ),
    "json": ('{"a": 1,\n\n  "b": "😀",\t@c}\n', "not JSON: expecting property name"),
    "yaml": ("a: 1\n\nb: {c: 😀, d: e,\n   f: @*g}\n", "the alias *g has no anchor &g before it"),
}


def literal(code: str) -> str:
    return "|\n" + "".join(f"    {line}\n" if line else "\n" for line in code.splitlines())


def numbered(code: str) -> str:
    return literal(code).replace("|", "|2-", 1)


def double(code: str) -> str:
    return json.dumps(code, ensure_ascii=False) + "\n"


def escaped(code: str) -> str:
    quoted = json.dumps(code).replace("\\n", "\\n\\\n    ")
    return quoted.replace("\\ud83d\\ude00", "\\U0001F600") + "\n"


def single(code: str) -> str:
    return "'" + code.replace("'", "''").replace("\n", "\n\n    ") + "'\n"


STYLES = {
    "literal": literal,
    "numbered": numbered,
    "double": double,
    "escaped": escaped,
    "single": single,
    "tagged": lambda code: "!!str &x # why\n   " + double(code),
}


def faults(text: str, source: str = "x.yaml") -> list[str]:
    with pytest.raises(Faulty) as caught:
        check(read(text, source), Scheme.installed(), "default", named=False)
    return caught.value.lines


def expected(marked: str) -> tuple[str, str]:
    """The text without its mark, and the place where the mark was."""
    at = marked.index("@")
    line, column = marked.count("\n", 0, at) + 1, at - marked.rfind("\n", 0, at)
    return marked.replace("@", ""), f"{line}:{column}"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("language", CODE)
def test_the_place_is_that_of_the_file(language: str, style: str, line_end: str) -> None:
    code, reason = CODE[language]
    marked = f"- kind: snippet\n  language: {language}\n  code: {STYLES[style](code)}"
    text, place = expected(marked.replace("\n", line_end))
    (told,) = faults(text)
    assert told.startswith(f"x.yaml:{place}: $.code: {reason}"), told


@pytest.mark.parametrize("language", CODE)
def test_in_json(language: str) -> None:
    code, reason = CODE[language]
    document: dict[str, Any] = {"kind": "snippet", "language": language, "code": code}
    text, place = expected("\n" + json.dumps([document], indent=1))
    (told,) = faults(text, "x.json")
    assert told.startswith(f"x.json:{place}: $.code: {reason}")


@pytest.mark.parametrize(
    ("marked", "path"),
    [
        ("kind: if\nwhen: self.a &&\n  @slef.b\n", "$.when"),
        ("kind: if\nwhen: >\n  self.a &&\n  @slef.b\n", "$.when"),
        ("kind: switch\nmatch:\n- {port: 'out[0]', when: '@slef'}\n", "$.match[0].when"),
        ("kind: switch\nmatches: {port: 'out[0]', when: '@slef'}\n", "$.matches[0].when"),
        ("kind: assert\nexpect: |\n  true ||\n    @slef\n", "$.expect"),
        (
            "kind: block\nspecs:\n- {kind: nop, name: a}\n- kind: if\n  when: |-\n    @slef\n",
            "$.specs[1].when",
        ),
        ("annotations: &b\n  when: self == @slef\n<<: *b\nkind: if\n", "$.when"),
    ],
)
def test_in_every_field(marked: str, path: str) -> None:
    text, place = expected(marked)
    (told,) = faults(text)
    assert told == f"x.yaml:{place}: {path}: 'slef' is not declared; did you mean self?"


def test_of_a_store_the_place_is_that_in_the_code() -> None:
    document = {"kind": "if", "when": "self.a &&\n  slef.b"}
    with pytest.raises(SpecInvalid) as caught:
        Scheme.installed().validate(document, "default")
    fault = SpecFault("$.when", "'slef' is not declared; did you mean self?", 2, 3)
    assert caught.value.faults == (fault,)
    assert str(caught.value) == f"$.when: line 2, column 3: {fault.reason}"


# -- placeholders ----------------------------------------------------------------------------------


def test_a_placeholder_that_stands_for_nothing_is_told_at_its_place() -> None:
    marked = (
        "kind: snippet\nenv: {X: {name: x}}\nlanguage: text\n"
        "code: |\n  {{ .X }} 😀\n   and @{{ .Y }}\n"
    )
    text, place = expected(marked)
    (told,) = faults(text)
    reason = "{{ .Y }} stands for nothing: env has no 'Y'; it has X"
    assert told == f"x.yaml:{place}: $.code: {reason}"


@pytest.mark.parametrize(
    "rest",
    ["text: '{{ .X }}'", "name: '{{ .X }}'", "timeout: 1s"],
)
def test_code_without_placeholders_is_checked_though_values_are_not_known(rest: str) -> None:
    before = "annotations: {a: '{{ .X }}'}\n" if "timeout" in rest else ""
    inner = "- {kind: snippet, name: a, code: '{{ .X }}'}\n"
    text, place = expected(
        f"kind: block\nenv: {{X: {{name: x}}}}\n{before}specs:\n{inner}"
        "- {kind: if, name: b, when: @slef}\n"
    )
    (told,) = faults(text)
    assert told.startswith(f"x.yaml:{place}: $.specs[1].when: 'slef'")


@pytest.mark.parametrize(
    "field",
    [
        "code: 'slef {{ .X }}'",
        "code: slef\nlanguage: '{{ .X }}'",
        "code: slef\ntimeout: '{{ .X }}'",
    ],
)
def test_code_that_depends_on_values_is_checked_when_they_are_known(field: str) -> None:
    language = "" if "language" in field else "\nlanguage: cel"
    text = f"kind: snippet\nenv: {{X: {{name: x}}}}\n{field}{language}\n"
    check(read(text, "x.yaml"), Scheme.installed(), "default", named=False)


@pytest.mark.parametrize(
    ("code", "line", "column"),
    [
        ("'{{ .A }}' == self.a && @slef", 1, 0),
        ("self.a && @{{ .B }}", 1, 0),
        ("'{{ .A }}' == self.a &&\n  {{ .N }} == @slef", 2, 0),
        ("@{{ .B }}", 1, 0),
    ],
)
def test_in_rendered_code_the_place_is_that_before_it_was_rendered(
    code: str, line: int, column: int
) -> None:
    written, place = expected(code)
    values = Values("default", {"A": "long enough", "B": "slef.x", "N": "1234567"}, Keys([]))
    document = {
        "kind": "if",
        "env": {key: {"data": f"{{{{ .{key} }}}}"} for key in "ABN"},
        "when": written,
    }
    with pytest.raises(SpecInvalid) as caught:
        Scheme.installed().decode(document, "default", bindings=values.bindings())
    (fault,) = caught.value.faults
    assert f"{fault.line}:{fault.column}" == place
    assert fault.line == line


def test_what_is_not_known_of_one_spec_is_no_matter_of_the_next() -> None:
    bindings = Bindings()
    scheme = Scheme.installed()
    document = {"kind": "snippet", "env": {"X": {"name": "x"}}, "code": "{{ .X }}"}
    scheme.decode(document, "default", bindings=bindings)
    assert bindings.deferred
