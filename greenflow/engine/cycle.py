"""Which in ports lie on a cycle of the graph: a packet there may come again for ever.

Lives here: `Cycles`, which looks at links and keeps what it found. What is made of it budget.py
says. Links alone are looked at: a loop over a list ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greenflow.engine.generation import Generation
from greenflow.engine.port import InPort

# A node, and whether the packet comes from inside of it, at the edge of a block.
_Place = tuple[Any, bool]


class Cycles:
    """What is known of the cycles of graphs, each looked at once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Generation | None, _Place], bool] = {}

    def has(self, port: InPort, generation: Generation | None) -> bool:
        """Whether links lead from there to there again, for a process of that generation."""
        if port.node is None:
            return False
        place = _place(port)
        found = self._known.get((generation, place))
        if found is None:
            for component in _components(place, generation):
                loops = len(component) > 1 or component[0] in _next(component[0], generation)
                for each in component:
                    self._known[generation, each] = loops
            found = self._known[generation, place]
        return found


def _place(port: InPort) -> _Place:
    return port.node, port not in port.node.in_ports.values()


def _next(place: _Place, generation: Generation | None) -> list[_Place]:
    """Where links lead to from there."""
    node, is_edge = place
    ways = [
        _place(entry)
        for out in node.out_ports.values()
        for entry in out.links_for(generation)
        if entry.node is not None
    ]
    if not is_edge:  # a packet enters a block, and leaves it from within
        ways += [(inner, False) for inner in getattr(node, "inner", ())]
    return ways


def _components(first: _Place, generation: Generation | None) -> Iterator[list[_Place]]:
    """The strongly connected components that can be reached (Tarjan 1972), without recursion."""
    order: dict[_Place, int] = {}
    lowest: dict[_Place, int] = {}
    open_places: list[_Place] = []
    is_open: set[_Place] = set()
    path: list[tuple[_Place, Iterator[_Place]]] = []

    def enter(place: _Place) -> None:
        order[place] = lowest[place] = len(order)
        open_places.append(place)
        is_open.add(place)
        path.append((place, iter(_next(place, generation))))

    enter(first)
    while path:
        place, ways = path[-1]
        for way in ways:
            if way not in order:
                enter(way)
                break
            if way in is_open:
                lowest[place] = min(lowest[place], order[way])
        else:
            path.pop()
            if path:
                lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[place])
            if lowest[place] == order[place]:
                component = list[_Place]()
                while not component or component[-1] != place:
                    component.append(open_places.pop())
                    is_open.remove(component[-1])
                yield component
