"""The registry of functions: names, overloads, and how a call finds one.

Lives here: `Function`, the two tables and the decorators; the functions themselves are in the
modules named for their library. A function takes and returns native values, checks what its
overload's types do not say, and raises CelError. One whose cost grows with its arguments is
registered with `scans`, and its lengths are charged to the budget; one that walks containers or
makes long results is registered with `metered` and gets the frame first. All overloads of a name
are of one sort. The type `object` in an overload takes whatever no other overload takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from greenflow.lang.cel.meter import Frame, charge
from greenflow.lang.cel.values import CelError, name, normal

_SIZED = frozenset((str, bytes, list, dict))

#: Characters or elements that a scan gets through in the time of one step.
_SCANNED_A_STEP = 16


class Function:
    """The overloads of one name and number of arguments; a method's target is its first."""

    __slots__ = ("anything", "metered", "overloads", "prepare", "shown", "variadic")

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.variadic = False
        #: Checks the arguments that are literals (the others are None) when the code is compiled.
        self.prepare: Callable[[list[Any]], object] | None = None
        self.metered = False
        self.overloads: dict[tuple[type, ...], Callable[..., Any]] = {}
        self.anything: Callable[..., Any] | None = None

    def meter(self) -> None:
        """From now on its overloads take the frame; those that need none get it all the same."""
        self.metered = True
        self.overloads = {types: _framed(body) for types, body in self.overloads.items()}
        self.anything = self.anything and _framed(self.anything)

    def resolve(self, values: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The overload for these values, and the values as it takes them."""
        if self.variadic and self.anything is not None:
            return self.anything, (list(map(normal, values)),)
        found = self.overloads.get(tuple(map(type, values)))
        if found is not None:
            return found, values
        plain = tuple(map(normal, values))
        found = self.overloads.get(tuple(map(type, plain))) or self.anything
        if found is None:
            kinds = ", ".join(map(name, values))
            raise CelError(f"no such overload: {self.shown}({kinds})")
        return found, plain


#: The number of arguments of a function that takes one or more; it gets them as a list.
VARIADIC = -1

#: By name and number of arguments; of a method without its target.
FUNCTIONS: dict[tuple[str, int], Function] = {}
METHODS: dict[tuple[str, int], Function] = {}

#: What stands before the dot of a function that is no method.
NAMESPACES: set[str] = {"cel"}

Body = TypeVar("Body", bound=Callable[..., Any])


def _register(
    table: dict[tuple[str, int], Function],
    names: str,
    types: tuple[type, ...],
    target: int,
    scans: bool,
    metered: bool,
) -> Callable[[Body], Body]:
    def add(body: Body) -> Body:
        for shown in names.split():
            entry = table.setdefault((shown, len(types) - target), Function(shown))
            if (scans or metered) and not entry.metered:
                entry.meter()
            run = _scanning(body) if scans else body
            if entry.metered and not (scans or metered):
                run = _framed(body)
            if object in types:
                entry.anything = run
            else:
                entry.overloads[types] = run
            if "." in shown:
                NAMESPACES.add(shown.rpartition(".")[0])
        return body

    return add


def function(
    names: str, *types: type, scans: bool = False, metered: bool = False
) -> Callable[[Body], Body]:
    """Register a function under its names."""
    return _register(FUNCTIONS, names, types, 0, scans, metered)


def method(
    names: str, *types: type, scans: bool = False, metered: bool = False
) -> Callable[[Body], Body]:
    """Register a method under its names; the first type is its target's."""
    return _register(METHODS, names, types, 1, scans, metered)


def _framed(body: Callable[..., Any]) -> Callable[..., Any]:
    return lambda frame, *values: body(*values)


def _scanning(body: Callable[..., Any]) -> Callable[..., Any]:
    def run(frame: Frame, *values: Any) -> Any:
        length = sum([len(value) for value in values if type(value) in _SIZED])
        charge(frame, length // _SCANNED_A_STEP)
        result = body(*values)
        if type(result) in _SIZED:
            charge(frame, len(result) // _SCANNED_A_STEP)
        return result

    return run


def variadic(names: str) -> Callable[[Body], Body]:
    """Register a function that takes the frame, and a list of one argument or more."""

    def add(body: Body) -> Body:
        for shown in names.split():
            entry = FUNCTIONS[shown, VARIADIC] = Function(shown)
            entry.anything, entry.variadic, entry.metered = body, True, True
            NAMESPACES.add(shown.rpartition(".")[0])
        return body

    return add
