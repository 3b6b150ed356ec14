"""Spec: the fields that every node has, and the strict reading of a document into a spec.

Lives here: Spec, Link, the marks a field may carry, and `decode`. Which kinds there are is
scheme.py's.

A kind's spec is a msgspec.Struct; msgspec checks every leaf with its constraints. This module walks
the structure around it, because people write specs by hand: a single value where a list is wanted
is a list of one, a string where a number is wanted is read as one, a duration has units (BEHAVIOUR
1.5 to 1.7), every fault is reported, and each with its full path.

Placeholders are rendered on the way, in every string of the fields that a kind adds (BEHAVIOUR
16.3): a field is then read as if its value had been written there. Where the value is not known
yet, because the spec is only checked, a string stays as it is if its field takes it so, and else
nothing more can be said of the spec: `decode` raises Deferred.
"""

from __future__ import annotations

import difflib
import functools
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from greenflow.duration import parse_duration
from greenflow.errors import SpecFault, SpecInvalid
from greenflow.log import redact
from greenflow.port import canonical
from greenflow.template import Deferred, Scope

D = TypeVar("D")

Duration = Annotated[float, Meta(ge=0, extra={"format": "duration"})]
"""Seconds; in a document a number or a string with units, such as `250ms` or `1m30s`."""


Code = Annotated[str, Meta(extra={"format": "code"})]
"""Text in some language; a number or boolean is the text it was written as (`when: true`)."""


def alias(name: str) -> Meta:
    """Mark a field that a document may also call by another name (BEHAVIOUR 1.6)."""
    return Meta(extra={"alias": name})


class Link(Struct, frozen=True, forbid_unknown_fields=True):
    """Where an out port leads: a node by id or name (the id decides), and its in port."""

    id: Annotated[str | None, Meta(description="the id of the node")] = None
    name: Annotated[str | None, Meta(description="the name of the node")] = None
    port: Annotated[str, Meta(description="its in port")] = "in"

    def __post_init__(self) -> None:
        if not self.id and not self.name:
            raise ValueError("a link needs the id or the name of a node")
        canonical(self.port)


class EnvValue(Struct, frozen=True, forbid_unknown_fields=True):
    """What a key of `env` stands for: a named value, rendered with `data` as its template."""

    id: Annotated[str | None, Meta(description="the id of a value")] = None
    name: Annotated[str | None, Meta(description="the name of a value")] = None
    data: Annotated[
        Any, Meta(description="template on the value; default: all of it"), alias("value")
    ] = None


Env = dict[str, Annotated[EnvValue, Meta(extra={"format": "one"})]]


class Spec(Struct, kw_only=True, forbid_unknown_fields=True):
    """The declarative description of one node; a kind adds its own fields."""

    kind: Annotated[str, Meta(min_length=1, description="the type of the node")]
    id: Annotated[str, Meta(min_length=1, description="unique; made when it is left out")] = ""
    namespace: Annotated[str, Meta(min_length=1, description="which runtime runs it")] = "default"
    name: Annotated[str | None, Meta(description="unique in its namespace")] = None
    annotations: Annotated[dict[str, Any], Meta(description="notes, without effect")] = {}
    env: Annotated[Env, Meta(description="values for {{ .KEY }}")] = {}
    links: Annotated[
        dict[str, list[Link]],
        Meta(description="where each out port leads", extra={"alias": "ports"}),
    ] = {}

    def __post_init__(self) -> None:
        if self.name == "":
            raise ValueError("name must not be empty; leave it out")

    def __repr__(self) -> str:
        return redact(super().__repr__())


COMMON = frozenset(field.name for field in msgspec.structs.fields(Spec))
"""The fields that every spec has, in which nothing is rendered."""

Nested = Callable[[Any, str], Spec]


