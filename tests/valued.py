"""Runtimes whose specs take something from values: what tests of both have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec

from greenflow.config import Settings, ValuesSettings
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Duration, Spec


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    port: int = 0


class AllSpec(Spec):
    """A field of each sort that kinds have."""

    text: str = ""
    number: Annotated[int, msgspec.Meta(ge=0)] = 0
    flag: bool = False
    wait: Duration = 0.0
    mode: Literal["fast", "slow"] = "fast"
    many: Annotated[list[str], msgspec.Meta(extra={"alias": "several"})] = []
    map: dict[str, str] = {}
    part: Part | None = None
    parts: list[Part] = []
    anything: Any = None
    either: str | list[str] = ""
    specs: list[Spec] = []


@node("all", outputs=("out",), reads_only=True)
class All(Node[AllSpec]):
    """Answers what its fields became."""

    compiled: list[str] = []

    def __init__(self, spec: AllSpec, services: Any) -> None:
        self.compiled.append(spec.name or spec.id)
        super().__init__(spec, services)

    def handle(self, ctx: Context, payload: Any) -> Any:
        if payload == "fail":
            raise ValueError(f"cannot use {self.spec.text}")
        return self.spec.text


def scheme() -> Scheme:
    made = Scheme.installed()
    made.register(All)
    return made


def spec(name: str = "it", **fields: Any) -> dict[str, Any]:
    return {"kind": "all", "id": name, "name": name, **fields}


def value(name: str, data: Any, **fields: Any) -> dict[str, Any]:
    return {"id": f"id-{name}", "namespace": "default", "name": name, "data": data, **fields}


@contextmanager
def running(
    *specs: Any, values: Any = (), store: Any = None, keys: tuple[str, ...] = (), **settings: Any
) -> Iterator[Runtime]:
    with Runtime(
        store or "memory://",
        specs=list(specs),
        values=list(values),
        settings=Settings(grace=1.0, values=ValuesSettings(key=list(keys)), **settings),
        scheme=scheme(),
    ) as runtime:
        yield runtime


def of(runtime: Runtime, name: str = "it") -> Any:
    """The rendered spec of a node that must be active."""
    symbol = runtime.table.find(name)
    assert symbol.active, symbol.reason
    assert symbol.version.node is not None
    return symbol.version.node.spec


def apply(runtime: Runtime, *values: dict[str, Any]) -> None:
    runtime.apply_values(list(values))


def lose(runtime: Runtime, name: str) -> None:
    """As another program would delete it."""
    assert runtime._opened is not None
    runtime._opened.values.delete({"name": name})


def reason(runtime: Runtime, name: str = "it") -> str:
    return runtime.table.find(name).reason
