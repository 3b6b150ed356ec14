"""`validate`: requests and values by JSON Schema 2020-12, before anything is done with them.

Lives here: the kind, and what a client is told (RFC 9457). Schemas are compiled once by
jsonschema-rs, which comes with the extra `validate`; its patterns are Rust's, which take time in
step with the text.

What is told names places and rules, and never what was there: it goes to clients and logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.services import Compiler, Services
from greenflow.errors import CompileFailed, InvalidArgument, SpecFault
from greenflow.extras import reason
from greenflow.net.message import canonical_name
from greenflow.nodes.refusals import problem
from greenflow.payload.stream import Stream
from greenflow.spec.fields import Spec
from greenflow.spec.path import written

if TYPE_CHECKING:
    import jsonschema_rs

Schema = dict[str, Any] | bool

# Faults that are told of one request: a person mends no more at a time.
MOST_FAULTS = 20

# Values of a part from which on its first fault is told alone. To find all of them takes 25 us for
# each, in one go beside all others: 10,000 would be 0.3 s.
FEW = 1_000

# Values that are checked of one part: 100,000 numbers take 3 ms, whether they are unique 70.
MOST_VALUES = 100_000

# Characters of a fault: it may name fields that a client made up.
MOST_DETAIL = 200

# What stands for a value in the library's words.
_MASK = "the value"

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,3})?")


class ValidateSpec(Spec):
    body: Annotated[
        Schema | None, Meta(description="schema of a request's body, which must be there")
    ] = None
    query: Annotated[
        Schema | None,
        Meta(description="schema of its query: a map of texts, read as the types that are asked"),
    ] = None
    header: Annotated[
        Schema | None,
        Meta(description="schema of those of its headers that it names in `properties`"),
    ] = None
    params: Annotated[
        Schema | None, Meta(description="schema of the parameters of its route, as `query`")
    ] = None
    payload: Annotated[
        Schema | None, Meta(description="schema of a payload that need be no request")
    ] = None


class PartFault(NamedTuple):
    """What is wrong in a part of a request."""

    part: str
    pointer: str
    detail: str

    def told(self) -> dict[str, str]:
        """As a client is told."""
        return {"in": self.part, "pointer": self.pointer, "detail": self.detail}


@node("validate", reads_only=True)
class Validate(Node[ValidateSpec]):
    """Checks requests or values by JSON Schema; what fits goes on as it is, by `out`.

    What does not is answered, or sent to `error`, as `application/problem+json`: 400 for a body
    that cannot be read, 422 with at most 20 faults. With `payload` it is `invalid argument`.
    """

    @classmethod
    def check(cls, spec: ValidateSpec, compiler: Compiler) -> list[SpecFault]:
        schemas = dict(_schemas(spec))
        if not schemas:
            return [SpecFault("$", "nothing to check: say body, query, header, params or payload")]
        if "payload" in schemas and len(schemas) > 1:
            return [SpecFault("$.payload", "beside parts of a request it says nothing more")]
        faults = []
        for part, schema in schemas.items():
            try:
                compiled(schema)
            except ImportError:
                return []  # `__init__` says what to do
            except ValueError as error:
                faults.append(_of_schema(part, schema, error))
        return faults

    def __init__(self, spec: ValidateSpec, services: Services) -> None:
        super().__init__(spec, services)
        try:
            self._checks = {part: compiled(schema) for part, schema in _schemas(spec)}
        except ImportError as error:
            raise CompileFailed(reason(error)) from None

    def handle(self, ctx: Context, payload: Any) -> Any:
        if isinstance(payload, Exception):
            raise payload
        whole = self._checks.get("payload")
        if whole is not None:
            faults = list(_faults("payload", whole, payload))
            if faults:
                said = "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults)
                raise InvalidArgument() from ValueError(f"the payload does not fit: {said}")
            return payload
        if type(payload) is not dict:
            raise InvalidArgument("validate takes a request, a map with body, query and the like")
        body = self._checks.get("body")
        if body is not None and (unread := _unread(payload)):
            return ctx.to("error", problem(400, unread))
        faults = []
        for part, check in self._checks.items():
            value = payload.get(part)
            if part != "body":
                value = _read(value, cast(Schema, getattr(self.spec, part)), part)
            faults += _faults(part, check, value)
        if not faults:
            return payload
        told = [fault.told() for fault in faults[:MOST_FAULTS]]
        return ctx.to("error", problem(422, _counted(faults), errors=told))


def _schemas(spec: ValidateSpec) -> Iterator[tuple[str, Schema]]:
    for part in ("body", "query", "header", "params", "payload"):
        schema = getattr(spec, part)
        if schema is not None:
            yield part, schema


def compiled(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    """A schema, ready to check. Nothing is fetched, and nothing of it ignored but annotations.

    Raises ValueError for what is no schema, ImportError without the extra.
    """
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(
        schema,
        validate_formats=True,
        ignore_unknown_formats=False,
        pattern_options=jsonschema_rs.RegexOptions(),
        mask=_MASK,
        offline=True,
    )


def _of_schema(part: str, schema: Schema, error: ValueError) -> SpecFault:
    """What is wrong with a schema, where it stands."""
    text = getattr(error, "message", None) or str(error).partition("\n")[0]
    path = written((part, *getattr(error, "instance_path", ())))
    return SpecFault(path, f"no schema of JSON Schema 2020-12: {text}")


def _faults(
    part: str, check: jsonschema_rs.Draft202012Validator, value: Any
) -> Iterator[PartFault]:
    """What is wrong with a value, at most MOST_FAULTS things."""
    import jsonschema_rs

    number = count(value, MOST_VALUES)
    if number > MOST_VALUES:
        yield PartFault(part, "#", f"it has more than {MOST_VALUES:,} values")
        return
    try:
        if number > FEW:
            check.validate(value)
        elif not check.is_valid(value):
            for error in islice(check.iter_errors(value), MOST_FAULTS):
                yield _fault(part, error)
    except jsonschema_rs.ValidationError as error:
        yield _fault(part, error)
    except ValueError:
        yield PartFault(part, "#", "it holds something that JSON has not, such as bytes")


def _fault(part: str, error: jsonschema_rs.ValidationError) -> PartFault:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in error.instance_path)
    pointer = "#" + "".join(f"/{step}" for step in steps)
    text = error.message
    if error.kind.name == "propertyNames":  # the library says which one
        text = "a name in it is not allowed"
    return PartFault(part, _short(pointer), _short(text))


def _short(text: str) -> str:
    return text if len(text) <= MOST_DETAIL else f"{text[: MOST_DETAIL - 3]}..."


def count(value: Any, most: int) -> int:
    """How many values there are in a value, itself included; more than `most` is not counted to its
    end."""
    number, waiting = 1, [value]
    while waiting and number <= most:
        item = waiting.pop()
        if type(item) is dict:
            item = item.values()
        elif type(item) is not list:
            continue
        number += len(item)
        waiting.extend(each for each in item if type(each) in (dict, list))
    return number


def _unread(request: Mapping[str, Any]) -> str:
    """Why the body of a request is nothing that a schema can be held against; empty if it is."""
    if "body" not in request:
        return "there is no body"
    if isinstance(request["body"], bytes | Stream):
        return "the Content-Type of the body says of no value: send application/json"
    return ""


def _read(texts: Any, schema: Schema, part: str) -> dict[str, Any]:
    """A query, headers or parameters, with texts as the values that the schema asks for."""
    asked: dict[str, Any] = {}
    if type(schema) is dict and type(schema.get("properties")) is dict:
        asked = schema["properties"]
    given = texts if type(texts) is dict else {}
    if part == "header":
        given = {name: given[sent] for name in asked if (sent := canonical_name(name)) in given}
    return {name: _value(text, asked.get(name)) for name, text in given.items()}


def _value(texts: Any, schema: Any) -> Any:
    types = schema.get("type") if type(schema) is dict else None
    kinds = types if type(types) is list else [types]
    if type(texts) is not list:
        return _typed(texts, kinds)
    if "array" in kinds:
        items = schema.get("items")
        within = items.get("type") if type(items) is dict else None
        return [_typed(text, within if type(within) is list else [within]) for text in texts]
    return _typed(texts[0], kinds) if len(texts) == 1 else texts


def _typed(text: Any, kinds: list[Any]) -> Any:
    """A text as the first of the types that it is one of; else as it is, which says what is
    wrong."""
    if type(text) is not str:
        return text
    for kind in kinds:
        if kind == "integer" and _WHOLE.fullmatch(text):
            return int(text)
        if kind == "number" and _NUMBER.fullmatch(text):
            return float(text) if set(text) & set(".eE") else int(text)
        if kind == "boolean" and text in ("true", "false"):
            return text == "true"
    return text


def _counted(faults: list[PartFault]) -> str:
    if len(faults) == 1:
        return f"{faults[0].part}: {faults[0].detail}"
    return f"{min(len(faults), MOST_FAULTS)} faults"
