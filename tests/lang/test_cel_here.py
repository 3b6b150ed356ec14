"""now() and uuid() of CEL: ours, of the runtime's clock and chance (BEHAVIOUR 15.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import gevent
import pytest

from greenflow.errors import CompileFailed, SnippetFailed
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


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("self.n * 2.0", 10.0),
        ("2.5 + self.n", 7.5),
        ("self.n - self.d", 4.5),
        ("self.n / self.d", 10.0),
        ("self.d / self.n", 0.1),
        ("[1, 2.5].map(x, x * self.d)", [0.5, 1.25]),
    ],
)
def test_a_number_of_json_is_a_number(expression: str, value: object) -> None:
    result = cel.compile(expression)({"n": 5, "d": 0.5})
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("expression", ["1 + 2.0", "-1 * 2.0", "2.0 / 1", "1u + 1", "1 % 2.0"])
def test_literals_of_two_types_are_refused_when_they_are_compiled(expression: str) -> None:
    with pytest.raises(CompileFailed, match="no such overload"):
        cel.compile(expression)


def test_a_uint_and_doubles_under_a_remainder_stay_refused() -> None:
    for expression in ("uint(self.n) + 1", "uint(self.n) * 1.5", "self.n % 2.5"):
        with pytest.raises(SnippetFailed, match="no such overload"):
            cel.compile(expression)({"n": 5})
