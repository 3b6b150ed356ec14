"""The limit of open packets itself, which takes 4 s to reach."""

from __future__ import annotations

from greenflow.engine.packet import Fault
from greenflow.errors import messages
from tests.test_process import runaway


def test_a_hundred_thousand_open_packets_end_with_an_error() -> None:
    answer = runaway()
    assert isinstance(answer, Fault)
    assert set(messages(answer.error)) >= {"more than 100,000 packets open in a process"}
