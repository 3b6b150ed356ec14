"""The pool of connections: who gets one, and when."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from greenflow.errors import SqlUnavailable
from greenflow.hub.blocking.lane import GreenletLane
from greenflow.sql.pool import ConnectionPool
from tests.waiting import DEADLINE


class Connection:
    """One that does nothing."""

    def __init__(self) -> None:
        self.lane = GreenletLane()

    def close(self) -> None:
        """There is nothing to close."""


def pool(size: int) -> ConnectionPool[Any]:
    return ConnectionPool(size, Connection, "all are in use")


def test_who_came_first_gets_the_next_one() -> None:
    turns, order = pool(1), list[str]()

    def take(name: str) -> None:
        connection = turns.take(DEADLINE)
        order.append(name)
        turns.give(connection)

    connection = turns.take(DEADLINE)
    waiting = [gevent.spawn(take, name) for name in "abc"]
    gevent.sleep(0)
    turns.give(connection)
    take("late")  # at once, before those that wait have heard of it
    gevent.joinall(waiting, raise_error=True)
    assert order == ["a", "b", "c", "late"]


def test_all_in_use_for_too_long_is_an_error() -> None:
    turns = pool(1)
    connection = turns.take(DEADLINE)
    with pytest.raises(SqlUnavailable, match=r"all are in use for 0\.001 s"):
        turns.take(0.001)
    turns.give(connection)
    assert turns.take(0.001) is connection
