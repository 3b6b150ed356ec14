"""schedule (BEHAVIOUR 14): due times, time zones, clocks that are set, missed runs, overlap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import InvalidArgument, SpecInvalid
from greenflow.nodes import schedule
from greenflow.scheme.registry import Scheme
from greenflow.testing import Flow, ManualClock, flow
from tests.waiting import until

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@contextmanager
def scheduled(
    clock: ManualClock, work: Any = None, links: Any = None, **fields: Any
) -> Iterator[Flow]:
    """A schedule that leads to a node `work`, which is replaced; its first due time is waited
    for."""
    specs = [
        {"kind": "schedule", "name": "s", "links": links or {"out": {"name": "work"}}, **fields},
        {"kind": "nop", "name": "work"},
        {"kind": "nop", "name": "caught"},
    ]
    replace = {} if work is None else {"work": work}
    with flow(specs, replace=replace, clock=clock) as running:
        clock.wait_for_sleepers()
        yield running


def dues(running: Flow) -> list[str]:
    """The due times of the runs so far, as they are shown."""
    return [payload["due"].isoformat() for payload in running.passed("work")]


class Gated:
    """Work that goes on until it is told to end."""

    def __init__(self) -> None:
        self.gate, self.ended = Event(), 0

    def __call__(self, payload: Any) -> Any:
        self.gate.wait()
        self.ended += 1
        return payload

    def end(self) -> None:
        """Let the runs under way end, and those after them wait again."""
        gate, self.gate = self.gate, Event()
        gate.set()
        gevent.idle()


# -- due times -------------------------------------------------------------------------------------


def test_a_run_begins_at_each_time_of_a_cron_expression() -> None:
    clock = ManualClock(start=at("2026-01-01T00:00:30+00:00"))
    with scheduled(clock, cron="*/10 * * * *") as running:
        clock.advance(9 * MINUTE)
        assert running.passed("work") == []
        clock.advance(30)
        (payload,) = running.passed("work")
        assert payload == {"name": "s", "due": datetime(2026, 1, 1, 0, 10, tzinfo=UTC)}
        clock.advance(HOUR)
        assert len(running.passed("work")) == 7
        running.settle()


def test_a_run_begins_at_each_interval() -> None:
    clock = ManualClock()
    with scheduled(clock, interval="90s") as running:
        clock.advance(89)
        assert running.passed("work") == []
        clock.advance(181)
        assert dues(running) == [
            "2026-01-01T00:01:30+00:00",
            "2026-01-01T00:03:00+00:00",
            "2026-01-01T00:04:30+00:00",
        ]


def test_nicknames_and_seconds_are_cron_too() -> None:
    clock = ManualClock(start=at("2026-01-01T12:00:00+00:00"))
    with scheduled(clock, cron="@daily") as running:
        clock.advance(DAY)
        assert dues(running) == ["2026-01-02T00:00:00+00:00"]
    clock = ManualClock()
    with scheduled(clock, cron="*/20 * * * * *") as running:
        clock.advance(MINUTE)
        assert len(dues(running)) == 3


def test_a_run_begins_later_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule.random, "random", lambda: 0.5)
    for fields in ({"cron": "*/2 * * * *"}, {"interval": "2m"}):
        clock = ManualClock()
        with scheduled(clock, jitter="1m", **fields) as running:
            clock.advance(2 * MINUTE + 29)
            assert dues(running) == []
            clock.advance(1)
            assert dues(running) == ["2026-01-01T00:02:00+00:00"]
            clock.advance(2 * MINUTE)
            assert len(dues(running)) == 2


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    [
        ({}, "$.cron", "exactly one"),
        ({"cron": "* * * * *", "interval": 5}, "$.cron", "exactly one"),
        ({"cron": "61 * * * *"}, "$.cron", "Bad minute"),
        ({"cron": "every day"}, "$.cron", "write five fields"),
        ({"cron": "0 0 30 2 *"}, "$.cron", "Bad day-of-month"),
        ({"cron": 5}, "$.cron", "expected `str"),
        ({"cron": "@daily", "timezone": "Mars/Base"}, "$.timezone", "Europe/Berlin"),
        ({"cron": "@daily", "timezone": "../etc"}, "$.timezone", "unknown time zone"),
        ({"interval": 5, "timezone": "Europe/Berlin"}, "$.timezone", "every time zone"),
        ({"interval": 0}, "$.interval", "at least 0.001 s"),
        ({"interval": "never"}, "$.interval", "is no duration"),
        ({"interval": 5, "jitter": 5}, "$.jitter", "shorter than the interval"),
        ({"interval": 5, "missed": "some"}, "$.missed", "'skip', 'once', 'all'"),
        ({"interval": 5, "limit": 0}, "$.limit", ">= 1"),
    ],
)
def test_what_is_no_schedule_is_an_error_of_the_spec(
    fields: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(SpecInvalid) as caught:
        Scheme.installed().decode({"kind": "schedule", **fields}, "default")
    assert [fault.path for fault in caught.value.faults] == [path]
    assert reason in caught.value.faults[0].reason


# -- time zones and clocks that are set ------------------------------------------------------------


def test_a_time_that_is_skipped_in_spring_is_due_after_the_gap() -> None:
    clock = ManualClock(start=at("2026-03-28T12:00:00+01:00"))
    with scheduled(clock, cron="30 2 * * *", timezone="Europe/Berlin") as running:
        clock.advance(2 * DAY)
        assert dues(running) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]


def test_a_time_that_comes_twice_in_autumn_is_due_once() -> None:
    clock = ManualClock(start=at("2026-10-24T12:00:00+02:00"))
    with scheduled(clock, cron="30 2 * * *", timezone="Europe/Berlin") as running:
        clock.advance(2 * DAY)
        assert dues(running) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


def test_what_is_due_every_so_often_goes_on_when_clocks_change() -> None:
    for start, count in (("2026-03-29T00:59:00+01:00", 6), ("2026-10-25T00:59:00+02:00", 6)):
        clock = ManualClock(start=at(start))
        with scheduled(clock, cron="*/30 * * * *", timezone="Europe/Berlin") as running:
            clock.advance(count * 30 * MINUTE)
            moments = [payload["due"] for payload in running.passed("work")]
            assert [b - a for a, b in pairwise(moments)] == [timedelta(minutes=30)] * (count - 1)


def test_an_interval_does_not_mind_a_clock_that_is_set() -> None:
    clock = ManualClock()
    with scheduled(clock, interval="1h") as running:
        clock.set_time(at("2030-01-01T00:00:00+00:00"))
        clock.advance(HOUR - 1)
        assert dues(running) == []
        clock.advance(1)
        clock.set_time(at("2020-01-01T00:00:00+00:00"))
        clock.advance(HOUR)
        assert dues(running) == ["2030-01-01T01:00:00+00:00", "2020-01-01T01:00:00+00:00"]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("skip", []),
        ("once", ["2026-01-01T03:00:00+00:00"]),
        ("all", [f"2026-01-01T0{hour}:00:00+00:00" for hour in (2, 3)]),
    ],
)
def test_due_times_that_a_clock_set_forward_passes_are_missed(
    missed: str, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock(start=at("2026-01-01T00:30:00+00:00"))
    with scheduled(clock, cron="0 * * * *", missed=missed, limit=2) as running:
        clock.set_time(at("2026-01-01T03:30:00+00:00"))
        gevent.idle()
        running.settle()
        assert dues(running) == expected
        clock.advance(30 * MINUTE)
        assert dues(running)[len(expected) :] == ["2026-01-01T04:00:00+00:00"]
    told = [record.message for record in caplog.records if "missed" in record.message]
    assert told[0].startswith("missed 2026-01-01T0")
    assert "it passed unnoticed" in told[0]


def test_a_due_time_that_a_clock_set_forward_passes_by_little_is_run() -> None:
    clock = ManualClock(start=at("2026-01-01T00:59:30+00:00"))
    with scheduled(clock, cron="0 * * * *") as running:
        clock.set_time(at("2026-01-01T01:00:45+00:00"))
        assert dues(running) == ["2026-01-01T01:00:00+00:00"]


def test_a_time_of_day_is_not_run_again_when_the_clock_is_set_back() -> None:
    clock = ManualClock(start=at("2026-01-01T02:00:00+00:00"))
    with scheduled(clock, cron="0 3 * * *") as running:
        clock.advance(HOUR + 60)
        clock.set_time(at("2026-01-01T02:00:00+00:00"))
        clock.advance(DAY)
        assert dues(running) == ["2026-01-01T03:00:00+00:00"]
        clock.advance(2 * HOUR)
        assert dues(running)[1:] == ["2026-01-02T03:00:00+00:00"]


def test_a_clock_set_back_by_days_counts() -> None:
    clock = ManualClock(start=at("2037-01-01T00:00:00+00:00"))
    with scheduled(clock, cron="0 3 * * *") as running:
        clock.advance(4 * HOUR)
        clock.set_time(at("2026-01-01T00:00:00+00:00"))
        clock.advance(4 * HOUR)
        assert dues(running) == ["2037-01-01T03:00:00+00:00", "2026-01-01T03:00:00+00:00"]


def test_what_is_due_every_so_often_goes_on_when_the_clock_is_set_back() -> None:
    clock = ManualClock(start=at("2026-01-01T12:00:30+00:00"))
    with scheduled(clock, cron="* * * * *") as running:
        clock.advance(30)
        clock.set_time(at("2026-01-01T12:00:59+00:00"))  # by so little that it would come twice
        clock.advance(2)
        assert dues(running) == ["2026-01-01T12:01:00+00:00"]
        clock.set_time(at("2026-01-01T11:00:30+00:00"))
        clock.advance(MINUTE)
        assert dues(running)[1:] == ["2026-01-01T11:01:00+00:00"]


# -- runs that take long ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missed", "late"),
    [
        ("skip", []),
        ("once", ["2026-01-01T00:05:00+00:00"]),
        ("all", [f"2026-01-01T00:0{minute}:00+00:00" for minute in (4, 5)]),
    ],
)
@pytest.mark.parametrize("fields", [{"cron": "* * * * *"}, {"interval": "1m"}])
def test_runs_do_not_overlap(fields: dict[str, Any], missed: str, late: list[str]) -> None:
    clock, work = ManualClock(), Gated()
    with scheduled(clock, work, missed=missed, limit=2, **fields) as running:
        clock.advance(5 * MINUTE + 30)
        first = ["2026-01-01T00:01:00+00:00"]
        assert dues(running) == first
        for count in range(len(late) + 1):
            assert dues(running) == first + late[:count]
            work.end()
        clock.advance(30)
        assert dues(running) == [*first, *late, "2026-01-01T00:06:00+00:00"]
        work.gate.set()


def test_runs_overlap_where_that_is_allowed() -> None:
    clock, work = ManualClock(), Gated()
    with scheduled(clock, work, interval="1m", overlap=True) as running:
        clock.advance(3 * MINUTE)
        assert len(dues(running)) == 3
        work.end()
        running.settle()


def test_a_child_that_goes_on_is_a_part_of_the_run() -> None:
    clock, gate = ManualClock(), Event()
    specs = [
        {"kind": "schedule", "name": "s", "interval": "1m", "links": {"out": {"name": "work"}}},
        {"kind": "fork", "name": "work", "links": {"out": {"name": "slow"}}},
        {"kind": "nop", "name": "slow"},
    ]
    with flow(specs, replace={"slow": lambda _: gate.wait()}, clock=clock) as running:
        clock.wait_for_sleepers()
        clock.advance(2 * MINUTE)
        assert len(dues(running)) == 1
        gate.set()
        running.settle()
        clock.advance(MINUTE)
        assert len(dues(running)) == 2


def edit(running: Flow, **fields: Any) -> None:
    """Change the schedule, and wait until it runs so."""
    before = running.runtime.table.find("s").version
    running.runtime.operations.update({"name": "s", **fields})
    until(lambda: running.runtime.table.find("s").version is not before)


def test_an_edited_schedule_begins_anew_and_waits_for_the_run_under_way() -> None:
    clock, work = ManualClock(), Gated()
    with scheduled(clock, work, interval="1h", missed="once") as running:
        clock.advance(HOUR)
        edit(running, interval="1m")
        clock.advance(MINUTE)
        assert len(dues(running)) == 1
        work.end()
        assert dues(running) == ["2026-01-01T01:00:00+00:00", "2026-01-01T01:01:00+00:00"]
        work.end()
        running.settle()
        clock.advance(MINUTE)
        assert len(dues(running)) == 3
        work.gate.set()


def test_a_deleted_schedule_begins_no_more_runs() -> None:
    clock, work = ManualClock(), Gated()
    with scheduled(clock, work, interval="1m", missed="all") as running:
        clock.advance(3 * MINUTE)
        assert len(dues(running)) == 1
        running.runtime.operations.delete({"name": "s"})
        until(lambda: not clock.sleepers)
        work.end()
        running.settle()
        assert len(dues(running)) == 1


def test_a_run_under_way_is_finished_at_the_end() -> None:
    clock, work = ManualClock(), Gated()
    with scheduled(clock, work, interval="1m", missed="once") as running:
        clock.advance(2 * MINUTE)
        draining = gevent.spawn(running.runtime.drain)
        until(lambda: not clock.sleepers)
        assert not draining.ready()
        work.end()
        draining.get()
        assert (work.ended, len(dues(running))) == (1, 1)


# -- errors ----------------------------------------------------------------------------------------


def test_an_error_goes_to_the_error_link() -> None:
    clock = ManualClock()
    links = {"out": {"name": "work"}, "error": {"name": "caught"}}
    with scheduled(clock, InvalidArgument("no"), links, interval="1m") as running:
        clock.advance(2 * MINUTE)
        assert [str(error) for error in running.passed("caught")] == ["invalid argument"] * 2


def test_an_error_without_link_is_logged_once_and_the_next_run_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    with scheduled(clock, InvalidArgument("no"), interval="1m") as running:
        clock.advance(MINUTE)
        running.settle()
        assert sum("unhandled" in record.message for record in caplog.records) == 1
        clock.advance(MINUTE)
        assert len(dues(running)) == 2


def test_a_run_that_is_ended_from_outside_makes_room_for_the_next() -> None:
    clock, work = ManualClock(), Gated()
    with scheduled(clock, work, interval="1m") as running:
        clock.advance(MINUTE)
        (process,) = running.runtime.services.processes
        process.exit()
        clock.advance(MINUTE)
        assert len(dues(running)) == 2
        work.end()
        running.settle()


def test_a_schedule_without_link_does_nothing() -> None:
    clock = ManualClock()
    with flow({"kind": "schedule", "name": "s", "interval": "1m"}, clock=clock) as running:
        clock.wait_for_sleepers()
        clock.advance(HOUR)
        running.settle()
        assert not running.passed("s", "out")


# -- paused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("missed", "runs"), [("skip", 0), ("once", 1), ("all", 3)])
def test_due_times_of_a_paused_schedule_are_missed(missed: str, runs: int) -> None:
    clock = ManualClock()
    with scheduled(clock, interval="60s", missed=missed) as running:
        node: Any = running.runtime.table.find("s").version.node
        node.pause()
        clock.advance(3 * MINUTE)
        assert running.passed("work") == []
        node.resume()
        gevent.idle()
        assert len(running.passed("work")) == runs
        clock.advance(MINUTE)
        assert len(running.passed("work")) == runs + 1
        running.settle()


def test_a_paused_schedule_can_be_run_by_hand() -> None:
    clock = ManualClock()
    with scheduled(clock, interval="60s") as running:
        node: Any = running.runtime.table.find("s").version.node
        node.pause()
        assert node.begin_now() == ""
        gevent.idle()
        assert len(running.passed("work")) == 1
        running.settle()
