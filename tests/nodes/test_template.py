"""`template` and `use`: a block that is written once (BEHAVIOUR 13.6 to 13.10)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow import Runtime, Scheme
from greenflow.errors import GreenflowError, SpecInvalid
from greenflow.nodes.template import DEEPEST, MOST_SPECS
from greenflow.payload.origin import origin_of
from greenflow.spec.batch import Faulty, check
from greenflow.spec.document import read
from tests.flows import flow

Document = dict[str, Any]


def cel(code: str, **more: Any) -> Document:
    return {"kind": "snippet", "language": "cel", "code": code, **more}


def template(name: str, *specs: Document, **more: Any) -> Document:
    return {"kind": "template", "name": name, "specs": list(specs), **more}


def use(name: str, template: str, /, **arguments: Any) -> Document:
    return {"kind": "use", "name": name, "template": template, "with": arguments}


def call(documents: list[Document], node: str, payload: Any = None) -> Any:
    with running(documents) as runtime:
        return runtime.call(node, payload)


@contextmanager
def running(documents: list[Document], *values: Document) -> Iterator[Runtime]:
    with Runtime("memory://", specs=documents, values=list(values), own_thread=False) as runtime:
        yield runtime


def faults(text: str) -> list[str]:
    """What `apply` says of a file."""
    try:
        check(read(text, "t.yaml"), Scheme.installed(), "default", named=False)
    except Faulty as error:
        return error.lines
    return []


# -- what a use is ---------------------------------------------------------------------------------


def test_each_use_has_its_own_arguments() -> None:
    documents = [
        template(
            "price",
            cel("self * {{ .rate }}"),
            cel("string(self) + {{ .unit }}"),
            parameters={"rate": {"type": "number"}, "unit": {"type": "string", "default": "EUR"}},
        ),
        use("euro", "price", rate=1),
        use("dollar", "price", rate="2", unit="USD"),
    ]
    with running(documents) as runtime:
        assert runtime.call("euro", 5) == "5EUR"
        assert runtime.call("dollar", 5) == "10USD"


def test_a_use_has_the_ports_of_its_template_and_an_error_link_of_its_own() -> None:
    with flow(
        """
- kind: template
  name: division
  specs:
    - {kind: snippet, name: divide, language: cel, code: 10 / self, links: {error: {name: refuse}}}
    - {kind: snippet, name: refuse, language: cel, code: "self * 2"}
  inbounds: {in: [{name: divide, port: in}], "in[1]": [{name: refuse, port: in}]}
  outbounds: {out: [{name: divide, port: out}]}
- {kind: use, name: u, template: division, links: {out: {name: after}, error: {name: handle}}}
- {kind: snippet, name: after, language: cel, code: "[self]"}
- {kind: probe, name: handle, answer: handled}
"""
    ) as it:
        assert it.call("u", 5) == [2]
        assert it.call("u", 0) == "handled"  # what arose inside


def test_a_link_of_a_use_to_a_port_that_the_template_has_not_is_a_fault() -> None:
    text = """
