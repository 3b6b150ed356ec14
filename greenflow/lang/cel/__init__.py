"""CEL, the language of conditions: https://cel.dev, with the libraries of cel-go.

Lives here: `compile` and the program that it makes. The parts: parsing.py makes a tree (tree.py) of
the code, by the grammar of cel-python (grammar.py, builder.py, literals.py); emit.py, scope.py,
arithmetic.py and macros.py make closures of the tree, and unknown.py says what is not there;
operators.py and the libraries say what they compute; values.py, meter.py and convert.py hold
values, the step budget, and the way out. Payloads are CEL values as they are, so the way in costs
nothing.

Known limits: there is no type checker, so a wrong overload is an error of the packet, and there are
no protobuf messages. An unsigned payload beyond int64 compares and passes as itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from greenflow.errors import CompileFailed, SnippetFailed
from greenflow.lang import remembered
from greenflow.lang.cel import (  # noqa: F401 - the libraries register themselves
    formatting,
    hashing,
    here,
    lists,
    numbers,
    regexes,
    standard,
    texts,
    times,
)
from greenflow.lang.cel.convert import is_payload, payload
from greenflow.lang.cel.emit import Emitter
from greenflow.lang.cel.meter import FIRST_SLOT, SLICE, SLICES, Frame
from greenflow.lang.cel.parsing import parse
from greenflow.lang.cel.tree import Wrong
from greenflow.lang.cel.values import BudgetSpent, CelError

SELF = ("self",)  # the one variable of CEL in a spec (BEHAVIOUR 15.3)


class Program:
    """A compiled expression. It holds nothing of a call, so calls may overlap."""

    __slots__ = ("_code", "_frame", "_plain", "_run", "_variables")

    def __init__(self, code: str, variables: Sequence[str], checked: bool = True) -> None:
        tree = parse(code)
        emitter = Emitter(variables, checked)
        self._run = emitter.emit(tree)
        self._frame: Frame = [SLICE, SLICES] + [None] * (emitter.slots - FIRST_SLOT)
        self._plain = is_payload(tree, frozenset(variables))
        self._code, self._variables = code, tuple(variables)

    def __call__(
        self,
        argument: Any,
        *,
        timeout: float | None = None,
        log: Callable[[str], object] | None = None,
    ) -> Any:
        """The result for a value of the first variable, as a payload. The step budget bounds the
        time below any `timeout` in use, and nothing is logged. Raises SnippetFailed."""
        frame = self._frame[:]
        frame[FIRST_SLOT] = argument
        try:
            value = self._run(frame)
            return value if self._plain else payload(value, frame)
        except (CelError, BudgetSpent, RecursionError) as error:
            raise self._failed(error) from None

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The result for a value of each variable, as a CEL value that is not converted. Raises
        SnippetFailed, and KeyError where a variable has no value."""
        frame = self._frame[:]
        for i, variable in enumerate(self._variables):
            frame[FIRST_SLOT + i] = values[variable]
        try:
            return self._run(frame)
        except (CelError, BudgetSpent, RecursionError) as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> SnippetFailed:
        if isinstance(error, CelError):
            at = error.at
            return SnippetFailed(error.reason, *(place(self._code, at) if at is not None else ()))
        if isinstance(error, BudgetSpent):
            steps = SLICE * (SLICES + 1)
            return SnippetFailed(f"the expression takes more than {steps:,} steps")
        return SnippetFailed("the values are nested too deep")


@remembered
def compile(code: str, variables: tuple[str, ...] = SELF, *, checked: bool = True) -> Program:
    """The program of an expression; a name with dots (`a.b`) may be a variable too. What nobody
    declared is refused here unless it is not `checked` (scope.py), as nothing in a spec may be.
    Raises CompileFailed with line and column."""
    try:
        return Program(code, variables, checked)
    except Wrong as error:
        raise CompileFailed(error.reason, *place(code, error.at)) from None
    except RecursionError:
        raise CompileFailed("the expression is nested too deep") from None
    except ImportError as error:
        raise CompileFailed(str(error)) from error


def place(code: str, at: int) -> tuple[int, int]:
    """Line and column of an offset, both from 1."""
    return code.count("\n", 0, at) + 1, at - code.rfind("\n", 0, at)
