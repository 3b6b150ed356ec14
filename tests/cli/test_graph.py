"""`greenflow graph`, and what table/picture.py makes of specs."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from greenflow.graph.drawing import Arrow, Group
from greenflow.table.picture import pictured
from tests.cli.conftest import Command

EXAMPLES = Path(__file__).parents[2] / "contrib" / "examples"

SPECS = """\
- {kind: listener, name: web, port: 0, links: {out: {name: work}, error: {name: oops}}}
- kind: block
  name: work
  specs:
    - {kind: snippet, name: first, language: text, code: a}
    - kind: step
      name: inner
      specs: [{kind: snippet, language: text, code: c}, {kind: snippet, language: cel, code: self}]
  links: {out: {name: gone}}
- {kind: snippet, name: oops, language: text, code: b}
"""


def test_the_way_of_a_packet_is_drawn_through_blocks() -> None:
    first = {"kind": "nop", "name": "first", "links": {"out": {"name": "second"}}}
    second = {"kind": "nop", "name": "second"}
    documents = [
        {"id": "l", "kind": "listener", "name": "web", "links": {"out": [{"name": "chain"}]}},
        {
            "id": "b",
            "kind": "block",
            "name": "chain",
            "specs": [
                {"kind": "nop"},
                {"kind": "step", "specs": [{"kind": "if"}, {"kind": "nop"}]},
            ],
            "links": {"out": [{"name": "free"}], "error": [{"id": "l", "port": "io"}]},
        },
        {
            "id": "f",
            "kind": "block",
            "name": "free",
            "specs": [second, first],
            "inbounds": {"in": [{"name": "first", "port": "in"}]},
            "outbounds": {"out[1]": [{"name": "second", "port": "out"}]},
            "links": {"out[1]": {"name": "l"}},
        },
    ]
    drawing = pictured(documents, {"f": "it is bad"})
    assert set(drawing.edges) == {
        Arrow("l", "b/0"),
        Arrow("b/0", "b/1/0"),
        Arrow("b/1/0", "b/1/1"),
        Arrow("b/1/1", "f/1"),
        Arrow("b/1/1", "l", "error → io"),
        Arrow("f/1", "f/0"),
        Arrow("f/0", "?l", "out[1]"),
    }
    assert drawing.groups == (
        Group("b", "chain (block)"),
        Group("b/1", "step", "b"),
        Group("f", "free (block)", "", "it is bad"),
    )
    assert [vertex.note for vertex in drawing.vertices if vertex.key == "?l"] == ["is not there"]


def test_files_are_drawn_with_what_is_wrong(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(SPECS)
    result = greenflow("graph", "web.yaml")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "flowchart LR"
    assert sum(line.lstrip().startswith("subgraph") for line in lines) == 2
    assert any("gone" in line and "is not there" in line for line in lines)
    assert any("work" in line and "no node" in line for line in lines)


@pytest.mark.parametrize("form", ["mermaid", "dot", "svg"])
def test_what_is_stored_is_drawn(greenflow: Command, tmp_path: Path, form: str) -> None:
    (tmp_path / "web.yaml").write_text(SPECS)
    greenflow("apply", "web.yaml")
    result = greenflow("graph", "--format", form)
    assert (result.code, result.err) == (0, "")
    assert "oops" in result.out
    assert result.out == greenflow("graph", "--format", form).out


def test_every_example_is_drawn(greenflow: Command) -> None:
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        if not path.name.endswith(".flow.yaml"):
            result = greenflow("graph", str(path), "--format", "svg")
            assert (path.name, result.code, result.err) == (path.name, 0, "")
            ET.fromstring(result.out)


def test_where_there_is_nothing_that_is_said(greenflow: Command) -> None:
    missing = greenflow("graph")
    assert (missing.code, "no database" in missing.err) == (4, True)
    assert greenflow("graph", "nothing.yaml").code == 2
