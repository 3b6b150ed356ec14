"""`template` and `use`: a block that is written once, with parameters (BEHAVIOUR 13.6 to 13.10).

Lives here: both kinds, what a parameter is, and how a template is put in the place of a use. Where
templates are found is not known here: the scheme is told, and what it finds a use asks for
(engine/resolving.py).

A use is the block that the template would be if its arguments were written there: its sub-nodes are
those of the template, decoded with its parameters as what placeholders stand for. Nothing else of
the use is seen from inside, and nothing inside is seen from it. What was put in tells one version
of a use from another, so a template that says the same in other words reloads none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Node
from greenflow.engine.resolving import Resolving
from greenflow.engine.services import Compiler, Services
from greenflow.errors import SpecFault, SpecInvalid
from greenflow.nodes.block import Composed
from greenflow.nodes.inner import BlockSpec, Inner
from greenflow.spec.decoding import Reading, decode, no_specs, reader
from greenflow.spec.fields import RawSpec, Spec
from greenflow.spec.known import closest, listed
from greenflow.spec.reference import Referred
from greenflow.spec.template import PENDING, Deferred, Scope
from greenflow.values.values import Bindings

# Templates in one another, at most: more than anybody can follow, and far from what Python's stack
# has room for.
DEEPEST = 16

#: Arguments of a use for which the parameter is looked for that was meant.
MOST_ADVISED = 20

# Specs that templates put into one spec at most. They are read without a pause, 0.1 ms each.
MOST_SPECS = 2_000

_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "list": list[Any],
    "map": dict[str, Any],
    "any": Any,
}
_NAME = re.compile(r"[\w-]+")  # as a placeholder calls it


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a template is to be told by each use."""

    type: Annotated[
        Literal["string", "integer", "number", "boolean", "list", "map", "any"],
        Meta(description="what a use may give"),
    ] = "any"
    default: Annotated[Any, Meta(description="what it is where a use gives none")] = None
    description: Annotated[str, Meta(description="what it is for")] = ""
    values: Annotated[list[Any], Meta(description="which ones are allowed; none: any")] = []

    def read(self, value: Any, path: str) -> tuple[Any, list[SpecFault]]:
        """A value as this parameter takes it, and what is wrong with it."""
        faults = Reading(no_specs, None)
        read = reader(_TYPES[self.type])(value, path, faults)
        if not faults and self.values and read not in self.values:
            allowed = ", ".join(map(repr, self.values))
            faults.append(SpecFault(path, f"{read!r} is not allowed; allowed are {allowed}"))
        return read, list(faults)


class TemplateSpec(Spec):
    specs: Annotated[
        list[RawSpec],
        Meta(min_length=1, description="the specs of the sub-nodes", extra={"alias": "nodes"}),
    ]
    parameters: Annotated[
        dict[str, Parameter], Meta(description="what {{ .NAME }} stands for in `specs`")
    ] = {}
    inbounds: Annotated[
        dict[str, list[Inner]], Meta(description="in ports, and where inside they lead")
    ] = {}
    outbounds: Annotated[
        dict[str, list[Inner]], Meta(description="out ports, and where inside they come from")
    ] = {}
    timeout: Annotated[Any, Meta(description="how long all that is inside may take")] = None


class Body:
    """What a template is with the arguments of one use. Equal to what has the same sub-nodes,
    however that is written, and wherever."""

    def __init__(
        self,
        block: BlockSpec,
        ports: tuple[tuple[str, ...], tuple[str, ...]] | None,
        template: TemplateSpec,
        written_in: Referred,
    ) -> None:
        self.block, self.written_in = block, written_in
        self.ports = ports  # each level would ask the next one twice; None if not known yet
        self.documents = template.specs
        self.has_env = bool(template.env)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Body) and self.block == other.block and self.has_env == other.has_env
        )

    __hash__ = None  # type: ignore[assignment]


class UseSpec(Spec):
    template: Annotated[str, Meta(min_length=1, description="the name or id of the template")]
    arguments: Annotated[
        dict[str, Any], Meta(description="the parameters of the template, by name")
    ] = msgspec.field(name="with", default={})
    body: Annotated[Body | None, Meta(extra={"format": "derived"})] = None

    @property
    def is_rendered(self) -> bool:
        return bool(self.env) or (self.body is not None and self.body.has_env)

    # As a block has them. Raise Deferred where the template is not known.

    @property
    def specs(self) -> list[Spec]:
        return self._block.specs

    @property
    def inbounds(self) -> dict[str, list[Inner]]:
        return self._block.inbounds

    @property
    def timeout(self) -> float | None:
        return self._block.timeout

    @property
    def outbounds(self) -> dict[str, list[Inner]]:
        return self._block.outbounds

    @property
    def _block(self) -> BlockSpec:
        if self.body is None:
            raise Deferred
        return self.body.block


