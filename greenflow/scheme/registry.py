"""The registry of kinds: from a document to a spec, and from a spec to a node.

Lives here: Scheme. Kinds come in through the entry points `greenflow.nodes`, ours like those of
other packages; a kind is imported when a spec first names it. What a kind does is in nodes/.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import resources
from importlib.metadata import EntryPoint
from typing import Any

import msgspec

from greenflow.engine.node import Node
from greenflow.engine.resolving import Resolving
from greenflow.engine.services import Services
from greenflow.engine.source import Source
from greenflow.errors import CompileFailed, GreenflowError, SpecFault, SpecInvalid
from greenflow.extras import reason
from greenflow.hub.breathing import pause, unhurried
from greenflow.plugins import offered
from greenflow.scheme.compat import translation
from greenflow.scheme.compat.releases import RELEASES, Release
from greenflow.spec.decoding import decode, read_env
from greenflow.spec.fields import (
    COMMON,
    Field,
    Spec,
    as_written,
    fields,
    has_format,
    limits,
    rename,
    structs,
)
from greenflow.spec.known import closest, listed
from greenflow.spec.path import value_at
from greenflow.spec.ports import canonical, has_output
from greenflow.spec.reference import Beside
from greenflow.spec.template import Deferred, Scope
from greenflow.spec.translated import Translated
from greenflow.spec.undecoded import inner_of
from greenflow.values.values import Bindings

GROUP = "greenflow.nodes"  # the entry points that kinds come from

#: Specs inside one another: what a person writes is far below, and Python's stack has room for it.
DEEPEST = 50

#: Kinds that the Go engine had in some release, and what does their work (migrating.md).
FORMER = {
    "chart": "block",
    "native": "syscall",
    "proxy": "http",
    "reduce": "snippet",
    "signal": "trigger",
    "upgrade": "gateway",
}


class Scheme:
    """The kinds a runtime knows, by name. `known` maps a kind to a Node class or an entry point.
    With a `release`, documents that come in from outside mean what they mean to it."""

    def __init__(
        self,
        known: Mapping[str, type[Node[Any]] | EntryPoint],
        release: Release | None = None,
    ) -> None:
        self._known, self.release = dict(known), release

    @classmethod
    def installed(cls, *, without: Iterable[str] = (), compat: str = "none") -> Scheme:
        """Every kind that an installed package declares, less those named. `compat` is the setting
        of that name."""
        left_out = set(without)
        known = {e.name: e for e in offered(GROUP) if e.name not in left_out}
        return cls(known, RELEASES.get(compat))

    def register(self, kind: type[Node[Any]], name: str | None = None) -> None:
        """Add a kind, or put it in the place of the one of that name."""
        self._known[name or kind.kind] = kind

    def kinds(self) -> list[str]:
        """The names of all kinds, sorted."""
        return sorted(self._known)

    def node_type(self, kind: str) -> type[Node[Any]]:
        """The class of a kind. Raises LookupError for an unknown one, GreenflowError if its
        package fails to import."""
        known = self._known.get(kind)
        if known is None:
            former, close = FORMER.get(kind), closest(kind, self._known)
            hint = f"did you mean {close!r}? " if close else ""
            if former is not None:
                hint = f"{former!r} does its work here; "
            raise LookupError(f"unknown kind {kind!r}; {hint}known are {', '.join(self.kinds())}")
        if isinstance(known, EntryPoint):
            try:
                known = self._known[kind] = known.load()
            except ImportError as error:
                message = f"kind {kind!r} cannot be imported: {reason(error)}"
                raise GreenflowError(message) from error
        return known

    def decode(
        self,
        document: Any,
        namespace: str,
        path: str = "$",
        bindings: Bindings | None = None,
        around: Scope | None = None,
    ) -> Spec:
        """The document as the spec of its kind, checked as far as that goes without running it.

        `bindings` say what its placeholders stand for (BEHAVIOUR 16.3), `around` is the scope of
        the spec it is a part of. Without bindings what placeholders stand for is not known: they
        stay where a field takes them as they are, and all that depends on them is not checked.

        Raises SpecInvalid; Deferred when it cannot be decoded without what they stand for.
        """
        bindings = Bindings() if bindings is None else bindings
        if bindings.depth >= DEEPEST:
            reason = f"specs are nested deeper than {DEEPEST}, with those of templates"
            raise SpecInvalid([SpecFault(path, reason)])
        bindings.depth += 1
        try:
            return self._decode(document, namespace, path, bindings, around)
        finally:
            bindings.depth -= 1

    def _decode(
        self, document: Any, namespace: str, path: str, bindings: Bindings, around: Scope | None
    ) -> Spec:
        pause()
        node_type = self._kind_of(document, path)
        if document.get("namespace") is None:
            document = {**document, "namespace": namespace}
        scope = self._scope(document, path, bindings, around)

        def decode_inner(inner: Any, at: str) -> Spec:
            return self.decode(inner, namespace, at, bindings, scope)

        spec_type = node_type.spec_type
        before, bindings.deferred = bindings.deferred, False
        try:
            spec = decode(spec_type, document, path, decode_inner, scope)
            if node_type.resolve.__func__ is not Node.resolve.__func__:  # type: ignore[attr-defined]
                with suppress(Deferred):  # what it refers to is not known yet
                    spec = node_type.resolve(
                        spec, Resolving(self, document, spec.namespace, path, bindings, scope)
                    )
        finally:
            is_whole = not bindings.deferred
            bindings.deferred = bindings.deferred or before
        written = [
            fault._replace(path=as_written(spec_type, document, fault.path))
            for fault in unhurried(self._check(spec, is_whole))
        ]
        faults = [
            _in_template(fault, document, scope) if fault.line else fault
            for fault in unhurried(written)
            if is_whole or not fault.line or not _depends(fault, document, scope)
        ]
        if faults:
            placed = (fault._replace(path=path + fault.path[1:]) for fault in unhurried(faults))
            raise SpecInvalid(placed)
        return spec

    def _scope(
        self, document: dict[str, Any], path: str, bindings: Bindings, around: Scope | None
    ) -> Scope | None:
        """What placeholders in the spec stand for; None if it has no `env` and none is around."""
        if not self.node_type(document["kind"]).renders:
            return None
        env = read_env(document["env"], f"{path}.env") if document.get("env") else None
        return bindings.scope(env, f"{path}.env", around) if env else around

    def _kind_of(self, document: Any, path: str) -> type[Node[Any]]:
        if not isinstance(document, dict):
            raise SpecInvalid([SpecFault(path, "a spec is a map")])
        kind = document.get("kind")
        if not isinstance(kind, str):
            reason = "missing; every spec says its kind" if kind is None else "a kind is a string"
            raise SpecInvalid([SpecFault(f"{path}.kind", reason)])
        try:
            return self.node_type(kind)
        except (LookupError, GreenflowError) as error:
            raise SpecInvalid([SpecFault(f"{path}.kind", str(error.args[0]))]) from None

    def _check(self, spec: Spec, is_whole: bool) -> list[SpecFault]:
        """What is wrong beyond types; without what placeholders stand for only what does not depend
        on it, and all that is wrong with code."""
        node_type = self.node_type(spec.kind)
        if not is_whole and node_type.ports.__func__ is not Node.ports.__func__:  # type: ignore[attr-defined]
            return []
        try:
            faults = [each for each in node_type.check(spec, self) if is_whole or each.line]
            if faults:
                return faults
            outputs = self.ports(spec)[1]
        except SpecInvalid as error:
            return list(error.faults)
        seen: dict[str, str] = {}
        declared, allowed = frozenset(outputs), ""
        for name in spec.links:
            pause()
            path = f"$.links.{name}"
            try:
                port = canonical(name)
            except ValueError as error:
                faults.append(SpecFault(path, str(error)))
                continue
            if port in seen:
                faults.append(SpecFault(path, f"the same port as {seen[port]!r}"))
            seen[port] = name
            if not has_output(declared, port):
                allowed = allowed or listed((*outputs, "error"))
                reason = f"kind {spec.kind!r} has no out port {name!r}; it has {allowed}"
                faults.append(SpecFault(path, reason))
        return faults

    def translated(self, document: dict[str, Any]) -> Translated:
        """A document that comes in from outside, as it is meant here (BEHAVIOUR 1.12)."""
        if self.release is None:
            return Translated(document)
        return translation.translated(document, self.release, self)

    def validate(
        self, document: Any, namespace: str, beside: Beside | None = None
    ) -> dict[str, Any]:
        """The document as it is to be stored: checked, with its namespace, without aliases. It may
        refer to what is `beside` it.

        Raises SpecInvalid; also for code that does not compile.
        """
        bindings = Bindings() if beside is None else Bindings(beside.finder(document))
        with suppress(Deferred):  # the rest is seen when it is loaded
            self.decode(document, namespace, bindings=bindings)
        stored = rename(self.node_type(document["kind"]).spec_type, document)
        return {**stored, "namespace": document.get("namespace") or namespace}

    def known_type(self, document: Mapping[str, Any]) -> type[Node[Any]] | None:
        """The type of the kind that a document says, sound or not; None if there is none."""
        try:
            return self.node_type(str(document.get("kind")))
        except (LookupError, GreenflowError):
            return None

    def begins(self, document: Mapping[str, Any]) -> bool:
        """Whether a spec, or one inside of it, is of a kind of sources; sound or not."""
        kind = self.known_type(document)
        return bool(kind and issubclass(kind, Source)) or any(map(self.begins, inner_of(document)))

    def outline(self, document: dict[str, Any], namespace: str) -> Spec:
        """The fields that every spec has, of a document that `decode` has deferred."""
        known = rename(Spec, document)
        common = {key: known[key] for key in known if key in COMMON}
        return decode(Spec, {**common, "namespace": namespace}, "$", self.decode)

    def ports(self, spec: Spec) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The in and out ports of the node that a spec describes."""
        return self.node_type(spec.kind).ports(spec, self)

    def class_for(self, spec: Spec) -> type[Node[Any]]:
        """What the node of a spec is made of: its kind; greenflow.testing has others."""
        return self.node_type(spec.kind)

    def compile(self, spec: Spec, services: Services) -> Node[Any]:
        """The node of a spec. Raises CompileFailed, or what else its kind raises."""
        pause()
        try:
            return self.class_for(spec)(spec, services)
        except GreenflowError:
            raise
        except Exception as error:
            raise CompileFailed(f"{type(error).__name__}: {error}") from error

    def describe(self, kind: str) -> dict[str, Any]:
        """What a kind declares of itself, for people. Raises LookupError."""
        node_type = self.node_type(kind)
        return {
            "kind": kind,
            "is": node_type.kind,  # its name, if `kind` is another name of it (BEHAVIOUR 1.6)
            "doc": inspect.cleandoc(node_type.__doc__ or ""),
            "inputs": list(node_type.inputs),
            "outputs": [*node_type.outputs, "error"],
            "reaches_outside": node_type.reaches_outside,
            "fields": [_described(field) for field in fields(node_type.spec_type)],
            "example": example(node_type),
        }


