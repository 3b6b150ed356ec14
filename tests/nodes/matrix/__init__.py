"""Every kind in every situation: what a row says, and how it is run (test_matrix.py).

A module of this folder is a part of the table: its `ROWS` map a kind, with a word in brackets where
a kind needs several, to a Row. To add a kind, write its row: the YAML of a flow in which the node
under test is called `n`, and a cell for each situation. A cell says what is sent and what comes of
it (Sent), how the process is exited and where (Exit), is a function of the Case, or says in a
sentence why there is nothing to test (Missing).

    "sleep": Row(
        flow="{kind: sleep, name: n, interval: 0, links: {out: {name: a}}}" + PICKY,
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED, taken=False),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("x"),
    )

The error is tried without and with an `error` link, and goes to that link unless it is not `taken`.
After each case no process may be left and no packet in flight, and the fixture of every test looks
for greenlets, threads, sockets and files.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import gevent
import pytest
from gevent.event import Event

from greenflow.engine.process import Process
from greenflow.errors import ProcessExited, messages
from greenflow.spec.document import read
from tests.flows import Flow, flow
from tests.waiting import until

__all__ = ["ANY", "GATE", "NO_NODE", "PICKED", "PICKY", "Case", "Exit", "Missing", "Row", "Sent"]
__all__ += ["call"]

SITUATIONS = ("happy", "error", "error linked", "null", "wrong type", "exit")
NO_NODE = "nothing can be sent to what nodes are made of"
GATE, HANDLER = "gate", "handler"  # the probe that holds packets, and the one behind `error`

# A node `a` that answers what it gets, and fails on the text "bad".
PICKY = """
- {kind: snippet, name: a, language: cel, code: 'self == "bad" ? self * 2 : self'}
"""
PICKED = "no such overload: string * int"


class Case:
    """A running flow, and the situation it is tried in."""

    def __init__(
        self, row: Row, running: Flow, linked: bool, folder: Path, log: pytest.LogCaptureFixture
    ) -> None:
        self.row, self.running, self.linked = row, running, linked
        self.folder, self.log, self.probes = folder, log, running.probes

    def ask(self, payload: Any) -> Any:
        """Send the payload as the row does."""
        return self.row.ask(self, payload)

    @property
    def node(self) -> Any:
        """The node under test."""
        return self.running.runtime.table.find("n").version.node

    @property
    def processes(self) -> set[Process]:
        """Every process that is not a child."""
        return self.running.runtime.services.processes

    @property
    def handled(self) -> list[str]:
        """What went to the `error` link, each with the messages of its causes."""
        return [": ".join(messages(error)) for error in self.probes.of(HANDLER)]

    def quiet(self) -> None:
        """Wait until no process is left, and no packet in flight."""
        until(lambda: not self.processes)
        assert self.node.in_flight == 0


def call(case: Case, payload: Any) -> Any:
    """Send the payload to the node's in port."""
    return case.running.call("n", payload)


Ask = Callable[[Case, Any], Any]


@dataclass(frozen=True)
class Missing:
    """Why a cell is empty: a sentence."""

    reason: str


@dataclass(frozen=True)
class Sent:
    """What is sent, and the answer, or a part of the error's messages; `raised` is a part of what
    the sender is told where that is something else. `by` sends it in another way than the row does.
    """

    payload: Any
    answer: Any = None
    error: str = ""
    taken: bool = True
    raised: str = ""
    by: Ask | None = None

    def __call__(self, case: Case) -> None:
        ask = self.by or case.row.ask
        if not self.error:
            assert ask(case, self.payload) == self.answer
        elif case.linked and self.taken:
            assert ask(case, self.payload) == "handled"
            (handled,) = case.handled
            assert self.error in handled
            return
        else:
            assert (self.raised or self.error) in _failure(ask, case, self.payload)
        assert case.handled == []


def _failure(ask: Ask, case: Case, payload: Any) -> str:
    """The messages of what is raised."""
    try:
        answer = ask(case, payload)
    except Exception as error:
        return ": ".join(messages(error))
    pytest.fail(f"no error, but the answer {answer!r}")


@dataclass(frozen=True)
class Exit:
    """The process is exited while its packet is held: by the probe `gate`, which is linked to
    `port` where the flow has none, or when `began` says. `answer` is what comes of it; by default,
    that the process exited."""

    payload: Any
    port: str = "out"
    began: Callable[[Case], object] | None = None
    answer: Any = ProcessExited
    by: Ask | None = None

    def __call__(self, case: Case) -> None:
        gate, began = Event(), self.began or (lambda case: case.probes.of(GATE))
        if self.began is None:
            case.probes.gates[GATE] = gate
        asking = gevent.spawn(self.by or case.row.ask, case, self.payload)
        until(lambda: began(case))
        (process,) = case.processes
        process.exit()
        try:
            answer = asking.get(timeout=10)
        except Exception as error:
            answer = type(error)
        assert answer == self.answer
        case.probes.gates.clear()
        case.quiet()
        if isinstance(case.row.happy, Sent):  # the node works on
            case.row.happy(case)


Cell = Missing | Callable[[Case], None]


@dataclass(frozen=True)
class Row:
    """A kind: a flow, a cell for each situation, and how a payload is sent. `using` yields what
    stands in the flow for words in capitals, such as URL; FOLDER is an empty folder."""

    flow: str
    happy: Cell
    error: Cell
    null: Cell
    wrong: Cell
    exits: Cell
    ask: Ask = call
    using: Callable[[], AbstractContextManager[dict[str, str]]] = lambda: nullcontext({})
    settings: dict[str, Any] = field(default_factory=dict)

    def cell(self, situation: str) -> Cell:
        cells = (self.happy, self.error, self.error, self.null, self.wrong, self.exits)
        return cells[SITUATIONS.index(situation)]


def rows() -> dict[str, Row]:
    """The whole table."""
    found: dict[str, Row] = {}
    for module in pkgutil.iter_modules(__path__):
        part = getattr(importlib.import_module(f"{__name__}.{module.name}"), "ROWS", {})
        assert not found.keys() & part.keys()
        found |= part
    return found


def cells() -> Iterator[tuple[str, str]]:
    """Every row and situation in which there is something to try."""
    for name, row in rows().items():
        for situation in SITUATIONS:
            if not isinstance(row.cell(situation), Missing):
                yield name, situation


def run(row: Row, situation: str, folder: Path, log: pytest.LogCaptureFixture) -> None:
    """Run one case."""
    cell = row.cell(situation)
    assert callable(cell)
    with ExitStack() as stack:
        text = row.flow
        for word, value in {"FOLDER": str(folder), **stack.enter_context(row.using())}.items():
            text = text.replace(word, value)
        specs = [document.data for document in read(text, "row")]
        (subject,) = [spec for spec in specs if spec.get("name") == "n"]
        links = subject.setdefault("links", {})
        if situation == "error linked":
            links["error"] = [{"name": HANDLER}]
            specs.append({"kind": "probe", "name": HANDLER, "answer": "handled"})
        has_gate = any(spec.get("name") == GATE for spec in specs)
        if isinstance(cell, Exit) and cell.began is None and not has_gate:
            links[cell.port] = [{"name": GATE}]
            specs.append({"kind": "probe", "name": GATE})
        with flow(json.dumps(specs), **row.settings) as running:
            case = Case(row, running, situation == "error linked", folder, log)
            cell(case)
            case.quiet()
