"""Calls side by side: what comes back, and what becomes of those that nobody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.monkey import get_original

from greenflow.hub.blocking.threads import Task, Threads
from tests.waiting import DEADLINE, until

_Event: Callable[[], Any] = get_original("threading", "Event")


class Gate:
    """A function that blocks its thread until it is let go on."""

    def __init__(self) -> None:
        self.inside, self.go_on = _Event(), _Event()

    def __call__(self) -> str:
        self.inside.set()
        assert self.go_on.wait(DEADLINE)
        return "through"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.go_on.set()


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(1)
    yield threads
    threads.close()


def test_results_and_errors_come_back(threads: Threads, capfd: pytest.CaptureFixture[str]) -> None:
    assert threads.run(divmod, 7, 3) == (2, 1)
    assert threads.run(threading.get_ident) != threading.get_ident()
    for _ in range(2):  # the thread has survived the first
        with pytest.raises(ZeroDivisionError):
            threads.run(divmod, 1, 0)
    with pytest.raises(gevent.GreenletExit):
        threads.run(_exit)
    assert capfd.readouterr() == ("", "")
    assert threads.under_way == 0


def _exit() -> None:
    raise gevent.GreenletExit


def test_only_who_calls_waits(threads: Threads, gate: Gate) -> None:
    task = threads.begin(gate)
    assert not task.wait(0)
    assert task.value is None
    assert threads.under_way == 1
    gate.go_on.set()
    assert task.wait()
    assert (task.outcome(), task.value) == ("through", "through")
    threads.join()


def test_who_is_killed_leaves_the_call_to_its_end_and_the_owner_hears_of_it(
    threads: Threads, gate: Gate
) -> None:
    heard: list[Task[Any]] = []
    waiting = gevent.spawn(threads.run, gate, ended=heard.append)
    until(gate.inside.is_set)
    waiting.kill()
    assert heard == []
    assert threads.under_way == 1
    gate.go_on.set()
    until(lambda: heard)
    assert heard[0].value == "through"
    assert threads.under_way == 0


def test_the_owner_hears_before_who_waits_goes_on(threads: Threads) -> None:
    order = []
    threads.run(str, ended=lambda task: order.append("owner"))
    order.append("waiting")
    assert order == ["owner", "waiting"]


def test_who_is_killed_while_no_thread_is_free_has_begun_nothing(
    threads: Threads, gate: Gate
) -> None:
    ran: list[int] = []
    task = threads.begin(gate)
    until(gate.inside.is_set)
    waiting = gevent.spawn(threads.run, ran.append, 1)
    gevent.sleep(0)
    waiting.kill()
    assert threads.under_way == 1
    gate.go_on.set()
    task.outcome()
    assert threads.run(str, 5) == "5"
    assert ran == []


def test_abandoned_threads_end_when_their_calls_do(gate: Gate) -> None:
    threads = Threads(2)
    task = threads.begin(gate)
    until(gate.inside.is_set)
    threads.abandon()
    assert not task.wait(0)
    gate.go_on.set()
    assert task.outcome() == "through"


def test_nothing_begins_in_threads_that_were_ended(gate: Gate) -> None:
    threads = Threads(1)
    task = threads.begin(gate)
    until(gate.inside.is_set)
    waiting = gevent.spawn(threads.run, str)
    gevent.sleep(0)
    threads.abandon()
    gate.go_on.set()
    with pytest.raises(RuntimeError, match="ended"):
        waiting.get()
    assert task.outcome() == "through"
    threads.close()
    with pytest.raises(RuntimeError, match="ended"):
        threads.begin(str)


def test_what_happens_then_is_told(threads: Threads, gate: Gate) -> None:
    task, told = threads.begin(gate), list[str]()
    task.then(lambda: told.append("ended"))
    gevent.sleep(0)
    assert told == []
    gate.go_on.set()
    until(lambda: told)
    assert told == ["ended"]


def test_what_waits_by_gevent_runs_in_greenlets() -> None:
    threads = Threads(1, cooperates=True)
    tasks = [threads.begin(_slow, at) for at in range(3)]  # more than one at a time
    assert [task.outcome() for task in tasks] == [(at, threading.get_ident()) for at in range(3)]
    with pytest.raises(ZeroDivisionError):
        threads.run(divmod, 1, 0)
    threads.begin(_slow, 4)
    threads.close()
    assert threads.under_way == 0


def _slow(at: int) -> tuple[int, int]:
    gevent.sleep(0)
    return at, threading.get_ident()
