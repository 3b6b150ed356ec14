"""retry: its scope, what it retries, how long it waits, and its circuit (BEHAVIOUR 13.retry)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.engine.node import Context, Node
from greenflow.engine.packet import NOTHING
from greenflow.engine.process import Process
from greenflow.engine.result import Answer
from greenflow.errors import CircuitOpen, InvalidArgument, SpecInvalid, TimedOut
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import read
from greenflow.spec.fields import Spec
from greenflow.testing import ManualClock
from tests.flows import Flow, Probes, flow, probe_kind
from tests.waiting import until


class Script(Node[Spec]):
    """Answers what a test says, one after the other; an exception is raised."""

    kind = "script"
    answers: list[Any] = []
    asked: list[Any] = []

    def handle(self, ctx: Context, payload: Any) -> Any:
        self.asked.append(payload)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return NOTHING if answer is NOTHING else Answer(answer)


class Scripted(Flow):
    """A flow with a node whose answers are said, by a clock that jumps."""

    def __init__(self, runtime: Runtime, probes: Probes, clock: ManualClock, script: Any) -> None:
        super().__init__(runtime, probes)
        self.clock, self.script = clock, script

    @property
    def asked(self) -> int:
        return len(self.script.asked)


@contextmanager
def scripted(fields: str, *answers: Any, jump: bool = True, more: str = "") -> Iterator[Scripted]:
    """A retry `a` before a node `b` that answers so; what follows is `c`."""
    script = type("ScriptOfTest", (Script,), {"answers": list(answers), "asked": []})
    probes, clock, scheme = Probes(), ManualClock(jump=jump), Scheme.installed()
    scheme.register(probe_kind(probes))
    scheme.register(script)
    text = f"""
- kind: retry
  name: a
  {fields}
- {{kind: script, name: b}}
- {{kind: probe, name: c}}
- {{kind: probe, name: e, answer: handled}}
{more}
"""
    specs = [document.data for document in read(text, "test")]
    with Runtime("memory://", specs=specs, scheme=scheme, clock=clock) as runtime:
        yield Scripted(runtime, probes, clock, script)


TO_B = "links: {out: {name: b}}"
BROKEN = InvalidArgument("broken")


# -- the scope -------------------------------------------------------------------------------------


def test_what_follows_is_not_tried_again() -> None:
    """The payment is made once, though the receipt fails."""
    with (
        flow("""
- kind: retry
  name: a
  threshold: 5
  links: {out: {name: pay}, "out[1]": {name: receipt}, error: {name: e}}
- {kind: probe, name: pay, answer: paid}
- {kind: probe, name: receipt, raises: no paper}
- {kind: probe, name: e, answer: handled}
""") as running,
        pytest.raises(InvalidArgument) as raised,
    ):
        running.call("a", 10)
    assert str(raised.value.__cause__) == "no paper"
    assert running.probes.seen == [("pay", 10), ("receipt", "paid")]


def test_without_a_link_from_out_1_all_of_it_is_tried_again() -> None:
    with (
        flow("""
- {kind: retry, name: a, threshold: 2, links: {out: {name: pay}}}
- {kind: probe, name: pay, links: {out: {name: receipt}}}
- {kind: probe, name: receipt, raises: no paper}
""") as running,
        pytest.raises(InvalidArgument),
    ):
        running.call("a", 10)
    assert len(running.probes.of("pay")) == len(running.probes.of("receipt")) == 3


PAGES = """
- kind: retry
  name: get
  threshold: 3
  links: {out: {name: page}, "out[1]": {name: more}}