def example(node_type: type[Node[Any]]) -> str | None:
    """How a kind is used: a file of cases, `examples/KIND.flow.yaml`, which lies beside the module
    that declares the kind; None if there is none."""
    module = sys.modules.get(node_type.__module__)
    package = getattr(getattr(module, "__spec__", None), "parent", None)
    if not package:
        return None
    file = resources.files(package) / "examples" / f"{node_type.kind}.flow.yaml"
    return file.read_text() if file.is_file() else None


def _in_template(fault: SpecFault, document: Any, scope: Scope | None) -> SpecFault:
    """The fault of code at its place in the code as it was written, before it was rendered."""
    code = value_at(document, fault.path)
    if scope is None or not isinstance(code, str) or not scope.has_placeholder(code):
        return fault
    line, column = scope.place(code, fault.line, fault.column)
    return fault._replace(line=line, column=column)


def _depends(fault: SpecFault, document: Any, scope: Scope | None) -> bool:
    """Whether code, or in which language it is, depends on what placeholders stand for."""
    texts = (value_at(document, fault.path), document.get("language", ""))
    return any(
        not isinstance(text, str) or (scope is not None and scope.has_placeholder(text))
        for text in texts
    )


def _described(field: Field) -> dict[str, Any]:
    """What a field declares of itself; `fields` are those of the maps in it."""
    inner = [_described(one) for struct in structs(field.type) for one in fields(struct)]
    default = None if field.required else msgspec.to_builtins(field.default)
    return {
        "name": field.name,
        "alias": field.alias,
        "type": type_name(field.type),
        "limits": limits(field.type),
        "required": field.required,
        "default": default,
        "doc": field.description,
        **({"fields": inner} if inner else {}),
    }


def type_name(kind: Any) -> str:
    """A type as a person who writes specs calls it."""
    if typing.get_origin(kind) is typing.Annotated:
        bare, *marks = typing.get_args(kind)
        if has_format(tuple(marks), "duration"):
            return "duration"
        if has_format(tuple(marks), "interval"):
            return "duration | CEL"
        if has_format(tuple(marks), "spec"):
            return "spec"
        return type_name(bare)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"map of {type_name(arguments[1])}"
    if origin is typing.Literal:
        return " | ".join(map(repr, arguments))
    if arguments:
        return " | ".join(
            type_name(argument) for argument in arguments if argument is not type(None)
        )
    names = {
        str: "string",
        bool: "boolean",
        int: "integer",
        float: "number",
        Any: "any value",
        bytes: "bytes",
    }
    if kind is Spec:
        return "spec"
    if isinstance(kind, type) and hasattr(kind, "__struct_fields__"):
        return "{" + ", ".join(kind.__struct_fields__) + "}"
    return names.get(kind, getattr(kind, "__name__", str(kind)))