class Reading(list[SpecFault]):
    """The faults found so far, what reads a spec inside a spec, given its path, and what
    placeholders stand for."""

    def __init__(self, nested: Nested, scope: Scope | None) -> None:
        super().__init__()
        self.nested, self.scope = nested, scope
        self.guessed = False  # something has its placeholder in the place of its value
        self.deferred = False  # something could not be read so

    def rendered(self, read: Read, value: Any, path: str) -> Any:
        """What is read of a value that may have placeholders. What was inserted has none."""
        scope, self.scope = self.scope, None
        assert scope is not None
        try:
            return read(scope.render(value), path, self)
        except LookupError as error:
            self.append(SpecFault(path, str(error)))
        except Deferred:
            trial = Reading(self.nested, None)
            result = read(value, path, trial)
            self.guessed = True
            if not trial:
                return result
            # A list or map with placeholders in it is one whatever they stand for.
            whole = [] if isinstance(value, str) else [one for one in trial if one.path == path]
            self += whole
            self.deferred = self.deferred or not whole
        finally:
            self.scope = scope
        return None


def decode(
    spec_type: type[D], document: Any, path: str, nested: Nested, scope: Scope | None = None
) -> D:
    """The document as a spec, its placeholders rendered by the scope, if there is one.

    Raises SpecInvalid with every fault and its path, Deferred when that is all that can be said.
    """
    faults = Reading(nested, scope)
    spec = _read_struct(typing.cast(Any, spec_type))(document, path, faults)
    if faults:
        raise SpecInvalid(faults)
    if faults.deferred:
        raise Deferred
    return typing.cast(D, spec)


def read_env(document: Any, path: str) -> dict[str, EnvValue] | None:
    """The field `env` of a spec by itself; None if it is none, which `decode` then explains."""
    faults = Reading(_no_specs, None)
    env = reader(Env)(document, path, faults)
    return None if faults else typing.cast(dict[str, EnvValue], env)


def _no_specs(document: Any, path: str) -> typing.NoReturn:
    raise SpecInvalid([SpecFault(path, "no spec is expected here")])


