"""One JSON Schema (2020-12) for spec files, made of what the kinds declare.

Lives here: from a Scheme to the schema, so that editors complete and check specs. It says what
`greenflow.spec.decoding` reads, no less: every document that is accepted there is accepted by the
schema, also one that uses aliases, single values for lists, strings for numbers, units of time and
placeholders (BEHAVIOUR 1.5 to 1.7, 16.3). It refuses what types, limits, names and ports say. What
only a compiler, the other specs or the machine can say (`check` of a kind) it does not know.

`enumDescriptions`, `patternErrorMessage` and `deprecated` are for editors; validators pass them by.

`Meta(extra_json_schema=...)` of a field adds what its type does not say, such as a pattern; the
kind has to check the same. Patterns keep to what ECMAScript and Python both read.
"""

from __future__ import annotations

import inspect
import logging
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from greenflow.engine.node import Node
from greenflow.errors import GreenflowError
from greenflow.scheme.registry import Scheme
from greenflow.spec.duration import MAX_SECONDS, NANOSECONDS_FROM, UNITS
from greenflow.spec.fields import (
    EXPRESSION,
    Field,
    Link,
    Spec,
    constrained,
    fields,
    has_format,
    unmarked,
    words_or_map,
)
from greenflow.spec.ports import ERROR, LIFECYCLE, OUT_PORT, PORT

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: What stands for a value that is known only when the spec is loaded (BEHAVIOUR 16.3).
PLACEHOLDER = r"\{\{\s*\."

# A number of JSON, which is what a string has to look like where a number is wanted.
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_BOOLEAN = "[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|-?0|1"

# As greenflow.spec.duration reads them.
_AMOUNT = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_UNIT = "|".join(sorted(UNITS, key=len, reverse=True))
_SECONDS = (
    rf"\s*(?:(?:{_AMOUNT}(?:{_UNIT}))+|\+?{_AMOUNT}(?:[eE][-+]?[0-9]+)?"
    r"|-(?:0+(?:\.0*)?|\.0+)(?:[eE][-+]?[0-9]+)?)\s*"
)

_DURATION: Schema = {
    "description": "seconds, or a text with units such as 250ms or 1m30s; a whole number from"
    f" {NANOSECONDS_FROM:,} on is nanoseconds",
    "type": ["number", "string"],
    "minimum": 0,
    "maximum": MAX_SECONDS * 1e9,
    "maxLength": 64,
    "pattern": f"^(?:{_SECONDS})$",
    "patternErrorMessage": "write seconds (1.5) or units, such as 250ms or 1m30s",
}
_PLACEHOLDER: Schema = {
    "description": "a value of `env`, such as {{ .KEY }}",
    "type": "string",
    "pattern": PLACEHOLDER,
    "patternErrorMessage": "or a placeholder, such as {{ .KEY }}",
}

logger = logging.getLogger("greenflow.schema")


def schema_of(scheme: Scheme) -> Schema:
    """The schema of what a spec file holds: a spec, or a list of specs. A kind whose package cannot
    be imported is left out, with a warning."""
    return _Maker(scheme).whole()


