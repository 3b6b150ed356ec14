"""merge with errors, timeout and first; race (BEHAVIOUR 13.merge, 13.race)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, ProcessExited, SpecInvalid, TimedOut
from greenflow.payload.origin import shown
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import read
from greenflow.testing import ManualClock
from greenflow.testing import flow as public_flow
from tests.flows import Flow, Probes, flow, probe_kind
from tests.waiting import until

# Two ways from `s`, each with a probe that a test can hold, to a merge.
TWO = """
- {kind: probe, name: s, links: {out: [{name: a}, {name: b}]}}
- {kind: probe, name: a A, links: {out: {name: m, port: "in[0]"}, error: {name: m, port: "in[0]"}}}
- {kind: probe, name: b B, links: {out: {name: m, port: "in[1]"}, error: {name: m, port: "in[1]"}}}
- {kind: merge, name: m FIELDS, links: {out: {name: c}}}
- {kind: probe, name: c}
"""


def two(fields: str = "", a: str = "", b: str = "") -> str:
    return TWO.replace(" FIELDS", fields).replace(" A", a).replace(" B", b)


@contextmanager
def timed(text: str) -> Iterator[tuple[Flow, ManualClock]]:
    """A flow by a clock that the test moves."""
    probes, clock, scheme = Probes(), ManualClock(), Scheme.installed()
    scheme.register(probe_kind(probes))
    specs = [document.data for document in read(text, "test")]
    with Runtime("memory://", specs=specs, scheme=scheme, clock=clock) as runtime:
        yield Flow(runtime, probes), clock


# -- errors ----------------------------------------------------------------------------------------


def test_errors_are_kept_as_values() -> None:
    with flow(two(", errors: keep", a=", raises: broken")) as running:
        error, value = running.call("s", 1)
        assert isinstance(error, InvalidArgument)
        assert value == 1
        (seen,) = running.probes.of("c")
        assert seen[1] == 1


def test_without_it_they_are_the_error_of_all() -> None:
    with flow(two(a=", raises: broken")) as running, pytest.raises(InvalidArgument):
        running.call("s", 1)


def test_a_kept_error_whose_round_is_never_full_fails_the_process() -> None:
    text = two(", errors: keep", a=", raises: broken").replace(
        "out: [{name: a}, {name: b}]", "out: {name: a}"
    )
    with flow(text) as running, pytest.raises(InvalidArgument):
        running.call("s", 1)


# -- timeout ---------------------------------------------------------------------------------------


def test_when_the_time_is_over_what_has_come_goes_on() -> None:
    with timed(two(", timeout: 2s")) as (running, clock):
        gate = running.probes.gates["a"] = Event()
        call = gevent.spawn(running.call, "s", 1)
        until(lambda: running.probes.of("a") and running.probes.of("b"))
        gevent.idle()
        clock.advance(1.9)
        assert running.probes.of("c") == []
        clock.advance(0.1)
        until(lambda: running.probes.of("c") == [[None, 1]])
        gate.set()  # the late one is answered with nothing
        assert call.get() == [None, 1]
        assert running.probes.of("c") == [[None, 1]]


def test_in_time_it_is_a_merge_like_others() -> None:
    with timed(two(", timeout: 2s")) as (running, clock):
        gate = running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "s", 1)
        until(lambda: running.probes.of("b"))
        gate.set()
        assert call.get() == [1, 1]
        clock.advance(5)
        assert running.probes.of("c") == [[1, 1]]


def test_a_late_error_is_not_lost() -> None:
    with timed(two(", timeout: 1s", a=", raises: broken")) as (running, clock):
        gate = running.probes.gates["a"] = Event()
        call = gevent.spawn(running.call, "s", 1)
        until(lambda: running.probes.of("a") and running.probes.of("b"))
        gevent.idle()
        clock.advance(1)
        until(lambda: running.probes.of("c"))
        gate.set()
        with pytest.raises(InvalidArgument):
            call.get()


def test_an_exit_ends_who_waits() -> None:
    with timed(two(", timeout: 1h")) as (running, _):
        running.probes.gates["a"] = Event()
        call = gevent.spawn(running.call, "s", 1)
        until(lambda: running.probes.of("a") and running.probes.of("b"))
        gevent.idle()
        running.probes.processes[0].exit(ValueError("its client left"))
        with pytest.raises(ProcessExited):
            call.get()
        until(lambda: not running.runtime.services.processes)


# -- first -----------------------------------------------------------------------------------------

THREE = """
- {kind: probe, name: s, links: {out: [{name: a}, {name: b}, {name: d}]}}
- {kind: probe, name: a, answer: from a, links: {out: {name: m, port: "in[0]"}}}
- {kind: probe, name: b, answer: from b, links: {out: {name: m, port: "in[1]"}}}
- {kind: probe, name: d, answer: from d, links: {out: {name: m, port: "in[2]"}}}
- {kind: merge, name: m, first: 2, links: {out: {name: c}}}
- {kind: probe, name: c}
"""


def test_first_goes_on_with_so_many_in_the_order_they_came() -> None:
    with flow(THREE) as running:
        gates = {name: Event() for name in ("a", "b", "d")}
        running.probes.gates |= gates
        call = gevent.spawn(running.call, "s", 1)
        until(lambda: all(running.probes.of(name) for name in gates))
        gates["d"].set()
        gevent.idle()
        assert running.probes.of("c") == []
        gates["a"].set()
        until(lambda: running.probes.of("c"))
        assert running.probes.of("c") == [["from d", "from a"]]
        gates["b"].set()
        assert call.get() == ["from d", "from a"]
        assert len(running.probes.of("c")) == 1


def test_each_round_has_its_first() -> None:
    text = THREE + "- {kind: call, name: twice, links: {out: {name: s}, 'out[1]': {name: again}}}\n"
    text += "- {kind: snippet, name: again, language: json, code: 2, links: {out: {name: s}}}\n"
    with flow(text) as running:
        assert running.call("twice", 1) == ["from a", "from b"]
        assert running.probes.of("c") == [["from a", "from b"]] * 2


@given(st.lists(st.integers(0, 2), max_size=30), st.none() | st.integers(1, 4))
def test_rounds_are_as_counted_by_hand(arrivals: list[int], first: int | None) -> None:
    """Packets in any order at three ports, all in one process."""
    text = """
