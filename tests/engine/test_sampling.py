"""How long nodes take: which packets are timed, and that the others pay nothing."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from greenflow.engine import sampling
from greenflow.engine.sampling import Sampler, Timed
from greenflow.engine.tally import Tally
from tests.waiting import until


class Noded:
    """What a port belongs to."""

    def __init__(self) -> None:
        self.tally = Tally()

    @property
    def timed(self) -> int:
        return 0 if self.tally.times is None else self.tally.times.count


def receive(reader: Any, packet: Any) -> bool:
    return True


def test_the_first_packet_is_timed_and_the_next_ones_are_not() -> None:
    sampler, node = Sampler(), Noded()
    port = sampler.port(receive, node)
    assert isinstance(port.receive, Timed)
    assert port.receive(None, None)
    assert port.receive is receive  # as if nobody had ever looked
    assert port.receive(None, None)
    assert node.timed == 1
    sampler.close()


def test_a_port_is_armed_again_while_there_is_something_to_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "PAUSE", 0.001)
    sampler, node = Sampler(), Noded()
    port = sampler.port(receive, node)
    for count in range(1, 4):
        port.receive(None, None)
        assert node.timed == count
        until(lambda: port.receive is not receive)
    assert sampler._timer is None  # nobody waits: no timer runs
    sampler.close()


def test_so_many_are_armed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PAUSE", 0.001)
    monkeypatch.setattr(sampling, "ARMED", 2)
    sampler, node = Sampler(), Noded()
    ports = [sampler.port(receive, node) for _ in range(5)]
    for port in ports:
        port.receive(None, None)
    sampler._timer.close()
    sampler._arm()
    assert [port.receive is receive for port in ports] == [False, False, True, True, True]
    until(lambda: not any(port.receive is receive for port in ports))
    sampler.close()


def test_who_wraps_a_receiver_keeps_it() -> None:
    sampler, node = Sampler(), Noded()
    port = sampler.port(receive, node)
    inner, seen = port.receive, []

    def probe(reader: Any, packet: Any) -> bool:
        seen.append(packet)
        return inner(reader, packet)

    port.receive = probe
    for packet in range(3):
        port.receive(None, packet)
    sampler._timer.close()
    sampler._arm()
    assert port.receive is probe
    assert seen == [0, 1, 2]
    assert node.timed == 3
    sampler.close()


def test_what_fails_and_what_waits_is_timed() -> None:
    sampler, node = Sampler(), Noded()

    def fail(reader: Any, packet: Any) -> bool:
        gevent.sleep(0)
        raise ValueError

    port = sampler.port(fail, node)
    with pytest.raises(ValueError):  # noqa: PT011
        port.receive(None, None)
    assert node.timed == 1
    sampler.close()
    port.receive = Timed(sampler, node, port)
    with pytest.raises(ValueError):  # noqa: PT011
        port.receive(None, None)
    assert sampler._timer is None  # closed: armed no more
