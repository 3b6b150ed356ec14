"""Jobs of a lane: in order, to their end, and not at all once they are abandoned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.monkey import get_original

from greenflow.hub.blocking.lane import GreenletLane, Job, Lane, ThreadLane
from tests.waiting import DEADLINE

_Event: Callable[[], Any] = get_original("threading", "Event")


@pytest.fixture(params=[ThreadLane, GreenletLane])
def lane(request: pytest.FixtureRequest) -> Iterator[Lane]:
    made: Lane = request.param()
    yield made
    made.stop()


def test_jobs_run_in_order_and_their_ends_are_told_in_order(lane: Lane) -> None:
    ran, ended = list[int](), list[int]()
    jobs = [Job(lambda at=at: ran.append(at), lambda at=at: ended.append(at)) for at in range(9)]
    for job in jobs:
        lane.post(job)
    assert jobs[-1].wait()
    assert ran == ended == list(range(9))


def test_results_and_errors_come_back(lane: Lane) -> None:
    good, bad = Job(lambda: 5), Job(lambda: divmod(1, 0))
    lane.post(good)
    lane.post(bad)
    assert bad.wait()
    assert good.outcome() == 5
    with pytest.raises(ZeroDivisionError):
        bad.outcome()


def test_a_job_that_was_abandoned_before_its_turn_is_not_run() -> None:
    lane, go_on, ran = ThreadLane(), _Event(), list[str]()
    first, second = Job(lambda: go_on.wait(DEADLINE)), Job(lambda: ran.append("second"))
    lane.post(first)
    lane.post(second)
    assert not second.wait(0)
    second.is_abandoned = True
    go_on.set()
    assert second.wait()
    assert ran == []
    assert first.outcome()
    lane.stop()


def test_a_job_goes_on_when_who_waits_is_killed() -> None:
    lane, go_on, ended = ThreadLane(), _Event(), list[str]()
    job = Job(lambda: go_on.wait(DEADLINE), lambda: ended.append("told"))
    lane.post(job)
    waiting = gevent.spawn(job.wait)
    gevent.sleep(0)
    waiting.kill()
    assert ended == []
    go_on.set()
    assert job.wait()
    assert ended == ["told"]
    lane.stop()
