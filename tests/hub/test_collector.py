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


# What is put off


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The seconds that the module sees; the thresholds are set back."""
    usual, seconds = gc.get_threshold(), [1000.0]
    monkeypatch.setattr(collector, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(collector, "_raised", None)
    monkeypatch.setattr(collector, "_is_due", False)
    monkeypatch.setattr(collector, "_until", 0.0)
    gc.collect()
    gc.set_threshold(700, 10, 10)
    yield seconds
    gc.set_threshold(*usual)


def new_containers(count: int) -> int:
    """How often the collector looks at all while so many are made that stay."""
    before = gc.get_stats()[2]["collections"]
    kept = [[] for _ in range(count)]  # type: ignore[var-annotated]
    assert len(kept) == count
    return int(gc.get_stats()[2]["collections"] - before)


@pytest.mark.usefixtures("clock")
def test_work_on_many_objects_meets_no_full_collection() -> None:
    assert new_containers(200_000)
    collector.put_off()
    assert new_containers(200_000) == 0


def test_a_moment_later_all_is_as_it_was(clock: list[float]) -> None:
    collector.put_off()
    assert gc.get_threshold() != (700, 10, 10)
    gc.collect(0)
    assert gc.get_threshold() != (700, 10, 10)
    clock[0] += collector.QUIET + 1
    gc.collect(0)
    assert gc.get_threshold() == (700, 10, 10)
    assert new_containers(200_000)


def test_who_works_again_puts_it_off_for_longer(clock: list[float]) -> None:
    collector.put_off()
    clock[0] += collector.QUIET * 0.9
    collector.put_off()
    clock[0] += collector.QUIET * 0.9
    gc.collect(0)
    assert gc.get_threshold() != (700, 10, 10)


def test_who_works_on_and_on_has_one_in_time_all_the_same(clock: list[float]) -> None:
    for _ in range(100):
        collector.put_off()
        clock[0] += collector.LONGEST / 90
        gc.collect(0)
    assert gc.get_threshold() == (700, 10, 10)
    collector.put_off()
    assert gc.get_threshold() == (700, 10, 10)
    assert new_containers(200_000)
    collector.put_off()
    assert gc.get_threshold() != (700, 10, 10)


def test_one_that_is_due_when_work_begins_is_done_before_it(clock: list[float]) -> None:
    collector.put_off()
    kept = [[] for _ in range(200_000)]  # type: ignore[var-annotated]
    before = gc.get_stats()[2]["collections"]
    collector.put_off()
    assert gc.get_stats()[2]["collections"] == before
    collector.begin()
    assert gc.get_stats()[2]["collections"] == before
    clock[0] += collector.QUIET + 1
    collector.begin()
    assert gc.get_stats()[2]["collections"] == before + 1
    assert len(kept) == 200_000
    clock[0] += collector.QUIET + 1
    collector.begin()
    assert gc.get_stats()[2]["collections"] == before + 1


def test_work_that_begins_again_and_again_meets_none_in_its_middle(clock: list[float]) -> None:
    kept: list[list[list[int]]] = []
    before = gc.get_stats()[2]["collections"]
    for _ in range(20):
        collector.begin()
        begun = gc.get_stats()[2]["collections"]
        for _ in range(10):
            collector.put_off()
            clock[0] += collector.LONGEST / 100
            kept = [[[] for _ in range(20_000)]]
        assert gc.get_stats()[2]["collections"] == begun
    assert len(kept) == 1
    assert begun - before in (2, 3, 4)


@pytest.mark.usefixtures("clock")
def test_so_many_new_objects_are_looked_at_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MOST_NEW", 150_000)
    collector.put_off()
    assert new_containers(300_000)


@pytest.mark.usefixtures("clock")
def test_young_objects_are_looked_at_in_smaller_numbers() -> None:
    gc.set_threshold(10_000, 10, 10)  # as `greenflow run` has it
    collector.put_off()
    youngest, younger, oldest = gc.get_threshold()
    assert youngest * (younger + 1) <= collector.MOST_YOUNG
    assert youngest * (younger + 1) * oldest <= collector.MOST_NEW


def test_who_changes_the_thresholds_meanwhile_has_his_way(clock: list[float]) -> None:
    collector.put_off()
    gc.set_threshold(500, 5, 5)
    clock[0] += collector.QUIET + 1
    gc.collect(0)
    assert gc.get_threshold() == (500, 5, 5)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("mind", [(0, 10, 10), (700, 10, 1_000_000)])
def test_a_program_with_a_mind_of_its_own_is_left_alone(mind: tuple[int, int, int]) -> None:
    gc.set_threshold(*mind)
    collector.put_off()
    assert gc.get_threshold() == mind
