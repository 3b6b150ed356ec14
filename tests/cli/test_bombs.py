"""Workflows that would never end, in a real engine: an error with its node, and SIGTERM ends it.

What is asserted of time is processor time of the engine, for the machine may be busy.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired

import pytest

from tests.cli.conftest import DEADLINE, Running, Start
from tests.waiting import until

# Seconds of the processor that the engine may take from SIGTERM to its end, of which to take leave
# takes 0.1.
SECONDS = 1.0

LISTENER = "- {kind: listener, name: web, port: 0, BUDGET, links: {out: {name: a}}}\n"
TWICE = """
- {kind: try, name: a, links: {out: [{name: b}, {name: b}]}}
- {kind: snippet, name: b, language: cel, code: self, links: {out: [{name: b}, {name: b}]}}
"""
LOOPS = """
- {kind: snippet, name: a, language: cel, code: 'lists.range(50)', links: {out: {name: one}}}
- {kind: loop, name: one, links: {out: {name: b}}}
- {kind: snippet, name: b, language: cel, code: 'lists.range(50)', links: {out: {name: two}}}
- {kind: loop, name: two, CONCURRENCY links: {out: {name: c}}}
- {kind: snippet, name: c, language: cel, code: 'lists.range(50)', links: {out: {name: three}}}
- {kind: loop, name: three, CONCURRENCY links: {out: {name: d}}}
- {kind: snippet, name: d, language: cel, code: self + 1, links: {out: {name: b}}}
"""
FORKS = """
- {kind: fork, name: a, links: {out: [{name: b}, {name: b}]}}
- {kind: sleep, name: b, interval: 1ms, links: {out: {name: a}}}
"""


def processor(running: Running) -> float:
    """Seconds of the processor that the engine has taken."""
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_ended(running: Running) -> bool:
    """Whether it has, or does before its processor time is another."""
    try:
        running.process.wait(1 / os.sysconf("SC_CLK_TCK"))
    except TimeoutExpired:
        return False
    return True


def ended_at_sigterm(running: Running) -> float:
    """End it; the seconds of the processor that it took from then on."""
    before = after = processor(running)
    running.process.send_signal(signal.SIGTERM)
    with suppress(FileNotFoundError, ProcessLookupError):
        while not has_ended(running):
            after = processor(running)
            assert after - before < DEADLINE, "it does not end"
    assert running.process.wait(DEADLINE) == 0
    return after - before


def sent(running: Running) -> http.client.HTTPConnection:
    """A request, whose answer nobody has waited for."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port(), timeout=DEADLINE)
    connection.request("GET", "/")
    return connection


@pytest.mark.parametrize(
    ("specs", "budget", "reason"),
    [
        (TWICE, "open: 2000", "more than 2,000 packets open in a process (budget.open)"),
        (LOOPS, "open: 3000", "more than 3,000 packets open in a process (budget.open)"),
        (
            LOOPS.replace("CONCURRENCY", "concurrency: 5,"),
            "packets: 3000",
            "more than 3,000 packets handled for one process (budget.packets",
        ),
        (FORKS, "children: 200", "more than 200 children of one process (budget.children)"),
    ],
    ids=["twice", "loops", "concurrent loops", "forks"],
)
def test_what_is_over_its_budget_is_an_error_with_its_node(
    specs: str, budget: str, reason: str, start: Start, tmp_path: Path
) -> None:
    specs = LISTENER.replace("BUDGET", f"budget: {{{budget}}}") + specs
    (tmp_path / "bomb.yaml").write_text(specs.replace("CONCURRENCY ", ""))
    running = start("run", "bomb.yaml")
    with_answer = sent(running)
    entry = json.loads(running.line(reason))
    assert entry["node"] in ("a", "b", "c", "d", "two", "three")
    assert entry["at"].startswith("bomb.yaml:")
    assert with_answer.getresponse().status in (200, 500)
    assert ended_at_sigterm(running) < SECONDS
    with_answer.close()


@pytest.mark.parametrize(
    "specs", [TWICE, LOOPS, LOOPS.replace("CONCURRENCY", "concurrency: 5,"), FORKS]
)
def test_what_is_not_over_yet_ends_by_sigterm(specs: str, start: Start, tmp_path: Path) -> None:
    """A small part of its budget is left then for what goes round."""
    budget = "budget: {packets: 100000, children: 1000000, open: 1000000}"
    specs = LISTENER.replace("BUDGET", budget) + specs.replace("CONCURRENCY ", "")
    (tmp_path / "bomb.yaml").write_text(specs)
    running = start("run", "--grace", "1h", "bomb.yaml")
    connection = sent(running)
    before = processor(running)
    until(lambda: processor(running) >= before + 0.1)
    ended_at_sigterm(running)
    connection.close()


