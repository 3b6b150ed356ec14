"""The macros: loops over lists and maps, `cel.bind`, and what optionals map with.

Lives here: one function for each macro, from a call's node to a closure. A loop pays the steps of
its body for every turn, so loops inside loops end by the budget. A loop over a map goes through its
keys; with two variables the first is the index or the key, the second the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from greenflow.lang.cel.arithmetic import Closure, positioned
from greenflow.lang.cel.lists import sorted_by
from greenflow.lang.cel.meter import Frame, charge, refill
from greenflow.lang.cel.scope import Scope
from greenflow.lang.cel.tree import Call, Node, Wrong
from greenflow.lang.cel.values import NONE, CelError, Optional, key, keys, name, unkey


def _items(container: Any) -> list[Any]:
    if isinstance(container, list):
        return container
    if isinstance(container, dict):
        return keys(container)
    raise CelError(f"{name(container)} is no list or map")


def _pairs(container: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(container, list):
        return enumerate(container)
    if isinstance(container, dict):
        return ((unkey(item), value) for item, value in list(container.items()))
    raise CelError(f"{name(container)} is no list or map")


Turns = Callable[[Frame], Iterable[Any]]


class _Loop:
    """What the loops of one macro share: its source, its variables, its places."""

    def __init__(self, scope: Scope, node: Call, variables: int) -> None:
        if node.target is None:
            raise Wrong(f"{node.name}() is called on a list or map", node.at)
        self.scope, self.at = scope, node.at
        source = scope.emit(node.target)
        self.bound = [scope.bound(argument) for argument in node.arguments[:variables]]
        if variables == 2 and self.bound[0][0] == self.bound[1][0]:
            raise Wrong("the two variables of a macro have different names", node.at)
        items = positioned(_items if variables == 1 else _pairs, node.at)
        self.turns: Turns = lambda frame: items(source(frame))
        self.places = [place for _, place in self.bound]
        self.steps = 0

    def body(self, node: Node) -> Closure:
        """The closure of a part that runs in every turn; with two variables it takes the pair that
        the first place holds apart."""
        closure, steps = self.scope.within(self.bound, node)
        self.steps += steps
        return closure

    def each(self) -> tuple[Turns, int, int]:
        """How to get the turns, what each costs, and the place that each turn's item goes to. With
        two variables the turns set the first place themselves."""
        if len(self.places) == 1:
            return self.turns, self.steps, self.places[0]
        turns, (first, second) = self.turns, self.places

        def pairs(frame: Frame) -> Iterable[Any]:
            for item, value in turns(frame):
                frame[first] = item
                yield value

        return pairs, self.steps, second


def _split(node: Call, variables: int) -> list[Node]:
    return node.arguments[variables:]


def _quantifier(variables: int, decisive: bool) -> Callable[[Scope, Call], Closure]:
    """`all` (a false decides) and `exists` (a true decides), with absorption."""

    def make(scope: Scope, node: Call) -> Closure:
        loop = _Loop(scope, node, variables)
        scope.absorbing += 1
        body = loop.body(*_split(node, variables))
        scope.absorbing -= 1
        turns, steps, place = loop.each()
        macro, at = node.name, node.at

        def run(frame: Frame) -> bool:
            failure = None
            for item in turns(frame):
                frame[0] -= steps
                if frame[0] < 0:
                    refill(frame)
                frame[place] = item
                try:
                    value = body(frame)
                except CelError as error:
                    failure = failure or error
                    continue
                if value is decisive:
                    return bool(value)
                if value is not True and value is not False and failure is None:
                    failure = CelError(f"{macro}() takes booleans, not {name(value)}", at)
            if failure is not None:
                raise failure
            return not decisive

        return run

    return make


def _exists_one(variables: int) -> Callable[[Scope, Call], Closure]:
    def make(scope: Scope, node: Call) -> Closure:
        loop = _Loop(scope, node, variables)
        body = loop.body(*_split(node, variables))
        turns, steps, place = loop.each()
        test = _boolean(node)

        def run(frame: Frame) -> bool:
            found = 0
            for item in turns(frame):
                frame[0] -= steps
                if frame[0] < 0:
                    refill(frame)
                frame[place] = item
                value = body(frame)
                if value is True or (value is not False and test(value)):
                    found += 1
            return found == 1

        return run

    return make


def _boolean(node: Call) -> Callable[[Any], bool]:
    macro, at = node.name, node.at

    def test(value: Any) -> bool:
        raise CelError(f"{macro}() takes a boolean condition, not {name(value)}", at)

    return test


def _filter(scope: Scope, node: Call) -> Closure:
    loop = _Loop(scope, node, 1)
    body = loop.body(node.arguments[1])
    turns, steps, place = loop.each()
    test = _boolean(node)

    def run(frame: Frame) -> list[Any]:
        found = []
        for item in turns(frame):
            frame[0] -= steps
            if frame[0] < 0:
                refill(frame)
            frame[place] = item
            value = body(frame)
            if value is True or (value is not False and test(value)):
                found.append(item)
        return found

    return run


def _map(variables: int, conditional: bool) -> Callable[[Scope, Call], Closure]:
    """`map` and `transformList`, with and without a condition."""

    def make(scope: Scope, node: Call) -> Closure:
        loop = _Loop(scope, node, variables)
        parts = _split(node, variables)
        condition = loop.body(parts[0]) if conditional else None
        body = loop.body(parts[-1])
        turns, steps, place = loop.each()
        test = _boolean(node)

        def run(frame: Frame) -> list[Any]:
            found = []
            for item in turns(frame):
                frame[0] -= steps
                if frame[0] < 0:
                    refill(frame)
                frame[place] = item
                if condition is not None:
                    value = condition(frame)
                    if value is False or (value is not True and test(value)):
                        continue
                found.append(body(frame))
            return found

        return run

    return make


def _transform(conditional: bool, entries: bool) -> Callable[[Scope, Call], Closure]:
    """`transformMap`, whose body is a value, and `transformMapEntry`, whose body is a map."""

    def make(scope: Scope, node: Call) -> Closure:
        loop = _Loop(scope, node, 2)
        parts = _split(node, 2)
        condition = loop.body(parts[0]) if conditional else None
        body = loop.body(parts[-1])
        turns, steps, place = loop.each()
        test, first, at = _boolean(node), loop.places[0], node.at
        as_key = positioned(key, at)

        def run(frame: Frame) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for item in turns(frame):
                charge(frame, steps)
                frame[place] = item
                if condition is not None:
                    value = condition(frame)
                    if value is False or (value is not True and test(value)):
                        continue
                if not entries:
                    found[as_key(frame[first])] = body(frame)
                    continue
                made = body(frame)
                if type(made) is not dict:
                    raise CelError(f"transformMapEntry() takes a map, not {name(made)}", at)
                for entry, value in made.items():
                    if entry in found:
                        raise CelError("the map has the same key twice", at)
                    found[entry] = value
            return found

        return run

    return make


def _sort_by(scope: Scope, node: Call) -> Closure:
    """`list.sortBy(item, key)`."""
    loop = _Loop(scope, node, 1)
    body = loop.body(node.arguments[1])
    turns, steps, place = loop.each()
    by = positioned(sorted_by, node.at)

    def run(frame: Frame) -> Any:
        items, ranks = [], []
        for item in turns(frame):
            charge(frame, steps)
            frame[place] = item
            items.append(item)
            ranks.append(body(frame))
        return by(frame, items, ranks)

    return run


def _optional(flat: bool) -> Callable[[Scope, Call], Closure]:
    """`optMap`, and `optFlatMap` whose body is an optional."""

    def make(scope: Scope, node: Call) -> Closure:
        if node.target is None:
            raise Wrong(f"{node.name}() is called on an optional", node.at)
        target = scope.emit(node.target)
        bound = scope.bound(node.arguments[0])
        body, steps = scope.within((bound,), node.arguments[1])
        scope.steps += steps
        place, at, macro = bound[1], node.at, node.name

        def run(frame: Frame) -> Any:
            value = target(frame)
            if type(value) is not Optional:
                raise CelError(f"{macro}() takes an optional, not {name(value)}", at)
            if not value.present:
                return NONE
            frame[place] = value.value
            result = body(frame)
            if not flat:
                return Optional(result)
            if type(result) is not Optional:
                raise CelError(f"{macro}() makes an optional, not {name(result)}", at)
            return result

        return run

    return make


def bind(scope: Scope, node: Call) -> Closure:
    """`cel.bind(name, value, body)`: the value is computed once."""
    variable, value, inner = node.arguments
    bound = scope.bound(variable)
    closure = scope.emit(value)
    body, steps = scope.within((bound,), inner)
    scope.steps += steps
    place = bound[1]

    def run(frame: Frame) -> Any:
        frame[place] = closure(frame)
        return body(frame)

    return run


#: By name and number of arguments.
MACROS: dict[tuple[str, int], Callable[[Scope, Call], Closure]] = {
    ("all", 2): _quantifier(1, False),
    ("all", 3): _quantifier(2, False),
    ("exists", 2): _quantifier(1, True),
    ("exists", 3): _quantifier(2, True),
    ("exists_one", 2): _exists_one(1),
    ("exists_one", 3): _exists_one(2),
    ("existsOne", 2): _exists_one(1),
    ("existsOne", 3): _exists_one(2),
    ("filter", 2): _filter,
    ("map", 2): _map(1, False),
    ("map", 3): _map(1, True),
    ("transformList", 3): _map(2, False),
    ("transformList", 4): _map(2, True),
    ("transformMap", 3): _transform(False, False),
    ("transformMap", 4): _transform(True, False),
    ("transformMapEntry", 3): _transform(False, True),
    ("transformMapEntry", 4): _transform(True, True),
    ("sortBy", 2): _sort_by,
    ("optMap", 2): _optional(False),
    ("optFlatMap", 2): _optional(True),
}


def variables(name: str, count: int) -> int:
    """How many names a method binds, if it is a macro of so many arguments: the first of them."""
    if (name, count) not in MACROS:
        return 0
    is_pair = name.startswith("transform") or (count == 3 and name != "map")
    return 2 if is_pair else 1
