"""syscall: the stored specs, and functions of an embedding program (BEHAVIOUR 7, 14)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from greenflow.config import Settings, SyscallSettings
from greenflow.errors import InvalidArgument
from greenflow.runtime import Runtime
from greenflow.store.memory import MemoryStore

OPERATIONS = ("create", "read", "update", "delete")
SPECS = [{"kind": "syscall", "name": op, "opcode": f"nodes.{op}"} for op in OPERATIONS]


@pytest.fixture
def flow() -> Iterator[Runtime]:
    with Runtime("memory://", specs=SPECS) as runtime:
        yield runtime


def snippet(name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "snippet", "name": name, "code": "x", **fields}


def test_specs_are_created_read_updated_and_deleted(flow: Runtime) -> None:
    (one,) = flow.call("create", snippet("one", annotations={}))
    assert one == {**snippet("one", annotations={}), "id": one["id"], "namespace": "default"}
    two, three = flow.call("create", [snippet("two"), snippet("three")])
    assert flow.call("read", {"name": {"$in": ["two", "three"]}}) == sorted(
        [two, three], key=lambda spec: str(spec["id"])
    )
    assert len(flow.call("read", None)) == 7
    (changed,) = flow.call("update", {"name": "two", "code": "y", "annotations": None})
    assert changed == {**two, "code": "y"}
    assert flow.call("delete", {"name": "two"}) == [changed]
    assert flow.call("read", {"name": "two"}) == []
    assert len(flow.call("delete", None)) == 6


def test_the_collection_has_two_names() -> None:
    specs = [{"kind": "syscall", "name": op, "opcode": f"specs.{op}"} for op in OPERATIONS]
    with Runtime("memory://", specs=specs) as flow:
        (one,) = flow.call("create", snippet("one"))
        assert flow.call("read", {"name": "one"}) == [one]
        assert flow.call("update", {"name": "one", "code": "y"}) == [{**one, "code": "y"}]
        assert flow.call("delete", {"name": "one"}) == [{**one, "code": "y"}]


def test_an_update_may_use_either_name_of_a_field(flow: Runtime) -> None:
    there, case = {"name": "read"}, {"when": "true", "port": "out[0]"}
    flow.call("create", {"kind": "switch", "name": "a", "matches": [], "ports": {"error": there}})
    (spec,) = flow.call("update", {"name": "a", "ports": {"out": there}, "matches": [case]})
    assert (spec["links"], spec["match"]) == ({"out": there}, [case])
    (spec,) = flow.call("update", {"id": spec["id"], "links": {"error": there}})
    assert spec["links"] == {"error": there}
    (spec,) = flow.call("update", {"name": "a", "ports": None, "matches": None})
    assert not {"links", "ports", "match", "matches"} & spec.keys()
    with pytest.raises(InvalidArgument) as raised:
        flow.call("update", {"name": "a", "match": [], "matches": []})
    assert "'match' and 'matches' are one field" in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("operation", "payload", "reason"),
    [
        ("create", None, "a spec is a map"),
        ("create", [1], "a spec is a map"),
        ("create", {"kind": "snippet", "cod": 1}, "$.cod: unknown field"),
        ("create", {"kind": "no such"}, "unknown kind"),
        ("create", SPECS[0], "create"),
        ("update", {"name": "nobody", "code": "x"}, "nobody"),
        ("update", {"name": "read", "opcode": None}, "$.opcode: missing"),
        ("read", {"name": {"$near": 1}}, "$near"),
        ("read", "all", "a filter is null or a map"),
        ("delete", {"name": {"$in": 1}}, "$in"),
    ],
)
def test_bad_input_is_an_invalid_argument_with_its_reason(
    flow: Runtime, operation: str, payload: Any, reason: str
) -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid argument$") as raised:
        flow.call(operation, payload)
    assert reason in str(raised.value.__cause__)
    assert len(flow.call("read", None)) == 4


def test_two_namespaces_of_one_store_see_their_own_or_all() -> None:
    with MemoryStore("memory://") as store:
        store.specs.insert([{**snippet("theirs"), "namespace": "other"}])
        with Runtime(store, specs=SPECS) as own:
            assert {spec["namespace"] for spec in own.call("read", None)} == {"default"}
            assert own.call("read", {"namespace": "other"})[0]["name"] == "theirs"
            own.call("create", {**snippet("sent"), "namespace": "other"})
        settings = Settings(syscall=SyscallSettings(namespace="*"))
        with Runtime(store, settings=settings) as everywhere:
            assert len(everywhere.call("read", None)) == 6


def with_functions(specs: list[dict[str, Any]], **functions: Any) -> Runtime:
    runtime = Runtime("memory://", specs=specs)
    for opcode, function in functions.items():
        runtime.register(opcode, function)
    return runtime


def test_an_embedding_program_registers_its_own() -> None:
    seen = []

    def area(width: float, height: float, scale: int = 1) -> float:
        return width * height * scale

    specs = [{"kind": "syscall", "name": op, "opcode": op} for op in ("area", "note", "pair")]
    functions = {"area": area, "note": seen.append, "pair": lambda: (1, 2)}
    functions["note"] = lambda item: seen.append(item)
    with with_functions(specs, **functions) as flow:
        assert flow.call("area", [2.0, 3.0]) == 6.0
        assert flow.call("area", [2.0, 3.0, 2]) == 12.0
        for bad in (None, [1.0], [1.0, "x"], [1.0, 2.0, 3, 4]):
            with pytest.raises(InvalidArgument):
                flow.call("area", bad)
        assert flow.call("note", {"a": 1}) is None
        assert seen == [{"a": 1}]
        assert flow.call("pair", "ignored") == [1, 2]


def test_an_unknown_opcode_is_told_as_the_reason() -> None:
    specs = [{"kind": "syscall", "name": "a", "opcode": "nodes.creat"}]
    with Runtime("memory://", specs=specs) as flow:
        (status,) = flow.status()
        assert "unknown opcode 'nodes.creat'" in status["reason"]
        assert "nodes.create" in status["reason"]


def test_an_exception_of_a_function_goes_to_error() -> None:
    def fail(item: Any) -> None:
        raise OSError("disk full")

    specs = [
        {"kind": "syscall", "name": "a", "opcode": "fail", "links": {"error": {"name": "e"}}},
        snippet("e", code="handled"),
    ]
    with with_functions(specs, fail=fail) as flow:
        assert flow.call("a", 1) == "handled"
