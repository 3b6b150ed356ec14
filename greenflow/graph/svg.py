"""A drawing as SVG, laid out by ourselves (w3.org/TR/SVG11): what any browser shows.

Lives here: the elements of SVG. Colours follow the reader's light or dark scheme. There is no
script and no reference in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from greenflow.graph.drawing import Drawing, Vertex
from greenflow.graph.layout import LINE, PADDING, Box, Layout, laid_out, lines_of, shortened

_STYLE = """\
svg { background: #fff; font: 12px sans-serif; }
rect { fill: #fff; stroke: #445; rx: 6px; } .group rect { fill: #4451; stroke: #4455; }
text { fill: #112; } .detail { fill: #667; } path { fill: none; stroke: #778; }
.label { fill: #667; font-size: 10px; } .inactive rect { stroke: #b00020; stroke-dasharray: 4 3; }
.inactive text { fill: #b00020; } marker path { fill: #778; stroke: none; }
@media (prefers-color-scheme: dark) {
svg { background: #15171c; } rect { fill: #1d2027; stroke: #99a; } text { fill: #dde; }
.detail, .label { fill: #99a; } .inactive rect { stroke: #ff6b81; }
.inactive text { fill: #ff6b81; } }"""


def written(drawing: Drawing) -> str:
    """The text of the picture."""
    layout = laid_out(drawing)
    width, height = f"{layout.width:.0f}", f"{layout.height:.0f}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        '<marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"'
        ' orient="auto"><path d="M0 0L8 4L0 8z"/></marker>',
        *_groups(drawing, layout, ""),
        *_edges(drawing, layout),
        *(_vertex(vertex, layout.vertices[vertex.key]) for vertex in drawing.vertices),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _groups(drawing: Drawing, layout: Layout, key: str) -> Iterator[str]:
    for group in drawing.inside(key):
        box = layout.groups.get(group.key)
        if box is not None:
            state = ' class="group inactive"' if group.note else ' class="group"'
            hover = f"<title>{_text(group.note)}</title>" if group.note else ""
            yield (
                f"<g{state}>{hover}{_rectangle(box)}"
                f"{_line(box.x + PADDING / 2, box.y + LINE - 4, group.title, 'detail')}</g>"
            )
        yield from _groups(drawing, layout, group.key)


def _edges(drawing: Drawing, layout: Layout) -> Iterator[str]:
    for edge, points in zip(drawing.edges, layout.edges, strict=True):
        (x, y), *rest = points
        path = f"M{x:.0f} {y:.0f}"
        for to_x, to_y in rest:
            half = (x + to_x) / 2
            path += f"C{half:.0f} {y:.0f} {half:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}"
            x, y = to_x, to_y
        yield f'<path d="{path}" marker-end="url(#arrow)"/>'
        if edge.label:
            (x, y), (to_x, to_y) = points[:2]  # the curve goes through the middle of both
            yield _line((x + to_x) / 2 - LINE, (y + to_y) / 2 - 4, edge.label, "label")


def _vertex(vertex: Vertex, box: Box) -> str:
    state = ' class="inactive"' if vertex.note else ""
    first, *rest = lines_of(vertex) or [""]
    texts = _line(box.x + PADDING, box.y + LINE, first)
    for number, line in enumerate(rest, 2):
        texts += _line(box.x + PADDING, box.y + number * LINE, line, "detail")
    return f"<g{state}><title>{_text(vertex.text)}</title>{_rectangle(box)}{texts}</g>"


def _rectangle(box: Box) -> str:
    x, y, width, height = box
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}"/>'


def _line(x: float, y: float, text: str, sort: str = "") -> str:
    sort = f' class="{sort}"' if sort else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{sort}>{_text(shortened(text))}</text>'


def _text(text: str) -> str:
    """Text of an element: what XML cannot hold at all is left out (XML 1.0, 2.2)."""
    fit = "".join(c for c in text if c in "\t\n" or (c >= " " and not "\ud800" <= c <= "\udfff"))
    return escape(fit.replace("\ufffe", "").replace("\uffff", ""))
