"""The JSON Schema of spec files: it accepts what `apply` accepts, and refuses what it must refuse
(tests/scheme/broken_specs.yaml)."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Meta, Struct

from greenflow.engine.declaring import node
from greenflow.engine.node import Node
from greenflow.errors import SpecInvalid
from greenflow.scheme.registry import Scheme, example
from greenflow.scheme.schema import schema_of
from greenflow.spec.document import read, read_path
from greenflow.spec.fields import Code, Duration, Spec, alias, fields

ROOT = Path(__file__).parents[2]
BROKEN = [document.data for document in read_path(str(Path(__file__).parent / "broken_specs.yaml"))]

SCHEME = Scheme.installed()
SCHEMA = schema_of(SCHEME)
VALIDATOR = Draft202012Validator(SCHEMA)


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part."""

    size: Annotated[int, Meta(ge=1, le=9)] = 1
    wait: Annotated[float, Meta(gt=0, le=60, extra={"format": "duration"})] = 1.0


class OddSpec(Spec):
    """Types that few kinds have."""

    parts: Annotated[list[Part], Meta(min_length=1, max_length=2), alias("pieces")]
    level: Literal[1, 2] = 1
    mode: Literal["fast", "slow"] | None = None
    either: int | str = 0
    pair: tuple[str, ...] = ()
    table: dict[str, list[int]] = {}
    share: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    name_like: Annotated[str, Meta(pattern="^[a-z]+$", max_length=8)] = "a"
    code: Code = ""
    pause: Duration | None = None
    anything: Any = None


@node("odd", outputs=("out[i]", "done"))
class Odd(Node[OddSpec]):
    """A kind for these tests."""


ODD = Scheme({"odd": Odd, "strange": Odd})
ODD_VALIDATOR = Draft202012Validator(schema_of(ODD))


def test_the_schema_is_one_of_its_dialect() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for schema in (SCHEMA, schema_of(ODD)):
        Draft202012Validator.check_schema(schema)
        json.dumps(schema, allow_nan=False)


def test_it_has_every_kind_with_what_it_does() -> None:
    kinds = SCHEMA["$defs"]["spec"]["properties"]["kind"]
    assert kinds["enum"] == SCHEME.kinds()
    does = dict(zip(kinds["enum"], kinds["enumDescriptions"], strict=True))
    assert does["nop"].startswith("Takes every packet")
    interval = SCHEMA["$defs"]["kind.sleep"]["properties"]["interval"]
    assert interval["description"] == "how long, seconds or with units"
    assert SCHEMA["$defs"]["kind.retry"]["properties"]["threshold"]["default"] == 0
    assert SCHEMA["$defs"]["kind.switch"]["properties"]["matches"]["deprecated"]


def test_a_kind_that_cannot_be_imported_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    broken = EntryPoint("broken", "greenflow.no_such_module:Kind", "greenflow.nodes")
    with caplog.at_level(logging.WARNING):
        schema = schema_of(Scheme({"odd": Odd, "broken": broken}))
    assert schema["$defs"]["spec"]["properties"]["kind"]["enum"] == ["odd"]
    assert "kind 'broken' cannot be imported" in caplog.text


def spec_files() -> Iterator[Path]:
    for suffix in ("yaml", "json"):
        for path in (ROOT / "contrib" / "examples").rglob(f"*.{suffix}"):
            if not path.name.endswith(".flow.yaml"):
                yield path


@pytest.mark.parametrize("path", list(spec_files()), ids=lambda path: path.name)
def test_it_accepts_every_example(path: Path) -> None:
    documents = [document.data for document in read_path(str(path))]
    kinds = {document.get("kind") for document in documents}
    if None in kinds:
        pytest.skip("values, not specs")
    assert VALIDATOR.is_valid(documents)
    for document in documents:
        assert VALIDATOR.is_valid(document)


@pytest.mark.parametrize("case", BROKEN, ids=[case["why"] for case in BROKEN])
def test_it_refuses_what_the_engine_refuses(case: dict[str, Any]) -> None:
    with pytest.raises(SpecInvalid) as raised:
        SCHEME.validate(case["spec"], "default")
    assert case["at"] in {fault.path for fault in raised.value.faults}
    assert not VALIDATOR.is_valid(case["spec"])
    assert not VALIDATOR.is_valid([{"kind": "nop"}, case["spec"]])


