"""graph/: layouts that overlap nothing, and texts that can be read whatever the names are."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.graph import dot, mermaid, svg
from greenflow.graph.drawing import Arrow, Drawing, Group, Vertex
from greenflow.graph.layout import LONGEST, Box, laid_out, shortened

untimed = settings(deadline=None)

NAMES = st.sampled_from(("a", "bcd", "a longer name of a node that is cut off"))


@st.composite
def drawings(draw: st.DrawFn, text: st.SearchStrategy[str] = NAMES) -> Drawing:
    """Any graph of a few vertices, groups in groups and edges of all sorts."""
    groups: list[Group] = []
    for number in range(draw(st.integers(0, 4))):
        parent = draw(st.sampled_from(["", *(group.key for group in groups)]))
        groups.append(Group(f"g{number}", draw(text), parent, draw(st.sampled_from(("", "bad")))))
    within = st.sampled_from(["", *(group.key for group in groups)])
    vertices = [
        Vertex(
            f"v{number}", draw(text), draw(text), draw(st.sampled_from(("", "bad"))), draw(within)
        )
        for number in range(draw(st.integers(0, 12)))
    ]
    if not vertices:
        return Drawing((), (), tuple(groups))
    ends = st.sampled_from([vertex.key for vertex in vertices])
    edges = draw(st.lists(st.builds(Arrow, ends, ends, text), max_size=25))
    return Drawing(tuple(vertices), tuple(edges), tuple(groups))


def apart(first: Box, second: Box) -> bool:
    return (
        first.x + first.width <= second.x
        or second.x + second.width <= first.x
        or first.y + first.height <= second.y
        or second.y + second.height <= first.y
    )


def holds(outer: Box, inner: Box) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and outer.x + outer.width >= inner.x + inner.width
        and outer.y + outer.height >= inner.y + inner.height
    )


@untimed
@given(drawings())
def test_a_layout_overlaps_nothing_and_holds_everything(drawing: Drawing) -> None:
    layout = laid_out(drawing)
    assert layout.vertices.keys() == {vertex.key for vertex in drawing.vertices}
    for first, second in combinations(layout.vertices.values(), 2):
        assert apart(first, second)
    whole = Box(0, 0, layout.width, layout.height)
    for box in (*layout.vertices.values(), *layout.groups.values()):
        assert holds(whole, box)
    for vertex in drawing.vertices:
        if vertex.group:
            assert holds(layout.groups[vertex.group], layout.vertices[vertex.key])
    for group in drawing.groups:
        if group.parent and group.key in layout.groups:
            assert holds(layout.groups[group.parent], layout.groups[group.key])


@untimed
@given(drawings())
def test_an_edge_goes_from_its_source_to_its_target(drawing: Drawing) -> None:
    layout = laid_out(drawing)
    for edge, points in zip(drawing.edges, layout.edges, strict=True):
        source, target = layout.vertices[edge.source], layout.vertices[edge.target]
        assert points[0] == (source.x + source.width, source.y + source.height / 2)
        assert points[-1] == (target.x, target.y + target.height / 2)
        assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in points[1:-1])


@untimed
@given(st.integers(2, 30), st.randoms(use_true_random=False))
def test_without_cycles_every_edge_goes_to_the_right(count: int, randomness: object) -> None:
    vertices = tuple(Vertex(str(number), "x") for number in range(count))
    pairs = [(a, b) for a, b in combinations(range(count), 2) if randomness.random() < 0.2]  # type: ignore[attr-defined]
    drawing = Drawing(vertices, tuple(Arrow(str(a), str(b)) for a, b in pairs))
    layout = laid_out(drawing)
    for a, b in pairs:
        assert layout.vertices[str(a)].x < layout.vertices[str(b)].x


def test_a_chain_is_a_line() -> None:
    vertices = tuple(Vertex(str(number), "node") for number in range(9))
    edges = tuple(Arrow(str(number), str(number + 1)) for number in range(8))
    boxes = laid_out(Drawing(vertices[::-1], edges)).vertices
    assert len({box.y for box in boxes.values()}) == 1
    assert [boxes[str(n)].x for n in range(9)] == sorted(box.x for box in boxes.values())


def test_edges_that_need_not_cross_do_not() -> None:
    pairs = [("a", "z"), ("b", "y"), ("c", "x")]
    vertices = tuple(Vertex(key, key) for key in "abcxyz")
    boxes = laid_out(Drawing(vertices, tuple(Arrow(*pair) for pair in pairs))).vertices
    heights = [(boxes[a].y, boxes[b].y) for a, b in pairs]
    assert all((a < c) == (b < d) for (a, b), (c, d) in combinations(heights, 2))


def test_a_long_cycle_is_no_recursion() -> None:
    count = 20_000
    vertices = tuple(Vertex(str(number), "x") for number in range(count))
    edges = tuple(Arrow(str(number), str((number + 1) % count)) for number in range(count))
    layout = laid_out(Drawing(vertices, edges))
    assert len(layout.vertices) == count


@untimed
@given(drawings(st.text(max_size=40)))
def test_any_names_make_good_svg(drawing: Drawing) -> None:
    root = ET.fromstring(svg.written(drawing))
    texts = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(texts) >= len(drawing.vertices)
    assert not root.findall(".//{*}script")


@untimed
@given(drawings(st.text(max_size=40)))
def test_any_names_make_lines_of_mermaid(drawing: Drawing) -> None:
    lines = mermaid.written(drawing).splitlines()
    opened = sum(line.lstrip().startswith("subgraph ") for line in lines)
    assert opened == sum(line.strip() == "end" for line in lines) == len(drawing.groups)
    for line in lines[1:]:
        assert line.count('"') in (0, 2)


@pytest.mark.parametrize("name", ['a"b', "a\\", "a\nb", "]|[", "<b>"])
def test_names_are_quoted(name: str) -> None:
    drawing = Drawing((Vertex("k", name),), ())
    assert name not in mermaid.written(drawing).replace("flowchart LR\n", "")
    quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert f'"{quoted}"' in dot.written(drawing)


def test_what_is_too_long_is_cut_and_whole_in_its_title() -> None:
    name = "n" * 100
    assert shortened(name) == "n" * (LONGEST - 1) + "…"
    text = svg.written(Drawing((Vertex("k", name),), ()))
    assert f"<title>{name}</title>" in text
