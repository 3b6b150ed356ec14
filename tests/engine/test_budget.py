"""What one process may do in all, with what descends from it (BEHAVIOUR 3.10)."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow import Runtime
from greenflow.config import ProcessSettings, Settings
from greenflow.engine.budget import Budget, Spending
from greenflow.engine.cycle import Cycles
from greenflow.errors import Runaway, messages
from tests.flows import flow
from tests.waiting import until

ROUND = """
- {kind: sleep, name: a, interval: 1us, links: {out: {name: b}}}
- {kind: snippet, name: b, language: cel, code: self + 1, links: {out: {name: a}}}
"""


def said(error: BaseException, part: str) -> bool:
    return any(part in text for text in messages(error))


def test_a_cycle_that_waits_ends_with_its_packets() -> None:
    """It is no runaway by its descent, so that it would go on for ever."""
    with flow(ROUND, process=ProcessSettings(packets=5_000)) as running:
        with pytest.raises(Runaway, match=r"more than 5,000 packets handled .*process.packets"):
            running.call("a", 1)
        assert not running.runtime.services.processes


def test_loops_in_loops_end_with_their_packets() -> None:
    text = """
- {kind: loop, name: a, links: {out: {name: b}}}
- {kind: loop, name: b, links: {out: {name: c}}}
- {kind: loop, name: c, links: {out: {name: d}}}
- {kind: nop, name: d}
"""
    with flow(text, process=ProcessSettings(packets=20_000)) as running:
        with pytest.raises((Runaway, ExceptionGroup)) as caught:
            running.call("a", [[list(range(100))] * 100] * 100)
        # Whichever is over first: those that wait in the inner loops, or all of them.
        assert said(caught.value, "process.open") or said(caught.value, "process.packets")


def test_forks_that_make_themselves_again_end_with_their_children(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = """
- {kind: fork, name: a, links: {out: [{name: b}, {name: b}]}}
- {kind: sleep, name: b, interval: 1ms, links: {out: {name: a}}}
"""
    with flow(text, process=ProcessSettings(children=100, packets=100_000)) as running:
        running.call("a", 1)
        until(lambda: any("more than 100 children" in r.getMessage() for r in caplog.records))


@pytest.mark.parametrize("concurrency", [1, 10])
def test_a_long_list_is_within_the_budget(concurrency: int) -> None:
    text = f"""
- {{kind: loop, name: a, concurrency: {concurrency}, links: {{out: {{name: b}}}}}}
- {{kind: snippet, name: b, language: cel, code: self}}
"""
    with flow(text, process=ProcessSettings(children=20)) as running:
        assert running.call("a", list(range(1_000))) == list(range(1_000))


def test_settings_say_how_much() -> None:
    settings = Settings(process=ProcessSettings(packets=7, children=8, open=9))
    with Runtime("memory://", settings=settings) as runtime:
        budget: Any = runtime.services.budget
        assert (budget.packets, budget.children, budget.open) == (7, 8, 9)


def test_a_source_says_another_budget_for_its_processes() -> None:
    text = (
        ROUND
        + """
- kind: trigger
  name: t
  topic: t
  budget: {packets: 3000}
  links: {out: {name: a}, error: {name: told}}
- {kind: probe, name: told}
- {kind: trigger, name: publish, topic: t}
"""
    )
    with flow(text) as running:
        running.call("publish", 1)
        until(lambda: running.probes.of("told"))
        (error,) = running.probes.of("told")
        assert said(error, "more than 3,000 packets handled for one process (budget.packets)")
        assert running.runtime.services.budget.packets == 10_000_000


def test_too_many_children_are_no_more_until_all_have_ended() -> None:
    spending = Spending(Budget(children=2))
    spending.children = 2
    assert said(spending.error or Exception(), "more than 2 children of one process")
    spending.children = 1
    assert spending.error is not None
    spending.children = 0
    assert spending.error is None
    spending.children = 1
    assert spending.error is None


def test_when_the_runtime_ends_so_much_is_left_for_cycles() -> None:
    spending = Spending(Budget(packets=800_000))
    spending.hurry(Cycles())
    assert not spending.go_round(2_000)
    assert spending.error is None
    assert spending.go_round(1)
    assert said(spending.error or Exception(), "more than 2,000 packets handled on a cycle since")
    small = Spending(Budget(packets=100))
    assert not small.go_round(1_000)
    assert small.spend(101)


GATE = "- {kind: probe, name: gate, links: {'out[0]': {name: a}}}\n"
FORKS = """
- {kind: fork, name: a, links: {out: [{name: b}, {name: b}]}}
- {kind: sleep, name: b, interval: 1us, links: {out: {name: a}}}
"""
WHILE = "- {kind: while, name: a, when: 'true', links: {out: {name: b}}}\n- {kind: nop, name: b}\n"


def after_the_end(text: str, payload: Any, packets: int = 400_000) -> Any:
    """What a call answers, or the error that it has, whose process is asked to end in the middle;
    it leaves no process."""
    with flow(GATE + text, process=ProcessSettings(packets=packets)) as running:
        running.probes.gates["gate"] = Event()
        call = gevent.spawn(running.call, "gate", payload)
        until(lambda: running.probes.processes)
        running.probes.processes[0].hurry(Cycles())
        running.probes.gates["gate"].set()
        try:
            return call.get()
        except Exception as error:
            return error
        finally:
            until(lambda: not running.runtime.services.processes)


@pytest.mark.parametrize("concurrency", [1, 10])
def test_when_the_runtime_ends_what_does_not_go_round_has_its_whole_budget(
    concurrency: int,
) -> None:
    text = f"""
- {{kind: loop, name: a, concurrency: {concurrency}, links: {{out: {{name: b}}}}}}
- {{kind: snippet, name: b, language: cel, code: self}}
"""
    assert after_the_end(text, list(range(3_000))) == list(range(3_000))


@pytest.mark.parametrize("text", [ROUND, WHILE], ids=["cycle", "while"])
def test_when_the_runtime_ends_what_goes_round_is_over_soon(text: str) -> None:
    error = after_the_end(text, 1)
    assert said(error.__cause__ or error, "more than 1,000 packets handled on a cycle since")


def test_when_the_runtime_ends_children_that_make_themselves_again_end_with_all_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    after_the_end(FORKS, 1)
    assert len([r for r in caplog.records if r.name == "greenflow.node"]) == 1


def test_what_begins_anew_below_another_has_a_budget_of_its_own() -> None:
    with Runtime("memory://") as runtime:
        services: Any = runtime.services
        parent = services.begin()
        message = services.begin(parent)
        child = services.begin(message, 1, services.generations.newest)
        assert message.spending() is not parent.spending()
        assert child.spending() is message.spending()
        assert parent.spending().children == 1
        assert child.spending().children == 1
        child.exit()
        message.exit()
        assert (parent.spending().children, message.spending().children) == (0, 0)
        parent.exit()
