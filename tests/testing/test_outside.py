"""Nodes that may not reach outside: they refuse, are not opened, and the test fails."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from greenflow import Scheme, node
from greenflow.errors import WorkflowError
from greenflow.testing import ManualClock, NotAllowed, ReachedOutside, flow


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A socket that listens; nobody may connect."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def nobody_came(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return True
    return False


def reach(specs: Any, node: str, payload: Any = None, port: str = "in", **options: Any) -> None:
    """Call a node, as one who does not mind that it is refused."""
    with flow(specs, **options) as running:
        with suppress(NotAllowed):
            running.call(node, payload, port=port)
        running.settle()


def kinds(folder: Path, port: int) -> dict[str, dict[str, Any]]:
    """Each kind that reaches outside, with fields that would."""
    return {
        "http": {"url": f"http://127.0.0.1:{port}/"},
        "websocket": {"url": f"ws://127.0.0.1:{port}/"},
        "sql": {"driver": "sqlite", "source": str(folder / "a.db")},
        "write": {"filename": str(folder / "a.txt")},
        "print": {"filename": str(folder / "b.txt")},
        "python": {"call": "made_by_this_test:touch"},
        "wsgi": {"app": "made_by_this_test:app"},
    }


KINDS = ["http", "websocket", "sql", "write", "print", "python", "wsgi"]


@pytest.mark.parametrize(
    ("kind", "around"),
    [
        (kind, around)
        for kind in KINDS
        for around in ("nothing", "try", "retry", "fork", "block")
        if (kind, around) != ("websocket", "block")  # a source is no part of a block
    ],
)
def test_a_kind_reaches_nothing(
    kind: str, around: str, tmp_path: Path, server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = tmp_path / "made_by_this_test.py"
    source.write_text("raise SystemError('imported')\n")
    port = "io" if kind == "websocket" else "in"
    fields = kinds(tmp_path, server.getsockname()[1])[kind]
    out = {"kind": kind, "name": "out", **fields}
    to_it = {"out": {"name": "out", "port": port}}
    specs: list[Any] = {
        "nothing": [out],
        "try": [{"kind": "try", "name": "a", "links": {**to_it, "error": {"name": "b"}}}, out],
        "retry": [{"kind": "retry", "name": "a", "threshold": 9, "backoff": {"initial": "1h"}}],
        "fork": [{"kind": "fork", "name": "a", "links": to_it}, out],
        "block": [
            {
                "kind": "block",
                "name": "a",
                "specs": [out],
                "inbounds": {"in": {"name": "out", "port": port}},
            }
        ],
    }[around]
    if around == "retry":
        specs = [{**specs[0], "links": to_it}, out]
    specs = [*specs, {"kind": "snippet", "name": "b", "code": "all is well"}]
    start, at = ("out", port) if around == "nothing" else ("a", "in")
    said = (
        rf"^{kind} node 'out' reaches outside.*`replace: {{out: {{answer: \.\.\.}}}}`.*`allow: out`"
    )
    with pytest.raises(ReachedOutside, match=said):
        reach(specs, start, {"path": "/"}, at, allow=[], sources=[])
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [source.name]
    assert "made_by_this_test" not in sys.modules
    assert nobody_came(server)


def test_what_the_workflow_makes_of_it_does_not_count() -> None:
    specs = """
- {kind: try, name: a, links: {out: {name: out}, error: {name: b}}}
- {kind: write, name: out, filename: /nowhere/x}
- {kind: snippet, name: b, code: fine}
"""
    reached = pytest.raises(ReachedOutside, match="write node 'out'")
    with reached as raised, flow(specs, allow=[]) as running:
        with suppress(NotAllowed):
            running.call("a")
        assert running.passed("b", "out") == ["fine"]
    assert isinstance(raised.value.__cause__, NotAllowed)


def test_every_node_that_was_reached_is_told_once() -> None:
    specs = """