class _Maker:
    """Makes the schema; collects the definitions that its parts refer to."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self.definitions: Schema = {"duration": _DURATION, "placeholder": _PLACEHOLDER}
        self.names: dict[type[Struct], str] = {Link: "link"}
        self.definitions["link"] = self.link()
        self.definitions["targets"] = _one_or_more({"$ref": "#/$defs/link"})

    def whole(self) -> Schema:
        node_types: dict[type[Node[Any]], list[str]] = {}
        for kind in self.scheme.kinds():
            try:
                node_types.setdefault(self.scheme.node_type(kind), []).append(kind)
            except GreenflowError as error:
                logger.warning("left out of the schema: %s", error)
        kinds = {kind: _doc(node) for node, names in node_types.items() for kind in names}
        names = sorted(kinds)
        self.definitions["spec"] = {
            "type": "object",
            "required": ["kind"],
            "properties": {
                "kind": {
                    "enum": names,
                    "enumDescriptions": [
                        " ".join(kinds[kind].partition("\n\n")[0].split()) for kind in names
                    ],
                    "description": "the type of the node",
                }
            },
            "allOf": [
                {
                    "if": {"properties": {"kind": {"enum": names}}, "required": ["kind"]},
                    "then": {"$ref": f"#/$defs/kind.{node_type.kind}"},
                }
                for node_type, names in node_types.items()
            ],
        }
        for node_type, names in node_types.items():
            self.definitions[f"kind.{node_type.kind}"] = self.kind(node_type, names)
        one = {"$ref": "#/$defs/spec"}
        return {
            "$schema": DIALECT,
            "title": "greenflow specs",
            "description": "A spec of one node, or a list of them.",
            **_one_or_more(one),
            "$defs": dict(sorted(self.definitions.items())),
        }

    def kind(self, node_type: type[Node[Any]], names: list[str]) -> Schema:
        """The schema of the specs of one kind, which may have several names."""
        common = {field.name: field for field in fields(typing.cast(Any, Spec))}
        own = fields(typing.cast(Any, node_type.spec_type))
        made = self.struct(field for field in own if field != common.get(field.name))
        shared = self.common(node_type)
        made["properties"] |= shared["properties"]
        made["properties"]["kind"] = {"enum": names, "description": common["kind"].description}
        made["required"] = ["kind", *made.get("required", ())]
        made["allOf"] = [*shared["allOf"], *made.get("allOf", ())]
        if one_of := node_type.spec_type.one_of:
            made["allOf"].append({"oneOf": list(map(_given, one_of))})
        return {"description": _doc(node_type), **made}

    def common(self, node_type: type[Node[Any]]) -> Schema:
        """The fields that every spec has: definitions, which the kinds share."""
        made = self.struct(fields(typing.cast(Any, Spec)), placeholders=False)
        properties = made["properties"]
        properties["name"]["minLength"] = 1
        links = self.links(node_type)
        ports = "-".join(re.findall(r"\w+", " ".join(links["properties"])))
        shown = f"links.{ports}{'.any' if PORT in links['patternProperties'] else ''}"
        for name, one in properties.items():
            notes = {key: one[key] for key in _NOTES if key in one}
            is_links = notes.get("default") == {} and name in ("links", "ports")
            defined = shown if is_links else f"field.{name}"
            self.definitions[defined] = links if is_links else one
            properties[name] = {"$ref": f"#/$defs/{defined}", **(notes if is_links else {})}
        return made

    def links(self, node_type: type[Node[Any]]) -> Schema:
        """Where the out ports of a kind lead."""
        declared = (*node_type.outputs, ERROR, *LIFECYCLE)
        leads: Schema = {"$ref": "#/$defs/targets"}
        # A kind that decides by its spec which ports it has may have any.
        fixed = inspect.getattr_static(node_type, "ports") is inspect.getattr_static(Node, "ports")
        patterns = [_port_pattern(name) for name in declared] if fixed else [PORT]
        shown = [name.replace("[i]", "[0]") for name in declared]
        # `out` and `out[0]` are one port.
        once = [
            {"not": {"type": "object", "required": [name, f"{name}[0]"]}}
            for name in (name.removesuffix("[i]") for name in declared)
            if not name.endswith("]")
        ]
        return {
            "type": ["object", "null"],
            "properties": dict.fromkeys(shown, leads),
            "patternProperties": dict.fromkeys(patterns, leads),
            "additionalProperties": False,
            "allOf": once,
        }

    def link(self) -> Schema:
        made = self.struct(fields(typing.cast(Any, Link)), placeholders=False)
        made["properties"]["port"] |= {
            "pattern": PORT,
            "patternErrorMessage": "a port is a word, or a word and an [index]",
        }
        made["anyOf"] = [
            {"required": [name], "properties": {name: {"type": "string", "minLength": 1}}}
            for name in ("id", "name")
        ]
        return made

    def struct(self, declared: Iterable[Field], placeholders: bool = True) -> Schema:
        """A map with these fields, which may or may not hold placeholders."""
        properties: Schema = {}
        rules: list[Schema] = []
        required: list[str] = []
        for field in declared:
            made = self.of(field.type)
            if placeholders:
                made = _or_placeholder(made)
            if not field.required:
                made = _or_null(made)
            notes: Schema = {}
            if field.description:
                notes["description"] = field.description
            if not field.required and field.default not in ("", None):
                notes["default"] = msgspec.json.decode(msgspec.json.encode(field.default))
            properties[field.name] = {**made, **notes}
            if field.alias:
                described = f"another name of `{field.name}`: {field.description}"
                notes |= {"description": described, "deprecated": True}
                properties[field.alias] = {**made, **notes}
                rules.append(_not_both(field.name, field.alias))
                if field.required:
                    rules.append(
                        {"anyOf": [{"required": [field.name]}, {"required": [field.alias]}]}
                    )
            elif field.required:
                required.append(field.name)
        made = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            made["required"] = required
        if rules:
            made["allOf"] = rules
        return made

    def of(self, kind: Any) -> Schema:
        """The schema of what `greenflow.spec.decoding.reader` reads as a type."""
        bare, marks = unmarked(kind)
        notes = _notes(marks)
        if has_format(marks, "duration"):
            return {**_duration(_leaf(kind)), **notes}
        if has_format(marks, "interval"):
            expression = {"type": "string", "pattern": EXPRESSION}
            return {"anyOf": [_duration({"minimum": 0}), expression], **notes}
        if has_format(marks, "code"):
            return {**_leaf(kind), "type": ["string", "number", "boolean"], **notes}
        if has_format(marks, "spec"):
            return {"$ref": "#/$defs/spec"}
        if has_format(marks, "one"):
            return _one_or_more(self.of(bare), {"minItems": 1, "maxItems": 1})
        origin, arguments = typing.get_origin(bare), typing.get_args(bare)
        if origin is list or (origin is tuple and arguments[1:] == (...,)):
            limits = {**_leaf(constrained(list[Any], marks)), **notes}
            limits = {key: limits[key] for key in ("minItems", "maxItems") if key in limits}
            return _one_or_more(_or_placeholder(self.of(arguments[0])), limits)
        if origin is dict:
            item = _or_placeholder(self.of(arguments[1]))
            return {"type": "object", "additionalProperties": item, **notes}
        if origin in (typing.Union, types.UnionType) and type(None) in arguments:
            others = [argument for argument in arguments if argument is not type(None)]
            if len(others) == 1:
                return _or_null(self.of(constrained(others[0], marks)))
        if (either := words_or_map(bare)) is not None:
            return {"anyOf": [self.of(part) for part in either]}
        if bare is Spec:
            return {"$ref": "#/$defs/spec"}
        if isinstance(bare, type) and issubclass(bare, Struct):
            return {"$ref": f"#/$defs/{self.name(bare)}"}
        return _coerced(_leaf(kind))

    def name(self, struct: type[Struct]) -> str:
        """The name of the definition of a struct, which is made when it is first asked for."""
        if struct not in self.names:
            same = sum(other.__name__ == struct.__name__ for other in self.names)
            self.names[struct] = struct.__name__ + (f".{same + 1}" if same else "")
            self.definitions[self.names[struct]] = {
                "description": inspect.getdoc(struct) or "",
                **self.struct(fields(typing.cast(Any, struct))),
            }
        return self.names[struct]


_NOTES = ("description", "default", "deprecated")


def _doc(node_type: type[Node[Any]]) -> str:
    return inspect.cleandoc(node_type.__doc__ or "")


def _port_pattern(declared: str) -> str:
    """The names that a declared out port may be called by in a spec."""
    if declared.endswith("[i]"):
        return OUT_PORT.replace("out", re.escape(declared[:-3]), 1)
    word, bracket, index = declared.partition("[")
    if bracket:
        return rf"^{word}\[{index[:-1]}\]$"
    return rf"^{word}(?:\[0\])?$"


def _given(name: str) -> Schema:
    """A field that is there, and not null."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _not_both(name: str, alias: str) -> Schema:
    """Both names of a field are an error, unless one of them is null, which is nothing given."""
    given = {key: {"not": {"type": "null"}} for key in (name, alias)}
    return {"not": {"required": [name, alias], "properties": given}}


