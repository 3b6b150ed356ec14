"""Where everything of a drawing is: a layered layout, from left to right.

Lives here: `laid_out`, which gives each vertex, group and edge its place. No form of writing.

The steps are those that Sugiyama and others gave (1981): edges that close a cycle are turned round;
each vertex gets a layer behind those that lead to it; long edges get a stand-in in each layer that
they pass; the order within layers is improved by the medians of the neighbours, forth and back;
then the vertices get their places. A group's vertices stay together: they are ordered as one. All
steps cost in proportion to vertices and edges, but for sorting.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from greenflow.graph.drawing import Arrow, Drawing, Vertex

# Pixels. A character of the font that is written is about so wide (of 12 pixels, sans-serif).
CHARACTER = 7.0
LINE = 18.0
PADDING = 12.0
BETWEEN_LAYERS = 70.0
BETWEEN_VERTICES = 22.0
AROUND_GROUPS = 16.0
FRAME = AROUND_GROUPS + LINE / 2  # what a group is higher than what is in it, above

# Characters of a line of a box, at most; what is longer is cut, and whole in its title.
LONGEST = 32

# Times that the order is improved, forth and back: more makes hardly a difference.
SWEEPS = 4


class Box(NamedTuple):
    """A place, in pixels from the upper left corner."""

    x: float
    y: float
    width: float
    height: float


class Layout(NamedTuple):
    """The places of a drawing: boxes by key, for each edge the points that it goes by."""

    width: float
    height: float
    vertices: dict[str, Box]
    groups: dict[str, Box]
    edges: list[list[tuple[float, float]]]


def lines_of(vertex: Vertex) -> list[str]:
    """What is written in a box, line by line, cut where it is too long."""
    return [shortened(line) for line in vertex.lines]


def shortened(line: str) -> str:
    """A line that fits into a box."""
    line = " ".join(line.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def laid_out(drawing: Drawing) -> Layout:
    """The places of everything."""
    sizes = {vertex.key: _size(vertex) for vertex in drawing.vertices}
    forward = _without_cycles(drawing)
    layers = _layers(sizes, forward)
    chains = [_chain(edge, number, layers) for number, edge in enumerate(drawing.edges)]
    order = _ordered(drawing, layers, chains)
    depth = max(map(len, _ranks(drawing).values()), default=0)
    boxes, stand_ins = _placed(order, sizes, depth * FRAME)
    groups = _frames(drawing, boxes)
    everything = [*boxes.values(), *groups.values()]
    width = max((box.x + box.width for box in everything), default=0.0) + AROUND_GROUPS
    height = max((box.y + box.height for box in everything), default=0.0) + AROUND_GROUPS
    edges = [
        _points(edge, chain, boxes, stand_ins)
        for edge, chain in zip(drawing.edges, chains, strict=True)
    ]
    height = max([height, *(y + AROUND_GROUPS for points in edges for _, y in points)])
    return Layout(width, height, boxes, groups, edges)


def _size(vertex: Vertex) -> tuple[float, float]:
    lines = lines_of(vertex)
    width = max(map(len, lines), default=1) * CHARACTER
    return width + 2 * PADDING, len(lines) * LINE + PADDING


def _without_cycles(drawing: Drawing) -> list[tuple[str, str]]:
    """The edges, those that close a cycle turned round, and none from a vertex to itself."""
    leading: dict[str, list[str]] = defaultdict(list)
    entered: set[str] = set()
    for edge in drawing.edges:
        leading[edge.source].append(edge.target)
        entered.add(edge.target)
    # those that nothing leads to first, so that a cycle is cut where it comes back to its beginning
    keys = [vertex.key for vertex in drawing.vertices]
    first = [key for key in keys if key not in entered]
    finished: dict[str, int] = {}
    on_the_way: set[str] = set()
    for root in [*first, *keys]:
        stack = [(root, iter(leading[root]))] if root not in finished else []
        on_the_way.update(key for key, _ in stack)
        while stack:
            key, targets = stack[-1]
            for target in targets:
                if target not in finished and target not in on_the_way:
                    on_the_way.add(target)
                    stack.append((target, iter(leading[target])))
                    break
            else:
                stack.pop()
                on_the_way.discard(key)
                finished[key] = len(finished)
    return [
        (edge.source, edge.target)
        if finished[edge.source] > finished[edge.target]
        else (edge.target, edge.source)
        for edge in drawing.edges
        if edge.source != edge.target
    ]


def _layers(keys: Iterable[str], forward: list[tuple[str, str]]) -> dict[str, int]:
    """The layer of each vertex: one behind the last of those that lead to it."""
    leading: dict[str, list[str]] = defaultdict(list)
    waiting: dict[str, int] = defaultdict(int)
    for source, target in forward:
        leading[source].append(target)
        waiting[target] += 1
    layers = dict.fromkeys(keys, 0)
    ready = [key for key in layers if not waiting[key]]
    while ready:
        key = ready.pop()
        for target in leading[key]:
            layers[target] = max(layers[target], layers[key] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return layers


class _StandIn(NamedTuple):
    """What an edge goes by in a layer that it only passes."""

    edge: int
    layer: int


_Place = str | _StandIn


def _chain(edge: Arrow, number: int, layers: dict[str, int]) -> list[_Place]:
    """The vertices and stand-ins that an edge goes by, in its direction."""
    here, there = layers[edge.source], layers[edge.target]
    step = 1 if there >= here else -1
    between = [_StandIn(number, layer) for layer in range(here + step, there, step)]
    return [edge.source, *between, edge.target]


def _ordered(
    drawing: Drawing, layers: dict[str, int], chains: list[list[_Place]]
) -> list[list[_Place]]:
    """The places of each layer, from above, with few crossings; those of a group are together."""
    order: list[list[_Place]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    ranks = _ranks(drawing)
    for vertex in drawing.vertices:
        order[layers[vertex.key]].append(vertex.key)
    left: dict[_Place, list[_Place]] = defaultdict(list)
    right: dict[_Place, list[_Place]] = defaultdict(list)
    for chain in chains:
        for place in chain[1:-1]:
            assert isinstance(place, _StandIn)
            order[place.layer].append(place)
        if len(chain) > 1 and chain[0] != chain[-1]:
            ends = chain if _layer(chain[0], layers) <= _layer(chain[-1], layers) else chain[::-1]
            for before, after in itertools.pairwise(ends):
                right[before].append(after)
                left[after].append(before)
    position = {place: index for layer in order for index, place in enumerate(layer)}
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        neighbours = left if forth else right
        for layer in order if forth else reversed(order):
            _improve(layer, neighbours, position, ranks)
    return order


def _layer(place: _Place, layers: dict[str, int]) -> int:
    return layers[place] if isinstance(place, str) else place.layer


def _ranks(drawing: Drawing) -> dict[str, tuple[str, ...]]:
    """For each vertex in a group, the groups that it is in, the outermost first."""
    parents = {group.key: group.parent for group in drawing.groups}
    ranks = {}
    for vertex in drawing.vertices:
        path: list[str] = []
        key = vertex.group
        while key:
            path.append(key)
            key = parents[key]
        if path:
            ranks[vertex.key] = tuple(reversed(path))
    return ranks


def _improve(
    layer: list[_Place],
    neighbours: dict[_Place, list[_Place]],
    position: dict[_Place, int],
    ranks: dict[str, tuple[str, ...]],
) -> None:
    """Order one layer by the medians of the neighbours; each group by the median of its own."""
    wish = {
        place: median([position[each] for each in near])
        if (near := neighbours.get(place))
        else float(position[place])
        for place in layer
    }
    within: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for place in layer:
        path = ranks.get(place, ()) if isinstance(place, str) else ()
        for depth in range(1, len(path) + 1):
            within[path[:depth]].append(wish[place])
    middle = {path: median(wishes) for path, wishes in within.items()}

    def rank(place: _Place) -> list[tuple[float, str]]:
        path = ranks.get(place, ()) if isinstance(place, str) else ()
        outer = [(middle[path[:depth]], path[depth - 1]) for depth in range(1, len(path) + 1)]
        return [*outer, (wish[place], "")]

    layer.sort(key=rank)
    position.update({place: index for index, place in enumerate(layer)})


def _placed(
    order: list[list[_Place]], sizes: dict[str, tuple[float, float]], margin: float
) -> tuple[dict[str, Box], dict[_StandIn, tuple[float, float]]]:
    """Coordinates: layers beside each other, each in the middle of the height of all; `margin` is
    what the frames around them take."""
    heights = [
        sum(sizes[place][1] if isinstance(place, str) else LINE / 2 for place in layer)
        + BETWEEN_VERTICES * max(len(layer) - 1, 0)
        for layer in order
    ]
    tallest = max(heights, default=0.0)
    boxes: dict[str, Box] = {}
    stand_ins: dict[_StandIn, tuple[float, float]] = {}
    x = AROUND_GROUPS + margin
    for layer, height in zip(order, heights, strict=True):
        widest = max((sizes[place][0] for place in layer if isinstance(place, str)), default=0.0)
        y = AROUND_GROUPS + margin + (tallest - height) / 2
        for place in layer:
            if isinstance(place, str):
                boxes[place] = Box(x, y, *sizes[place])
                y += sizes[place][1] + BETWEEN_VERTICES
            else:
                stand_ins[place] = x + widest / 2, y + LINE / 4
                y += LINE / 2 + BETWEEN_VERTICES
        x += widest + BETWEEN_LAYERS
    return boxes, stand_ins


def _frames(drawing: Drawing, boxes: dict[str, Box]) -> dict[str, Box]:
    """The boxes around groups, the inner ones within the outer ones."""
    frames: dict[str, Box] = {}

    def around(key: str) -> Box | None:
        inner = [boxes[vertex.key] for vertex in drawing.vertices_of(key)]
        inner += [box for group in drawing.inside(key) if (box := around(group.key))]
        if not inner:
            return None
        x, y = min(box.x for box in inner), min(box.y for box in inner)
        right = max(box.x + box.width for box in inner)
        below = max(box.y + box.height for box in inner)
        top = y - FRAME
        frame = Box(
            x - AROUND_GROUPS / 2,
            top,
            right - x + AROUND_GROUPS,
            below - top + AROUND_GROUPS / 2,
        )
        if key:
            frames[key] = frame
        return frame

    around("")
    return frames


def _points(
    edge: Arrow,
    chain: list[_Place],
    boxes: dict[str, Box],
    stand_ins: dict[_StandIn, tuple[float, float]],
) -> list[tuple[float, float]]:
    """The points of an edge: out of the right side of a box and into the left side of another."""
    source, target = boxes[edge.source], boxes[edge.target]
    begin = source.x + source.width, source.y + source.height / 2
    end = target.x, target.y + target.height / 2
    between = [stand_ins[place] for place in chain[1:-1] if isinstance(place, _StandIn)]
    if end[0] <= begin[0] and not between:  # back, or in the same layer: below both boxes
        below = max(source.y + source.height, target.y + target.height) + BETWEEN_VERTICES / 2
        between = [(begin[0] + PADDING, below), (end[0] - PADDING, below)]
    return [begin, *between, end]
