"""Reading documents into specs (BEHAVIOUR 1, 2)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.engine.declaring import node
from greenflow.engine.node import Node
from greenflow.errors import SpecInvalid
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import MOST_CHARACTERS, Code, Duration, Spec, as_written, rename


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    method: str
    port: int = 0


class SampleSpec(Spec):
    rate: Annotated[float, msgspec.Meta(gt=0, description="packets a second")]
    interval: Duration = 1.0
    items: Annotated[list[Item], msgspec.Meta(extra={"alias": "entries"})] = []
    names: list[str] = []
    on: bool = False
    mode: Literal["fast", "slow"] = "fast"
    limit: int | None = None
    pair: tuple[str, ...] = ()
    code: Code = ""


@node("sample", outputs=("out", "out[1]"))
class Sample(Node[SampleSpec]):
    """A kind for these tests."""


@node("many", inputs=("in[i]",), outputs=("out[i]",))
class Many(Node[Spec]):
    """A kind with numbered ports."""


SCHEME = Scheme({"sample": Sample, "many": Many, "again": Sample})


def decode(**fields: Any) -> Any:
    return SCHEME.decode({"kind": "sample", "rate": 1, **fields}, "default")


def faults(document: Any) -> dict[str, str]:
    with pytest.raises(SpecInvalid) as raised:
        SCHEME.decode(document, "default")
    return {fault.path: fault.reason for fault in raised.value.faults}


def test_a_single_value_where_a_list_is_wanted_is_a_list_of_one() -> None:
    spec = decode(names="a", items={"method": "GET"}, links={"out": {"name": "x"}})
    assert spec.names == ["a"]
    assert spec.items == [Item("GET")]
    assert spec.links["out"][0].port == "in"


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("rate", "2.5", 2.5),
        ("limit", "7", 7),
        ("on", "true", True),
        ("on", "false", False),
        ("interval", "250ms", 0.25),
        ("interval", "1m30s", 90.0),
        ("interval", "2", 2.0),
        ("interval", 3, 3.0),
    ],
)
def test_a_string_where_a_number_or_boolean_is_wanted_is_read_as_one(
    field: str, text: Any, value: Any
) -> None:
    assert getattr(decode(**{field: text}), field) == value


def test_null_is_a_field_left_out() -> None:
    spec = decode(names=None, mode=None, limit=None, links=None)
    assert (spec.names, spec.mode, spec.limit, spec.links) == ([], "fast", None, {})


def test_every_fault_is_named_with_its_path_and_what_is_allowed() -> None:
    found = faults(
        {
            "kind": "sample",
            "rate": 0,
            "intervall": 1,
            "items": [{"method": "GET"}, {"method": 5, "port": "x"}],
            "mode": "medium",
            "links": {"out": [{"nam": "x"}]},
        }
    )
    assert set(found) == {
        "$.rate",
        "$.intervall",
        "$.items[1].method",
        "$.items[1].port",
        "$.mode",
        "$.links.out[0].nam",
    }
    assert "did you mean 'interval'?" in found["$.intervall"]
    assert "'fast'" in found["$.mode"] or "fast" in found["$.mode"]


def test_a_missing_required_field_is_named() -> None:
    assert faults({"kind": "sample"}) == {"$.rate": "missing; this field is required"}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (None, "$"),
        ([], "$"),
        ({}, "$.kind"),
        ({"kind": 5}, "$.kind"),
        ({"kind": "smaple"}, "$.kind"),
        ({"kind": "sample", "rate": 1, "links": []}, "$.links"),
        ({"kind": "sample", "rate": 1, "links": {"out": [{"port": "in"}]}}, "$.links.out[0]"),
        (
            {"kind": "sample", "rate": 1, "links": {"out": [{"name": "x", "port": "a[b]"}]}},
            "$.links.out[0]",
        ),
        ({"kind": "sample", "rate": 1, "interval": "soon"}, "$.interval"),
        ({"kind": "sample", "rate": 1, "interval": -1}, "$.interval"),
        ({"kind": "sample", "rate": 1, "name": ""}, "$"),
    ],
)
def test_what_is_no_spec_is_refused_at_its_place(document: Any, path: str) -> None:
    assert list(faults(document)) == [path]


def test_an_unknown_kind_is_refused_with_a_hint() -> None:
    assert "did you mean 'sample'?" in faults({"kind": "smaple"})["$.kind"]


def test_aliases_are_one_field() -> None:
    assert decode(entries={"method": "GET"}).items == [Item("GET")]
    assert decode(ports={"out": {"name": "x"}}).links["out"][0].name == "x"
    found = faults({"kind": "sample", "rate": 1, "links": {}, "ports": {}})
    assert "one field" in found["$.ports"]


@pytest.mark.parametrize("name", ["xout[1]y", "out[1", "out[01]", "out[-1]", "o ut", "", "[1]"])
def test_a_port_name_is_matched_whole(name: str) -> None:
    document = {"kind": "sample", "rate": 1, "links": {name: {"name": "x"}}}
    assert list(faults(document)) == [f"$.links.{name}"]


def test_a_link_from_a_port_that_the_kind_does_not_have_is_refused() -> None:
    found = faults({"kind": "sample", "rate": 1, "links": {"out[2]": {"name": "x"}}})
    assert "it has out, out[1], error" in found["$.links.out[2]"]
    for port in ("out", "out[0]", "out[1]", "error", "init", "active", "deactive", "deinit"):
        assert decode(links={port: {"name": "x"}})
    assert SCHEME.decode({"kind": "many", "links": {"out[7]": {"name": "x"}}}, "default")


def test_a_port_and_its_index_0_are_one_port() -> None:
    links = {"out": {"name": "x"}, "out[0]": {"name": "y"}}
    assert "same port" in faults({"kind": "sample", "rate": 1, "links": links})["$.links.out[0]"]


def test_a_document_is_stored_as_written_with_namespace_and_without_aliases() -> None:
    document = {
        "kind": "again",
        "rate": "2",
        "entries": {"method": "GET"},
        "ports": {},
        "names": [],
    }
    assert SCHEME.validate(document, "shop") == {
        "kind": "again",
        "rate": "2",
        "items": {"method": "GET"},
        "links": {},
        "names": [],
        "namespace": "shop",
    }
    assert SCHEME.validate({**document, "namespace": "mine"}, "shop")["namespace"] == "mine"


def test_a_kind_tells_what_it_declares() -> None:
    described = SCHEME.describe("sample")
    fields = {field["name"]: field for field in described["fields"]}
    assert described["doc"] == "A kind for these tests."
    assert described["outputs"] == ["out", "out[1]", "error"]
    assert fields["rate"]["required"]
    assert fields["rate"]["doc"] == "packets a second"
    assert fields["interval"]["type"] == "duration"
    assert fields["names"]["type"] == "list of string"
    assert fields["mode"]["default"] == "fast"


def test_every_installed_kind_can_be_described() -> None:
    scheme = Scheme.installed()
    for kind in scheme.kinds():
        assert scheme.describe(kind)["doc"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
field_names = st.sampled_from(
    [*(field for field in SampleSpec.__struct_fields__), "ports", "entries", "x"]
)


@given(st.dictionaries(field_names, json_values))
def test_any_document_is_a_spec_or_a_list_of_faults(fields: dict[str, Any]) -> None:
    document = {**fields, "kind": "sample"}
    try:
        spec = SCHEME.decode(document, "default")
    except SpecInvalid as error:
        found = error.faults
    else:
        assert isinstance(spec, SampleSpec)
        assert spec.rate > 0
        return
    assert found
    assert all(fault.path.startswith("$") and fault.reason for fault in found)


@pytest.mark.parametrize(("written", "text"), [(True, "true"), (1, "1"), (0.5, "0.5"), ("x", "x")])
def test_code_is_the_text_that_it_was_written_as(written: Any, text: str) -> None:
    assert decode(code=written).code == text


def test_code_is_no_list_and_no_map() -> None:
    for value in ([], {}, None):
        assert decode(code="x").code == "x"
        if value is not None:
            assert set(faults({"kind": "sample", "rate": 1, "code": value})) == {"$.code"}


def test_a_single_value_where_a_tuple_is_wanted() -> None:
    assert decode(pair="a").pair == ("a",)
    assert decode(pair=["a", "b"]).pair == ("a", "b")


@pytest.mark.parametrize("text", ["inf", "Infinity"])
def test_a_number_is_finite(text: str) -> None:
    found = faults({"kind": "sample", "rate": text})
    assert found == {"$.rate": f"{text!r} is no finite number"}


def test_env_is_written_as_either_generation_writes_it() -> None:
    ours = decode(env={"A": {"name": "a", "data": "{{ .x }}"}})
    assert decode(env={"A": {"name": "a", "value": "{{ .x }}"}}) == ours
    assert decode(env={"A": [{"name": "a", "value": "{{ .x }}"}]}) == ours
    two = faults({"kind": "sample", "rate": 1, "env": {"A": [{"name": "a"}, {"name": "b"}]}})
    assert two == {"$.env.A": "a list of 2 where one is wanted"}


def test_a_name_that_is_null_is_not_given() -> None:
    spec = decode(ports=None, links={"out": {"name": "a"}}, entries={"method": "GET"}, items=None)
    assert (spec.links["out"][0].name, spec.items) == ("a", [Item("GET")])
    stored = rename(
        SampleSpec, {"links": {"out": []}, "ports": None, "entries": [1], "items": None}
    )
    assert stored == {"links": {"out": []}, "items": [1]}


def test_a_fault_is_named_by_the_word_that_the_document_uses() -> None:
    assert set(faults({"kind": "many", "ports": {"done": {"name": "a"}}})) == {"$.ports.done"}
    document = {"entries": []}
    assert as_written(SampleSpec, document, "$.items[0].port") == "$.entries[0].port"
    assert as_written(SampleSpec, document, "$.itemsize") == "$.itemsize"


def test_a_list_is_no_number_whatever_its_placeholders_stand_for() -> None:
    document = {"kind": "sample", "env": {"A": {"data": 1}}, "rate": "{{ .A }}"}
    SCHEME.validate(document, "default")
    with pytest.raises(SpecInvalid) as raised:
        SCHEME.validate({**document, "limit": ["{{ .A }}"]}, "default")
    assert [fault.path for fault in raised.value.faults] == ["$.limit"]


@pytest.mark.parametrize("field", ["name", "id", "namespace"])
def test_names_have_a_limit(field: str) -> None:
    scheme = Scheme.installed()
    scheme.validate({"kind": "nop", field: "a" * MOST_CHARACTERS}, "default")
    with pytest.raises(SpecInvalid, match=f"length <= {MOST_CHARACTERS}") as told:
        scheme.validate({"kind": "nop", field: "a" * (MOST_CHARACTERS + 1)}, "default")
    assert [fault.path for fault in told.value.faults] == [f"$.{field}"]