def _notes(marks: tuple[Any, ...]) -> Schema:
    """What the marks of a field add."""
    notes: Schema = {}
    for mark in marks:
        notes |= getattr(mark, "extra_json_schema", None) or {}
    return notes


def _leaf(kind: Any) -> Schema:
    """What msgspec says of a type with its limits, less the notes for people."""
    made = msgspec.json.schema(kind)
    return {key: value for key, value in made.items() if key not in ("description", "title")}


def _one_or_more(item: Schema, limits: Mapping[str, Any] = types.MappingProxyType({})) -> Schema:
    """A list, or a single value for a list of one."""
    # Not anyOf: of a choice many only say that it was not met, or what one of the ways wants.
    return {"if": {"type": "array"}, "then": {"items": item, **limits}, "else": item}


def _coerced(made: Schema) -> Schema:
    """A leaf, and the strings that are read as one (BEHAVIOUR 1.5)."""
    given = made.get("type")
    if given in ("integer", "number"):
        return {
            **made,
            "type": [given, "string"],
            "pattern": f"^(?:{_NUMBER})$",
            "patternErrorMessage": "a number is wanted here",
        }
    if given == "boolean":
        # The numbers 0 and 1 are read as booleans, too.
        return {
            "type": ["boolean", "string", "integer"],
            "minimum": 0,
            "maximum": 1,
            "pattern": f"^(?:{_BOOLEAN})$",
            "patternErrorMessage": "true or false is wanted here",
        }
    if any(isinstance(item, int) for item in made.get("enum", ())):
        return {"enum": [*made["enum"], *map(str, made["enum"])]}
    if "anyOf" in made:
        return {**made, "anyOf": [_coerced(one) for one in made["anyOf"]]}
    return made