- {kind: loop, name: a, links: {out: {name: f}}}
- {kind: fork, name: f, links: {out: [{name: x}, {name: y}]}}
- {kind: write, name: x, filename: /nowhere/x}
- {kind: write, name: y, filename: /nowhere/y}
"""
    with pytest.raises(ReachedOutside) as raised:
        reach(specs, "a", [1, 2, 3], allow=[])
    assert [line.split(" reaches")[0] for line in str(raised.value).splitlines()] == [
        "write node 'x'",
        "write node 'y'",
    ]


def test_a_node_that_nothing_comes_to_may_be_there() -> None:
    with flow("- {kind: python, call: 'nowhere:x'}\n- {kind: nop, name: a}", allow=[]) as running:
        assert running.call("a") is None


def test_what_is_replaced_needs_no_leave() -> None:
    specs = {"kind": "http", "name": "out", "url": "http://127.0.0.1:9/"}
    with flow(specs, replace={"out": {"status": 200}}, allow=[]) as running:
        assert running.call("out") == {"status": 200}
    refused = pytest.raises(WorkflowError, match="no")
    with flow(specs, replace={"out": WorkflowError("no")}, allow=[]) as running, refused:
        running.call("out")


def test_what_is_allowed_does_it(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    spec = {"kind": "write", "name": "log", "filename": str(file)}
    with flow(spec, allow=["log"]) as running:
        assert running.call("log", "hi") == 2
    assert file.read_text() == "hi"
    nameless = {"kind": "write", "filename": str(file), "id": "w"}
    with flow(nameless, allow=["write"]) as running:  # goes by its kind
        assert running.call("w", "there") == 5
    with pytest.raises(ReachedOutside):
        reach(spec, "log", "no", allow=["write"])
    assert file.read_text() == "there"


def test_what_stays_inside_is_free(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    specs = """
- {kind: sql, name: a, driver: sqlite, source: ":memory:"}
- {kind: sql, name: b, source: "sqlite://"}
- {kind: print, name: c}
- {kind: read, name: d, filename: /proc/sys/kernel/ostype}
"""
    with flow(specs, allow=[]) as running:
        assert running.call("a", "SELECT 1 AS one") == [{"one": 1}]
        assert running.call("b", "SELECT 1 AS one") == [{"one": 1}]
        assert running.call("c", "hello") == 5
        assert running.call("d") == "Linux\n"
    assert capfdbinary.readouterr().out == b"hello"


def test_a_load_hook_is_no_way_out(tmp_path: Path) -> None:
    specs: list[Any] = [
        {"kind": "nop", "name": "a", "links": {"init": {"name": "w"}}},
        {"kind": "write", "name": "w", "filename": str(tmp_path / "x")},
    ]
    with pytest.raises(ReachedOutside, match="write node 'w'"), flow(specs, allow=[]):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_kinds_that_reach_outside_are_these() -> None:
    scheme = Scheme.installed()
    declared = {scheme.node_type(kind) for kind in scheme.kinds()}
    # A package that is installed for its tests may declare others.
    ours = {kind.kind for kind in declared if kind.__module__.startswith("greenflow.")}
    assert {kind for kind in ours if scheme.node_type(kind).reaches_outside} == set(KINDS)


def test_kinds_of_others_declare_it_too() -> None:
    @node("charge", reaches_outside=True)
    def charge(ctx: Any, payload: Any) -> Any:
        return "charged"

    scheme = Scheme.installed()
    scheme.register(charge)
    charging = {"kind": "charge", "name": "c"}
    with flow(charging, scheme=scheme) as running:
        assert running.call("c") == "charged"  # without `allow` all is as it was
    with flow(charging, scheme=scheme, allow=["c"]) as running:
        assert running.call("c") == "charged"
    with pytest.raises(ReachedOutside, match="charge node 'c'"):
        reach(charging, "c", scheme=scheme, allow=[])
    assert scheme.describe("charge")["reaches_outside"] is True
    assert scheme.describe("nop")["reaches_outside"] is False


def test_who_waits_is_told_at_once() -> None:
    """Not after all tries of a workflow that does not give up, by a clock that nobody moves."""
    specs = """
- {kind: retry, name: a, threshold: 5, backoff: {initial: 1h}, links: {out: {name: out}}}
- {kind: write, name: out, filename: /nowhere/x}
"""
    clock = ManualClock()
    with pytest.raises(NotAllowed), flow(specs, allow=[], clock=clock) as running:
        running.call("a")
    assert clock.monotonic() == 0
