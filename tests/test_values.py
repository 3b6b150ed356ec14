"""Values and `env`: what specs are rendered with, and what a changed value reloads (BEHAVIOUR 16,
6.9, 6.10)."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow import secret
from greenflow.config import Settings, ValuesSettings
from greenflow.errors import Inactive, SpecInvalid
from greenflow.node import Context, Node, node
from greenflow.runtime import Runtime
from greenflow.scheme import Scheme
from greenflow.seal import Keys
from greenflow.spec import Duration, Link, Spec
from greenflow.store.base import Store, open_store
from greenflow.template import Deferred
from greenflow.values import ENCRYPTED, Validator, Values, sealed
from tests.store.conftest import PLACES
from tests.waiting import until

KEY, OTHER = (b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    port: int = 0


class AllSpec(Spec):
    """A field of each sort that kinds have."""

    text: str = ""
    number: Annotated[int, msgspec.Meta(ge=0)] = 0
    flag: bool = False
    wait: Duration = 0.0
    mode: Literal["fast", "slow"] = "fast"
    many: Annotated[list[str], msgspec.Meta(extra={"alias": "several"})] = []
    map: dict[str, str] = {}
    part: Part | None = None
    parts: list[Part] = []
    anything: Any = None
    either: str | list[str] = ""
    specs: list[Spec] = []


@node("all", outputs=("out",), reads_only=True)
class All(Node[AllSpec]):
    """Answers what its fields became."""

    compiled: list[str] = []

    def __init__(self, spec: AllSpec, services: Any) -> None:
        self.compiled.append(spec.name or spec.id)
        super().__init__(spec, services)

    def handle(self, ctx: Context, payload: Any) -> Any:
        if payload == "fail":
            raise ValueError(f"cannot use {self.spec.text}")
        return self.spec.text


@pytest.fixture(autouse=True)
def nothing_compiled_and_nothing_held() -> Iterator[None]:
    All.compiled.clear()
    yield
    assert secret.held() == 0


def scheme() -> Scheme:
    made = Scheme.installed()
    made.register(All)
    return made


def spec(name: str = "it", **fields: Any) -> dict[str, Any]:
    return {"kind": "all", "id": name, "name": name, **fields}


def value(name: str, data: Any, **fields: Any) -> dict[str, Any]:
    return {"id": f"id-{name}", "namespace": "default", "name": name, "data": data, **fields}


@contextmanager
def running(
    *specs: Any, values: Any = (), store: Any = None, keys: tuple[str, ...] = (), **settings: Any
) -> Iterator[Runtime]:
    with Runtime(
        store or "memory://",
        specs=list(specs),
        values=list(values),
        settings=Settings(grace=1.0, values=ValuesSettings(key=list(keys)), **settings),
        scheme=scheme(),
    ) as runtime:
        yield runtime


def of(runtime: Runtime, name: str = "it") -> Any:
    """The rendered spec of a node that must be active."""
    symbol = runtime.table.find(name)
    assert symbol.active, symbol.reason
    assert symbol.version.node is not None
    return symbol.version.node.spec


def apply(runtime: Runtime, *values: dict[str, Any]) -> None:
    runtime.apply_values(list(values))


def lose(runtime: Runtime, name: str) -> None:
    """As another program would delete it."""
    assert runtime._opened is not None
    runtime._opened.values.delete({"name": name})


def reason(runtime: Runtime, name: str = "it") -> str:
    return runtime.table.find(name).reason


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


def test_a_value_has_its_own_check() -> None:
    validate = Validator().validate
    assert validate({"name": "a", "data": 1}, "shop") == {
        "name": "a", "data": 1, "namespace": "shop"
    }  # fmt: skip
    for document, path in [
        ({"name": "a", "kind": "nop"}, "$.kind"),
        ({"name": 5}, "$.name"),
        ({"name": "a", "data": "***"}, "$.data"),
        ({"name": "a", "encrypted": "x"}, "$.encrypted"),
    ]:
        with pytest.raises(SpecInvalid) as raised:
            validate(document, "shop")
        assert [fault.path for fault in raised.value.faults] == [path]


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


# -- following -------------------------------------------------------------------------------------


@pytest.fixture(params=PLACES)
def store(request: pytest.FixtureRequest, tmp_path: Path, hurried: None) -> Iterator[Store]:
    with open_store(PLACES[request.param](tmp_path)) as store:
        yield store


def test_a_changed_value_reloads_the_specs_bound_to_it_and_only_those(store: Store) -> None:
    with running(
        spec("a", env={"K": {"name": "a"}}, text="{{ .K }}"),
        spec("by-id", env={"K": {"id": "id-a"}}, text="{{ .K }}"),
        spec("b", env={"K": {"name": "b"}}, text="{{ .K }}"),
        spec("none"),
        values=[value("a", "one"), value("b", "one")],
        store=store,
    ) as runtime:
        before = {name: runtime.table.find(name).version.node for name in ("b", "none")}
        All.compiled.clear()
        store.values.apply([value("a", "two")])
        until(lambda: of(runtime, "a").text == of(runtime, "by-id").text == "two")
        assert sorted(All.compiled) == ["a", "by-id"]
        assert before == {name: runtime.table.find(name).version.node for name in before}
        assert runtime.call("a") == "two"


def test_a_missing_value_that_appears_is_taken_at_once(store: Store) -> None:
    document = spec(env={"K": {"name": "late"}}, text="{{ .K }}")
    with running(document, store=store) as runtime:
        assert "no value 'late'" in reason(runtime)
        store.values.apply([value("late", "here")])
        until(lambda: runtime.table.find("it").active)
        assert runtime.call("it") == "here"


def test_a_value_that_goes_leaves_the_old_version_running(store: Store) -> None:
    document = spec(env={"K": {"name": "a"}}, text="{{ .K }}")
    with running(document, values=[value("a", "one")], store=store) as runtime:
        store.values.delete({"name": "a"})
        until(lambda: reason(runtime))
        assert "does not run: $.env.K: no value 'a'" in reason(runtime)
        assert runtime.call("it") == "one"
        store.values.apply([value("a", "one")])
        until(lambda: not reason(runtime))
        assert runtime.call("it") == "one"
        assert All.compiled == ["it"]


def test_a_value_that_does_not_fit_leaves_the_old_version_running() -> None:
    with running(
        spec(env={"K": {"name": "a"}}, number="{{ .K }}", text="{{ .K }}"), values=[value("a", "5")]
    ) as runtime:
        for data in ("hunter2", "hunter3"):
            apply(runtime, value("a", data))
            until(lambda: "expected `int`" in reason(runtime))
        assert runtime.call("it") == "5"
        apply(runtime, value("a", "6"))
        until(lambda: runtime.call("it") == "6")
        assert not reason(runtime)


def test_what_is_rendered_as_before_keeps_its_node() -> None:
    with running(
        spec(env={"K": {"name": "a", "data": "{{ .used }}"}}, text="{{ .K }}"),
        spec("witness", env={"K": {"name": "a", "data": "{{ .unused }}"}}, text="{{ .K }}"),
        values=[value("a", {"used": "one", "unused": "one"})],
    ) as runtime:
        node = runtime.table.find("it").version.node
        apply(runtime, value("a", {"used": "one", "unused": "two"}))
        until(lambda: of(runtime, "witness").text == "two")
        assert runtime.table.find("it").version.node is node
        assert All.compiled == ["it", "witness", "witness"]


def test_a_value_may_be_renamed_and_its_name_taken_by_another() -> None:
    with running(
        spec(env={"K": {"name": "a"}}, text="{{ .K }}"),
        spec("by-id", env={"K": {"id": "id-a"}}, text="{{ .K }}"),
        values=[value("a", "first"), value("b", "second")],
    ) as runtime:
        apply(runtime, {**value("a", "first"), "name": "b"}, {**value("b", "second"), "name": "a"})
        until(lambda: of(runtime).text == "second")
        assert of(runtime, "by-id").text == "first"


def test_a_changed_value_reaches_what_is_refused_for_another_reason() -> None:
    document = spec(env={"K": {"name": "a"}}, text="{{ .K }}")
    with running(document, values=[value("a", "one")]) as runtime:
        runtime.operations.apply({**document, "links": {"out": {"name": "lost"}}})
        until(lambda: "no node 'lost'" in reason(runtime))
        apply(runtime, value("a", "two"))
        until(lambda: All.compiled.count("it") == 3)
        assert runtime.call("it") == "one"
        runtime.operations.apply(spec("lost", id="lost"))
        until(lambda: not reason(runtime))
        assert of(runtime).text == "two"


def test_specs_and_values_that_change_together_meet() -> None:
    with running(spec(text="old")) as runtime:
        for number in range(20):
            apply(runtime, value(f"v{number}", f"text {number}"))
            runtime.operations.apply(spec(env={"K": {"name": f"v{number}"}}, text="{{ .K }}"))
        until(lambda: of(runtime).text == "text 19")
        assert not reason(runtime)


names = st.sampled_from("ab")
changes = st.lists(
    st.one_of(
        st.tuples(st.just("value"), names, st.sampled_from(["first-text", "second-text", "3"])),
        st.tuples(st.just("lose"), names, st.none()),
        st.tuples(st.just("spec"), names, st.sampled_from(["text", "number"])),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(changes)
def test_whatever_changes_in_whatever_order_what_runs_is_rendered_with_what_is_there(
    steps: list[tuple[str, str, Any]],
) -> None:
    known: dict[str, str] = {}
    bound, field = "a", "text"
    with running(spec(env={"K": {"name": "a"}}, text="{{ .K }}")) as runtime:
        for what, name, detail in steps:
            if what == "value":
                known[name] = detail
                apply(runtime, value(name, detail))
            elif what == "lose":
                known.pop(name, None)
                lose(runtime, name)
            else:
                bound, field = name, detail
                document = spec(env={"K": {"name": name}}, **{detail: "{{ .K }}"})
                runtime.operations.apply(document)
        fits = bound in known and (field == "text" or known[bound].isdecimal())
        # The feeds of specs and values are followed side by side: this is the last of both.
        apply(runtime, value("last", "seen"))
        runtime.operations.apply(spec("last", env={"K": {"name": "last"}}, text="{{ .K }}"))
        until(lambda: "last" in runtime.table.symbols and runtime.table.find("last").active)
        if fits:
            wanted = known[bound] if field == "text" else int(known[bound])
            until(lambda: not reason(runtime) and getattr(of(runtime), field) == wanted)
        else:
            until(lambda: reason(runtime))
    assert secret.held() == 0


# -- encryption ------------------------------------------------------------------------------------


BOUND = spec(env={"K": {"name": "a", "data": "{{ .password }}"}}, text="{{ .K }}")
SECRET = value("a", {"password": "hunter2"}, annotations={"owner": "shop"})


def test_data_is_encrypted_at_rest_and_all_else_stays_readable(store: Store) -> None:
    with running(BOUND, values=[SECRET], store=store, keys=(KEY,)) as runtime:
        assert runtime.call("it") == "hunter2"
        [record] = store.values.find(None)
        text = record.document.pop(ENCRYPTED)
        assert record.document == {key: item for key, item in SECRET.items() if key != "data"}
        assert Keys([KEY]).open(text) == {"password": "hunter2"}


def test_what_is_applied_again_changes_nothing_unless_the_first_key_is_another(
    store: Store,
) -> None:
    revisions = set()
    for keys in ((KEY,), (KEY,), (KEY, OTHER)):
        with running(BOUND, values=[SECRET], store=store, keys=keys) as runtime:
            assert runtime.call("it") == "hunter2"
            revisions |= set(store.values.revisions(None).values())
    assert len(revisions) == 1
    with running(BOUND, values=[SECRET], store=store, keys=(OTHER, KEY)) as runtime:
        assert runtime.call("it") == "hunter2"
    with running(BOUND, store=store, keys=(OTHER,)) as runtime:
        assert runtime.call("it") == "hunter2"


@pytest.mark.parametrize(
    ("keys", "why"),
    [((), "the setting values.key is not set"), ((OTHER,), "a key that is not among those")],
)
def test_a_key_that_is_missing_or_wrong_is_the_fault_of_the_specs_bound_to_it(
    keys: tuple[str, ...], why: str
) -> None:
    hidden = sealed([SECRET], [], Keys([KEY]))
    with open_store("memory://") as store:
        store.values.apply([*hidden, value("plain", {"password": "open"})])
        plain = spec("plain", env={"K": {"name": "plain"}}, text="{{ .K.password }}")
        with running(BOUND, plain, store=store, keys=keys) as runtime:
            assert "$.env.K: the value 'a': it is encrypted" in reason(runtime)
            assert why in reason(runtime)
            assert runtime.call("plain") == "open"
            store.values.apply([SECRET])
            until(lambda: runtime.table.find("it").active)


def test_plain_and_encrypted_values_live_side_by_side() -> None:
    hidden = sealed([SECRET], [], Keys([KEY]))
    with open_store("memory://") as store:
        store.values.apply([*hidden, value("plain", "open")])
        env = {"K": {"name": "a"}, "P": {"name": "plain"}}
        document = spec(env=env, text="{{ .K.password }} {{ .P }}")
        with running(document, store=store, keys=(KEY,)) as runtime:
            assert runtime.call("it") == "hunter2 open"


@pytest.mark.parametrize("text", [5, None, {"a": 1}, "", "gAAAAAB"])
def test_what_a_tool_damaged_is_the_fault_of_the_specs_bound_to_it(text: Any) -> None:
    with open_store("memory://") as store:
        store.values.apply([{**value("a", None), ENCRYPTED: text}])
        with running(BOUND, store=store, keys=(KEY,)) as runtime:
            assert "$.env.K" in reason(runtime)


# -- what is known of secrets ----------------------------------------------------------------------


def test_an_error_of_a_rendered_node_does_not_show_what_was_rendered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    env = {"A": {"name": "a"}}
    block = {"kind": "block", "name": "b", "env": env, "specs": [spec("in", text="{{ .A }}")]}
    with (
        caplog.at_level(logging.DEBUG),
        running(
            spec(env=env, text="{{ .A }}"), {**block, "id": "b"}, values=[value("a", "hunter2")]
        ) as runtime,
    ):
        for name in ("it", "b"):
            with pytest.raises(ValueError, match=r"^cannot use \*\*\*$"):
                runtime.call(name, "fail")
        assert "hunter2" not in repr(of(runtime))
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("env", "known"),
    [
        ({"name": "a"}, True),
        ({"name": "a", "data": "{{ .password }}"}, True),
        ({"data": "{{ .REGION }}"}, True),
        ({"data": "hunter2"}, False),
        ({"name": "a", "data": "hunter2"}, False),
    ],
)
def test_what_is_written_in_the_spec_itself_is_no_secret(env: dict[str, Any], known: bool) -> None:
    text = "{{ .K }}" if "data" in env else "{{ .K.password }}"
    values = [value("a", {"password": "hunter2"})]
    with running(
        spec(env={"K": env}, text=text), values=values, environment={"REGION": "hunter2"}
    ) as runtime:
        assert of(runtime).text == "hunter2"
        assert secret.conceal("hunter2") == ("***" if known else "hunter2")


def held_after(change: Callable[[Runtime], None]) -> int:
    document = spec(env={"K": {"name": "a"}}, number="{{ .K.n }}", text="{{ .K.text }}")
    with running(document, values=[value("a", {"n": 1, "text": "first-secret"})]) as runtime:
        assert secret.held() == 1
        change(runtime)
        return secret.held()


def test_a_secret_is_forgotten_with_the_version_that_had_it() -> None:
    def replaced(runtime: Runtime) -> None:
        for number in range(5):
            text = f"secret-{number}"
            apply(runtime, value("a", {"n": 1, "text": text}))
            until(lambda text=text: of(runtime).text == text)  # type: ignore[misc]
        assert secret.conceal("first-secret secret-4") == "first-secret ***"

    def refused(runtime: Runtime) -> None:
        for number in range(5):
            apply(runtime, value("a", {"n": f"no-number-{number}", "text": "first-secret"}))
            until(lambda: reason(runtime))
            runtime.table.change({}, retry=True)
        assert secret.held() == 2
        apply(runtime, value("a", {"n": 1, "text": "first-secret"}))
        until(lambda: not reason(runtime))

    def removed(runtime: Runtime) -> None:
        runtime.operations.delete()
        until(lambda: not runtime.table.symbols and not secret.held())

    assert held_after(replaced) == 1
    assert held_after(refused) == 1
    assert held_after(removed) == 0


def test_settings_do_not_show_their_secrets() -> None:
    chosen = Settings(
        database="mongodb://user:hunter2@host/db",
        values=ValuesSettings(key=[KEY]),
        environment={"TOKEN": "hunter3"},
        grace=5.0,
    )
    shown = repr(chosen)
    assert shown == (
        "Settings(database='mongodb://***@host/db', grace=5.0, values.key='***',"
        " environment={'TOKEN': '***'})"
    )


def test_the_password_of_the_store_is_known_while_a_runtime_runs() -> None:
    chosen = Settings(database="mongodb://user:p%40ss-word@host/db")
    with Runtime("memory://", settings=chosen):
        assert secret.conceal("p%40ss-word p@ss-word") == "*** ***"
    assert secret.held() == 0


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
