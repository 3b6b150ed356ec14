"""while: a body that is run as long as a condition holds (BEHAVIOUR 13.while)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import InvalidArgument, ProcessExited, Runaway, SpecInvalid
from greenflow.scheme.registry import Scheme
from greenflow.testing import ManualClock
from greenflow.testing import flow as public_flow
from greenflow.testing.clock import START
from tests.flows import flow
from tests.waiting import until

WHILE = """
- kind: while
  name: a
  when: WHEN
  FIELDS
  links: {out: {name: b}, "out[1]": {name: c}, error: {name: e}}
- {kind: probe, name: b, links: {out: {name: f}}}
- {kind: snippet, name: f, language: cel, code: "self == 7 ? 1 / 0 : self + 1"}
- {kind: probe, name: c}
- {kind: probe, name: e, answer: handled}
"""


def while_(when: str = "self < 5", fields: str = "") -> str:
    return WHILE.replace("WHEN", when).replace("FIELDS", fields)


def test_the_answer_is_the_input_of_the_next_round() -> None:
    with flow(while_()) as running:
        assert running.call("a", 0) == 5
        assert running.probes.of("b") == [0, 1, 2, 3, 4]
        assert running.probes.of("c") == [5]


def test_what_the_condition_is_not_true_of_runs_no_body() -> None:
    with flow(while_()) as running:
        assert running.call("a", 9) == 9
        assert running.probes.seen == [("c", 9)]


def test_an_error_in_the_body_goes_to_error_and_ends_it() -> None:
    with flow(while_("true")) as running:
        assert running.call("a", 5) == "handled"
        assert running.probes.of("b") == [5, 6, 7]
        assert running.probes.of("c") == []


def test_an_error_after_it_is_not_its_own() -> None:
    text = while_().replace("name: c}", "name: c, raises: broken}", 2)
    text = text.replace('"out[1]": {name: c, raises: broken}', '"out[1]": {name: c}')
    with flow(text) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", 4)
        assert running.probes.of("e") == []


def test_a_condition_that_fails_is_an_error() -> None:
    with flow(while_("self.next")) as running:
        assert running.call("a", 1) == "handled"


def test_nothing_is_null_in_the_next_round() -> None:
    with flow("""
- {kind: while, name: a, when: self != null, links: {out: {name: n}}}
- {kind: nop, name: n}
""") as running:
        assert running.call("a", 1) is None


def test_rounds_do_not_nest() -> None:
    """More rounds than writes that a packet may descend from, in a body that never waits."""
    with flow("""
- {kind: while, name: a, when: self < 20000, links: {out: {name: b}}}
- {kind: snippet, name: b, language: cel, code: self + 1}
""") as running:
        assert running.call("a", 0) == 20_000


def test_a_condition_that_never_gets_false_is_an_error() -> None:
    with flow(while_("true", "limit: 3")) as running:
        assert running.call("a", 0) == "handled"
        (error,) = running.probes.of("e")
        assert isinstance(error, Runaway)
        assert "more than 3 rounds" in str(error)
        assert running.probes.of("b") == [0, 1, 2]


def test_an_exit_ends_it() -> None:
    with flow(while_("true")) as running:
        running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "a", 0)
        until(lambda: running.probes.of("b"))
        running.probes.processes[0].exit(ValueError("its client left"))
        with pytest.raises(ProcessExited):
            call.get()
        until(lambda: not running.runtime.services.processes)


@pytest.mark.parametrize(
    ("fields", "path"),
    [({}, "$.when"), ({"when": "self +"}, "$.when"), ({"when": "self", "limit": 0}, "$.limit")],
)
def test_faulty_fields_are_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode({"kind": "while", **fields}, "default")
    assert [fault.path for fault in raised.value.faults] == [path]


# -- sleep until -----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [START + timedelta(hours=1), "2026-01-01T02:00:00+01:00"])
def test_sleep_waits_for_a_moment(at: Any) -> None:
    """Also when somebody sets the clock meanwhile."""
    clock = ManualClock()
    with public_flow([{"kind": "sleep", "name": "a", "until": "self.at"}], clock=clock) as running:
        call = gevent.spawn(running.call, "a", {"at": at})
        clock.wait_for_sleepers()
        clock.advance(60)
        assert not call.ready()
        clock.set_time(START + timedelta(minutes=59))
        assert not call.ready()
        clock.wait_for_sleepers()
        clock.advance(60)
        assert call.get() == {"at": at}
        assert running.call("a", {"at": "2025-01-01T00:00:00Z"})  # is over
        assert running.call("a", {"at": None}) == {"at": None}
        for wrong in ("soon", 7, "2026-01-01T00:00:00", True):
            with pytest.raises(InvalidArgument):
                running.call("a", {"at": wrong})


@pytest.mark.parametrize("fields", [{}, {"interval": 1, "until": "self.at"}, {"until": None}])
def test_sleep_has_one_of_both(fields: dict[str, Any]) -> None:
    with pytest.raises(SpecInvalid, match="exactly one of `interval` and `until`"):
        Scheme.installed().decode({"kind": "sleep", **fields}, "default")
