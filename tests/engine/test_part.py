"""Parts of a process, and whose transactions they use (BEHAVIOUR 4.14, 4.16)."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from greenflow.engine.part import ProcessPart, Strand
from greenflow.engine.process import Process
from tests.flows import flow
from tests.waiting import until


def test_a_strand_of_a_strand_has_the_same_owner() -> None:
    process = Process()
    strand = Strand(process, 1)
    inner = Strand(strand, 2)
    assert (process.owner, strand.owner, inner.owner) == (process, process, process)
    child = Process(strand)
    assert child.owner is child
    process.exit()
    assert {each.state for each in (process, strand, inner, child)} == {"exited"}


def test_a_part_owns_what_it_opens_and_its_whole_owns_the_rest() -> None:
    process = Process()
    strand = Strand(process, 1)
    part = ProcessPart(strand, 2)
    inner = ProcessPart(Strand(part, 3), 4)
    assert (part.owner, part.whole) == (part, process)
    assert (inner.owner, inner.whole) == (inner, part)
    told: list[str] = []
    inner.on_settled(lambda error: told.append("inner"))
    inner.settle()
    part.settle()
    strand.settle()
    assert told == []
    process.settle()
    assert told == ["inner"]
    process.exit()


@pytest.mark.parametrize(
    ("fields", "payload", "answer"),
    [
        ("kind: loop, concurrency: 2", [1, 2], ["old", "old"]),
        ("kind: loop", [1, 2], ["old", "old"]),
        ("kind: retry, timeout: 1m", 1, "old"),
        ("kind: retry", 1, "old"),
        ("kind: race", 1, "old"),
        ("kind: try", 1, "old"),
    ],
)
def test_a_part_of_a_process_sees_the_graph_of_the_whole(
    fields: str, payload: object, answer: object
) -> None:
    with flow(f"""
- {{{fields}, name: a, links: {{out: {{name: b}}}}}}
- {{kind: probe, name: b, links: {{out: {{name: c}}}}}}
- {{kind: snippet, name: c, language: text, code: old}}
""") as running:
        gate = running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "a", payload)
        until(lambda: running.probes.of("b"))
        stored = running.runtime.operations.update({"name": "c", "code": "new"})
        running.followed(stored[0].revision)
        gate.set()
        assert call.get() == answer
        assert running.call("a", 1) == "new"
