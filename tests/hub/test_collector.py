"""What is settled is not looked at by the garbage collector, until enough of it was dropped."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from greenflow.hub import collector


class Circle:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_stays_is_not_looked_at_any_more() -> None:
    before = gc.get_freeze_count()
    kept = [Circle() for _ in range(100)]
    collector.settle()
    assert gc.get_freeze_count() >= before + len(kept)


def test_young_garbage_is_not_kept() -> None:
    gc.collect()
    gone = weakref.ref(Circle())
    collector.settle()
    assert gone() is None


def test_a_circle_that_was_settled_goes_when_enough_was_dropped() -> None:
    circle = Circle()
    gone = weakref.ref(circle)
    collector.settle()
    del circle
    gc.collect()
    assert gone() is not None
    collector.drop(collector.DROPS - 1)
    collector.drop(1)
    gc.collect()
    assert gone() is None
