"""Every control kind x null, odd payloads, an error behind it, and an exit in the middle (BEHAVIOUR
13). What only one kind does is tested in its own module."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, NamedTuple

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import GreenflowError, InvalidArgument, ProcessExited
from tests.flows import Flow, flow
from tests.waiting import until


class Kind(NamedTuple):
    """A kind with the node `b` behind it, and what is special about it."""

    spec: str  # of the node `a`; LINK is its link to `b`
    takes: bool = False  # an error that `b` answers goes to its `error` link


KINDS = {
    "block": Kind("kind: block, specs: [{kind: try}, {kind: sleep, interval: 0}], LINK"),
    "step": Kind("kind: step, specs: [{kind: try}, {kind: sleep, interval: 0}], LINK"),
    "call": Kind("kind: call, LINK", takes=True),
    "pipe": Kind("kind: pipe, LINK", takes=True),
    "loop": Kind("kind: loop, LINK", takes=True),
    "for": Kind("kind: for, LINK", takes=True),
    "if": Kind("kind: if, when: 'true', LINK"),
    "switch": Kind("kind: switch, match: {when: 'true', port: out}, LINK"),
    "snippet": Kind("kind: snippet, language: cel, code: self, LINK"),
    "merge": Kind("kind: merge, LINK"),
    "split": Kind("kind: split, LINK"),
    "sleep": Kind("kind: sleep, interval: 0, LINK"),
    "wait": Kind("kind: wait, interval: 0, LINK"),
    "try": Kind("kind: try, LINK", takes=True),
    "retry": Kind("kind: retry, threshold: 1, LINK", takes=True),
    "cache": Kind("kind: cache, LINK"),
}

FLOW = """
- {name: a, SPEC}
- {kind: probe, name: b PROBE}
- {kind: probe, name: e, answer: handled}
"""


def with_kind(kind: str, probe: str = "", error: str = "") -> str:
    spec = KINDS[kind].spec.replace("LINK", f"links: {{out: {{name: b}}{error}}}")
    return FLOW.replace("SPEC", spec).replace(" PROBE", probe)


def idle(running: Flow) -> bool:
    """Whether nothing is under way any more."""
    nodes: list[Any] = [each.version.node for each in running.runtime.table.symbols.values()]
    return not running.runtime.services.processes and not any(each.in_flight for each in nodes)


ODD: list[Any] = [
    None, True, 0, -1, 2**63, 1.5, "", "text", b"\xff", {}, {"a": [None]},
    datetime(2026, 1, 1, tzinfo=UTC),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_it_sends_any_payload_on(kind: str) -> None:
    with flow(with_kind(kind)) as running:
        for payload in ODD:
            answer = running.call("a", payload)
            assert answer == payload
            assert type(answer) is type(payload)
        assert running.probes.of("b") == ODD
        assert math.isnan(running.call("a", math.nan))
        assert idle(running)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_answered_as_null_to_the_caller(kind: str) -> None:
    with flow(with_kind(kind).replace("kind: probe, name: b", "kind: nop, name: b")) as running:
        assert running.call("a", 1) is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_behind_it(kind: str) -> None:
    """It goes to the `error` link of those that wait, and passes the others by (BEHAVIOUR 5.3)."""
    with flow(with_kind(kind, ", raises: broken")) as running:
        with pytest.raises(InvalidArgument) as raised:
            running.call("a", 1)
        assert str(raised.value.__cause__) == "broken"
        assert idle(running)
    with flow(with_kind(kind, ", raises: broken", ", error: {name: e}")) as running:
        if KINDS[kind].takes:
            assert running.call("a", 1) == "handled"
        else:
            with pytest.raises(InvalidArgument):
                running.call("a", 1)
        assert len(running.probes.of("e")) == KINDS[kind].takes
        assert idle(running)


@pytest.mark.parametrize("error", ["", ", error: {name: e}"])
@pytest.mark.parametrize("kind", KINDS)
def test_its_process_exits_in_the_middle(kind: str, error: str) -> None:
    with flow(with_kind(kind, error=error)) as running:
        gate = running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "a", 1)
        until(lambda: running.probes.of("b") == [1])
        running.probes.processes[0].exit(ValueError("its client left"))
        with pytest.raises(ProcessExited) as raised:
            call.get()
        assert str(raised.value.__cause__) == "its client left"
        assert idle(running)
        assert running.probes.of("e") == []
        gate.set()
        assert running.call("a", 1) == 1
        assert idle(running)


SLOW = {
    "sleep": "kind: sleep, interval: 1h",
    "wait": "kind: wait, interval: 1h",
    "retry": "kind: retry, threshold: 1, backoff: {initial: 1h}, links: {out: {name: bad}}",
    "snippet": "kind: snippet, language: javascript, timeout: 1h, code: CODE",
    "if": "kind: if, language: javascript, timeout: 1h, when: CODE",
    "switch": "kind: switch, language: javascript, timeout: 1h, match: {port: out, when: CODE}",
}


@pytest.mark.parametrize("kind", SLOW)
def test_it_is_interrupted_while_it_waits(kind: str) -> None:
    code = "'export default () => new Promise(() => {})'"
    with flow(f"""