- {kind: template, name: t, specs: [{kind: snippet, code: x}]}
- {kind: use, name: u, template: t, links: {"out[1]": {name: u}}}
- {kind: snippet, name: s, code: x, links: {out: {name: t}}}
"""
    assert faults(text) == [
        "t.yaml:3:45: $.links.out[1]: kind 'use' has no out port 'out[1]'; it has out, error"
    ]
    with running([one.data for one in read(text, "t") if one.data["kind"] != "use"]) as runtime:
        (status,) = [one for one in runtime.status() if one["name"] == "s"]
        assert status["reason"] == "links.out: node 't' has no in port 'in'"


def test_a_whole_placeholder_keeps_its_type_and_null_is_a_field_left_out() -> None:
    wait = {"type": "any", "default": 0}
    documents = [
        template(
            "t",
            {"kind": "sleep", "interval": "{{ .wait }}"},
            cel("{{ .list }} + self"),
            parameters={"wait": wait, "list": {"type": "list"}},
        ),
        use("u", "t", list="one"),
        use("v", "t", list=[1, {"a b": None}], wait="0s"),
    ]
    with running(documents) as runtime:
        assert runtime.call("u", []) == ["one"]
        assert runtime.call("v", [2]) == [1, {"a b": None}, 2]


NASTY = [
    "'",
    '"',
    "\\",
    "`",
    "\n",
    "\r",
    "\u2028",
    "*/",
    "//",
    "${1}",
    "});",
    "{{ .x }}",
    "é",
    "😀",
    "",
]


@given(
    st.lists(
        st.one_of(
            st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
        ),
        max_size=6,
    ).map("".join)
)
@settings(max_examples=25, deadline=None)
def test_in_code_a_parameter_is_a_literal(text: str) -> None:
    """BEHAVIOUR 13.8: whatever it is, in each language."""
    parameters = {"x": {"type": "string"}}
    for language, code, answer in (
        ("cel", "[{{ .x }}, {{ .x }}]", [text, text]),
        ("json", '{"a": {{ .x }}}', {"a": text}),
        ("yaml", "a: {{ .x }}\nb: [{{ .x }}]", {"a": text, "b": [text]}),
        ("text", "<{{ .x }}>", f"<{text}>"),
    ):
        snippet = {"kind": "snippet", "language": language, "code": code}
        documents = [template("t", snippet, parameters=parameters), use("u", "t", x=text)]
        assert call(documents, "u") == answer


@pytest.mark.parametrize(
    "text", ["' + self.secret + '", '" + self.secret + "', "${self}", "`", "1);"]
)
@pytest.mark.parametrize("quote", ["'", '"', "`"])
def test_within_quotes_of_the_author_a_parameter_is_no_code_either(text: str, quote: str) -> None:
    """The text with quotes in it, or a fault of syntax: never what stands in the argument."""
    code = f"export default (self) => {quote}a {{{{ .x }}}} b{quote}"
    t = template(
        "t",
        {"kind": "snippet", "language": "javascript", "code": code},
        parameters={"x": {"type": "string"}},
    )
    if quote == '"':
        with pytest.raises(SpecInvalid, match=r"in template 't'.*line 1"):
            call([t, use("u", "t", x=text)], "u")
    else:
        answer = call([t, use("u", "t", x=text)], "u", {"secret": "s"})
        assert answer == f'a "{text}" b'


def test_what_may_be_code_and_is_optional_takes_literals_too() -> None:
    specs = [
        {"kind": "cache", "key": "self + {{ .x }}"},
        {"kind": "sleep", "interval": "self.wait + {{ .x }}"},
    ]
    t = template("t", *specs, parameters={"x": {}})
    with running([t, use("u", "t", x="a'b")]) as runtime:
        body: Any = runtime.table.find("u").version.spec
    assert body.specs[0].key == 'self + "a\\u0027b"'
    assert body.specs[1].interval == 'self.wait + "a\\u0027b"'


# -- faults ----------------------------------------------------------------------------------------

CHARGE = """
- kind: template
  name: charge
  parameters:
    currency: {type: string, values: [EUR, USD]}
    amount: {type: integer, default: 1}
  specs:
    - {kind: snippet, language: cel, code: "[{{ .currency }}]"}
    - {kind: sleep, interval: "{{ .amount }}"}
