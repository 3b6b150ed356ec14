"""`greenflow kinds`."""

from __future__ import annotations

from greenflow.scheme import Scheme
from tests.cli.conftest import Command


def test_it_lists_every_kind_with_what_it_does(greenflow: Command) -> None:
    rows = dict(row for row in greenflow("kinds").rows)
    assert sorted(rows) == Scheme.installed().kinds()
    assert rows["nop"].startswith("Takes every packet")


def test_it_shows_fields_ports_and_the_doc_of_one(greenflow: Command) -> None:
    result = greenflow("kinds", "snippet")
    assert result.out.startswith("snippet\n\nRuns code on each packet")
    assert "\nin ports:  in\nout ports: out, error\n" in result.out
    assert ["kind", "string", "required", "the type of the node"] in result.rows


def test_json_and_yaml_hold_the_same(greenflow: Command) -> None:
    from greenflow.syntax.yaml import parts_of_yaml

    described = greenflow("kinds", "router", "-o", "json").data
    assert described["kind"] == "router"
    assert "routes" in {field["name"] for field in described["fields"]}
    [part] = parts_of_yaml(greenflow("kinds", "router", "-o", "yaml").out)
    assert part.value == described
    assert len(greenflow("kinds", "-o", "json").data) == len(Scheme.installed().kinds())
