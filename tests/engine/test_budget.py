"""What one process may do in all, with what descends from it (BEHAVIOUR 3.10)."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow import Runtime
from greenflow.config import ProcessSettings, Settings
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