def rename(spec_type: type[Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document with the field names of the spec in place of their aliases. Raises SpecInvalid
    where both names are given; null is a field left out."""
    known = {field.name: field for field in fields(typing.cast(Any, spec_type))}
    known |= {field.alias: field for field in known.values() if field.alias}
    given: dict[str, Any] = {}
    for key, item in document.items():
        name = known[key].name if key in known else key
        if item is not None and given.get(name) is not None:
            raise SpecInvalid([SpecFault(f"$.{key}", _both(known[key]))])
        if item is not None or name not in given:
            given[name] = item
    return given


def as_written(spec_type: type[Any], document: dict[str, Any], path: str) -> str:
    """The path of a fault with the name of a field that the document uses, so that the fault is
    found in the text."""
    for field in fields(typing.cast(Any, spec_type)):
        rest = path.removeprefix(f"$.{field.name}")
        if field.alias in document and rest != path and rest[:1] in ("", ".", "["):
            return f"$.{field.alias}{rest}"
    return path


class Field(msgspec.Struct, frozen=True):
    """One declared field of a spec, for reading documents and for telling people about it."""

    name: str
    type: Any
    required: bool
    default: Any
    alias: str | None
    description: str


@functools.cache
def fields(spec_type: Any) -> tuple[Field, ...]:
    """The declared fields of a struct."""
    hints = typing.get_type_hints(spec_type, include_extras=True)
    found = []
    for field in msgspec.structs.fields(spec_type):
        marks = [mark for mark in _marks(hints[field.name]) if isinstance(mark, Meta)]
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        found.append(
            Field(
                field.name,
                hints[field.name],
                field.required,
                default,
                next((m.extra["alias"] for m in marks if m.extra and "alias" in m.extra), None),
                next((m.description for m in marks if m.description), ""),
            )
        )
    return tuple(found)


def structs(kind: Any) -> tuple[Any, ...]:
    """The structs that a type is made of, less specs: what may be written below such a field."""
    bare, _ = unmarked(kind)
    if isinstance(bare, type) and issubclass(bare, Struct):
        return () if issubclass(bare, Spec) else (bare,)
    return tuple(found for argument in typing.get_args(bare) for found in structs(argument))


_LIMITS = {
    "ge": "{} or more",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "min_length": "not empty",
}


def limits(kind: Any) -> str:
    """The limits of a type in words, such as `1 or more, at most 9`; most have none."""
    bare, marks = unmarked(kind)
    found = [
        text.format(limit)
        for mark in marks
        for name, text in _LIMITS.items()
        if (limit := getattr(mark, name, None)) is not None
    ]
    if not found and type(None) in typing.get_args(bare):
        return ", ".join(filter(None, map(limits, typing.get_args(bare))))
    return ", ".join(dict.fromkeys(found))


# -- reading: for each type a function (value, path, faults) -> value, made once -------------------

Read = Callable[[Any, str, Reading], Any]


@functools.cache
def reader(kind: Any) -> Read:
    """What reads a value of that type; it appends to the faults instead of raising."""
    read, is_leaf = _reader(kind)

    def render(value: Any, path: str, faults: Reading) -> Any:
        if faults.scope is None or not (is_leaf or isinstance(value, str)):
            return read(value, path, faults)
        return faults.rendered(read, value, path)

    return render


def _reader(kind: Any) -> tuple[Read, bool]:
    """What reads values that are rendered, and whether it leaves what is in them to nobody."""
    bare, marks = unmarked(kind)
    if has_format(marks, "duration"):
        return _read_duration(kind), True
    if has_format(marks, "code"):
        return _read_code(kind), True
    if has_format(marks, "one"):
        return _read_one(reader(bare)), False
    origin, arguments = typing.get_origin(bare), typing.get_args(bare)
    if origin is list:
        check = _leaf(constrained(list[Any], marks))
        return _read_list(reader(arguments[0]), check), False
    if origin is tuple and arguments[1:] == (...,):
        items = _read_list(reader(arguments[0]), _leaf(constrained(list[Any], marks)))
        return (lambda value, path, faults: tuple(items(value, path, faults))), False
    if origin is dict:
        return _read_map(reader(arguments[1])), False
    if origin in (typing.Union, types.UnionType) and type(None) in arguments:
        others = [argument for argument in arguments if argument is not type(None)]
        if len(others) == 1:
            return _read_optional(reader(constrained(others[0], marks))), False
    if bare is Spec:
        return _read_nested, False
    if isinstance(bare, type) and issubclass(bare, Struct):
        return _read_struct(bare), False
    return _leaf(kind), True


def _marks(kind: Any) -> tuple[Any, ...]:
    return tuple(kind.__metadata__) if typing.get_origin(kind) is Annotated else ()


def unmarked(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its marks, and the marks."""
    marks = _marks(kind)
    return (typing.get_args(kind)[0] if marks else kind), marks


def constrained(kind: Any, marks: tuple[Any, ...]) -> Any:
    """The type with the marks."""
    return Annotated[(kind, *marks)] if marks else kind


def has_format(marks: tuple[Any, ...], name: str) -> bool:
    """Whether one of the marks says that a value may be written so: `duration`, `code`, `one`."""
    return any(
        isinstance(mark, Meta) and mark.extra is not None and mark.extra.get("format") == name
        for mark in marks
    )


def _leaf(kind: Any) -> Read:
    bare = typing.get_args(kind)[0] if _marks(kind) else kind
    allowed = ""
    if typing.get_origin(bare) is typing.Literal:
        allowed = f"; allowed are {', '.join(map(repr, typing.get_args(bare)))}"

    def read(value: Any, path: str, faults: Reading) -> Any:
        try:
            found = msgspec.convert(value, kind, strict=False)
            if type(found) is float and not math.isfinite(found):
                faults.append(SpecFault(path, f"{value!r} is no finite number"))
            return found
        except msgspec.ValidationError as error:
            reason, _, below = str(error).partition(" - at `$")
            reason = reason[:1].lower() + reason[1:] + allowed
            faults.append(SpecFault(path + below.rstrip("`"), reason))
            return None

    return read


def _read_duration(kind: Any) -> Read:
    check = _leaf(kind)

    def read(value: Any, path: str, faults: Reading) -> Any:
        try:
            return check(parse_duration(value), path, faults)
        except (TypeError, ValueError) as error:
            faults.append(SpecFault(path, str(error)))
            return None

    return read


def _read_code(kind: Any) -> Read:
    check = _leaf(kind)

    def read(value: Any, path: str, faults: Reading) -> Any:
        text = json.dumps(value) if isinstance(value, bool | int | float) else value
        return check(text, path, faults)

    return read


def _read_one(item: Read) -> Read:
    def read(value: Any, path: str, faults: Reading) -> Any:
        if isinstance(value, list):
            if len(value) != 1:
                faults.append(SpecFault(path, f"a list of {len(value)} where one is wanted"))
                return None
            return item(value[0], f"{path}[0]", faults)
        return item(value, path, faults)

    return read


def _read_list(item: Read, check: Read) -> Read:
    def read(value: Any, path: str, faults: Reading) -> Any:
        items = value if isinstance(value, list) else [value]
        check(items, path, faults)
        return [item(one, f"{path}[{i}]", faults) for i, one in enumerate(items)]

    return read


def _read_map(item: Read) -> Read:
    def read(value: Any, path: str, faults: Reading) -> Any:
        if not isinstance(value, dict):
            faults.append(SpecFault(path, f"expected a map, got {_name(value)}"))
            return None
        return {key: item(one, f"{path}.{key}", faults) for key, one in value.items()}

    return read


def _read_optional(item: Read) -> Read:
    def read(value: Any, path: str, faults: Reading) -> Any:
        return None if value is None else item(value, path, faults)

    return read


def _read_nested(value: Any, path: str, faults: Reading) -> Any:
    try:
        return faults.nested(value, path)
    except SpecInvalid as error:
        faults += error.faults
    except Deferred:
        faults.deferred = True
    return None


@functools.cache
def _read_struct(struct: Any) -> Read:
    declared = fields(struct)
    readers = {field.name: reader(field.type) for field in declared}
    by_name = {field.name: field for field in declared}
    by_name |= {field.alias: field for field in declared if field.alias}
    common = COMMON if issubclass(struct, Spec) else ()

    def read(value: Any, path: str, faults: Reading) -> Any:
        if not isinstance(value, dict):
            faults.append(SpecFault(path, f"expected a map, got {_name(value)}"))
            return None
        before, given, scope = len(faults), {}, faults.scope
        for key, one in value.items():
            field = by_name.get(key)
            if field is None:
                faults.append(SpecFault(f"{path}.{key}", _unknown(key, by_name)))
            elif one is None and not field.required and field.default is not None:
                continue  # null is a field left out
            elif field.name in given:
                faults.append(SpecFault(f"{path}.{key}", _both(field)))
            else:
                if scope is not None:
                    faults.scope = None if field.name in common else scope
                given[field.name] = readers[field.name](one, f"{path}.{key}", faults)
        faults.scope = scope
        for field in declared:
            if field.required and field.name not in given:
                faults.append(SpecFault(f"{path}.{field.name}", "missing; this field is required"))
        if len(faults) > before or faults.deferred:
            return None
        try:
            return struct(**given)
        except ValueError as error:
            if faults.guessed:
                faults.deferred = True
            else:
                faults.append(SpecFault(path, str(error)))
            return None

    return read


def _both(field: Field) -> str:
    return f"{field.name!r} and {field.alias!r} are one field; give one of them"


def _unknown(key: object, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(str(key), known, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown field; {hint}allowed are {', '.join(sorted(known))}"


def _name(value: object) -> str:
    names = {dict: "a map", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
