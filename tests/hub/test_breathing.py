"""Long work lets others run."""

from __future__ import annotations

import gevent
import pytest

from greenflow.hub import breathing
from greenflow.hub.breathing import let_others_run, unhurried


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
