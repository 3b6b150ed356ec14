"""The system's clock (greenflow.hub.clock), where somebody sets it."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.hub import clock
from greenflow.hub.clock import LOOK_SECONDS, Clock


class Machine:
    """A machine whose time passes when its clock's owner sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed, self.wall = 0.0, 1_000_000.0
        self.slept: list[float] = []
        self.sets: dict[int, float] = {}  # after so many sleeps by how much the clock is set
        monkeypatch.setattr(clock, "monotonic", lambda: self.passed)
        monkeypatch.setattr(clock, "time", lambda: self.wall)
        monkeypatch.setattr(clock.gevent, "sleep", self.sleep)

    def sleep(self, seconds: float, *_: Any) -> None:
        self.slept.append(seconds)
        self.passed += seconds
        self.wall += seconds + self.sets.get(len(self.slept), 0.0)


def test_a_wall_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    Clock().sleep_until(machine.wall + 25)
    assert (machine.passed, max(machine.slept)) == (25, LOOK_SECONDS)
    Clock().sleep_until(machine.wall - 1)
    assert machine.passed == 25


@pytest.mark.parametrize("by", [-3600.0, 3600.0])
def test_a_clock_that_is_set_is_noticed_soon(by: float, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.sets = {3: by}
    Clock().sleep_until(machine.wall + 86400)
    assert machine.passed == 3 * LOOK_SECONDS


def test_a_clock_that_is_slewed_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.sets = dict.fromkeys(range(1, 1000), -0.005)
    Clock().sleep_until(1_000_000 + 3600)
    assert machine.wall >= 1_000_000 + 3600


def test_it_tells_the_time() -> None:
    assert Clock().time() > 1_700_000_000
