"""What a kind may ask when its spec takes something of other specs (BEHAVIOUR 13.5).

Lives here: Referring, the part of a kind that is asked then, and Resolving, which it is given.
Which specs there are the scheme is told by whoever has it decode; what is asked for here is noted,
so that a change of it reloads the spec that asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from greenflow.engine.services import Compiler
from greenflow.errors import SpecFault, SpecInvalid
from greenflow.spec.fields import Spec
from greenflow.spec.reference import Referred
from greenflow.spec.template import PENDING, Deferred, Scope
from greenflow.values.values import Bindings

S = TypeVar("S", bound=Spec)


class Referring(Generic[S]):
    """What a kind overrides whose specs refer to others, or are what others are made of."""

    renders: ClassVar[bool] = True
    """Whether placeholders are rendered as a spec is read."""

    written_in: Referred | None = None
    """The spec that the sub-nodes of a node stand in, if that is not its own."""

    @classmethod
    def resolve(cls, spec: S, resolving: Resolving) -> S:
        """The spec with what it takes of others in its `derived` fields. Raises SpecInvalid, with
        paths from `resolving.path`, and Deferred."""
        return spec


class Resolving:
    """One spec under way: its `document`, its `path` in what is decoded, and the `scope` of its
    placeholders, if it has one."""

    def __init__(
        self,
        compiler: Compiler,
        document: Mapping[str, Any],
        namespace: str,
        path: str,
        bindings: Bindings,
        scope: Scope | None,
    ) -> None:
        self.compiler, self.document = compiler, document
        self.namespace, self.path = namespace, path
        self.bindings, self.scope = bindings, scope

    def look_up(self, field: str) -> tuple[str, Referred | None]:
        """What a field calls another spec, by name or id, and that spec, if there is one. Raises
        Deferred where that cannot be known."""
        called = self.rendered(self.document[field])
        if called is PENDING:
            self.defer()
        self.bindings.keys.add(("spec", called))
        try:
            return called, self.bindings.find(called)
        except Deferred:
            self.defer()

    def find(self, field: str, kind: str) -> Referred:
        """The spec that a field names, which is sound and of that kind. Raises SpecInvalid for the
        field, Deferred where it cannot be known."""
        called, referred = self.look_up(field)
        if referred is None:
            self.fail(field, f"no {kind} {called!r} in namespace {self.namespace!r}")
        found = referred.document.get("kind")
        if found != kind:
            place = referred.place("$.kind")
            self.fail(field, f"node {called!r} ({place}) is of kind {found!r}, not a {kind}")
        if referred.fault:
            where = f"{kind} {called!r} ({referred.place('$')})"
            self.fail(field, f"{where} is of no use: {referred.fault}")
        return referred

    def defer(self) -> NoReturn:
        """It is not known yet: raise Deferred, so that nothing is checked that depends on it."""
        self.bindings.deferred = True
        raise Deferred

    def fail(self, field: str, reason: str) -> NoReturn:
        """Raise SpecInvalid for a field."""
        raise SpecInvalid([SpecFault(f"{self.path}.{field}", reason)])

    def rendered(self, value: Any) -> Any:
        """A value of the document, its placeholders rendered; PENDING while that is not known."""
        try:
            return value if self.scope is None else self.scope.render(value)
        except Deferred:
            return PENDING

    def decode(self, document: Mapping[str, Any], scope: Scope | None = None) -> Spec:
        """Another spec, with what its placeholders stand for. The paths of faults are its own."""
        return self.compiler.decode(document, self.namespace, "$", self.bindings, scope)