- {kind: loop, name: l, links: {out: {name: w}}}
- kind: switch
  name: w
  match:
    - {when: self == 0, port: out}
    - {when: self == 1, port: "out[1]"}
    - {when: true, port: "out[2]"}
  links:
    out: {name: m}
    "out[1]": {name: m, port: "in[1]"}
    "out[2]": {name: m, port: "in[2]"}
- {kind: merge, name: m, FIRST links: {out: {name: c}}}
- {kind: probe, name: c}
"""
    rounds: dict[int, list[int]] = {}
    passed = [0, 0, 0]
    expected = []
    for port in arrivals:
        came = rounds.setdefault(passed[port], [])
        passed[port] += 1
        came.append(port)
        if len(came) == min(first or 3, 3):
            expected.append(list(came) if first else [0, 1, 2])
    with flow(text.replace("FIRST", f"first: {first}," if first else "")) as running:
        running.call("l", arrivals)
        assert running.probes.of("c") == expected


# -- race ------------------------------------------------------------------------------------------

RACE = """
- {kind: race, name: r, links: {out: {name: a}, "out[1]": {name: b}, error: {name: e}}}
- {kind: probe, name: a, answer: from a, resource: true A}
- {kind: probe, name: b, answer: from b, resource: true B}
- {kind: probe, name: e, answer: handled}
"""


def race(a: str = "", b: str = "") -> str:
    return RACE.replace(" A", a).replace(" B", b)


def ended(running: Flow) -> None:
    until(lambda: not running.runtime.services.processes)


def test_the_first_answer_wins_and_the_others_are_undone() -> None:
    with flow(race()) as running:
        running.probes.gates["a"] = Event()
        assert running.call("r", 1) == "from b"
        ended(running)
        assert ("b", "committed") in running.probes.seen
        assert ("a", "rolled back") in running.probes.seen


def test_of_two_that_answer_at_once_one_wins() -> None:
    with flow(race()) as running:
        assert running.call("r", 1) in ("from a", "from b")
        ended(running)
        ends = sorted(
            what for _, what in running.probes.seen if what in ("committed", "rolled back")
        )
        assert ends == ["committed", "rolled back"]


def test_an_error_does_not_win() -> None:
    with flow(race(a=", raises: broken")) as running:
        gate = running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "r", 1)
        until(lambda: ("a", "rolled back") in running.probes.seen)
        assert not call.ready()
        gate.set()
        assert call.get() == "from b"
        assert running.probes.of("e") == []


def test_if_all_fail_their_errors_are_the_error() -> None:
    with flow(race(a=", raises: one", b=", raises: two")) as running:
        assert running.call("r", 1) == "handled"
        (error,) = running.probes.of("e")
        assert isinstance(error, ExceptionGroup)
        assert len(error.exceptions) == 2


def test_nothing_does_not_win_either() -> None:
    with flow("""