- {kind: snippet, name: page, language: cel, code: "self == 4 ? 1 / 0 : self", links: {}}
- {kind: if, name: more, when: self < 9, links: {out: {name: next}}}
- {kind: snippet, name: next, language: cel, code: self + 1, links: {out: {name: get}}}
"""


def test_paging_by_a_cycle_asks_a_failing_page_as_often_as_a_person_counts() -> None:
    """Three pages once each, and the fourth threshold + 1 times; not (threshold + 1) ** 4 times."""
    text = PAGES.replace("{name: page}", "{name: seen}") + (
        "- {kind: probe, name: seen, links: {out: {name: page}}}\n"
    )
    with flow(text) as running, pytest.raises(Exception, match="division by zero"):
        running.call("get", 1)
    assert running.probes.of("seen") == [1, 2, 3, 4, 4, 4, 4]


def test_nothing_leaves_as_null_and_an_error_not_at_all() -> None:
    links = 'links: {out: {name: b}, "out[1]": {name: c}, error: {name: e}}'
    with scripted(links, NOTHING, BROKEN) as running:
        assert running.call("a", 1) is None
        assert running.probes.seen == [("c", None)]
        assert running.call("a", 1) == "handled"
        assert running.probes.of("c") == [None]


# -- which answers, and how long -------------------------------------------------------------------


def test_when_says_which_answers_are_tried_again() -> None:
    fields = f"threshold: 5\n  when: self.status >= 500\n  {TO_B}"
    with scripted(fields, {"status": 503}, BROKEN, {"status": 200}) as running:
        assert running.call("a", 1) == {"status": 200}
        assert running.asked == 3


def test_the_last_answer_goes_on_as_it_is() -> None:
    fields = (
        "threshold: 2\n  when: self.status >= 500\n"
        '  links: {out: {name: b}, "out[1]": {name: c}, error: {name: e}}'
    )
    with scripted(fields, {"status": 503}) as running:
        assert running.call("a", 1) == {"status": 503}
        assert running.probes.seen == [("c", {"status": 503})]
        assert running.asked == 3


def test_when_says_which_errors_are_tried_again() -> None:
    fields = f'threshold: 5\n  when: self == "busy"\n  {TO_B}'
    with scripted(fields, InvalidArgument("busy"), InvalidArgument("gone")) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", 1)
        assert running.asked == 2


def test_a_condition_that_fails_on_an_answer_is_the_error() -> None:
    with scripted(f"threshold: 5\n  when: self.status >= 500\n  {TO_B}", "text") as running:
        with pytest.raises(Exception, match="status"):
            running.call("a", 1)
        assert running.asked == 1


START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (7, 7),
        (2_000_000, 2_000_000),  # seconds, in a payload never nanoseconds
        ("1m30s", 90),
        (format_datetime(START + timedelta(minutes=2), usegmt=True), 120),
        (START + timedelta(seconds=3), 3),
        (format_datetime(START - timedelta(minutes=2), usegmt=True), 0),
        (-5, 0),
        (None, 1),
        ("soon", 1),
        ([], 1),
        (True, 1),
    ],
)
def test_wait_obeys_what_the_answer_says(value: Any, seconds: float) -> None:
    fields = f"""threshold: 1
  when: self.status >= 500
  wait: self.header["Retry-After"][0]
  backoff: {{initial: 1s}}
  {TO_B}"""
    answer = {"status": 503, "header": {"Retry-After": [value]}}
    with scripted(fields, answer, {"status": 200}) as running:
        assert running.call("a", 1) == {"status": 200}
        assert running.clock.monotonic() == pytest.approx(seconds)


def test_what_wait_cannot_say_the_backoff_says() -> None:
    fields = f"threshold: 1\n  wait: self.header.x\n  backoff: {{initial: 3s}}\n  {TO_B}"
    with scripted(fields, BROKEN, "done") as running:
        assert running.call("a", 1) == "done"
        assert running.clock.monotonic() == 3


# -- timeout ---------------------------------------------------------------------------------------


def test_a_wait_that_would_not_end_in_time_is_not_begun() -> None:
    fields = f"threshold: 9\n  timeout: 5s\n  backoff: {{initial: 2s, factor: 1}}\n  {TO_B}"
    with scripted(fields, BROKEN) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", 1)
        assert running.asked == 3
        assert running.clock.monotonic() == 4


def test_a_try_that_is_not_over_in_time_is_interrupted() -> None:
    """What it holds of its own is let go; the process goes on."""
    clock = ManualClock()
    probes, scheme = Probes(), Scheme.installed()
    scheme.register(probe_kind(probes))
    specs = [
        document.data
        for document in read(
            """
- kind: retry
  name: a
  threshold: 3
  timeout: 1s
  links: {out: {name: b}, "out[1]": {name: c}, error: {name: e}}
- {kind: probe, name: b}
- {kind: probe, name: c}
- {kind: probe, name: e, answer: handled}
""",
            "test",
        )
    ]
    with Runtime("memory://", specs=specs, scheme=scheme, clock=clock) as runtime:
        probes.gates["b"] = Event()
        call = gevent.spawn(runtime.call, "a", 1)
        until(lambda: probes.of("b") == [1])
        clock.advance(1)
        assert call.get() == "handled"
        (error,) = probes.of("e")
        assert isinstance(error, TimedOut)
        assert str(error) == "timed out after 1s"
        assert probes.of("c") == []
        until(lambda: not runtime.services.processes)
        assert all(process.state == "exited" for process in probes.processes)


def test_tries_with_a_timeout_share_the_transaction_of_the_process() -> None:
    """A resource that a try has opened is committed with the process, not with the try."""
    with flow("""
