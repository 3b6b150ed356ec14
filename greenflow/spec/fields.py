"""Spec: the fields that every node has, and what may be asked of a kind's fields.

Lives here: Spec, Link, the marks a field may carry, and the fields of a spec as they are declared.
How a document is read into a spec is decoding.py's, which kinds there are scheme/registry.py's.
"""

from __future__ import annotations

import functools
import types
import typing
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct

from greenflow.errors import SpecFault, SpecInvalid
from greenflow.log.redactor import redact
from greenflow.spec.ports import canonical

Duration = Annotated[float, Meta(ge=0, extra={"format": "duration"})]

#: As Duration, for what has to be over by then.
TimeLimit = Annotated[float, Meta(gt=0, extra={"format": "duration"})]
"""Seconds; in a document a number or a string with units, such as `250ms` or `1m30s`."""


Code = Annotated[str, Meta(extra={"format": "code"})]
"""Text in some language; a number or boolean is the text it was written as (`when: true`)."""


Interval = Annotated[float | str, Meta(extra={"format": "interval"})]
"""Seconds, as a Duration is written, or the text of a CEL expression that gives them."""

EXPRESSION = r"(?:^|[^A-Za-z0-9_])self(?:[^A-Za-z0-9_]|$)"
"""What tells an expression from a duration, as the patterns of JSON Schema are written: it is about
the payload."""


RawSpec = Annotated[dict[str, Any], Meta(extra={"format": "spec"})]
"""A spec as it is written, to be read later: by then more is known of its placeholders."""


def alias(name: str) -> Meta:
    """Mark a field that a document may also call by another name (BEHAVIOUR 1.6)."""
    return Meta(extra={"alias": name})


#: Characters of a name or an id: what people call a thing is far below, and it stands in every
#: line of the log that is about it.
MOST_CHARACTERS = 1_024


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
    """The declarative description of one node; a kind adds its own fields.

    `one_of` are fields of which exactly one must be given; the kind's `check` says so to people.
    """

    one_of: ClassVar[tuple[str, ...]] = ()

    kind: Annotated[str, Meta(min_length=1, description="the type of the node")]
    id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MOST_CHARACTERS,
            description="unique; made when it is left out",
        ),
    ] = ""
    namespace: Annotated[
        str,
        Meta(min_length=1, max_length=MOST_CHARACTERS, description="which runtime runs it"),
    ] = "default"
    name: Annotated[
        str | None, Meta(max_length=MOST_CHARACTERS, description="unique in its namespace")
    ] = None
    annotations: Annotated[dict[str, Any], Meta(description="notes, without effect")] = {}
    env: Annotated[Env, Meta(description="values for {{ .KEY }}")] = {}
    links: Annotated[
        dict[str, list[Link]],
        Meta(description="where each out port leads", extra={"alias": "ports"}),
    ] = {}

    def __post_init__(self) -> None:
        if self.name == "":
            raise ValueError("name must not be empty; leave it out")

    @property
    def is_rendered(self) -> bool:
        """Whether values were rendered into it that may be secret."""
        return bool(self.env)

    def __repr__(self) -> str:
        return redact(super().__repr__())


COMMON = frozenset(field.name for field in msgspec.structs.fields(Spec))
"""The fields that every spec has, in which nothing is rendered."""


def rename(spec_type: type[Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document with the field names of the spec in place of their aliases. Raises SpecInvalid
    where both names are given; null is a field left out."""
    known = {field.name: field for field in fields(typing.cast(Any, spec_type))}
    known |= {field.alias: field for field in known.values() if field.alias}
    given: dict[str, Any] = {}
    for key, item in document.items():
        name = known[key].name if key in known else key
        if item is not None and given.get(name) is not None:
            raise SpecInvalid([SpecFault(f"$.{key}", both_given(known[key]))])
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
    """One declared field of a spec, for reading documents and for telling people about it. The
    name is that of documents; `attribute` is another where Python has the word for itself."""

    name: str
    attribute: str
    type: Any
    required: bool
    default: Any
    alias: str | None
    description: str


@functools.cache
def fields(spec_type: Any) -> tuple[Field, ...]:
    """The declared fields of a struct, less those `derived` that no document has: a kind makes
    them of the others, and they tell one spec from another as these do."""
    hints = typing.get_type_hints(spec_type, include_extras=True)
    found = []
    for field in msgspec.structs.fields(spec_type):
        marks = [mark for mark in _marks(hints[field.name]) if isinstance(mark, Meta)]
        if has_format(tuple(marks), "derived"):
            continue
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        found.append(
            Field(
                field.encode_name,
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


def _marks(kind: Any) -> tuple[Any, ...]:
    return tuple(kind.__metadata__) if typing.get_origin(kind) is Annotated else ()


def unmarked(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its marks, and the marks."""
    marks = _marks(kind)
    return (typing.get_args(kind)[0] if marks else kind), marks


def words_or_map(bare: Any) -> tuple[Any, Any] | None:
    """The parts of `Literal[...] | SomeStruct`, a field that is a word or a map; None of any other
    type."""
    if typing.get_origin(bare) in (typing.Union, types.UnionType):
        words, *others = typing.get_args(bare)
        if typing.get_origin(words) is typing.Literal and len(others) == 1:
            return words, others[0]
    return None


def constrained(kind: Any, marks: tuple[Any, ...]) -> Any:
    """The type with the marks."""
    return Annotated[(kind, *marks)] if marks else kind


def may_have_format(kind: Any, *names: str) -> bool:
    """Whether a value of that type is written in one of these formats, or may be."""
    bare, marks = unmarked(kind)
    if any(has_format(marks, name) for name in names):
        return True
    is_union = typing.get_origin(bare) in (typing.Union, types.UnionType)
    return is_union and any(may_have_format(part, *names) for part in typing.get_args(bare))


def has_format(marks: tuple[Any, ...], name: str) -> bool:
    """Whether one of the marks says that a value may be written so: `duration`, `code`, `one`,
    `spec`; or that none is written, `derived`."""
    return any(
        isinstance(mark, Meta) and mark.extra is not None and mark.extra.get("format") == name
        for mark in marks
    )


def both_given(field: Field) -> str:
    """The fault of a document that has a field and its alias."""
    return f"{field.name!r} and {field.alias!r} are one field; give one of them"
