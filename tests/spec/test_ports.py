"""Port names (BEHAVIOUR 2.1, 2.2)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.engine.port import InPort
from greenflow.spec.ports import canonical, parse


@pytest.mark.parametrize(
    ("name", "word", "index", "spelled"),
    [("out", "out", 0, "out"), ("out[0]", "out", 0, "out"), ("out[12]", "out", 12, "out[12]")],
)
def test_a_name_and_its_index_0_are_one(name: str, word: str, index: int, spelled: str) -> None:
    assert parse(name) == (word, index)
    assert canonical(name) == spelled


@given(st.text(max_size=12))
def test_only_a_word_with_at_most_one_index_is_a_name(text: str) -> None:
    good = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\[(0|[1-9][0-9]{0,5})\])?", text, re.ASCII)
    if good and text.isascii():
        assert canonical(canonical(text)) == canonical(text)
    else:
        with pytest.raises(ValueError, match="no port name"):
            parse(text)


def test_a_port_tells_when_it_runs_empty() -> None:
    port, told = InPort(lambda reader, packet: False), []
    port.arrived = 3
    port.emptied = lambda: told.append(port.in_flight)
    port.leave(2)
    assert told == []
    port.leave(1)
    assert told == [0]