@node("template", inputs=(), outputs=())
class Template(Node[TemplateSpec]):
    """A block with parameters, of which `use` makes nodes. It is none itself: nothing can be sent
    to it."""

    renders = False

    @classmethod
    def check(cls, spec: TemplateSpec, compiler: Compiler) -> list[SpecFault]:
        faults = []
        for name, parameter in spec.parameters.items():
            path = f"$.parameters.{name}"
            if not _NAME.fullmatch(name):
                reason = "the name of a parameter is letters, digits, `_` and `-`"
                faults.append(SpecFault(path, reason))
            if name in spec.env:
                faults.append(SpecFault(path, "it is a key of `env` already"))
            allowed = msgspec.structs.replace(parameter, values=[])
            for place, value in enumerate(parameter.values):
                faults += allowed.read(value, f"{path}.values[{place}]")[1]
            if parameter.default is not None and "{{" not in str(parameter.default):
                faults += parameter.read(parameter.default, f"{path}.default")[1]
        return faults

    @classmethod
    def resolve(cls, spec: TemplateSpec, resolving: Resolving) -> TemplateSpec:
        """As it is, if its specs are sound as far as that can be said without its arguments."""
        if resolving.path != "$":
            reason = "a template is a spec of its own, and no part of another"
            raise SpecInvalid([SpecFault(resolving.path, reason)])
        _try(spec, Referred(resolving.document, lambda fault: ("", fault)), resolving)
        return spec


@node("use")
class Use(Composed):
    """A node made of a template, with arguments: a block with the template's sub-nodes.

    Its ports are those of the template. An error that arises inside goes to its `error` link.
    """

    spec_type = UseSpec

    def __init__(self, spec: Any, services: Services) -> None:
        super().__init__(spec, services)
        self.written_in = spec.body.written_in

    @classmethod
    def check(cls, spec: Any, compiler: Compiler) -> list[SpecFault]:
        return []  # `resolve` has seen to it

    @classmethod
    def resolve(cls, spec: Any, resolving: Resolving) -> Any:
        found = resolving.find("template", "template")
        try:
            template = decode(TemplateSpec, found.document, "$", no_specs)
        except SpecInvalid:  # the template itself tells
            resolving.defer()
        arguments = _arguments(template, found, resolving)
        try:
            body = _body(template, found, arguments, resolving)
        except SpecInvalid as error:
            # What is wrong whatever its arguments the template tells itself; what has no end, each
            # that takes part, for any of them may be the one to change.
            if not resolving.bindings.endless and _is_faulty(template, found, resolving):
                resolving.defer()
            inside = f"in template {spec.template!r}"
            raise SpecInvalid(
                SpecFault(f"{resolving.path}.template", f"{inside}, {found.told(fault)}")
                for fault in error.faults
            ) from None
        return msgspec.structs.replace(spec, body=body)

    @classmethod
    def ports(cls, spec: Any, compiler: Compiler) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if spec.body is None or spec.body.ports is None:
            raise Deferred
        ports: tuple[tuple[str, ...], tuple[str, ...]] = spec.body.ports
        return ports

    @classmethod
    def lacks(cls, spec: Any, compiler: Compiler) -> list[SpecFault]:
        body: Body = spec.body
        return [
            SpecFault("$.template", f"in template {spec.template!r}, {body.written_in.told(fault)}")
            for fault in super().lacks(spec, compiler)
        ]

    @classmethod
    def doubts(cls, spec: Any, compiler: Compiler) -> list[SpecFault]:
        return []  # they are of the template, whatever uses it

    def parts(self, document: Mapping[str, Any]) -> Iterator[tuple[Node[Any], Mapping[str, Any]]]:
        body: Body = self.spec.body  # type: ignore[attr-defined]
        for inner, its in reversed(list(zip(self.inner, body.documents, strict=True))):
            yield from inner.parts(its)
        yield self, document


