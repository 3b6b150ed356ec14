"""`env`: what specs are rendered with, and what is checked when (BEHAVIOUR 16.2 to 16.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.errors import Inactive, SpecInvalid
from greenflow.log import secret
from greenflow.spec.fields import Link
from greenflow.spec.template import Deferred
from greenflow.values.seal import Keys
from greenflow.values.values import Values
from tests.valued import All, Part, apply, of, reason, running, scheme, spec, value
from tests.waiting import until


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    """No secret is known any more when nothing runs."""
    All.compiled.clear()
    yield
    assert secret.held() == 0


# -- rendering -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "template", "result"),
    [
        ("text", "go {{ .A }} {{ .N }}", "go slow 7"),
        ("text", "{{ .A }}", "slow"),
        ("number", "{{ .N }}", 7),
        ("number", "1{{ .N }}", 17),
        ("flag", "{{ .M.on }}", True),
        ("wait", "{{ .M.wait }}", 90.0),
        ("wait", "{{ .N }}ms", 0.007),
        ("mode", "{{ .A }}", "slow"),
        ("many", ["{{ .A }}", "b"], ["slow", "b"]),
        ("several", "{{ .A }}", ["slow"]),
        ("many", "{{ .M.list }}", ["one", "two"]),
        ("map", {"{{ .A }}": "{{ .A }}"}, {"{{ .A }}": "slow"}),
        ("part", {"path": "/{{ .A }}", "port": "{{ .N }}"}, Part("/slow", 7)),
        ("part", "{{ .P }}", Part("/p", 1)),
        ("parts", [{"path": "{{ .M.path }}"}], [Part("/x")]),
        ("anything", {"deep": [{"er": "{{ .M.list.1 }}"}]}, {"deep": [{"er": "two"}]}),
        ("either", "{{ .M.list }}", ["one", "two"]),
        ("text", "{{ A }} {{ .A | upper }} {{", "{{ A }} {{ .A | upper }} {{"),
    ],
)
def test_every_string_of_the_fields_of_a_kind_is_rendered(
    field: str, template: Any, result: Any
) -> None:
    env = {"A": {"name": "a"}, "N": {"name": "n"}, "M": {"name": "m"}, "P": {"name": "p"}}
    values = [
        value("a", "slow"),
        value("n", 7),
        value("m", {"path": "/x", "list": ["one", "two"], "on": True, "wait": "1m30s"}),
        value("p", {"path": "/p", "port": 1}),
    ]
    with running(spec(env=env, **{field: template}), values=values) as runtime:
        assert getattr(of(runtime), "many" if field == "several" else field) == result


def test_what_every_spec_has_is_not_rendered() -> None:
    fields = {"annotations": {"note": "{{ .A }}"}, "name": "{{ .A }}"}
    with running(spec(env={"A": {"name": "a"}}, **fields), values=[value("a", "x")]) as runtime:
        made = of(runtime, "{{ .A }}")
        assert made.annotations == {"note": "{{ .A }}"}


def test_a_spec_without_env_is_left_alone() -> None:
    with running(spec(text="{{ .A }}"), values=[value("A", "x")]) as runtime:
        assert of(runtime).text == "{{ .A }}"


@pytest.mark.parametrize(
    ("env", "text"),
    [
        ({"name": "db", "data": "{{ .password }}"}, "hunter2"),
        ({"id": "id-db", "data": "{{ .password }}"}, "hunter2"),
        ({"id": "id-db", "name": "other", "data": "{{ .password }}"}, "hunter2"),
        ({"name": "db", "data": "sql://{{ .user }}:{{ .password }}@h"}, "sql://shop:hunter2@h"),
        ({"name": "db", "data": "fixed"}, "fixed"),
        ({"name": "bare", "data": "<{{ . }}>"}, "<bare>"),
        ({"data": "{{ .REGION }}"}, "north"),
        ({"data": "in {{ .REGION }}"}, "in north"),
        ({"data": "literal"}, "literal"),
    ],
)
def test_data_is_rendered_on_the_named_value_or_the_environment(
    env: dict[str, Any], text: str
) -> None:
    values = [value("db", {"user": "shop", "password": "hunter2"}), value("bare", "bare")]
    with running(
        spec(env={"K": env}, text="{{ .K }}"), values=values, environment={"REGION": "north"}
    ) as runtime:
        assert of(runtime).text == text


def test_data_left_out_is_the_whole_value() -> None:
    fields = {"text": "{{ .DB.user }} {{ .ALL.REGION }}", "anything": "{{ .DB }}"}
    with running(
        spec(env={"DB": {"name": "db"}, "ALL": {}}, **fields),
        values=[value("db", {"user": "shop", "port": 5432})],
        environment={"REGION": "north"},
    ) as runtime:
        assert of(runtime).text == "shop north"
        assert of(runtime).anything == {"user": "shop", "port": 5432}


def test_data_may_be_a_map_of_templates() -> None:
    env = {"DB": {"name": "db", "data": {"who": "{{ .user }}", "port": "{{ .port }}", "n": 1}}}
    with running(
        spec(env=env, anything="{{ .DB }}"), values=[value("db", {"user": "shop", "port": 5432})]
    ) as runtime:
        assert of(runtime).anything == {"who": "shop", "port": 5432, "n": 1}


def test_a_spec_inside_a_spec_is_rendered_with_both_envs() -> None:
    block = {
        "kind": "block",
        "id": "b",
        "name": "b",
        "env": {"A": {"name": "a"}, "B": {"name": "a"}},
        "specs": [
            {"kind": "snippet", "language": "cel", "code": "self + '-{{ .A }}{{ .B }}'"},
            {
                "kind": "snippet",
                "language": "cel",
                "code": "self + '-{{ .A }}{{ .B }}'",
                "env": {"B": {"name": "b", "data": "{{ .field }}"}},
            },
        ],
    }
    values = [value("a", "outer"), value("b", {"field": "inner"})]
    with running(block, values=values) as runtime:
        assert runtime.call("b", "x") == "x-outerouter-outerinner"


def test_an_env_of_a_spec_inside_is_enough() -> None:
    inner = {"kind": "snippet", "code": "{{ .A }}", "env": {"A": {"name": "a"}}}
    block = {"kind": "block", "id": "b", "name": "b", "specs": [inner]}
    with running(block, values=[value("a", "one")]) as runtime:
        assert runtime.call("b") == "one"
        apply(runtime, value("a", "two"))
        until(lambda: runtime.call("b") == "two")


def test_code_is_compiled_after_rendering() -> None:
    snippet = {
        "kind": "snippet",
        "id": "s",
        "name": "s",
        "language": "{{ .L }}",
        "code": "self.{{ .F }}",
        "env": {"L": {"data": "{{ .L }}"}, "F": {"data": "{{ .F }}"}},
    }
    with running(snippet, environment={"L": "cel", "F": "total"}) as runtime:
        assert runtime.call("s", {"total": 3}) == 3


def test_stored_specs_come_back_unrendered() -> None:
    document = spec(env={"A": {"name": "a"}}, number="{{ .A }}", namespace="default")
    with running(document, values=[value("a", 5)]) as runtime:
        assert [record.document for record in runtime.operations.read()] == [document]
        assert of(runtime).number == 5


# -- checking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "path", "why"),
    [
        ({"text": "{{ .B }}"}, "$.text", "env has no 'B'; it has A"),
        ({"number": "{{ .A }}", "nmber": 1}, "$.nmber", "unknown field"),
        ({"number": "{{ .A }}", "flag": "maybe"}, "$.flag", "expected `bool`"),
        ({"text": "{{ .A }}", "links": {"lost": {"name": "x"}}}, "$.links.lost", "no out port"),
        ({"parts": [{"port": "{{ .A }}"}]}, "$.parts[0].path", "missing"),
        ({"env": {"A": {"nme": "a"}}}, "$.env.A.nme", "unknown field"),
        ({"env": {"A": "text"}}, "$.env.A", "expected a map"),
    ],
)
def test_what_is_wrong_whatever_a_value_is_is_found_before_it_is_stored(
    fields: dict[str, Any], path: str, why: str
) -> None:
    with pytest.raises(SpecInvalid) as raised:
        scheme().validate(spec(**{"env": {"A": {"name": "a"}}, **fields}), "default")
    [fault] = raised.value.faults
    assert fault.path == path
    assert why in fault.reason


@pytest.mark.parametrize(
    "document",
    [
        spec(number="{{ .A }}", env={"A": {}}),
        spec(part="{{ .A }}", parts="{{ .A }}", env={"A": {}}),
        {"kind": "router", "env": {"A": {}}, "routes": "{{ .A }}"},
        {"kind": "snippet", "env": {"A": {}}, "language": "{{ .A }}", "code": "?"},
        {"kind": "snippet", "env": {"A": {}}, "language": "cel", "code": "{{ .A }}"},
        {"kind": "listener", "env": {"A": {}}, "protocol": "http", "port": "{{ .A }}"},
        {"kind": "http", "env": {"A": {}}, "url": "{{ .A }}"},
        {"kind": "block", "specs": [{"kind": "sleep", "interval": "{{ .A }}"}], "env": {"A": {}}},
        {"kind": "switch", "env": {"A": {}}, "match": [{"when": "{{ .A }}", "port": "out[0]"}]},
    ],
)
def test_what_depends_on_a_value_is_not_held_against_a_spec(document: dict[str, Any]) -> None:
    assert scheme().validate(document, "shop")["namespace"] == "shop"


def test_a_spec_that_cannot_be_decoded_yet_has_an_outline() -> None:
    document = spec(number="{{ .A }}", env={"A": {}}, links={"out": {"name": "x"}})
    with pytest.raises(Deferred):
        scheme().decode(document, "default")
    outline = scheme().outline(document, "default")
    assert (outline.name, outline.kind, outline.links) == ("it", "all", {"out": [Link(name="x")]})


# -- faults at load --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "text", "why"),
    [
        ({"name": "db"}, "{{ .K }}", "$.env.K: no value 'db' in namespace 'default'"),
        ({"id": "db"}, "{{ .K }}", "$.env.K: no value 'db' in namespace 'default'"),
        (
            {"name": "there", "data": "{{ .lost }}"},
            "{{ .K }}",
            "$.env.K: {{ .lost }} stands for nothing: the value 'there' has no 'lost'; it has here",
        ),
        (
            {"name": "there"},
            "{{ .K.lost }}",
            "$.text: {{ .K.lost }} stands for nothing: 'K' of env has no 'lost'; it has here",
        ),
        ({"data": "{{ .LOST }}"}, "{{ .K }}", "the environment has no 'LOST'; it has REGION; add"),
        ({"name": "elsewhere"}, "", "$.env.K: no value 'elsewhere' in namespace 'default'"),
    ],
)
def test_what_is_missing_is_a_fault_of_the_load(env: dict[str, Any], text: str, why: str) -> None:
    values = [value("there", {"here": "hunter2"}), value("elsewhere", 1, namespace="other")]
    with running(
        spec(env={"K": env}, text=text), values=values, environment={"REGION": "x"}
    ) as runtime:
        assert reason(runtime).startswith(why) or why in reason(runtime)
        assert "hunter2" not in reason(runtime)
        with pytest.raises(Inactive):
            runtime.call("it")


def test_a_value_of_the_wrong_type_is_a_fault_that_does_not_show_it() -> None:
    values = [value("a", "hunter2"), value("b", {"c": 1})]
    env = {"A": {"name": "a"}, "B": {"name": "b"}}
    with running(
        spec("one", env=env, number="{{ .A }}"),
        spec("two", env=env, mode="{{ .A }}"),
        spec("three", env=env, text="{{ .B }}"),
        values=values,
    ) as runtime:
        assert "$.number: expected `int`" in reason(runtime, "one")
        assert "$.mode: invalid enum value '***'" in reason(runtime, "two")
        assert "$.text: expected `str`, got `object`" in reason(runtime, "three")
        assert "hunter2" not in str(runtime.status())


def test_a_bad_spec_stops_no_other() -> None:
    with running(spec("bad", env={"A": {"name": "a"}}, text="{{ .A }}"), spec("good")) as runtime:
        assert reason(runtime, "bad")
        assert of(runtime, "good")


# -- properties ------------------------------------------------------------------------------------

data = st.recursive(
    st.sampled_from([None, True, 7, -1, 2.5, "", "text", "250ms", "slow", "out[0]", "/x", "cel"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["path", "port", "method", "when", "x"]), inner)
    ),
    max_leaves=4,
)
templates = st.sampled_from(["{{ .A }}", "{{ .B }}", "a{{ .A }}", "{{ .A.path }}", "{{ .C }}"])
written = st.recursive(
    templates | st.sampled_from(["text", 5, True, "GET", "/x", "out[0]", "self", None]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["path", "port", "method", "when", "x"]), inner)
    ),
    max_leaves=4,
)
FIELDS = {
    "all": ["text", "number", "flag", "wait", "mode", "many", "several", "map", "part", "parts",
            "anything", "either"],
    "router": ["routes"],
    "switch": ["match", "language"],
    "if": ["when", "language", "timeout"],
    "snippet": ["code", "language", "timeout"],
    "sleep": ["interval"],
    "http": ["url", "timeout"],
    "listener": ["port", "host", "proxies", "tls", "stream"],
    "retry": ["threshold", "backoff"],
}  # fmt: skip


@st.composite
def documents(draw: Any) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(FIELDS)))
    fields = draw(st.dictionaries(st.sampled_from(FIELDS[kind]), written, max_size=3))
    env = draw(st.sampled_from([{"A": {"name": "a"}, "B": {"data": "{{ .E }}"}}, {"A": {}}, None]))
    document = {"kind": kind, **fields, **({} if env is None else {"env": env})}
    if draw(st.booleans()) and kind != "listener":
        inner = draw(st.sampled_from([{}, {"env": {"A": {"name": "b"}, "C": {"name": "a"}}}]))
        outer = draw(st.sampled_from([{}, {"env": {"A": {"name": "a"}, "B": {"name": "b"}}}]))
        document = {"kind": "block", "specs": [{**document, **inner}], **outer}
    return document


@settings(max_examples=400)
@given(documents(), data, data, st.sampled_from(["e-text", "5"]))
def test_what_can_be_loaded_with_some_value_is_never_refused_before(
    document: dict[str, Any], a: Any, b: Any, environment: str
) -> None:
    made = scheme()
    known = Values("default", {"E": environment}, Keys([]))
    known.change({each["id"]: (each, 1) for each in (value("a", a), value("b", b))})
    try:
        made.decode(document, "default", "$", known.bindings())
    except SpecInvalid:
        loads = False
    else:
        loads = True
    stored, refusal = None, ""
    try:
        stored = made.validate(document, "default")
    except SpecInvalid as error:
        refusal = str(error)
    assert not (loads and refusal)
    # What is stored is what was written: nothing of it is rendered.
    assert refusal or "several" in document or stored == {**document, "namespace": "default"}
