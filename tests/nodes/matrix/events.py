"""Kinds that begin processes by themselves: events and schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.event import Event

from tests.nodes.matrix import GATE, PICKED, PICKY, Case, Missing, Row
from tests.waiting import until

# What leaves `n` is held by the gate, if a test wants that, and goes on to `a`.
HELD = "- {kind: probe, name: gate, links: {out: {name: a}}}\n" + PICKY


def publish(case: Case, payload: Any) -> None:
    """An event is answered at once, whatever becomes of it."""
    assert case.running.call("n", payload) is None


def arrives(payload: Any) -> Callable[[Case], None]:
    def cell(case: Case) -> None:
        publish(case, payload)
        until(lambda: case.probes.of(GATE) == [payload])

    return cell


def fails(case: Case) -> None:
    publish(case, "bad")
    told(case)


def told(case: Case) -> None:
    """The error goes to `error`, or is logged."""
    if case.linked:
        until(lambda: case.handled)
        assert PICKED in case.handled[0]
        assert "unhandled error" not in case.log.text
    else:
        until(lambda: "unhandled error" in case.log.text)
        assert PICKED in case.log.text


def held(case: Case, begin: Callable[[], object]) -> None:
    """The process of what `begin` began is exited while the gate holds its packet."""
    case.probes.gates[GATE] = Event()
    begin()
    until(lambda: case.probes.of(GATE))
    (process,) = case.processes
    process.exit()
    case.probes.gates.clear()


def event_exits(case: Case) -> None:
    held(case, lambda: publish(case, "x"))
    case.quiet()
    publish(case, "y")
    until(lambda: case.probes.of(GATE) == ["x", "y"])


def rest(case: Case) -> None:
    """No more runs but in an hour."""
    revision = case.running.runtime.operations.update({"name": "n", "interval": "1h"})[0].revision
    case.running.followed(revision)


def often(case: Case) -> None:
    revision = case.running.runtime.operations.update({"name": "n", "interval": "1ms"})[0].revision
    case.running.followed(revision)


def runs(case: Case) -> None:
    often(case)
    until(lambda: case.probes.of(GATE))
    rest(case)
    assert case.probes.of(GATE)[0].keys() == {"name", "due"}


def run_fails(case: Case) -> None:
    case.running.runtime.operations.update({"name": "a", "code": '"bad" * 2'})
    often(case)
    told(case)
    rest(case)


def run_exits(case: Case) -> None:
    held(case, lambda: often(case))
    rest(case)


ROWS = {
    "trigger": Row(
        flow="- {kind: trigger, name: n, topic: t, links: {out: {name: gate}}}\n" + HELD,
        happy=arrives("x"),
        error=fails,
        null=arrives(None),
        wrong=arrives(b"x"),
        exits=event_exits,
    ),
    "schedule": Row(
        flow="- {kind: schedule, name: n, interval: 1h, links: {out: {name: gate}}}\n" + HELD,
        happy=runs,
        error=run_fails,
        null=Missing("it has no in port"),
        wrong=Missing("it has no in port"),
        exits=run_exits,
    ),
}
