"""Values: what a changed one reloads, how their data is kept, and that it is not shown (BEHAVIOUR
16, 6.9, 6.10)."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.config import Settings, ValuesSettings
from greenflow.engine.services import Services
from greenflow.errors import SpecInvalid
from greenflow.log import secret
from greenflow.runtime import Runtime
from greenflow.store.base import Store, open_store
from greenflow.table.table import Table
from greenflow.values.seal import Keys
from greenflow.values.values import ENCRYPTED, ValueValidator, sealed
from tests.store.conftest import PLACES
from tests.valued import All, apply, lose, of, reason, running, scheme, spec, value
from tests.waiting import until

KEY, OTHER = (b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    """No secret is known any more when nothing runs."""
    All.compiled.clear()
    yield
    assert secret.held() == 0


def test_a_value_has_its_own_check() -> None:
    validate = ValueValidator().validate
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


def test_what_failed_to_load_for_a_value_of_what_it_leads_to_is_tried_again_at_once() -> None:
    table = Table(Services("default", Settings(grace=1.0), scheme()))
    values = table.services.values
    values.changed = lambda keys: table.change({}, values=keys)
    specs = [
        {"kind": "nop", "id": "a", "links": {"init": [{"id": "check"}]}},
        {
            "kind": "if",
            "id": "check",
            "env": {"K": {"name": "k"}},
            "when": "'{{ .K }}' == 'good'",
            "links": {"out[1]": [{"id": "no"}]},
        },
        {"kind": "throw", "id": "no"},
    ]
    values.change({"k": (value("k", "bad"), 1)})
    table.change({each["id"]: (each, 1) for each in specs})
    assert table.find("a").reason.startswith("init: ")
    values.change({"k": (value("k", "good"), 2)})
    assert table.find("a").active
    table.close()


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


def test_values_are_applied_from_any_thread() -> None:
    document = spec(env={"K": {"name": "a"}}, text="{{ .K }}")
    chosen = Settings(grace=1.0)
    with Runtime(
        "memory://", specs=[document], settings=chosen, scheme=scheme(), own_thread=True
    ) as runtime:
        [record] = runtime.apply_values({"name": "a", "data": "text"})
        assert record.document["namespace"] == "default"
        until(lambda: not runtime.status()[0]["reason"])
        assert runtime.call("it") == "text"
        with pytest.raises(SpecInvalid):
            runtime.apply_values({"name": "a", "kind": "nop"})


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