- kind: retry
  name: a
  threshold: 1
  timeout: 10s
  links: {out: {name: b}, "out[1]": {name: c}}
- {kind: probe, name: b, resource: true, raises: broken, times: 1}
- {kind: probe, name: c}
""") as running:
        assert running.call("a", 1) == 1
    assert running.probes.seen == [
        ("b", 1),
        ("b", "opened"),
        ("b", 1),
        ("b", "opened"),
        ("c", 1),
        ("b", "committed"),
        ("b", "committed"),
    ]


def test_an_exit_ends_a_try_that_is_limited() -> None:
    with flow("""
- {kind: retry, name: a, timeout: 10s, links: {out: {name: b}}}
- {kind: probe, name: b, resource: true}
""") as running:
        running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "a", 1)
        until(lambda: len(running.probes.seen) == 2)
        process: Any = running.probes.processes[0]
        assert isinstance(process, Process)
        process.owner.exit(ValueError("its client left"))
        with pytest.raises(Exception, match="process exited"):
            call.get()
        assert running.probes.seen[-1] == ("b", "rolled back")
        until(lambda: not running.runtime.services.processes)


# -- the circuit -----------------------------------------------------------------------------------

CIRCUIT = f"open_after: 3\n  half_open: 10s\n  threshold: 1\n  {TO_B}"


def refused(running: Scripted) -> str:
    with pytest.raises(CircuitOpen) as raised:
        running.call("a", 1)
    assert raised.value.__cause__ is not None
    return str(raised.value)


def test_a_circuit_opens_after_failures_in_a_row_and_lets_one_through_later() -> None:
    with scripted(CIRCUIT, *[BROKEN] * 4, "up") as running:
        for asked in (2, 3):  # the second packet is not tried again: the circuit has opened
            with pytest.raises(InvalidArgument):
                running.call("a", 1)
            assert running.asked == asked
        assert "3 tries in a row have failed; the next comes in 10 s" in refused(running)
        running.clock.advance(9.5)
        refused(running)
        assert running.asked == 3
        running.clock.advance(0.5)
        with pytest.raises(InvalidArgument):
            running.call("a", 1)  # the one that is let through fails
        assert running.asked == 4
        refused(running)
        running.clock.advance(10)
        assert running.call("a", 1) == "up"
        assert running.call("a", 1) == "up"
        assert running.asked == 6


def test_only_one_is_let_through_at_a_time() -> None:
    text = """
- kind: retry
  name: a
  open_after: 1
  half_open: 0
  links: {out: {name: b}}
- {kind: probe, name: b, raises: broken, times: 1}
"""
    with flow(text) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", 1)
        gate = running.probes.gates["b"] = Event()
        first = gevent.spawn(running.call, "a", 2)
        until(lambda: running.probes.of("b") == [1, 2])
        with pytest.raises(CircuitOpen, match="and is under way"):
            running.call("a", 3)
        gate.set()
        assert first.get() == 2
        assert running.call("a", 4) == 4


def test_one_that_was_let_through_and_exits_makes_room_for_another() -> None:
    text = """
- {kind: retry, name: a, open_after: 1, half_open: 0, links: {out: {name: b}}}
- {kind: probe, name: b, raises: broken, times: 1}
"""
    with flow(text) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", 1)
        gate = running.probes.gates["b"] = Event()
        with pytest.raises(TimeoutError):
            running.call("a", 2, timeout=0.01)
        gate.set()
        until(lambda: not running.runtime.services.processes)
        assert running.call("a", 3) == 3


def test_an_answer_that_when_says_counts_as_a_failure() -> None:
    fields = f"open_after: 2\n  when: self.status >= 500\n  {TO_B}"
    with scripted(fields, {"status": 500}, jump=False) as running:
        for _ in range(2):
            assert running.call("a", 1) == {"status": 500}
        with pytest.raises(CircuitOpen):
            running.call("a", 1)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"when": "self ="}, "$.when"),
        ({"wait": ")"}, "$.wait"),
        ({"timeout": 0}, "$.timeout"),
        ({"open_after": 0}, "$.open_after"),
        ({"half_open": "soon"}, "$.half_open"),
    ],
)
def test_faulty_fields_are_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode({"kind": "retry", **fields}, "default")
    assert [fault.path for fault in raised.value.faults] == [path]