def _duration(made: Schema) -> Schema:
    """Seconds with the limits of the field, nanoseconds, or a text (BEHAVIOUR 1.7)."""
    limits = {key: value for key, value in made.items() if key != "type"}
    if limits == {"minimum": 0}:
        return {"$ref": "#/$defs/duration"}
    if not {"maximum", "exclusiveMaximum"} & limits.keys():
        return {**_DURATION, **limits}
    # What is at most so many seconds may be more nanoseconds.
    text = {**_DURATION, "type": "string"}
    nanoseconds = {"type": "integer", "minimum": NANOSECONDS_FROM, "maximum": MAX_SECONDS * 1e9}
    return {"anyOf": [{"type": "number", "minimum": 0, **limits}, nanoseconds, text]}


def _or_null(made: Schema) -> Schema:
    if "enum" in made:
        return made if None in made["enum"] else {**made, "enum": [*made["enum"], None]}
    if "type" in made:
        given = made["type"] if isinstance(made["type"], list) else [made["type"]]
        return made if "null" in given else {**made, "type": [*given, "null"]}
    return made if made == {} else {"anyOf": [*_choices(made), {"type": "null"}]}


def _or_placeholder(made: Schema) -> Schema:
    """What is written, or a placeholder that stands for it."""
    given = made.get("type")
    kinds = given if isinstance(given, list) else [given]
    if made == {} or ("string" in kinds and not {"pattern", "maxLength", "format"} & made.keys()):
        return made
    if "string" in kinds and "pattern" in made and "maxLength" not in made:
        return {**made, "pattern": f"{made['pattern']}|{PLACEHOLDER}"}
    placeholder = {"$ref": "#/$defs/placeholder"}
    choices = _choices(made.get("else", made))
    if "else" in made and placeholder in choices:
        return made
    choices = _choices(made)
    return {"anyOf": choices if placeholder in choices else [*choices, placeholder]}


def _choices(made: Schema) -> list[Schema]:
    """The ways in which a schema can be met, if it is nothing but a choice."""
    return list(made["anyOf"]) if made.keys() == {"anyOf"} else [made]
