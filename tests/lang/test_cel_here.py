"""now() and uuid() of CEL: ours, of the runtime's clock and chance (BEHAVIOUR 15.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import gevent
import pytest

from greenflow.errors import CompileFailed
from greenflow.lang import cel
from greenflow.testing import ManualClock, flow

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

STAMP = {"kind": "snippet", "name": "stamp", "language": "cel", "code": "[now(), uuid()]"}


def test_outside_of_runtimes_the_time_is_the_systems() -> None:
    before = datetime.now(UTC) - timedelta(microseconds=1)
    assert before <= cel.compile("now()")(None) <= datetime.now(UTC) + timedelta(microseconds=1)
    assert cel.compile("type(now()) == google.protobuf.Timestamp")(None) is True
    assert cel.compile("now() > timestamp('2020-01-01T00:00:00Z')")(None) is True


def test_each_uuid_is_another_of_version_4() -> None:
    program = cel.compile("[uuid(), uuid()]")
    texts = [*program(None), *program(None)]
    assert len(set(texts)) == 4
    for text in texts:
        uuid = UUID(text)
        assert (str(uuid), uuid.version) == (text, 4)


def test_the_clock_of_a_test_is_the_time() -> None:
    clock = ManualClock(start=START)
    with flow(STAMP, clock=clock) as stamps:
        assert stamps.call("stamp", None)[0] == START
        clock.advance(2.5)
        assert stamps.call("stamp", None)[0] == START + timedelta(seconds=2.5)


def test_the_seed_of_a_test_makes_chance_the_same() -> None:
    runs = []
    for seed in (1, 1, 2, None, None):
        with flow(STAMP, seed=seed) as stamps:
            runs.append([stamps.call("stamp", None)[1] for _ in range(3)])
    assert runs[0] == runs[1]
    assert len({text for run in runs for text in run}) == 4 * 3


def test_runtimes_of_one_hub_have_their_own_time_each() -> None:
    one, other = ManualClock(start=START), ManualClock(start=START + timedelta(days=1))
    with (
        flow(STAMP, clock=one, leaks=False) as first,
        flow(STAMP, clock=other, leaks=False) as second,
    ):
        assert first.call("stamp", None)[0] == START
        assert second.call("stamp", None)[0] == START + timedelta(days=1)
        assert first.call("stamp", None)[0] == START


def test_children_and_conditions_have_the_time_too() -> None:
    specs = """
kind: fork
name: all
ports: {out: [{name: choose, port: in}]}
---
kind: if
name: choose
when: now() == timestamp("2026-01-02T03:04:05.678901Z")
ports: {out: [{name: right, port: in}]}
---
kind: snippet
name: right
code: right
"""
    with flow(specs, clock=ManualClock(start=START)) as running:
        running.call("all", 1)
        gevent.idle()
        running.passed("right", count=1)


@pytest.mark.parametrize("code", ["now(1)", "uuid(self)", "now", "'a'.now()"])
def test_they_take_nothing(code: str) -> None:
    with pytest.raises(CompileFailed):
        cel.compile(code)
