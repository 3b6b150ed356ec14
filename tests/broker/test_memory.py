"""Events inside one runtime: so many at a time, the others wait, up to so many bytes."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.broker.base import Done
from greenflow.broker.memory import EVENT_BYTES, MOST_OF_OWN, MemoryBroker
from greenflow.errors import BrokerUnavailable


class Taker:
    """A subscriber that is done when the test says so."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self._done: list[Done] = []

    def deliver(self, payload: Any, done: Done) -> None:
        self.taken.append(payload)
        self._done.append(done)

    def finish(self) -> None:
        """Be done with the oldest."""
        self._done.pop(0)(None)


def test_so_many_at_a_time_and_the_others_in_order() -> None:
    broker, taker = MemoryBroker(), Taker()
    subscription = broker.subscribe("t", "a", taker.deliver, 2)
    broker.publish("t", 1)
    assert taker.taken == []  # it has not started
    subscription.start()
    for payload in (2, 3, 4):
        broker.publish("t", payload)
    assert taker.taken == [1, 2]
    taker.finish()
    assert taker.taken == [1, 2, 3]
    taker.finish()
    assert taker.taken == [1, 2, 3, 4]
    subscription.stop()


def test_who_is_done_at_once_takes_them_all() -> None:
    broker, taken = MemoryBroker(), list[int]()

    def deliver(payload: int, done: Done) -> None:
        taken.append(payload)
        done(None)

    subscription = broker.subscribe("t", "a", deliver, 1)
    for payload in range(5_000):
        broker.publish("t", payload)
    subscription.start()
    assert taken == list(range(5_000))
    subscription.stop()


def test_what_waits_goes_to_the_successor() -> None:
    broker, old, new = MemoryBroker(), Taker(), Taker()
    first = broker.subscribe("t", "a", old.deliver, 1)
    first.start()
    for payload in (1, 2, 3):
        broker.publish("t", payload)
    second = broker.subscribe("t", "a", new.deliver, 1)
    first.stop()
    second.start()
    assert (old.taken, new.taken) == ([1], [])
    old.finish()
    assert new.taken == [2]
    second.stop()


def test_more_than_may_wait_is_not_taken_by_anybody(caplog: pytest.LogCaptureFixture) -> None:
    size = MemoryBroker().pack("t", 1).size + EVENT_BYTES
    broker, slow, quick = MemoryBroker(waiting=2 * size), Taker(), Taker()
    subscriptions = [
        broker.subscribe("t", "slow", slow.deliver, 1),
        broker.subscribe("t", "quick", quick.deliver, 100),
    ]
    for subscription in subscriptions:
        subscription.start()
    for payload in (1, 2, 3):
        broker.publish("t", payload)
    with pytest.raises(BrokerUnavailable, match="2 events of 't' wait for 'slow', and with one"):
        broker.publish("t", 4)
    (error,) = broker.send([broker.pack("t", 4)])
    assert isinstance(error, BrokerUnavailable)
    assert quick.taken == [1, 2, 3]
    slow.finish()
    broker.publish("t", 5)
    assert quick.taken == [1, 2, 3, 5]
    for subscription in subscriptions:
        subscription.stop()
    assert "2 events of t that waited are lost" in caplog.text


@pytest.mark.parametrize("most", [None, 2_000])
def test_events_that_come_of_its_own_are_fewer_at_a_time(most: int | None) -> None:
    """By way of another subscriber, too; unless it says how many it wants."""
    broker, taken, others = MemoryBroker(), list[int](), list[int]()

    def deliver(payload: int, done: Done) -> None:
        taken.append(payload)
        if payload == 0:
            for number in range(1, 3_000):
                broker.publish("u", number)

    def pass_on(payload: int, done: Done) -> None:
        others.append(payload)
        broker.publish("t", payload)
        done(None)

    subscriptions = [
        broker.subscribe("t", "a", deliver, most),
        broker.subscribe("u", "b", pass_on, None),
    ]
    for subscription in subscriptions:
        subscription.start()
    broker.publish("t", 0)
    assert taken == list(range(most or MOST_OF_OWN))
    assert others == list(range(1, 3_000))
    for subscription in subscriptions:
        subscription.stop()


def test_when_the_runtime_ends_what_waits_is_lost_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, taker = MemoryBroker(), Taker()
    subscription = broker.subscribe("t", "a", taker.deliver, 1)
    subscription.start()
    for payload in range(3):
        broker.publish("t", payload)
    broker.wind_down()
    broker.publish("t", 3)
    taker.finish()
    assert taker.taken == [0]
    assert [record.getMessage() for record in caplog.records] == [
        "2 events of t that waited are lost: nobody subscribes to them any more"
    ]
    subscription.stop()
