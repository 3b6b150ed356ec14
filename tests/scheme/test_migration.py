"""Spec files of the Go engine in our words: the same specs, comments and layout as they were."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from greenflow.scheme.compat.releases import RELEASES
from greenflow.scheme.migration import NotMigrated, migrate
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import DocumentError, read
from greenflow.spec.fields import fields, has_format, unmarked
from tests.scheme.test_schema import complete

SCHEME = Scheme.installed()


def migrated(text: str, source: str = "a.yaml") -> str:
    return migrate(text, source, SCHEME).text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("kind: for\nports: {}\n", "kind: loop\nlinks: {}\n"),
        ("kind: 'pipe' # c\n", "kind: 'call' # c\n"),
        ('{"kind": "wait", "interval": 1500000000}', '{"kind": "sleep", "interval": "1500ms"}'),
        ("{kind: wait, interval: 90000000000}", "{kind: sleep, interval: 90s}"),
        ("kind: sleep\ninterval: '3600000000000'", "kind: sleep\ninterval: '1h'"),
        ("kind: sleep\ninterval: 999999", "kind: sleep\ninterval: 999999"),
        ("kind: sleep\ninterval: 5ms", "kind: sleep\ninterval: 5ms"),
        ("kind: switch\nmatches: []", "kind: switch\nmatch: []"),
        ("kind: block\nnodes: [{kind: for}]", "kind: block\nspecs: [{kind: loop}]"),
        ("kind: step\nnodes: {kind: for}", "kind: step\nspecs: {kind: loop}"),
        ("kind: unknown\nports: {}\nnodes: []", "kind: unknown\nlinks: {}\nnodes: []"),
        ("kind: nop\nenv: {A: [{value: 1}]}", "kind: nop\nenv: {A: [{data: 1}]}"),
        ("kind: nop\nenv: {ports: {value: 1}}", "kind: nop\nenv: {ports: {data: 1}}"),
        ("kind: nop\nannotations: {ports: for}", "kind: nop\nannotations: {ports: for}"),
        (
            "# only\n- kind: for # c\n\n---\nkind: nop\n",
            "# only\n- kind: loop # c\n\n---\nkind: nop\n",
        ),
        ("---\n---\nkind: for\n---\n...\n", "---\n---\nkind: loop\n---\n...\n"),
        ("kind: for\r\nports: {}\r\n", "kind: loop\r\nlinks: {}\r\n"),
        ("\ufeffkind: for\n", "\ufeffkind: loop\n"),
        ("name: '\U0001f600é\u2028 x'\nkind: for", "name: '\U0001f600é\u2028 x'\nkind: loop"),
        ("name: a # \U0001f600\u2028\nkind: for", "name: a # \U0001f600\u2028\nkind: loop"),
        ("- &x {kind: for, ports: {}}\n- {<<: *x}", "- &x {kind: loop, links: {}}\n- {<<: *x}"),
        ("a: &x {ports: {}}\nkind: nop\n<<: *x\n", None),
        ("kind: &k for\nannotations: {a: *k}", None),
        ("- &l {kind: for}\n- *l\n", "- &l {kind: loop}\n- *l\n"),
        ("kind: !!str for", "kind: !!str loop"),
        ("kind: listener\nports: {}\nlinks: {}\n", "kind: listener\nports: {}\nlinks: {}\n"),
        ("kind: >-\n  for\nname: a\n", None),
    ],
)
def test_words_become_others_in_place(before: str, after: str | None) -> None:
    if after is None:
        with pytest.raises(NotMigrated, match=r"a\.yaml: .* do it by hand: line 1: "):
            migrated(before)
    else:
        assert migrated(before) == after
        assert migrated(after) == after


def test_it_says_what_changed_and_where() -> None:
    result = migrate("- kind: nop\n- kind: for\n  ports: {}\n", "a.yaml", SCHEME)
    assert [(one.line, one.column, str(one)) for one in result.changes] == [
        (2, 9, "for is now loop"),
        (3, 3, "ports is now links"),
    ]


def test_json_lines_stay_json_lines() -> None:
    text = '{"kind":"for"}\n{"kind":"wait","interval":"2000000000"}\nnull\n'
    assert migrated(text, "a.json") == '{"kind":"loop"}\n{"kind":"sleep","interval":"2s"}\nnull\n'


def test_what_is_no_spec_file_is_refused() -> None:
    with pytest.raises(DocumentError):
        migrated("kind: [")


def old_words(draw: st.DrawFn, struct: Any, document: dict[str, Any]) -> dict[str, Any]:
    """The same, here and there by the other name, and with times in nanoseconds."""
    found: dict[str, Any] = {}
    for field in fields(struct):
        if field.name not in document:
            continue
        value = document[field.name]
        name = field.alias if field.alias and draw(st.booleans()) else field.name
        bare, marks = unmarked(field.type)
        if has_format(marks, "duration") and draw(st.booleans()):
            value = draw(st.sampled_from([1_000_000, 1_234_567, 2_000_000_000, "90000000000"]))
        elif (
            isinstance(bare, type) and issubclass(bare, msgspec.Struct) and isinstance(value, dict)
        ):
            value = old_words(draw, bare, value)
        found[name] = value
    return found


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str, int]:
    """A file of specs with words of both generations, its name, and how many comments it has."""
    specs = []
    for kind in draw(st.lists(st.sampled_from(SCHEME.kinds()), min_size=1, max_size=3)):
        spec = complete(kind, SCHEME)
        spec["annotations"] = {"ports": "for", "note": draw(st.text(max_size=8))}
        specs.append(old_words(draw, SCHEME.node_type(kind).spec_type, spec))
    if draw(st.booleans()):
        return json.dumps(specs, indent=draw(st.sampled_from([None, 2]))), "a.json", 0
    parts = []
    style = draw(st.sampled_from([None, False, True]))
    for spec in specs:
        yaml, out = YAML(typ="safe", pure=True), io.StringIO()
        yaml.default_flow_style = style
        yaml.allow_unicode = draw(st.booleans())
        yaml.sort_base_mapping_type_on_output = draw(st.booleans())
        yaml.width = draw(st.sampled_from([40, 1000]))
        yaml.dump([spec], out)
        parts.append(f"# for {len(parts)}: ports\n{out.getvalue()}")
    # Lists in flow style are documents of their own.
    between = draw(
        st.sampled_from(["---\n", "---\n# matches\n"] if style else ["", "\n# matches\n"])
    )
    return between.join(parts), "a.yaml", len(parts)


@given(files())
@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
def test_the_specs_are_the_same_and_a_second_time_changes_nothing(
    file: tuple[str, str, int],
) -> None:
    text, source, comments = file
    result = migrate(text, source, SCHEME)
    before = [SCHEME.decode(one.data, "default") for one in read(text, source)]
    for spec in before:
        spec.kind = SCHEME.node_type(spec.kind).kind
    after = [SCHEME.decode(one.data, "default") for one in read(result.text, source)]
    assert after == before
    assert result.text.count("\n") == text.count("\n")
    assert sum(line.startswith("# for") for line in result.text.splitlines()) == comments
    again = migrate(result.text, source, SCHEME)
    assert (again.text, again.changes) == (result.text, [])
    for document in result.documents:
        names = {field.alias for field in fields(SCHEME.node_type(document.data["kind"]).spec_type)}
        assert not names & document.data.keys()


def test_the_words_to_change_by_hand_are_told_in_one_line() -> None:
    with pytest.raises(NotMigrated) as raised:
        migrate("kind: >-\n  for\nname: a\n", "a.yaml", SCHEME)
    assert str(raised.value).endswith(
        "texts of several lines are used in ways that cannot be "
        "changed in place; do it by hand: line 1: >- for is now loop"
    )


OF_2025 = RELEASES["uniflow-2025"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("kind: sleep\ninterval: 2000 # 2 s\n", "kind: sleep\ninterval: 2s # 2 s\n"),
        ("{kind: if, when: count > 1}", "{kind: if, when: self.count > 1}"),
        ("kind: if\nwhen: 'a && b' # c\n", "kind: if\nwhen: 'self.a && self.b' # c\n"),
        ('kind: if\nwhen: "\\x61 == \\"b\\""', 'kind: if\nwhen: "self.\\x61 == \\"b\\""'),
        (
            "kind: if\nwhen: |\n  a &&\n\n    b > 1  # no comment of ours\n",
            "kind: if\nwhen: |\n  a &&\n\n    b > 1  # no comment of ours\n",
        ),
        ("kind: if\nwhen: |\n  a &&\n\n    b\n", "kind: if\nwhen: |\n  self.a &&\n\n    self.b\n"),
        ("kind: if\nwhen: >-\n  a\n  && b\n", "kind: if\nwhen: >-\n  self.a\n  && self.b\n"),
        ('{"kind": "if", "when": "\\u0061"}', '{"kind": "if", "when": "self.\\u0061"}'),
        (
            "- kind: block\r\n  specs:\r\n  - kind: nop\r\n",
            "- kind: block\r\n  chain: false\r\n  specs:\r\n  - kind: nop\r\n",
        ),
        (
            "- kind: listener  # web\n  port: 0\n",
            "- kind: listener  # web\n  untyped: guess\n  port: 0\n",
        ),
        ("{kind: block, specs: []}", "{kind: block, chain: false, specs: []}"),
        (
            '{"kind": "block", "specs": []}',
            '{"kind": "block", "chain": false, "specs": []}',
        ),
        ("kind: nop\nx: 1\n# about name\nname: a\n", "kind: nop\n# about name\nname: a\n"),
        ("- x: 1\n  kind: nop\n", "- kind: nop\n"),
        ("kind: nop\nx:\n  - {y: 1}\n  - z\n", "kind: nop\n"),
        ("kind: nop\nx: |\n  a\n  b\nname: c\n", "kind: nop\nname: c\n"),
        ("kind: nop\nx: 1", "kind: nop\n"),
        ("{kind: nop, x: 1}", "{kind: nop}"),
        ("{x: 1, kind: nop}", "{kind: nop}"),
        ("kind: call\ntimeout: 0\nname: a\n", "kind: call\nname: a\n"),
        (
            "kind: snippet\nname: a\ncode: '{{ .B }} {{ .A }}'\n",
            'kind: snippet\nname: a\nenv: {A: {data: "{{ .A }}"}, B: {data: "{{ .B }}"}}\n'
            "code: '{{ .B }} {{ .A }}'\n",
        ),
        (
            "kind: snippet\nenv:\n  B: {data: 1}\ncode: '{{ .B }} {{ .A }}'\n",
            'kind: snippet\nenv:\n  A: {data: "{{ .A }}"}\n  B: {data: 1}\n'
            "code: '{{ .B }} {{ .A }}'\n",
        ),
        ("kind: snippet\nenv: {}\ncode: '{{ .A }}'\n", None),
        ("- &x {kind: if, when: a}\n- *x\n", "- &x {kind: if, when: self.a}\n- *x\n"),
        ("a: &x {y: 1}\nkind: nop\n<<: *x\n", None),
    ],
)
def test_what_a_release_means_is_written_in_place(before: str, after: str | None) -> None:
    def of_release(text: str) -> str:
        return migrate(text, "a.yaml", SCHEME, OF_2025).text

    if after is None:
        try:
            after = of_release(before)
        except NotMigrated:
            return
    assert of_release(before) == after
    assert of_release(after) == after
    switched = Scheme.installed(compat="uniflow-2025")
    meant = [switched.translated(each.data).data for each in read(before, "a.yaml")]
    assert [each.data for each in read(after, "a.yaml")] == meant


def test_changes_of_a_release_are_told() -> None:
    text = "kind: block\ncomment: x\nspecs: [{kind: if, when: count > a.b}]\n"
    result = migrate(text, "a.yaml", SCHEME, OF_2025)
    assert [(each.line, each.column, str(each)) for each in result.changes] == [
        (2, 1, "comment is left out"),
        (3, 1, "chain: false is new"),
        (3, 26, "count is now self.count"),
        (3, 34, "a is now self.a"),
    ]
    (note,) = result.notes
    assert note.startswith("a.yaml:2:1: $.comment: there is no such field")