@pytest.mark.parametrize(
    "spec",
    [
        {
            "kind": "loop",
            "ports": {"out[0]": {"name": "a"}, "out[1]": [{"id": "b", "port": "in[2]"}]},
        },
        {"kind": "for", "links": None, "ports": {"error": []}},
        {"kind": "switch", "matches": {"when": True, "port": "out[3]"}},
        {"kind": "wait", "interval": 1_500_000_000},
        {"kind": "wait", "interval": "1m30s"},
        {"kind": "listener", "port": "8000", "stream": "TRUE"},
        {"kind": "listener", "port": "{{ .PORT }}", "env": {"PORT": [{"value": "{{ .PORT }}"}]}},
        {"kind": "step", "nodes": {"kind": "pipe"}},
        {"kind": "retry", "threshold": "2", "backoff": {"initial": "{{ .FIRST }}"}},
        {"kind": "snippet", "language": "json", "code": 1},
        {"kind": "block", "specs": {"kind": "fork"}, "links": {"anything": {"name": "a"}}},
        {"kind": "fork", "links": {"init": {"name": "a"}, "deinit[0]": {"name": "a"}}},
    ],
    ids=json.dumps,
)
def test_it_accepts_what_the_words_of_both_generations_say(spec: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(spec)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parts", []),
        ("parts", [{}, {}, {}]),
        ("parts", {"size": 0}),
        ("parts", {"size": "big"}),
        ("parts", {"wait": 61}),
        ("parts", {"wait": 0}),
        ("level", 3),
        ("level", "3"),
        ("mode", "medium"),
        ("either", []),
        ("pair", [1]),
        ("table", {"a": ["x"]}),
        ("share", 1),
        ("name_like", "A"),
        ("name_like", "abcdefghi"),
        ("code", []),
        ("pieces", [{}]),
        ("links", {"outside": {"name": "a"}}),
    ],
    ids=str,
)
def test_limits_of_all_types_are_in_it(field: str, value: Any) -> None:
    spec = {"kind": "odd", "parts": [{}], field: value}
    with pytest.raises(SpecInvalid):
        ODD.decode(spec, "default")
    assert not ODD_VALIDATOR.is_valid(spec)


def written(kind: str, within: Any) -> dict[str, Any] | None:
    """The first spec of that kind in a document."""
    if isinstance(within, dict) and within.get("kind") == kind:
        return within
    parts = within.values() if isinstance(within, dict) else within
    inner = parts if isinstance(within, dict | list) else ()
    return next((found for part in inner if (found := written(kind, part)) is not None), None)


def complete(kind: str, scheme: Scheme) -> dict[str, Any]:
    """A spec of that kind with all its fields: those of its example, and the others by default."""
    node_type: Any = scheme.node_type(kind)
    text = example(node_type)
    spec: dict[str, Any] = {"parts": [{"wait": "1s"}]}  # what OddSpec needs
    if text is not None:
        (document,) = read(text, kind)
        spec = written(node_type.kind, document.data["specs"]) or {}
    defaults = {
        field.name: json.loads(msgspec.json.encode(field.default))
        for field in fields(node_type.spec_type)
        if not field.required and field.name != "id"
    }
    return {**defaults, **spec, "kind": kind}


@pytest.mark.parametrize("kind", SCHEME.kinds())
def test_a_spec_that_says_every_default_is_accepted(kind: str) -> None:
    spec = complete(kind, SCHEME)
    SCHEME.decode(spec, "default")
    assert not [error.message for error in VALIDATOR.iter_errors(spec)]


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2.0, 0.5, 65_536, 1_000_000, 2_000_000_000, 1e19, 1e300),
    *(
        "",
        "0",
        "1",
        "-0",
        "-1",
        "+1",
        "01",
        "1.0",
        "1e2",
        ".5",
        " 1",
        "true",
        "False",
        "null",
        "nan",
    ),
    *(
        "1s",
        "1m30s",
        " 1s ",
        "1 s",
        "-0.0",
        "100d",
        "out",
        "out[0]",
        "out[1]",
        "in[01]",
        "a",
        "a:b",
    ),
    *(
        "GET",
        "/",
        "http",
        "fast",
        "greenlet",
        "json",
        "http://a/",
        "*",
    ),
    *([], [1], ["a"], [[]], [None], {}, {"name": "a"}, {"id": "b", "port": "in[1]"}, {"a": 1}),
    *({"out": {"name": "a"}}, {"out": []}, {"out[0]": {"name": "a"}, "init": {"name": "b"}}),
    *("{{ .A }}", "x{{.A.b}}", "{{ A }}", ["{{ .A }}"], {"A": {}}),
    *({"A": {"name": "v", "value": 1}}, {"A": [{"data": "{{ .a }}"}]}, {"kind": "fork"}),
    *({"size": "3"}, {"wait": 5_000_000_000}, {"when": 1, "port": "out"}, {"initial": "1s"}),
    *({"method": "GET", "path": "/"}, {"cert": "a", "key": "b"}, {"origins": "*"}, {"body": "1"}),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with each of its keys or indexes."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield value, key
        yield from places(value[key])


@st.composite
def changed(draw: st.DrawFn, scheme: Scheme) -> dict[str, Any]:
    """A complete spec in which a few things are something else."""
    spec = copy.deepcopy(complete(draw(st.sampled_from(scheme.kinds())), scheme))
    node_type: Any = scheme.node_type(spec["kind"])
    names = [name for one in fields(node_type.spec_type) for name in (one.name, one.alias) if name]
    if draw(st.booleans()):
        spec["env"] = {"A": {"name": "v"}}
    for _ in range(draw(st.integers(1, 3))):
        value = copy.deepcopy(draw(st.sampled_from(VALUES)))
        if draw(st.booleans()):
            spec[draw(st.sampled_from(names))] = value
        else:
            container, key = draw(st.sampled_from(list(places(spec))))
            container[key] = value
    return spec


@pytest.mark.parametrize(("scheme", "validator"), [(SCHEME, VALIDATOR), (ODD, ODD_VALIDATOR)])
@given(data=st.data())
@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
def test_what_the_engine_accepts_it_accepts(
    scheme: Scheme, validator: Draft202012Validator, data: st.DataObject
) -> None:
    spec = data.draw(changed(scheme))
    try:
        scheme.validate(spec, "default")
    except SpecInvalid:
        return
    assert not [error.message for error in validator.iter_errors(spec)]
