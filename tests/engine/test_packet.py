"""Packets and replies by themselves: who owes an answer to whom."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.engine.packet import NOTHING, Fault, Packet, Reply
from greenflow.engine.process import Process


class Watcher(Reply):
    """Sees the answer that passes by, and may keep it."""

    __slots__ = ("keeps", "seen")

    def __init__(self, keeps: bool = False) -> None:
        super().__init__(1)
        self.keeps, self.seen = keeps, list[Any]()

    def passes(self, answer: Any) -> bool:
        self.seen.append(answer)
        return not self.keeps


@pytest.fixture
def packet() -> Packet:
    """The second packet of a write of two."""
    return Packet("payload", Process(), Reply(2), 1, 0)


def test_an_answer_passes_by_what_was_put_between(packet: Packet) -> None:
    above = packet.reply
    assert above is not None
    first, second = Watcher(), Watcher()
    packet.interpose(first)
    packet.interpose(second)
    assert packet in packet.process.open
    assert (packet.reply, packet.place) == (second, 0)
    packet.answer("answer")
    assert second.seen == first.seen == ["answer"]
    assert (above.values, above.missing) == ([NOTHING, "answer"], 1)
    assert packet not in packet.process.open


def test_what_was_put_between_may_keep_the_answer(packet: Packet) -> None:
    above = packet.reply
    assert above is not None
    watcher = Watcher(keeps=True)
    packet.interpose(watcher)
    fault = Fault(ValueError("no"))
    packet.answer(fault)
    assert watcher.seen == [fault]
    assert (above.values, above.missing) == ([NOTHING, NOTHING], 2)
    assert (watcher.up, watcher.place) == (above, 1)  # it answers there when it likes


def test_what_was_put_between_goes_with_the_place(packet: Packet) -> None:
    watcher = Watcher()
    packet.interpose(watcher)
    assert packet.take() == (watcher, 0)
    assert packet not in packet.process.open


def test_nothing_is_put_between_once_it_is_answered(packet: Packet) -> None:
    packet.answer(1)
    watcher = Watcher()
    with pytest.raises(RuntimeError, match="answered once"):
        packet.interpose(watcher)
    assert watcher.up is None
    assert packet not in packet.process.open
