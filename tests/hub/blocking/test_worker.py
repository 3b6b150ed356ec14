"""A loop beside the hub: what it is told, and what it tells."""

from __future__ import annotations

import threading

import pytest

from greenflow.hub.blocking.worker import Worker
from tests.waiting import DEADLINE, until


def test_what_a_worker_is_told_it_tells_in_order() -> None:
    worker, told = Worker(), list[tuple[object, int]]()

    def work(greeting: str) -> None:
        worker.tell(told.append, (greeting, threading.get_ident()))
        while True:
            for message in worker.received(DEADLINE):
                worker.tell(told.append, (message, threading.get_ident()))
                if message is None:
                    return

    worker.start(work, "hello")
    for message in (1, 2, None):
        worker.inbox.put(message)
    worker.join()
    until(lambda: len(told) == 4)
    assert [what for what, _ in told] == ["hello", 1, 2, None]
    assert threading.get_ident() not in {thread for _, thread in told}


def test_all_that_is_in_the_inbox_is_received_at_once_and_nothing_is_no_wait() -> None:
    worker = Worker()
    worker.inbox.put(1)
    worker.inbox.put(2)
    assert worker.received(0) == [1, 2]
    assert worker.received(0) == []
    worker.join()


def test_its_error_is_raised_by_who_joins() -> None:
    worker = Worker(is_native=True)
    worker.start(divmod, 1, 0)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        worker.join()
    worker.join()
