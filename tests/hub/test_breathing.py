"""Long work lets others run."""

from __future__ import annotations

import gevent
import pytest

from greenflow.hub import breathing
from greenflow.hub.breathing import let_others_run, pause, unhurried


def test_work_on_many_things_lets_others_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breathing, "SLICE", 0)  # a turn after every item
    turns = []

    def other() -> None:
        while True:
            turns.append(len(done))
            let_others_run()

    done: list[int] = []
    greenlet = gevent.spawn(other)
    done.extend(unhurried(range(50)))
    greenlet.kill()
    assert done == list(range(50))
    assert len(turns) >= 50


def test_timers_run_in_the_very_next_turn() -> None:
    over: list[bool] = []
    timer = gevent.get_hub().loop.timer(0.0)
    timer.start(over.append, True)
    turns = 0
    while not over:
        let_others_run()
        turns += 1
    timer.close()
    assert turns <= 2


def test_work_of_many_takes_turns_with_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those who wait the hub begins one, looks at timers and sockets, and begins the next."""
    monkeypatch.setattr(breathing, "STRETCH", -1.0)  # each has worked for too long
    seen: list[int] = []
    ticks: list[int] = []
    timer = gevent.get_hub().loop.timer(0.0, 1e-9)
    timer.start(lambda: ticks.append(len(seen)))

    def work(number: int) -> None:
        for _ in range(3):
            let_others_run()
            seen.append(number)

    workers = [gevent.spawn(work, number) for number in range(20)]
    gevent.joinall(workers)
    timer.close()
    assert seen == [*range(20)] * 3  # first come, first served
    assert len(set(ticks)) >= 55


def test_one_that_fails_or_is_killed_holds_up_nobody() -> None:
    seen: list[str] = []

    def fail() -> None:
        raise LookupError

    def work() -> None:
        let_others_run()
        seen.append("worked")

    waiting = gevent.spawn(work)
    gevent.sleep(0)
    hub = gevent.get_hub()
    told: list[object] = []
    hub.handle_error, kept = (lambda *error: told.append(error[1])), hub.handle_error
    try:
        breathing.in_turn(fail)
        others = [gevent.spawn(work) for _ in range(3)]
        waiting.kill()
        gevent.joinall(others)
    finally:
        hub.handle_error = kept
    assert told == [LookupError]
    assert seen == ["worked"] * 3


def test_a_pause_lets_others_in_once_the_hub_was_at_it_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns: list[None] = []
    pause()
    other = gevent.spawn(turns.append, None)
    monkeypatch.setattr(breathing, "STRETCH", 3600.0)
    pause()
    assert not turns
    monkeypatch.setattr(breathing, "STRETCH", -3600.0)
    pause()
    assert turns == [None]
    other.join()


def test_who_has_nobody_beside_need_not_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breathing, "STRETCH", -3600.0)
    paused: list[None] = []
    gevent.get_hub().loop.run_callback(lambda: paused.append(pause()))  # type: ignore[func-returns-value]
    gevent.sleep(0)
    assert paused == [None]
    assert gevent.get_hub().threadpool.apply(pause) is None  # type: ignore[func-returns-value]
