"""if, switch (BEHAVIOUR 13, 13.1, 13.2)."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.errors import SpecInvalid
from greenflow.nodes.condition import is_true
from greenflow.scheme.registry import Scheme
from tests.flows import flow


@pytest.mark.parametrize("value", [None, False, 0, 0.0, -0.0, ""])
def test_false_are_null_false_zero_and_the_empty_string(value: Any) -> None:
    assert not is_true(value)


@pytest.mark.parametrize("value", [True, 1, -1, 0.5, "0", "false", [], {}, b"", ValueError()])
def test_everything_else_is_true(value: Any) -> None:
    assert is_true(value)


IF = """
- {kind: if, name: a, when: self > 3, links: {out: {name: yes}, "out[1]": {name: no}ERROR}}
- {kind: snippet, name: yes, code: "yes"}
- {kind: snippet, name: no, code: "no"}
- {kind: snippet, name: e, code: handled}
"""


def test_if_sends_its_input_one_way_or_the_other() -> None:
    with flow(IF.replace("ERROR", "")) as running:
        assert running.call("a", 4) == "yes"
        assert running.call("a", 3) == "no"


def test_an_error_of_a_condition_goes_to_error() -> None:
    with flow(IF.replace("ERROR", ", error: {name: e}")) as running:
        assert running.call("a", {"no": "number"}) == "handled"


def test_an_unlinked_way_echoes_the_input() -> None:
    with flow("{kind: if, name: a, when: self.ok}") as running:
        assert running.call("a", {"ok": False}) == {"ok": False}


SWITCH = """
- kind: switch
  name: a
  MATCH:
    - {when: self == 1, port: "out[0]"}
    - {when: self.deep == 2, port: "out[1]"}
    - {when: self == 1, port: "out[1]"}
  links: {"out[0]": {name: b}, "out[1]": {name: c}, error: {name: e}}
- {kind: probe, name: b, answer: from b}
- {kind: probe, name: c, answer: from c}
- {kind: probe, name: e, answer: handled}
"""


@pytest.mark.parametrize("match", ["match", "matches"])
def test_switch_sends_its_input_to_the_first_true_condition(match: str) -> None:
    with flow(SWITCH.replace("MATCH", match)) as running:
        assert running.call("a", 1) == "from b"
        assert running.call("a", {"deep": 2}) == "from c"
        assert running.call("a", {"deep": 3}) is None


def test_after_an_error_later_conditions_are_not_tried() -> None:
    with flow(SWITCH.replace("MATCH", "match")) as running:
        assert running.call("a", "no map") == "handled"
        assert running.probes.of("c") == []


def test_conditions_may_be_in_another_language() -> None:
    with flow("""
- {kind: if, name: a, language: json, when: "[]", links: {out: {name: yes}}}
- {kind: snippet, name: yes, code: "yes"}
""") as running:
        assert running.call("a", 1) == "yes"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"kind": "if"}, "$.when"),
        ({"kind": "if", "when": "self ="}, "$.when"),
        ({"kind": "if", "when": "1", "language": "klingon"}, "$.language"),
        ({"kind": "switch", "match": {"when": "1", "port": "in"}}, "$.match[0].port"),
        ({"kind": "switch", "match": {"when": "((", "port": "out"}}, "$.match[0].when"),
        ({"kind": "switch", "match": [], "matches": []}, "$.matches"),
    ],
)
def test_faulty_conditions_are_refused_at_their_place(document: Any, path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode(document, "default")
    assert [fault.path for fault in raised.value.faults] == [path]
