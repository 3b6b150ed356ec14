"""No failure turns into a success or into silence: every kind on an `error` branch that handles
nothing.

A request fails, and the `error` link of the node or of its listener leads to one node of a kind,
which has nothing behind it and chooses, waits, or passes on. What comes out is a 500, a rollback
and a line in the log; only what says so on purpose (`nop`), or really does something with the
error, ends it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import pytest

from greenflow import Context, Runtime, Scheme, node
from greenflow.nodes.listener import listeners
from tests.net.loopback import Client

#: What each kind says besides its kind and name: nothing of it handles an error.
PASSES_ON: dict[str, dict[str, Any]] = {
    "auth": {"bearer": {"keys": [{"name": "a", "key": "b"}]}},
    "block": {"specs": [{"kind": "switch"}]},
    "cache": {},
    "call": {},
    "fork": {},
    "format": {"format": "json"},
    "if": {"when": "false"},
    "loop": {},
    "merge": {},
    "parse": {"format": "json"},
    "retry": {},
    "router": {"routes": [{"method": "GET", "path": "/", "port": "out"}]},
    "session": {},
    "sleep": {"interval": 0},
    "split": {},
    "step": {"specs": [{"kind": "if", "when": "true"}]},
    "race": {},
    "switch": {"match": [{"when": "self == 'another'", "port": "out"}]},
    "throw": {},
    "try": {},
    "validate": {"payload": {"type": "object"}},
    "while": {"when": "true"},
}

#: Kinds that do something with whatever they are given, so that a link to one is a handler on
#: purpose; or that refuse an error, so that it fails them in their turn.
HANDLES = {
    "assert": "refuses: it takes a list of two",
    "connection": "has no in port",
    "gateway": "answers 426",
    "http": "sends it",
    "listener": "has no in port",
    "nop": "swallows on purpose",
    "print": "prints it",
    "python": "calls a function with it",
    "read": "answers a file",
    "schedule": "has no in port",
    "snippet": "computes an answer",
    "sql": "refuses: it takes a statement",
    "syscall": "calls a function with it",
    "template": "is no node of its own",
    "test": "has no in port",
    "trigger": "publishes it",
    "use": "is what its template is: a block",
    "watch": "has no in port",
    "websocket": "connects, or sends it",
    "write": "writes it",
    "wsgi": "refuses: it takes a request",
}


class Transaction(AbstractContextManager[None]):
    """Notes how it ended."""

    def __init__(self, ends: list[str]) -> None:
        self.ends = ends

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ends.append("commit" if error is None else "rollback")


@pytest.fixture
def ends() -> list[str]:
    """How the transactions of a test ended."""
    return []


@pytest.fixture
def scheme(ends: list[str]) -> Scheme:
    """The kinds that are installed, and one that begins a transaction and fails."""

    @node("failing")
    def failing(ctx: Context, payload: Any) -> Any:
        """Begins a transaction, and fails."""
        ctx.enter(Transaction(ends))
        raise ValueError("lost")

    installed = Scheme.installed()
    installed.register(failing)
    return installed


def ask(runtime: Runtime) -> int:
    """The status of a request to the runtime's only listener."""
    (listener,) = listeners(runtime.services).values()
    assert listener.lease is not None
    client = Client(listener.lease.address)
    try:
        return client.ask("/").status
    finally:
        client.socket.close()


def test_every_kind_is_in_one_of_the_tables() -> None:
    scheme = Scheme.installed()
    types = {scheme.node_type(kind) for kind in (*PASSES_ON, *HANDLES)}
    assert [kind for kind in scheme.kinds() if scheme.node_type(kind) not in types] == []


def behind(kind: str, where: str) -> Iterator[dict[str, Any]]:
    """Specs of a service whose failing node, or listener, has that kind behind its `error` link."""
    link = {"error": {"name": "branch", "port": "io" if kind == "session" else "in"}}
    yield {
        "kind": "listener",
        "name": "http",
        "port": 0,
        "links": {"out": {"name": "fails"}} | (link if where == "listener" else {}),
    }
    yield {"kind": "failing", "name": "fails", "links": link if where == "node" else {}}
    extra = {"kind": kind, "name": "branch"} | PASSES_ON[kind]
    yield extra
    if kind == "merge":  # of which the other port never gets a packet
        yield {
            "kind": "snippet",
            "name": "never",
            "language": "text",
            "code": "",
            "links": {"out": {"name": "branch", "port": "in[1]"}},
        }


@pytest.mark.parametrize("where", ["node", "listener"])
@pytest.mark.parametrize("kind", PASSES_ON)
def test_an_error_that_nobody_handled_stays_an_error(
    kind: str, where: str, scheme: Scheme, ends: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.ERROR),
        Runtime("memory://", specs=list(behind(kind, where)), scheme=scheme) as runtime,
    ):
        assert ask(runtime) == 500
    assert ends == ["rollback"]
    assert any("lost" in record.getMessage() for record in caplog.records)


def test_nop_swallows_on_purpose(scheme: Scheme, ends: list[str]) -> None:
    specs = [
        {"kind": "listener", "name": "http", "port": 0, "links": {"out": {"name": "fails"}}},
        {"kind": "failing", "name": "fails", "links": {"error": {"name": "branch"}}},
        {"kind": "nop", "name": "branch"},
    ]
    with Runtime("memory://", specs=specs, scheme=scheme) as runtime:
        assert ask(runtime) == 200
    assert ends == ["commit"]


def test_an_error_of_a_round_that_is_full_is_told_once(scheme: Scheme) -> None:
    specs = [
        {
            "kind": "split",
            "name": "split",
            "links": {
                "out[0]": {"name": "merge", "port": "in"},
                "out[1]": {"name": "merge", "port": "in[1]"},
            },
        },
        {"kind": "merge", "name": "merge", "links": {"error": {"name": "handler"}}},
        {"kind": "snippet", "name": "handler", "code": "string(self)", "language": "cel"},
    ]
    with Runtime("memory://", specs=specs, scheme=scheme) as runtime:
        assert runtime.call("split", [ValueError("bad"), 1]) == "bad"


def test_an_error_among_the_elements_that_are_dropped_is_raised() -> None:
    specs = [
        {"kind": "split", "name": "split", "links": {"out": {"name": "end"}}},
        {"kind": "sleep", "name": "end", "interval": 0},
    ]
    with Runtime("memory://", specs=specs) as runtime:
        assert runtime.call("split", ["a", "b"]) == "a"
        with pytest.raises(ValueError, match="lost"):
            runtime.call("split", ["a", ValueError("lost")])