"""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            "with: {currency: GBP}",
            "t.yaml:11:49: $.with.currency: 'GBP' is not allowed; allowed are 'EUR', 'USD' "
            "(template 'charge', t.yaml:5:5)",
        ),
        (
            "with: {}",
            "t.yaml:11:42: $.with.currency: missing; this parameter (string) has no default "
            "(template 'charge', t.yaml:5:5)",
        ),
        (
            "with: {currency: EUR, amont: 3}",
            "t.yaml:11:64: $.with.amont: no such parameter; did you mean 'amount'? "
            "there are amount, currency (template 'charge', t.yaml:4:3)",
        ),
        (
            "with: {currency: EUR, amount: many}",
            "t.yaml:11:64: $.with.amount: expected `int`, got `str` "
            "(template 'charge', t.yaml:6:5)",
        ),
        (
            "with: {currency: EUR, amount: -1}",
            "t.yaml:11:24: $.template: in template 'charge', t.yaml:9:21: "
            "$.specs[1].interval: -1 is negative: a duration is 0 or more",
        ),
    ],
)
def test_faults_name_both_places(fields: str, said: str) -> None:
    line, *_ = faults(CHARGE + "\n" + f"- {{kind: use, name: u, template: charge, {fields}}}")
    assert line == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{K, parameters: {x: {type: integer, default: a}}, specs: [{kind: nop}]}",
            "$.parameters.x.default: expected `int`, got `str`",
        ),
        (
            "{K, parameters: {x: {type: integer, values: [1, b]}}, specs: [{kind: nop}]}",
            "$.parameters.x.values[1]: expected `int`, got `str`",
        ),
        (
            "{K, parameters: {a b: {}}, specs: [{kind: nop}]}",
            "$.parameters.a b: the name of a parameter is letters, digits, `_` and `-`",
        ),
        (
            "{K, env: {A: {name: v}}, parameters: {A: {}}, specs: [{kind: nop}]}",
            "$.parameters.A: it is a key of `env` already",
        ),
        (
            "{kind: template, name: t, specs: [{kind: nop, wrong: 1}]}",
            "$.specs[0].wrong: unknown field; allowed are",
        ),
        (
            '{K, parameters: {x: {}}, specs: [{kind: snippet, code: "{{ .y }}"}]}',
            "$.specs[0].code: {{ .y }} stands for nothing: template 't' has no 'y'; it has x",
        ),
        (
            "{kind: block, specs: [{kind: template, name: t, specs: [{kind: nop}]}]}",
            "$.specs[0]: a template is a spec of its own, and no part of another",
        ),
        ("{kind: template, name: t, specs: []}", "$.specs: expected `array` of length >= 1"),
        ("{kind: template, name: t, specs: [1]}", "$.specs[0]: a spec is a map"),
        ("{kind: use, name: t}", "$.template: missing; this field is required"),
    ],
)
def test_what_is_wrong_with_a_template_is_said_without_a_use(text: str, said: str) -> None:
    lines = faults(text.replace("{K", "{kind: template, name: t"))
    assert any(said in line for line in lines), lines


def test_what_is_wrong_with_a_template_is_said_once_whatever_uses_it() -> None:
    uses = "".join(f"- {{kind: use, name: u{i}, template: t}}\n" for i in range(5))
    (line,) = faults(f"- {{kind: template, name: t, specs: [{{kind: nop, wrong: 1}}]}}\n{uses}")
    assert line.startswith("t.yaml:1:49: $.specs[0].wrong: unknown field")


def test_a_template_inside_of_itself_is_told_at_each_that_takes_part() -> None:
    lines = faults(
        "- {kind: template, name: a, specs: [{kind: use, template: b}]}\n"
        "- {kind: template, name: b, specs: [{kind: use, template: a}]}\n"
        "- {kind: template, name: c, specs: [{kind: use, template: c}]}\n"
        "- {kind: use, name: u, template: a}\n"
    )
    assert lines[0] == (
        "t.yaml:1:49: $.specs[0].template: in template 'b', t.yaml:2:49: "
        "$.specs[0].template: in template 'a', t.yaml:1:3: "
        "template 'a' is inside of itself: a > b > a"
    )
    assert "template 'b' is inside of itself: b > a > b" in lines[1]
    assert "template 'c' is inside of itself: c > c" in lines[2]
    assert "is inside of itself: a > b > a" in lines[3]
    assert len(lines) == 4


def nested(depth: int, times: int = 1) -> str:
    lines = [
        "- {kind: template, name: t0, specs: [{kind: snippet, language: cel, code: self + 1}]}"
    ]
    for i in range(1, depth):
        inside = ", ".join([f"{{kind: use, template: t{i - 1}}}"] * times)
        lines.append(f"- {{kind: template, name: t{i}, specs: [{inside}]}}")
    return "\n".join([*lines, f"- {{kind: use, name: u, template: t{depth - 1}}}"])


def test_templates_are_so_deep_in_one_another_and_no_deeper() -> None:
    assert faults(nested(DEEPEST)) == []
    assert any("more than 16 deep" in line for line in faults(nested(DEEPEST + 1)))
    assert call([one.data for one in read(nested(DEEPEST), "t")], "u", 1) == 2


def test_templates_do_not_grow_without_end() -> None:
    assert faults(nested(8, times=2)) == []
    assert any(f"more than {MOST_SPECS:,} specs" in line for line in faults(nested(12, times=2)))


# -- what is in scope ------------------------------------------------------------------------------


def test_a_template_has_values_of_its_own_and_sees_none_of_the_use() -> None:
    documents = [
        template(
            "t",
            cel("[{{ .given }}, '{{ .own }}', {{ .kept }}]"),
            parameters={"given": {}, "kept": {"default": "{{ .own }}!"}},
            env={"own": {"name": "inside"}},
        ),
        {**use("u", "t", given="<{{ .theirs }}>"), "env": {"theirs": {"name": "outside"}}},
        {
            **use("w", "blind"),
            "env": {"theirs": {"name": "outside"}},
        },
        template("blind", {"kind": "snippet", "code": "{{ .theirs }}"}),
    ]
    values = [
        {"name": "inside", "namespace": "default", "data": "i"},
        {"name": "outside", "namespace": "default", "data": "o"},
    ]
    scheme = Scheme.installed()
    with pytest.raises(SpecInvalid, match="template 'blind' has no 'theirs'; it has nothing"):
        scheme.validate(documents[3], "default")
    with running(documents[:2], *values) as runtime:
        assert runtime.call("u") == ["<o>", "i", "i!"]


def test_a_secret_that_came_by_a_template_is_not_shown() -> None:
    documents = [
        template("t", cel("{{ .key }} + self"), parameters={"key": {}}),
        template("v", cel("'{{ .K }}' + self"), env={"K": {"name": "k"}}),
        {**use("u", "t", key="{{ .K }}"), "env": {"K": {"name": "k"}}},
        use("w", "v"),
        template("z", {"kind": "throw"}, env={"K": {"name": "k"}}),
        use("y", "z"),
    ]
    value = {"name": "k", "namespace": "default", "data": "tops3cret"}
    with running(documents, value) as runtime:
        with pytest.raises(GreenflowError) as caught:
            runtime.call("y", "it is tops3cret")
        assert "tops3cret" not in str(caught.value)
        assert runtime.call("u", "-") == runtime.call("w", "-") == "tops3cret-"


# -- where errors arose ----------------------------------------------------------------------------


def test_an_error_names_the_place_in_the_template_and_that_of_the_use() -> None:
    text = """- kind: template
  name: inner
  specs:
    - {kind: nop}
    - {kind: snippet, name: fails, language: cel, code: "1 / 0"}
