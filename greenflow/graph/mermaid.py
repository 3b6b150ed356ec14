"""A drawing as Mermaid, which Markdown pages show (mermaid.js.org/syntax/flowchart).

Lives here: the words of Mermaid. Names are quoted: what it would take for its own is written as the
entity of its character.
"""

from __future__ import annotations

from collections.abc import Iterator

from greenflow.graph.drawing import Drawing, one_line

_ENTITIES = str.maketrans({character: f"#{ord(character)};" for character in '"#<>&`\\{}[]|'})


def written(drawing: Drawing) -> str:
    """The text of a flowchart, from left to right."""
    keys = {vertex.key: f"n{number}" for number, vertex in enumerate(drawing.vertices)}
    frames = {group.key: f"g{number}" for number, group in enumerate(drawing.groups)}
    lines = ["flowchart LR", *_body(drawing, "", keys, frames, "  ")]
    for edge in drawing.edges:
        label = f"|{_quoted(edge.label)}|" if edge.label else ""
        lines.append(f"  {keys[edge.source]} -->{label} {keys[edge.target]}")
    faulty = [keys[vertex.key] for vertex in drawing.vertices if vertex.note]
    if faulty:
        lines.append("  classDef inactive stroke-dasharray: 4 3, color: #b00020, stroke: #b00020")
        lines.append(f"  class {','.join(faulty)} inactive")
    return "\n".join(lines) + "\n"


def _body(
    drawing: Drawing, key: str, keys: dict[str, str], frames: dict[str, str], indent: str
) -> Iterator[str]:
    for vertex in drawing.vertices_of(key):
        yield f"{indent}{keys[vertex.key]}[{_quoted(vertex.text)}]"
    for group in drawing.inside(key):
        yield f"{indent}subgraph {frames[group.key]}[{_quoted(group.text)}]"
        yield from _body(drawing, group.key, keys, frames, indent + "  ")
        yield f"{indent}end"


def _quoted(text: str) -> str:
    lines = (one_line(line).translate(_ENTITIES) for line in text.split("\n"))
    return f'"{"<br/>".join(lines)}"'
