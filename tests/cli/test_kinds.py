"""`greenflow kinds`."""

from __future__ import annotations

import re
from pathlib import Path

from greenflow.scheme.registry import Scheme
from tests.cli.conftest import Command


def test_it_lists_every_kind_with_what_it_does(greenflow: Command) -> None:
    rows = dict(row for row in greenflow("kinds").rows)
    assert sorted(rows) == Scheme.installed().kinds()
    assert rows["nop"].startswith("Takes every packet")


def test_it_shows_fields_ports_and_the_doc_of_one(greenflow: Command) -> None:
    result = greenflow("kinds", "snippet")
    assert result.out.startswith("snippet\n\nRuns code on each packet")
    assert "\nin ports:  in\nout ports: out, error\n" in result.out
    assert ["kind", "string, not empty", "required", "the type of the node"] in result.rows


def test_json_and_yaml_hold_the_same(greenflow: Command) -> None:
    from greenflow.spec.syntax.yaml import parts_of_yaml

    described = greenflow("kinds", "router", "-o", "json").data
    assert described["kind"] == "router"
    assert "routes" in {field["name"] for field in described["fields"]}
    [part] = parts_of_yaml(greenflow("kinds", "router", "-o", "yaml").out)
    assert part.value == described
    assert len(greenflow("kinds", "-o", "json").data) == len(Scheme.installed().kinds())


def test_it_shows_what_is_in_a_map_with_units_and_limits(greenflow: Command) -> None:
    result = greenflow("kinds", "retry")
    assert ["threshold", "integer, 0 or more", "0", "how many retries at most"] in result.rows
    assert ["backoff.max", "duration, 0 or more", "30s", "never longer than this"] in result.rows
    routes = greenflow("kinds", "router")
    assert ["routes[].method", "string, not empty", "required", "the HTTP method"] in routes.rows


def test_it_shows_another_name_of_a_kind_and_an_example(greenflow: Command) -> None:
    result = greenflow("kinds", "for")
    assert result.out.startswith("for (another name of loop)\n")
    assert "\n  - name: the answers keep the order of the elements\n" in result.out


def test_the_page_is_what_the_kinds_declare(greenflow: Command) -> None:
    page = Path(__file__).parents[2] / "contrib" / "docs" / "kinds.md"
    written = greenflow("kinds", "--markdown").out
    said = "contrib/docs/kinds.md is old: greenflow kinds --markdown >contrib/docs/kinds.md"
    assert page.read_text() == written, said
    kinds = set(re.findall(r"^## (\w+)$", written, re.MULTILINE))
    assert kinds == {Scheme.installed().describe(kind)["is"] for kind in Scheme.installed().kinds()}


def test_the_page_is_about_every_kind(greenflow: Command) -> None:
    assert greenflow("kinds", "nop", "--markdown").code == 2
