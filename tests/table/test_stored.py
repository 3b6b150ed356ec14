"""Why stored specs would be inactive, and that a runtime says the same."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import read
from greenflow.table.stored import inactive

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
