"""`syscall`: calls a function that the runtime offers to workflows (BEHAVIOUR 14.syscall, 14.2).

The functions are in `Services.operations`: those on the stored specs, and those that an embedding
program registers with `Runtime.register`. They change no argument, and return payloads; the runtime
sees to it for those of others. No store is known here.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.services import Compiler, Services
from greenflow.errors import CompileFailed, InvalidArgument, SpecFault
from greenflow.spec import signature
from greenflow.spec.fields import Spec


class SyscallSpec(Spec):
    opcode: Annotated[str, Meta(min_length=1, description="the function, such as `nodes.read`")]


#: What every runtime offers (BEHAVIOUR 14.2).
OPCODES = tuple(
    f"{collection}.{name}"
    for collection in ("nodes", "specs")
    for name in ("create", "read", "update", "delete")
)


@node("syscall", reads_only=True)
class Syscall(Node[SyscallSpec]):
    """Calls a registered function with its input, and sends what it returns to `out`.

    A function of one parameter takes the input, one of several a list by position. What has no
    result gives null, several results a list; an exception goes to `error`.
    """

    @classmethod
    def doubts(cls, spec: SyscallSpec, compiler: Compiler) -> list[SpecFault]:
        close = difflib.get_close_matches(spec.opcode, OPCODES, 1)
        if spec.opcode in OPCODES or not close:
            return []  # a program that embeds greenflow may register others
        return [SpecFault("$.opcode", f"no opcode of greenflow's; did you mean {close[0]!r}?")]

    def __init__(self, spec: SyscallSpec, services: Services) -> None:
        function = services.operations.get(spec.opcode)
        if function is None:
            known = ", ".join(sorted(services.operations)) or "none"
            raise CompileFailed(f"unknown opcode {spec.opcode!r}; registered are {known}")
        self.function = function
        self.types, self.required = parameters(function)
        if _signs(function):
            self.function = partial(function, signature=signature.node(spec.name or spec.id))
        super().__init__(spec, services)

    def handle(self, ctx: Context, payload: Any) -> Any:
        return self.function(*self.arguments(payload))

    def arguments(self, payload: Any) -> list[Any]:
        """The payload as the function's arguments. Raises InvalidArgument."""
        if len(self.types) == 1:
            given = [payload]
        elif not self.types:
            given = []
        elif not isinstance(payload, list):
            raise InvalidArgument(f"{self.spec.opcode} takes a list of {len(self.types)} arguments")
        else:
            given = payload
        if not self.required <= len(given) <= len(self.types):
            raise InvalidArgument(
                f"{self.spec.opcode} takes {len(self.types)} arguments, not {len(given)}"
            )
        try:
            pairs = zip(given, self.types, strict=False)
            return [msgspec.convert(item, kind, strict=True) for item, kind in pairs]
        except (msgspec.ValidationError, TypeError) as error:
            raise InvalidArgument(error) from error


def _signs(function: Any) -> bool:
    """Whether a function asks who calls it: those that change what is stored do."""
    asked = inspect.signature(function).parameters.get("signature")
    return asked is not None and asked.kind is asked.KEYWORD_ONLY


def parameters(function: Any) -> tuple[list[Any], int]:
    """The types of a function's positional parameters (Any where none is said), and how many
    must be given."""
    try:
        hints = typing.get_type_hints(function)
    except TypeError:  # a callable that is no function says no types
        hints = {}
    positional = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    required = sum(parameter.default is parameter.empty for parameter in positional)
    return [hints.get(parameter.name, Any) for parameter in positional], required