LISTENS = LISTENER.replace("BUDGET, ", "")
CYCLE = """
- {kind: snippet, name: a, language: cel, code: self.method, links: {out: {name: b}}}
- {kind: sleep, name: b, interval: 1us, links: {out: {name: c}}}
- {kind: pipe, name: c, links: {out: {name: b}}}
"""
PUBLISHES = "- {kind: trigger, name: a, topic: t, WHEN, links: {out: [{name: a}, {name: a}]}}\n"


@pytest.mark.parametrize(
    "specs",
    [
        TWICE,
        LOOPS.replace("CONCURRENCY ", ""),
        LOOPS.replace("CONCURRENCY", "concurrency: 5,"),
        FORKS,
        CYCLE,
        PUBLISHES.replace("WHEN", "when: commit"),
        PUBLISHES.replace("WHEN", "when: now"),
    ],
    ids=["twice", "loops", "concurrent loops", "forks", "cycle", "commit", "now"],
)
def test_by_the_budgets_of_who_says_none_it_ends_soon(
    specs: str, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "bomb.yaml").write_text(LISTENS + specs)
    running = start("run", "--grace", "1h", "bomb.yaml")
    connection = sent(running)
    before, deadline = processor(running), time.monotonic() + 2
    while processor(running) < before + 0.5 and time.monotonic() < deadline:
        pass  # some are over their budget before, and do no more
    assert ended_at_sigterm(running) < SECONDS
    connection.close()


def test_a_request_that_ends_by_itself_has_its_whole_budget_beside_it(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "bomb.yaml").write_text(
        LISTENS.replace("{name: a}", "[{name: a}, {name: list}]")
        + """
- {kind: snippet, name: list, language: cel, code: 'lists.range(30000)', links: {out: {name: one}}}
- {kind: loop, name: one, links: {out: {name: item}, "out[1]": {name: all}}}
- {kind: snippet, name: item, language: cel, code: self + 1}
- {kind: snippet, name: all, language: cel, code: '{"body": size(self)}'}
- {kind: fork, name: a, links: {out: {name: b}}}
- {kind: snippet, name: b, language: cel, code: self.method, links: {out: {name: c}}}
- {kind: sleep, name: c, interval: 1us, links: {out: {name: d}}}
- {kind: snippet, name: d, language: cel, code: self, links: {out: {name: c}}}
"""
    )
    running = start("run", "--grace", "1h", "bomb.yaml")
    connection = sent(running)
    before = processor(running)
    while processor(running) < before + 0.1:
        pass
    running.process.send_signal(signal.SIGTERM)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"30000\n")
    assert running.process.wait(DEADLINE) == 0
    connection.close()


@pytest.mark.parametrize("when", ["commit", "now"])
def test_a_trigger_of_its_own_topic(when: str, start: Start, tmp_path: Path) -> None:
    """The events that wait are within bounds, and who publishes more has an error."""
    (tmp_path / "bomb.yaml").write_text(f"""
- {{kind: listener, name: web, port: 0, links: {{out: {{name: a}}}}}}
- kind: trigger
  name: a
  topic: t
  when: {when}
  limits: {{in_flight: 20}}
  links: {{out: [{{name: a}}, {{name: a}}]}}
""")
    (tmp_path / "greenflow.toml").write_text("[broker]\nwaiting = 50000\n")
    running = start("run", "bomb.yaml")
    connection = sent(running)
    entry = json.loads(running.line("events of 't' wait for 'a'"))
    assert entry["node"] == "a"
    assert ended_at_sigterm(running) < SECONDS
    connection.close()


def test_a_schedule_whose_runs_do_not_end(start: Start, tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text("""
- kind: schedule
  name: often
  interval: 5ms
  overlap: true
  limits: {in_flight: 3}
  links: {out: {name: stuck}}
- {kind: sleep, name: stuck, interval: 1h}
""")
    running = start("run", "--grace", "100ms", "bomb.yaml")
    entry = json.loads(running.line("3 runs are under way (limits.in_flight)"))
    assert entry["node"] == "often"
    assert ended_at_sigterm(running) < SECONDS
