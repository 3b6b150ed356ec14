"""Turns come in order, and none is lost."""

from __future__ import annotations

import gevent
from hypothesis import given
from hypothesis import strategies as st

from greenflow.hub.turns import Turns


def test_who_came_first_is_next() -> None:
    turns, order = Turns(1), list[str]()

    def take(name: str) -> None:
        with turns:
            order.append(name)

    with turns:
        waiting = [gevent.spawn(take, name) for name in "abc"]
        gevent.sleep(0)
    take("late")  # at once, before those that wait have heard of it
    gevent.joinall(waiting, raise_error=True)
    assert order == ["a", "b", "c", "late"]


def test_one_that_does_not_come_in_time() -> None:
    turns = Turns(1)
    with turns:
        assert not turns.take(0.001)
    assert turns.take(0.001)


@given(st.integers(1, 3), st.lists(st.sampled_from(["take", "give", "kill", "turn"]), max_size=40))
def test_none_is_lost_and_there_is_none_too_many(size: int, steps: list[str]) -> None:
    turns, held, most = Turns(size), [0], 0
    waiting: list[gevent.Greenlet[..., None]] = []

    def take() -> None:
        turns.take()
        held[0] += 1

    for step in steps:
        if step == "take":
            waiting.append(gevent.spawn(take))
        elif step == "give" and held[0]:
            held[0] -= 1
            turns.give()
        elif step == "kill" and waiting:
            waiting.pop(0).kill()
        elif step == "turn":
            gevent.sleep(0)
        most = max(most, held[0])
    gevent.killall(waiting)
    for _ in range(held[0]):
        turns.give()
    assert most <= size
    assert [turns.take(0.001) for _ in range(size + 1)] == [True] * size + [False]