def _arguments(template: TemplateSpec, found: Referred, resolving: Resolving) -> dict[str, Any]:
    """What a use gives, by the name of the parameter; PENDING for what is not known yet. Raises
    SpecInvalid, with the places of the use and of the template."""
    given = resolving.document.get("with") or {}
    called = f"template {resolving.document['template']!r}"
    arguments: dict[str, Any] = {}
    faults: list[SpecFault] = []

    def fault(path: str, reason: str, within: str) -> None:
        faults.append(SpecFault(path, f"{reason} ({called}, {found.place(within)})"))

    for name, written in given.items():
        path = f"{resolving.path}.with.{name}"
        parameter = template.parameters.get(name)
        if parameter is None:
            fault(path, _no_parameter(name, template, len(faults)), "$.parameters")
            continue
        value = resolving.rendered(written)
        if value is PENDING:
            arguments[name] = PENDING
        elif value is not None or parameter.type == "any":  # else it is a field left out
            arguments[name], wrong = parameter.read(value, path)
            for each in wrong:
                fault(each.path, each.reason, f"$.parameters.{name}")
    for name, parameter in template.parameters.items():
        if parameter.default is None and name not in arguments:
            path = f"{resolving.path}.with.{name}"
            reason = f"missing; this parameter ({parameter.type}) has no default"
            fault(path, reason, f"$.parameters.{name}")
    if faults:
        raise SpecInvalid(faults)
    return arguments


def _no_parameter(name: str, template: TemplateSpec, faults: int) -> str:
    """What is wrong with an argument for no parameter, beside so many other faults: who has many
    has not mistyped them."""
    if faults >= MOST_ADVISED:
        return "no such parameter"
    close = closest(name, template.parameters)
    hint = f"did you mean {close!r}? " if close else ""
    return f"no such parameter; {hint}there are {listed(sorted(template.parameters)) or 'none'}"


def _body(
    template: TemplateSpec, found: Referred, arguments: Mapping[str, Any], resolving: Resolving
) -> Body:
    """The template with arguments in it. Raises SpecInvalid, with paths in the template, and
    Deferred."""
    bindings = resolving.bindings
    if found.key in bindings.inside:
        circle = [name for _, name in (*bindings.inside, found.key)]
        _endless(bindings, f"template {circle[-1]!r} is inside of itself: {' > '.join(circle)}")
    if len(bindings.inside) == DEEPEST:
        _endless(bindings, f"templates are more than {DEEPEST} deep in one another")
    bindings.put_in += len(template.specs)
    if bindings.put_in > MOST_SPECS:
        _endless(bindings, f"templates put more than {MOST_SPECS:,} specs into one")
    bindings.inside.append(found.key)
    try:
        env = bindings.scope(template.env, "$.env", None)
        values = {**_defaults(template, env, arguments), **arguments}
        scope = Scope(
            {**env.root, **values},
            f"template {template.name or template.id!r}",
            bindings,
            public={*values, *(key for key in env.root if key in env.public)},
            literals=frozenset(values),
        )
        document = {
            "kind": "block",
            "specs": template.specs,
            "inbounds": found.document.get("inbounds"),
            "outbounds": found.document.get("outbounds"),
            "timeout": template.timeout,
        }
        block = resolving.decode(document, scope)
    finally:
        bindings.inside.pop()
    assert isinstance(block, BlockSpec)
    ports = None if bindings.deferred else resolving.compiler.ports(block)
    return Body(block, ports, template, found)


def _defaults(template: TemplateSpec, env: Scope, given: Mapping[str, Any]) -> dict[str, Any]:
    """What parameters are where a use does not say."""
    defaults: dict[str, Any] = {}
    for name, parameter in template.parameters.items():
        if parameter.default is not None and name not in given:
            path = f"$.parameters.{name}.default"
            try:
                defaults[name], faults = parameter.read(env.render(parameter.default), path)
            except LookupError as error:
                faults = [SpecFault(path, str(error))]
            except Deferred:
                defaults[name], faults = PENDING, []
            if faults:
                raise SpecInvalid(faults)
    return defaults


def _try(template: TemplateSpec, found: Referred, resolving: Resolving) -> None:
    """Raise SpecInvalid for what is wrong with a template whatever its arguments."""
    bindings = resolving.bindings
    deferred = bindings.deferred
    try:
        _body(template, found, dict.fromkeys(template.parameters, PENDING), resolving)
    except Deferred:
        pass
    finally:
        bindings.deferred = deferred


def _is_faulty(template: TemplateSpec, found: Referred, resolving: Resolving) -> bool:
    try:
        _try(template, found, resolving)
    except SpecInvalid:
        return True
    return False


def _endless(bindings: Bindings, reason: str) -> NoReturn:
    bindings.endless = True
    raise SpecInvalid([SpecFault("$", reason)])
