"""The strict reading of a document into a spec.

Lives here: `decode`, and for each type of a field what reads it. What a spec is made of is
fields.py's.

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

import functools
import json
import math
import re
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from greenflow.errors import SpecFault, SpecInvalid
from greenflow.hub.breathing import pause
from greenflow.spec.duration import parse_duration
from greenflow.spec.fields import (
    COMMON,
    EXPRESSION,
    Duration,
    Env,
    EnvValue,
    Spec,
    both_given,
    constrained,
    fields,
    has_format,
    may_have_format,
    unmarked,
    words_or_map,
)
from greenflow.spec.known import closest
from greenflow.spec.template import Deferred, Scope, Unbound

D = TypeVar("D")

READ_AT_ONCE = 16  # items before others may run; where there are fewer it is not asked

TEXT = "text"  # the language whose code is the text itself

Nested = Callable[[Any, str], Spec]


class Reading(list[SpecFault]):
    """The faults found so far, what reads a spec inside a spec, given its path, and what
    placeholders stand for."""

    def __init__(self, nested: Nested, scope: Scope | None) -> None:
        super().__init__()
        self.nested, self.scope = nested, scope
        self.language: str | None = (
            None  # what the code of the spec is written in, if that is known
        )
        self.guessed = False  # something has its placeholder in the place of its value
        self.deferred = False  # something could not be read so

    def rendered(self, read: Read, value: Any, path: str, is_code: bool = False) -> Any:
        """What is read of a value that may have placeholders. What was inserted has none."""
        scope, self.scope = self.scope, None
        assert scope is not None
        try:
            # A text is no code: nothing in it can be ended (BEHAVIOUR 15.2).
            return read(scope.render(value, is_code and self.language != TEXT), path, self)
        except Unbound as error:
            place = (error.line, error.column) if isinstance(value, str) else ()
            self.append(SpecFault(path, str(error), *place))
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
    faults = Reading(no_specs, None)
    env = reader(Env)(document, path, faults)
    return None if faults else typing.cast(dict[str, EnvValue], env)


def no_specs(document: Any, path: str) -> typing.NoReturn:
    """What reads the specs in a document that holds none. Raises SpecInvalid."""
    raise SpecInvalid([SpecFault(path, "no spec is expected here")])


# -- readers: for each type a function (value, path, faults) -> value, made once -------------------

Read = Callable[[Any, str, Reading], Any]


@functools.cache
def reader(kind: Any) -> Read:
    """What reads a value of that type; it appends to the faults instead of raising."""
    read, is_leaf = _reader(kind)
    is_code = may_have_format(kind, "code", "interval")

    def render(value: Any, path: str, faults: Reading) -> Any:
        if faults.scope is None or not (is_leaf or isinstance(value, str)):
            return read(value, path, faults)
        return faults.rendered(read, value, path, is_code)

    return render


def _reader(kind: Any) -> tuple[Read, bool]:
    """What reads values that are rendered, and whether it leaves what is in them to nobody."""
    bare, marks = unmarked(kind)
    if has_format(marks, "duration"):
        return _read_duration(kind), True
    if has_format(marks, "interval"):
        return _read_interval(kind), True
    if has_format(marks, "code"):
        return _read_code(kind), True
    if has_format(marks, "spec"):
        return _read_raw, False
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
    if (either := words_or_map(bare)) is not None:
        return _read_either(_leaf(either[0]), reader(either[1])), False
    if bare is Spec:
        return _read_nested, False
    if isinstance(bare, type) and issubclass(bare, Struct):
        return _read_struct(bare), False
    return _leaf(kind), True


def _leaf(kind: Any) -> Read:
    bare = unmarked(kind)[0]
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


def _read_interval(kind: Any) -> Read:
    expression, duration = _leaf(kind), _read_duration(Duration)

    def read(value: Any, path: str, faults: Reading) -> Any:
        if isinstance(value, str) and re.search(EXPRESSION, value):
            return expression(value, path, faults)
        return duration(value, path, faults)

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
        read_items = []
        for i, one in enumerate(items):
            if i % READ_AT_ONCE == READ_AT_ONCE - 1:
                pause()
            read_items.append(item(one, f"{path}[{i}]", faults))
        return read_items

    return read


def _read_map(item: Read) -> Read:
    def read(value: Any, path: str, faults: Reading) -> Any:
        if not isinstance(value, dict):
            faults.append(SpecFault(path, f"expected a map, got {_name(value)}"))
            return None
        read_items = {}
        for i, (key, one) in enumerate(list(value.items())):
            if i % READ_AT_ONCE == READ_AT_ONCE - 1:
                pause()
            read_items[key] = item(one, f"{path}.{key}", faults)
        return read_items

    return read


def _read_optional(item: Read) -> Read:
    def read(value: Any, path: str, faults: Reading) -> Any:
        return None if value is None else item(value, path, faults)

    return read


def _read_either(word: Read, parts: Read) -> Read:
    def read(value: Any, path: str, faults: Reading) -> Any:
        return (parts if isinstance(value, dict) else word)(value, path, faults)

    return read


def _read_raw(value: Any, path: str, faults: Reading) -> Any:
    if not isinstance(value, dict):
        faults.append(SpecFault(path, "a spec is a map"))
    return value


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
    renamed = {field.name: field.attribute for field in declared if field.name != field.attribute}
    language = by_name.get("language")

    def read(value: Any, path: str, faults: Reading) -> Any:
        if not isinstance(value, dict):
            faults.append(SpecFault(path, f"expected a map, got {_name(value)}"))
            return None
        before, given, scope = len(faults), {}, faults.scope
        if scope is not None and language is not None:
            faults.language = _language(value.get("language") or language.default, scope)
        for key, one in list(value.items()):
            field = by_name.get(key)
            if field is None:
                pause()
                faults.append(SpecFault(f"{path}.{key}", _unknown(key, by_name)))
            elif one is None and not field.required and field.default is not None:
                continue  # null is a field left out
            elif field.name in given:
                faults.append(SpecFault(f"{path}.{key}", both_given(field)))
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
        for name, attribute in renamed.items():
            if name in given:
                given[attribute] = given.pop(name)
        try:
            return struct(**given)
        except ValueError as error:
            if faults.guessed:
                faults.deferred = True
            else:
                faults.append(SpecFault(path, str(error)))
            return None

    return read


def _language(written: Any, scope: Scope) -> str | None:
    """What a field `language` says; None if that is not known, or wrong, which its reader tells."""
    try:
        language = scope.render(written)
    except (LookupError, Deferred):
        return None
    return language if isinstance(language, str) else None


def _unknown(key: object, known: dict[str, Any]) -> str:
    close = closest(str(key), known)
    hint = f"did you mean {close!r}? " if close else ""
    return f"unknown field; {hint}allowed are {', '.join(sorted(known))}"


def _name(value: object) -> str:
    names = {dict: "a map", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
