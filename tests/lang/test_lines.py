"""Lines of the wire: whatever pieces a text is read in, its lines are the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenflow.lang.javascript.lines import WireLines


@given(st.lists(st.lists(st.sampled_from([b"a", b"bc", b"\n"])).map(b"".join)))
def test_lines_are_those_of_the_whole(pieces: list[bytes]) -> None:
    lines = WireLines()
    found = [line for piece in pieces for line in lines.split(piece)]
    *whole, rest = b"".join(pieces).split(b"\n")
    assert found == whole
    assert lines.size == len(rest)
