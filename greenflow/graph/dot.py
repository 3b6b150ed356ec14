"""A drawing as DOT, which Graphviz lays out (graphviz.org/doc/info/lang.html).

Lives here: the words of DOT.
"""

from __future__ import annotations

from collections.abc import Iterator

from greenflow.graph.drawing import Drawing, one_line


def written(drawing: Drawing) -> str:
    """The text of a directed graph, from left to right."""
    lines = [
        "digraph greenflow {",
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
        *_body(drawing, "", "  "),
    ]
    for edge in drawing.edges:
        label = f" [label={_quoted(edge.label)}]" if edge.label else ""
        lines.append(f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def _body(drawing: Drawing, key: str, indent: str) -> Iterator[str]:
    for vertex in drawing.vertices_of(key):
        faulty = ', style="rounded,dashed", color=red, fontcolor=red' if vertex.note else ""
        yield f"{indent}{_quoted(vertex.key)} [label={_quoted(vertex.text)}{faulty}];"
    for group in drawing.inside(key):
        yield f"{indent}subgraph {_quoted(f'cluster {group.key}')} {{"
        yield f"{indent}  label={_quoted(group.text)};"
        yield from _body(drawing, group.key, indent + "  ")
        yield f"{indent}}}"


def _quoted(text: str) -> str:
    lines = (one_line(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    body = "\\n".join(lines)
    return f'"{body}"'