- {{name: a, {SLOW[kind].replace("CODE", code)}}}
- {{kind: throw, name: bad}}
""") as running:
        call = gevent.spawn(running.call, "a", 1)
        services = running.runtime.services
        until(lambda: bool(services.processes))
        gevent.idle()
        (process,) = services.processes
        process.exit()
        with pytest.raises(ProcessExited):
            call.get()
        assert idle(running)


def test_a_fork_goes_on_when_the_process_that_began_it_has_answered() -> None:
    with flow("""
- {kind: fork, name: a, links: {out: {name: b}, error: {name: e}}}
- {kind: probe, name: b}
- {kind: probe, name: e}
""") as running:
        running.probes.gates["b"] = Event()
        assert running.call("a", None) is None
        until(lambda: running.probes.of("b") == [None])
        child = running.probes.processes[0]
        assert child.parent is not None
        child.parent.exit(ValueError("enough"))  # ends the child with it, and asks no `error` link
        until(lambda: idle(running))
        assert running.probes.of("e") == []


def test_a_session_ends_with_its_process_and_with_that_of_its_caller() -> None:
    with flow("""
- {kind: probe, name: open, links: {out: [{name: s, port: io}, {name: hold}]}}
- {kind: probe, name: hold}
- {kind: session, name: s, links: {out: {name: b}}}
- {kind: probe, name: b}
""") as running:
        probes = running.probes
        probes.gates |= {"hold": Event(), "b": Event()}
        opened = gevent.spawn(running.call, "open", None)
        until(lambda: probes.of("hold") == [None])
        reached = gevent.spawn(running.call, "s", None)
        until(lambda: probes.of("b") == [[None, None]])
        (caller,) = running.runtime.services.processes - {probes.processes[0]}
        caller.exit(ValueError("its client left"))
        with pytest.raises(ProcessExited):
            reached.get()
        probes.processes[0].exit()
        with pytest.raises(ProcessExited):
            opened.get()
        until(lambda: idle(running))


def test_a_merge_forgets_what_waited_in_a_process_that_exited() -> None:
    with flow("""
- {kind: split, name: s, links: {out: {name: m}, "out[1]": {name: m, port: "in[1]"}}}
- {kind: merge, name: m, links: {out: {name: b}}}
- {kind: probe, name: b}
""") as running:
        assert running.call("s", ["only one"]) is None
        assert running.call("s", [None, None]) == [None, None]
        assert running.probes.of("b") == [[None, None]]
        assert idle(running)


@pytest.mark.parametrize("payload", ODD)
def test_throw_and_nop_take_any_payload(payload: Any) -> None:
    with flow("[{kind: nop, name: n}, {kind: throw, name: t}]") as running:
        assert running.call("n", payload) is None
        if payload is None:
            assert running.call("t", payload) is None
        else:
            with pytest.raises(GreenflowError):
                running.call("t", payload)
        assert idle(running)
