"""The greenlet that has the store record what other programs wrote: its end."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from greenflow.table import claiming
from tests.waiting import DEADLINE


class LateEvent(Event):  # type: ignore[misc]
    """Its time is always over before it is told, as on a hub with much to do."""

    def wait(self, timeout: float | None = None) -> bool:
        is_set = super().wait(timeout)
        return bool(is_set) and timeout is None


def test_it_ends_when_it_is_told_in_the_instant_in_which_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "Event", LateEvent)
    asking = claiming.Claiming(lambda ids, known: 0, "default")
    asking.start()
    asking.some({"a": None})
    gevent.sleep(0)
    with gevent.Timeout(DEADLINE):
        asking.stop()