- kind: template
  name: outer
  specs:
    - {kind: use, name: within, template: inner}
- {kind: use, name: top, template: outer}
""".replace("    - {kind: nop}\n", "    - {kind: snippet, language: cel, code: self}\n")
    with running([one.data for one in read(text, "t.yaml")]) as runtime:
        with pytest.raises(GreenflowError) as caught:
            runtime.call("top", 1)
        origin = origin_of(caught.value)
        assert origin is not None
        assert origin.node == "top > within > fails"
        ids = {one["name"]: one["id"] for one in runtime.status()}
        assert origin.at.split(", used at ") == [
            f"{ids['inner']} revision {_revision(runtime, 'inner')} $.specs[1]",
            f"{ids['outer']} revision {_revision(runtime, 'outer')} $.specs[0]",
            f"{ids['top']} revision {_revision(runtime, 'top')}",
        ]


def _revision(runtime: Runtime, name: str) -> int:
    return runtime.table.find(name).revision


def test_workflows_of_the_lifecycle_are_told_what_stands_in_the_template() -> None:
    inner = cel("self", name="a", links={"init": {"name": "b"}})
    t = template("t", inner, cel("self", name="b"))
    with running([t, use("u", "t")]) as runtime:
        version = runtime.table.find("u").version
        assert version.node is not None
        parts = list(version.node.parts(version.document))
        assert [part.spec.name for part, _ in parts] == ["b", "a", "u"]
        assert [document for _, document in parts] == [
            cel("self", name="b"),
            inner,
            version.document,
        ]


# -- it is what a person would write ---------------------------------------------------------------

SCALARS = st.one_of(
    st.integers(-5, 5), st.booleans(), st.text("ab'\"\\ é\n", max_size=4), st.just("{{ .p0 }}")
)


class Written:
    """A template, as a function that writes it out by hand."""

    def __init__(self, document: Document, by_hand: Callable[[list[Any]], list[Document]]) -> None:
        self.document, self.by_hand = document, by_hand
        self.parameters = len(document["parameters"])


@st.composite
def namespaces(draw: st.DrawFn) -> tuple[list[Document], list[Document]]:
    """Some templates, which use those before them, and uses of them; and the same without."""
    made: list[Written] = []
    for number in range(draw(st.integers(1, 4))):
        count = draw(st.integers(0, 3))
        specs: list[Document] = []
        writers: list[Callable[[list[Any]], Document]] = []
        for _ in range(draw(st.integers(1, 3))):
            if made and draw(st.booleans()):
                inner = draw(st.sampled_from(made))
                chosen = [
                    draw(st.one_of(st.integers(0, count - 1).map(Place), SCALARS))
                    if count
                    else draw(SCALARS.filter(lambda one: one != "{{ .p0 }}"))
                    for _ in range(inner.parameters)
                ]
                chosen = [Place(0) if one == "{{ .p0 }}" else one for one in chosen]
                given = {
                    f"p{i}": one.text if isinstance(one, Place) else one
                    for i, one in enumerate(chosen)
                }
                specs.append({"kind": "use", "template": inner.document["name"], "with": given})
                writers.append(_use_writer(inner, chosen))
            elif count and draw(st.booleans()):
                place = draw(st.integers(0, count - 1))
                specs.append(cel(f"self + [{{{{ .p{place} }}}}]"))
                writers.append(
                    lambda given, place=place: cel(f"self + [{json.dumps(given[place])}]")
                )
            else:
                specs.append(cel("self + ['fixed']"))
                writers.append(lambda given: cel("self + ['fixed']"))
        document = template(f"t{number}", *specs, parameters={f"p{i}": {} for i in range(count)})
        made.append(
            Written(document, lambda given, all=tuple(writers): [one(given) for one in all])
        )
    uses, by_hand = [], []
    for number in range(draw(st.integers(1, 3))):
        of = draw(st.sampled_from(made))
        values = [
            draw(SCALARS.filter(lambda one: one != "{{ .p0 }}")) for _ in range(of.parameters)
        ]
        uses.append(
            use(f"n{number}", of.document["name"], **{f"p{i}": v for i, v in enumerate(values)})
        )
        by_hand.append({"kind": "block", "name": f"n{number}", "specs": of.by_hand(values)})
    order = draw(st.permutations([*(one.document for one in made), *uses]))
    return list(order), by_hand


class Place:
    """A parameter that is handed on."""

    def __init__(self, number: int) -> None:
        self.number, self.text = number, f"{{{{ .p{number} }}}}"


def _use_writer(inner: Written, chosen: list[Any]) -> Callable[[list[Any]], Document]:
    def write(given: list[Any]) -> Document:
        values = [given[one.number] if isinstance(one, Place) else one for one in chosen]
        return {"kind": "block", "specs": inner.by_hand(values)}

    return write


@given(namespaces())
@settings(max_examples=50, deadline=None)
def test_a_namespace_with_templates_equals_the_one_that_is_written_out(
    both: tuple[list[Document], list[Document]],
) -> None:
    templates, by_hand = both
    with running(templates) as one, running(by_hand) as other:
        for document in by_hand:
            name = document["name"]
            assert one.call(name, []) == other.call(name, [])
            for runtime, path in ((one, "block"), (other, "")):
                assert runtime.table.find(name).active, path
            spec: Any = one.table.find(name).version.spec
            assert _shape(spec) == _shape(other.table.find(name).version.spec)


def _shape(spec: Any) -> Any:
    inner = getattr(spec, "specs", None)
    return "snippet" if inner is None else [_shape(each) for each in inner]
