"""Why stored specs would be inactive, and that a runtime says the same."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.config import Settings
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import read
from greenflow.store.memory import MemoryStore
from greenflow.table.stored import inactive, judge
from tests.cli.test_mistakes import MISTAKES, STORED
from tests.ports import free_port

CASES = {
    "all is there": "- {kind: call, id: a, links: {out: [{id: b}]}}\n- {kind: nop, id: b}",
    "a cycle": (
        "- {kind: call, id: a, links: {out: [{id: b}]}}\n"
        "- {kind: call, id: b, links: {out: [{id: a}]}}"
    ),
    "missing": "- {kind: call, id: a, name: a, links: {error: [{name: gone}]}}",
    "missing by id": "- {kind: call, id: a, links: {out: [{id: gone}]}}",
    "no such port": (
        "- {kind: call, id: a, links: {out: [{id: b, port: io}]}}\n- {kind: nop, id: b}"
    ),
    "numbered port": (
        "- {kind: call, id: a, links: {out: [{id: b, port: 'in[3]'}]}}\n- {kind: merge, id: b}"
    ),
    "inactive downstream": (
        "- {kind: call, id: a, links: {out: [{id: b}]}}\n"
        "- {kind: call, id: b, name: b, links: {out: [{id: c}], error: [{id: d}]}}\n"
        "- {kind: call, id: c, links: {out: [{name: gone}]}}\n"
        "- {kind: nop, id: d}"
    ),
    "a cycle with a fault": (
        "- {kind: call, id: a, links: {out: [{id: b}], error: [{id: gone}]}}\n"
        "- {kind: call, id: b, links: {out: [{id: a}]}}"
    ),
}


def documents(text: str) -> list[dict[str, Any]]:
    return [{"namespace": "default", **document.data} for document in read(text, "case.yaml")]


@pytest.mark.parametrize("case", CASES)
def test_it_says_what_a_runtime_says(case: str) -> None:
    specs = documents(CASES[case])
    said = inactive(specs, Scheme.installed(), "default")
    with Runtime("memory://", specs=specs) as runtime:
        status = {symbol["id"]: symbol for symbol in runtime.status()}
    assert said.keys() == {id for id, symbol in status.items() if not symbol["active"]}
    if case != "a cycle with a fault":
        assert said == {id: status[id]["reason"] for id in said}


def test_a_spec_that_its_kind_refuses_has_its_faults() -> None:
    said = inactive(documents("{kind: snippet, id: a, kode: x}"), Scheme.installed(), "default")
    assert "$.kode" in said["a"]
    said = inactive(documents("{kind: gone, id: a}"), Scheme.installed(), "default")
    assert "unknown kind 'gone'" in said["a"]


def test_a_spec_that_is_bound_to_a_value_needs_it() -> None:
    specs = documents(
        "- {kind: snippet, id: a, env: {K: {name: there}, E: {}}, code: '{{ .K }} {{ .E.X }}'}\n"
        "- {kind: sleep, id: b, env: {K: {id: there-id}}, interval: '{{ .K }}'}\n"
        "- {kind: sleep, id: c, env: {K: {name: gone}}, interval: '{{ .K }}'}\n"
        "- {kind: snippet, id: d, env: {K: {name: there}}, code: '{{ .OTHER }}'}\n"
        "- {kind: call, id: e, links: {out: [{id: b}, {id: c}]}}\n"
    )
    values = [{"id": "there-id", "namespace": "default", "name": "there", "data": 1}]
    said = inactive(specs, Scheme.installed(), "default", values)
    with Runtime(
        "memory://", specs=[spec for spec in specs if spec["id"] != "d"], values=values
    ) as runtime:
        status = {symbol["id"]: symbol["reason"] for symbol in runtime.status()}
    assert said.keys() == {"c", "d", "e"}
    assert said["c"] == status["c"] == "$.env.K: no value 'gone' in namespace 'default'"
    assert said["e"] == status["e"]
    assert "env has no 'OTHER'; it has K" in said["d"]


#: Mistakes of the table that the runtime finds when it loads, and those that it cannot see here:
#: a listener's address, which `listen=False` does not take.
APPLIED = {
    name: mistake.text
    for name, mistake in MISTAKES.items()
    if mistake.code == STORED and "twice" not in name and "address" not in name
}


@pytest.mark.parametrize("name", APPLIED)
def test_of_the_typical_mistakes_a_runtime_says_the_same(name: str) -> None:
    texts = read(APPLIED[name], "a.yaml")
    specs = [
        {"id": document.data.get("name", "x"), "namespace": "default", **document.data}
        for document in texts
    ]
    specs = [spec for spec in specs if spec["namespace"] == "default"]
    values = [{"id": "v", "namespace": "default", "name": "db", "data": {"password": "p"}}]
    said = inactive(
        sorted(specs, key=lambda s: str(s["id"])), Scheme.installed(), "default", values
    )
    store = MemoryStore("memory://")
    store.specs.apply(specs)  # unchecked, as a store has them
    store.values.apply(values)
    with Runtime(store, listen=False) as runtime:
        status = {symbol["id"]: symbol for symbol in runtime.status()}
    if name == "an opcode":  # another program may offer it
        assert (said, status["a"]["active"]) == ({}, False)
        return
    assert said.keys() == {id for id, symbol in status.items() if not symbol["active"]}


@pytest.mark.parametrize("hosts", [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")])
def test_of_two_listeners_of_one_address_the_first_one_runs(hosts: tuple[str, str]) -> None:
    port = free_port()
    first, second = hosts
    specs = [
        {"kind": "listener", "namespace": "default", "port": port, **more}
        for more in (
            {"id": "a", "host": first, "links": {"out": [{"id": "gone"}]}},  # never opens
            {"id": "b", "host": first},
            {"id": "c", "host": second},
            {"id": "d", "host": "::1"},
        )
    ]
    said = inactive(specs, Scheme.installed(), "default")
    assert said.keys() == {"a", "c"}
    assert "is taken by node 'b'" in said["c"]
    with Runtime("memory://", specs=specs[:3]) as runtime:
        status = {symbol["id"]: symbol["active"] for symbol in runtime.status()}
    assert status == {"a": False, "b": True, "c": False}


def test_what_is_encrypted_or_of_the_environment_is_not_known() -> None:
    specs = documents(
        "- {kind: sleep, id: a, env: {K: {name: sealed}}, interval: '{{ .K.time }}'}\n"
        "- {kind: sleep, id: b, env: {K: {data: '{{ .NAP }}'}}, interval: '{{ .K }}'}\n"
        "- {kind: sleep, id: c, env: {K: {data: '{{ .NIGHT }}'}}, interval: '{{ .K }}'}\n"
    )
    values = [{"id": "v", "namespace": "default", "name": "sealed", "encrypted": "x"}]
    settings = Settings(environment={"NIGHT": "all-night-long"})
    said = inactive(specs, Scheme.installed(), "default", values, settings)
    assert said.keys() == {"c"}
    assert "all-night-long" not in said["c"]


def test_a_part_of_many_is_looked_at() -> None:
    specs = [
        {
            "kind": "call",
            "id": f"n{i}",
            "namespace": "default",
            "links": {"out": [{"id": f"n{i + 1}"}]},
        }
        for i in range(50)
    ]
    others = [{"kind": "gone", "id": f"x{i}", "namespace": "default"} for i in range(50)]
    judgement = judge(specs + others, Scheme.installed(), "default", (), Settings(), ["n48"])
    assert len(judgement.faults) == 50
    assert judgement.faults["n49"][0].path == "$.links.out[0]"


def test_what_specs_are_made_of_is_looked_at_too() -> None:
    """BEHAVIOUR 13.5, 14.7: as in a runtime, also where it goes in a circle."""
    common = {"namespace": "default"}
    specs = [
        {"id": "a", "name": "a", "kind": "template", "specs": [{"kind": "use", "template": "b"}]},
        {"id": "b", "name": "b", "kind": "template", "specs": [{"kind": "use", "template": "a"}]},
        {"id": "c", "name": "c", "kind": "use", "template": "a"},
        {"id": "d", "name": "d", "kind": "use", "template": "none"},
        {"id": "e", "name": "e", "kind": "use", "template": "sound", "with": {"x": 1}},
        {"id": "f", "name": "f", "kind": "use", "template": "sound", "links": {"out": {"id": "e"}}},
        {
            "id": "sound",
            "name": "sound",
            "kind": "template",
            "specs": [{"kind": "nop"}],
            "parameters": {"x": {"type": "string", "default": "y"}},
        },
    ]
    said = inactive([{**common, **spec} for spec in specs], Scheme.installed(), "default")
    assert "is inside of itself" in said["a"]
    assert "is of no use" in said["c"]
    assert said["d"] == "$.template: no template 'none' in namespace 'default'"
    assert said["e"] == "$.with.x: expected `str`, got `int` (template 'sound', as stored)"
    assert "kind 'use' has no out port 'out'" in said["f"]
    assert "sound" not in said