- {kind: race, name: r, links: {out: {name: a}, "out[1]": {name: b}}}
- {kind: nop, name: a}
- {kind: probe, name: b}
- {kind: race, name: all, links: {out: {name: a}, "out[1]": {name: a}}}
- {kind: race, name: none}
""") as running:
        assert running.call("r", 1) == 1
        assert running.call("all", 1) is None
        assert running.call("none", 1) is None
        with pytest.raises(ValueError, match="boom"):
            running.call("none", ValueError("boom"))
        ended(running)


def test_an_exit_ends_all_ways() -> None:
    with flow(race()) as running:
        running.probes.gates |= {"a": Event(), "b": Event()}
        call = gevent.spawn(running.call, "r", 1)
        until(lambda: len(running.probes.seen) == 4)
        process: Any = running.probes.processes[0]
        process.parent.exit(ValueError("its client left"))
        with pytest.raises(ProcessExited):
            call.get()
        ended(running)
        assert [what for _, what in running.probes.seen[-2:]] == ["rolled back"] * 2


def test_what_a_loser_wrote_is_rolled_back_and_its_lock_is_free(tmp_path: Path) -> None:
    database = {"kind": "sql", "source": f"sqlite:///{tmp_path}/x.db"}
    insert = {"kind": "snippet", "language": "text", "code": "insert into t values (1)"}
    links = {"out": [{"name": "one"}], "out[1]": [{"name": "two"}]}
    specs: list[dict[str, Any]] = [
        {"kind": "race", "name": "r", "links": links},
        {**insert, "name": "one", "links": {"out": [{"name": "loser"}]}},
        {**database, "name": "loser", "links": {"out": [{"name": "for ever"}]}},
        {"kind": "sleep", "name": "for ever", "interval": "1h"},
        {"kind": "sleep", "name": "two", "interval": "50ms", "links": {"out": [{"name": "won"}]}},
        {"kind": "snippet", "name": "won", "language": "text", "code": "won"},
        {**database, "name": "q"},
    ]
    with public_flow(specs, allow=["q", "loser"]) as running:
        running.call("q", "create table t (n integer)")
        assert running.call("r", 1) == "won"
        running.call("q", "insert into t values (2)")
        assert running.call("q", "select n from t") == [{"n": 2}]


def test_when_the_time_is_over_all_ways_are_undone() -> None:
    with timed(race().replace("name: r,", "name: r, timeout: 2s,")) as (running, clock):
        running.probes.gates |= {"a": Event(), "b": Event()}
        call = gevent.spawn(running.call, "r", 1)
        until(lambda: ("a", "opened") in running.probes.seen)
        until(lambda: ("b", "opened") in running.probes.seen)
        clock.advance(1.9)
        assert not call.ready()
        clock.advance(0.1)
        assert call.get() == "handled"
        ended(running)
        (error,) = running.probes.of("e")
        assert isinstance(error, TimedOut)
        assert str(error) == "timed out after 2s"
        assert shown(error)["node"] == "r"
        assert {("a", "rolled back"), ("b", "rolled back")} <= set(running.probes.seen)


def test_a_race_in_time_is_a_race_like_others() -> None:
    with timed(race(a=", raises: x").replace("name: r,", "name: r, timeout: 2s,")) as (running, _):
        assert running.call("r", 1) == "from b"
        ended(running)
    with timed(race(", raises: x", ", raises: y").replace("name: r,", "name: r, timeout: 2s,")) as (
        running,
        clock,
    ):
        assert running.call("r", 1) == "handled"
        clock.advance(5)
        (error,) = running.probes.of("e")
        assert isinstance(error, ExceptionGroup)


def test_a_race_over_its_time_beside_one_that_failed() -> None:
    text = race(a=", raises: x").replace("name: r,", "name: r, timeout: 2s,")
    with timed(text) as (running, clock):
        running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "r", 1)
        until(lambda: ("a", "rolled back") in running.probes.seen)
        clock.advance(2)
        assert call.get() == "handled"
        assert [type(error) for error in running.probes.of("e")] == [TimedOut]
        ended(running)


def test_what_the_winner_publishes_goes_out_with_the_whole() -> None:
    text = """
- {kind: race, name: r, links: {out: {name: t}}}
- {kind: probe, name: t, links: {out: [{name: publish}, {name: x}]}}
- {kind: trigger, name: publish, topic: news}
- {kind: probe, name: x}
- {kind: trigger, name: hear, topic: news, links: {out: {name: heard}}}
- {kind: probe, name: heard}
- {kind: call, name: c, links: {out: {name: r}, "out[1]": {name: end}}}
- {kind: probe, name: end, raises: broken, times: 1}
"""
    with flow(text) as running:
        with pytest.raises(InvalidArgument):
            running.call("c", 1)
        assert running.call("c", 2) == 2
        until(lambda: running.probes.of("heard"))
        ended(running)
        assert running.probes.of("heard") == [2]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"errors": "drop"}, "$.errors"),
        ({"timeout": 0}, "$.timeout"),
        ({"first": 0}, "$.first"),
    ],
)
def test_faulty_fields_are_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode({"kind": "merge", **fields}, "default")
    assert [fault.path for fault in raised.value.faults] == [path]
